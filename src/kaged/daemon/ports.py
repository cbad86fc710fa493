"""The listening TCP port: bind it, or name who holds it."""

import contextlib
import errno
import socket
from pathlib import Path

from kaged.core.errors import GateError
from kaged.daemon import server

_TRIES = 50


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `host`:`port` (0 = any free one). Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def listen_fixed(host: str, port: int) -> socket.socket:
    """Exactly this port, or a GateError that names its holder."""
    try:
        return listen(host, port)
    except OSError as error:
        problem = f"{host}:{port} cannot be bound: {error.strerror}"
        fix = "set [daemon] bind to an address of this host"
        if error.errno == errno.EADDRINUSE:
            problem = f"port {port} on {host} is taken by {holder(port)}"
            fix = f"stop it, or choose another port: kaged start --bind {host}:{port + 1}"
        raise GateError("bind", problem, fix) from error


def listen_near(host: str, port: int, remembered: Path) -> tuple[socket.socket, str | None]:
    """`port`, or the one remembered (so that browser sessions, bound to it, survive a restart), or the next free one;
    and a sentence when it is not `port`."""
    first = _remembered(remembered) or port
    for candidate in dict.fromkeys([first, *range(port, port + _TRIES)]):
        try:
            listener = listen(host, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise GateError("bind", f"{host}:{candidate}: {error.strerror}", "set [daemon] bind") from error
        if candidate == port:
            remembered.unlink(missing_ok=True)
            return listener, None
        remembered.write_text(f"{candidate}\n", encoding="ascii")
        return listener, f"port {port} is taken by {holder(port)}; using {candidate}"
    problem = f"ports {port} to {port + _TRIES - 1} are all taken"
    raise GateError("bind", problem, "choose one with kaged start --bind HOST:PORT")


def listen_socket(path: Path) -> socket.socket:
    """The unix socket `path` (0660), in place of one that nobody listens on any more; else a GateError."""
    fix = "set [daemon] bind to another path"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_socket():
            raise GateError("bind", f"{path} is there already, and is no socket", fix)
        if path.is_socket() and _answers(path):
            raise GateError("bind", f"another process listens on {path}", f"stop it, or {fix}")
        return server.listen_unix(path, mode=0o660)
    except OSError as error:
        raise GateError("bind", f"{path} cannot be bound: {error.strerror}", fix) from error


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def _remembered(path: Path) -> int | None:
    try:
        port = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 else None


def holder(port: int) -> str:
    """`name (pid N)` of the process that listens on `port`, as far as this account may see it."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_leads_to(fd, inodes) for fd in (process / "fd").iterdir()):
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f"{name} (pid {process.name})"
    return "a process of another account" if inodes else "a process that this account cannot see"


def _leads_to(fd: Path, inodes: set[str]) -> bool:
    try:
        return str(fd.readlink()) in inodes
    except FileNotFoundError:
        return False  # closed meanwhile


def _listening_inodes(port: int) -> set[str]:
    rows: list[list[str]] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            rows += [row.split() for row in Path(table).read_text(encoding="ascii").splitlines()[1:]]
    # State 0A is LISTEN; the local address is HEXADDRESS:HEXPORT (proc(5)).
    listening = [row for row in rows if row[3] == "0A" and int(row[1].rsplit(":", 1)[1], 16) == port]
    return {f"socket:[{row[9]}]" for row in listening}
