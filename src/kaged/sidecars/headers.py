"""The headers of the contract (ADR-0007), as sidecars are told to strip and set them. One table for every template."""

from collections.abc import Mapping

HEADERS: Mapping[str, str] = {
    "NONCE_HEADER": "X-Kaged-Auth-Nonce",
    "ID_HEADER": "X-Kaged-User-Id",
    "EMAIL_HEADER": "X-Kaged-User-Email",
    "NAME_HEADER": "X-Kaged-User-Name",
    "GROUPS_HEADER": "X-Kaged-User-Groups",
}
"""Name in a template, and the header. The last is reserved: every sidecar strips it, none sets it."""
