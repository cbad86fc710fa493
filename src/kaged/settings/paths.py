"""Every path the daemon and the CLI use, worked out once; and where the daemon listens."""

import ipaddress
import os
import pwd
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaged.core.errors import ConfigError

Mode = Literal["user", "system"]

SOCKET_PATH_BYTES = 107  # The longest path the kernel accepts for a unix socket
_FORMS = 'allowed: "127.0.0.1:7777", "[::1]:7777" or "unix:/run/kaged/http.sock"'
SYSTEM_CONFIG = Path("etc/kaged/config.toml")
SYSTEM_HOME = Path("var/lib/kaged")
SYSTEM_RUNTIME = Path("run/kaged")


@dataclass(frozen=True, slots=True)
class _In:
    folder: str
    name: str

    def __get__(self, paths: "Paths", owner: type["Paths"] | None = None) -> Path:
        folder: Path = getattr(paths, self.folder)
        return folder / self.name


BY_HAND = "kaged was stopped by hand while this ran."  # What `left_file` holds after `kaged stop` or Ctrl-C


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are. All absolute; nothing here is created by making this value."""

    config_file: Path
    home: Path
    runtime: Path
    database: Path
    audit_log: Path

    @property
    def config_dir(self) -> Path:
        return self.config_file.parent

    local_file = _In("config_dir", "local.toml")  # What belongs to this machine's operator: aliases and providers
    known_hosts = _In("config_dir", "known_hosts")  # Keys of the ssh servers that projects are cloned from
    env_file = _In("config_dir", "env")  # Where systemd takes the nonce from at start (`EnvironmentFile=`)
    auth_cookie = _In("runtime", "auth-cookie")  # The current launch token (0600)
    launch_url = _In("runtime", "launch-url")  # The current launch URL (0600)
    control_socket = _In("runtime", "control.sock")  # Where the CLI speaks HTTP to the daemon (0600)
    keeper_socket = _In("runtime", "keeper.sock")  # Where the daemon finds the keeper (0600)
    projects_dir = _In("home", "projects")  # Projects that kaged itself creates
    snapshots = _In("home", "snapshots")  # What checkpoints hold, a git repository for each project
    worktrees = _In("home", "worktrees")  # Git worktrees of sessions that work apart from the project's folder
    lock_file = _In("home", "lock")  # Held by the one daemon of this home
    left_file = _In("home", "left")  # How the last daemon left its runs: empty, or why they wait for the operator
    vapid_key = _In("home", "vapid.key")  # The key that push messages are signed with (0600)
    port_file = _In("home", "port")  # The port a user-mode daemon chose when its default one was taken


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    """The folder that a variable names; a relative one is invalid and ignored (the XDG specification)."""
    path = Path(environ.get(name, ""))
    return path if path.is_absolute() else None


def account_name(uid: int) -> str:
    """The account's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_home(environ: Mapping[str, str]) -> Path:
    """The account's home directory: `$HOME` when absolute, else the account's entry."""
    if home := _folder(environ, "HOME"):
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ConfigError(f"HOME is not set and uid {os.getuid()} has no account; set HOME") from None


def choose_mode(flag: str | None, environ: Mapping[str, str], root: Path) -> Mode:
    """`--mode`, else `KAGED_MODE`, else system for the owner of a configured system home. Raises ConfigError."""
    for name, value in (("--mode", flag), ("KAGED_MODE", environ.get("KAGED_MODE"))):
        if value in ("user", "system"):
            return "user" if value == "user" else "system"
        if value:
            raise ConfigError(f'{name}: {value!r} is not a mode; allowed: "user" or "system"')
    try:
        owner = (root / SYSTEM_HOME).stat().st_uid
    except OSError:
        return "user"
    return "system" if owner == os.geteuid() and (root / SYSTEM_CONFIG).exists() else "user"


def choose_file(flag: Path | None, mode: Mode, environ: Mapping[str, str], root: Path) -> Path:
    """Where config.toml is: `--config`, else `KAGED_CONFIG`, else the mode's own place."""
    if named := flag or environ.get("KAGED_CONFIG"):
        return Path(named).absolute()
    if given := environ.get("KAGED_CONFIG_DIR"):
        return Path(given).absolute() / "config.toml"
    if mode == "system":
        return root / SYSTEM_CONFIG
    folder = _folder(environ, "XDG_CONFIG_HOME") or user_home(environ) / ".config"
    return folder / "kaged" / "config.toml"


def default_home(mode: Mode, environ: Mapping[str, str], root: Path) -> Path:
    if mode == "system":
        return root / SYSTEM_HOME
    return (_folder(environ, "XDG_DATA_HOME") or user_home(environ) / ".local/share") / "kaged"


def runtime_dir(mode: Mode, environ: Mapping[str, str], home: Path, root: Path) -> Path:
    """Folder of sockets: `RUNTIME_DIRECTORY` or `$XDG_RUNTIME_DIR/kaged`. ConfigError when too long for the kernel."""
    if mode == "system":
        given = Path(environ.get("RUNTIME_DIRECTORY", "").split(":")[0])
        runtime = given if given.is_absolute() else root / SYSTEM_RUNTIME
    else:
        folder = _folder(environ, "XDG_RUNTIME_DIR")
        runtime = folder / "kaged" if folder else home / "run"
    if len(os.fsencode(runtime / "control.sock")) > SOCKET_PATH_BYTES:
        what = f"too long a folder name for unix sockets (the kernel allows {SOCKET_PATH_BYTES} bytes)"
        raise ConfigError(f"{runtime}: {what}; set XDG_RUNTIME_DIR to a shorter one")
    return runtime


def find_runtime(mode: Mode, file: Path, environ: Mapping[str, str], root: Path) -> Path:
    """The runtime folder for `file`, found quickly and without checking the rest of it (for clients)."""
    home = Path(environ.get("KAGED_HOME", ""))
    if not environ.get("KAGED_HOME") and mode == "user" and not environ.get("XDG_RUNTIME_DIR"):
        home = _home_in(file)
    return runtime_dir(mode, environ, home if home.is_absolute() else default_home(mode, environ, root), root)


def read_text(path: Path) -> str | None:
    """The text of a small file, None when there is no such file. Raises ConfigError."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def write_private(path: Path, text: str, *, like: os.stat_result | None = None) -> None:
    """Replace `path` in one step, on disk, with mode 0600, or with the owner and mode of `like`. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if like is not None:
                os.fchown(handle, like.st_uid, like.st_gid)
                os.fchmod(handle, like.st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(temporary).replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def obstacle(file: Path) -> str | None:
    """Why no folder for `file` can be there: what is on the way is no folder. None when it can."""
    for folder in file.parents:
        try:
            if folder.exists():
                return None if folder.is_dir() else f"{folder} is not a folder"
        except OSError as error:
            return f"{folder}: {error.strerror}"
    return None


def _home_in(file: Path) -> Path:
    import tomllib

    try:
        return Path(tomllib.loads(file.read_text(encoding="utf-8"))["daemon"]["home"])
    except (OSError, ValueError, TypeError, LookupError):
        return Path()


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
    return len(host) <= 253 and bool(re.fullmatch(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", host))
