"""The sidecar nonces as the front door compares them."""

import hmac
from dataclasses import dataclass
from hashlib import sha256

MAX_LENGTH = 512
"""The longest value that is looked at, in bytes."""


@dataclass(frozen=True, slots=True)
class NonceSet:
    """The accepted nonces, kept as SHA-256 digests so that no trace or dump shows one."""

    digests: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, *values: str) -> "NonceSet":
        """The set of `values`, the one in use first, without repeats; settings checked their fitness."""
        return cls(tuple(dict.fromkeys(sha256(value.encode("ascii")).digest() for value in values)))

    def __len__(self) -> int:
        return len(self.digests)

    def match(self, value: bytes) -> int | None:
        """The slot whose nonce `value` is. Takes the same time whether, and where, it matches."""
        given = sha256(value).digest()
        matched = None
        for slot, digest in enumerate(self.digests):
            if hmac.compare_digest(given, digest):
                matched = slot
        return matched
