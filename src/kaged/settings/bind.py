"""Where the daemon listens: `host:port`, `[v6]:port` or `unix:/path`."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_BYTES = 107  # The longest path the kernel accepts for a unix socket
_FORMS = 'allowed: "127.0.0.1:7777", "[::1]:7777" or "unix:/run/kaged/http.sock"'


@dataclass(frozen=True, slots=True)
class Bind:
    """A parsed `daemon.bind`: either `host` and `port` (0 = any free one), or `unix`."""

    host: str
    port: int
    unix: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect. A host name counts as remote: it may resolve to anything."""
        if self.unix is not None:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.unix is not None:
            return f"unix:{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read a bind address; `localhost` becomes 127.0.0.1. Raises ValueError with a sentence."""
    kind, separator, rest = text.partition(":")
    if kind == "unix" and separator:
        return _parse_unix(rest)
    host, separator, port = text.rpartition(":")
    if not separator or not host:
        raise ValueError(f"{text!r} has no port; {_FORMS}")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{port!r} is not a port number from 0 to 65535; {_FORMS}")
    if host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
        if not _is_address(host, 6):
            raise ValueError(f"{host!r} is not an IPv6 address; {_FORMS}")
    elif ":" in host:
        raise ValueError(f"an IPv6 address is written in brackets; {_FORMS}")
    elif not _is_host(host):
        raise ValueError(f"{host!r} is neither an address nor a host name; {_FORMS}")
    return Bind("127.0.0.1" if host.lower() == "localhost" else host, int(port))


def _parse_unix(path: str) -> Bind:
    if not path or path[0] != "/":
        raise ValueError(f"a socket path is absolute; {_FORMS}")
    if len(path.encode("utf-8", "surrogateescape")) > SOCKET_PATH_BYTES:
        raise ValueError(f"the socket path is longer than the kernel's {SOCKET_PATH_BYTES} bytes; {_FORMS}")
    if "\0" in path:
        raise ValueError(f"a socket path has no NUL character; {_FORMS}")
    return Bind("", 0, Path(path))


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if host.replace(".", "").isdigit():
        return _is_address(host, 4)
    labels = host.split(".")
    return len(host) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "a").isalnum() for label in labels
    )
