"""Where sidecars on this machine keep the nonce that they send: found by looking, for messages and for `doctor`."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SERVICES = ("oauth2-proxy", "nginx", "apache2", "caddy", "haproxy", "pomerium", "traefik", "authelia")
"""Each has a folder of this name in /etc, and a unit of this name."""

UNITS = ("etc/systemd/system", "usr/lib/systemd/system")  # Where units are; the first is the operator's
_MAX_BYTES = 256 * 1024
_VALUE = re.compile(
    r"(?im)(?:KAGED_AUTH_SIDECAR_NONCE|X-Kaged-Auth-Nonce)[\"']?(?:[ \t:=]|value)+"
    r"[\"']?([\w.~+/=-]{32,512})(?=[\"';\s]|$)"
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A file with nonces in it, and the services (with spaces) that have to be restarted when they change."""

    path: Path
    service: str
    values: tuple[str, ...] = field(repr=False)


def nonces_in(text: str) -> tuple[str, ...]:
    """The nonces that a sidecar's file has as they are sent; names of variables and templates are none."""
    return tuple(dict.fromkeys(_VALUE.findall(text)))


def copies(env_file: Path, root: Path = Path("/")) -> list[Copy]:
    """Every file with a nonce beside kaged's own env file and in the folders of known sidecars, as far as this account
    may read them, and the services that are given kaged's env file itself (those have no values)."""
    beside = ((path, next((name for name in SERVICES if name in path.name), "")) for path in env_file.parent.glob("*"))
    known = ((path, name) for name in SERVICES for path in (root / "etc" / name).rglob("*"))
    found = []
    for path, service in [*sorted(beside), *sorted(known)]:
        with suppress(OSError, UnicodeDecodeError):
            small = path != env_file and path.is_file() and path.stat().st_size <= _MAX_BYTES
            if small and (values := nonces_in(path.read_text(encoding="utf-8"))):
                found.append(Copy(path, service or _readers(path, root), values))
    if other := _readers(env_file, root):
        found.append(Copy(env_file, other, ()))
    return found


def _readers(path: Path, root: Path) -> str:
    """The services, other than kaged, whose units or drop-ins name this file, with spaces between them."""
    found = set[str]()
    for folder in UNITS:
        for unit in (*(root / folder).glob("*.service"), *(root / folder).glob("*.service.d/*.conf")):
            with suppress(OSError, UnicodeDecodeError):
                if f"={path}\n" in unit.read_text(encoding="utf-8").replace("=-", "="):
                    found.add((unit if unit.suffix == ".service" else unit.parent).name.partition(".service")[0])
    return " ".join(sorted(found - {"kaged"}))
