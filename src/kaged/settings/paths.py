"""Every path the daemon and the CLI use, worked out once from mode, environment and configuration."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaged.core.errors import ConfigError
from kaged.settings.bind import SOCKET_PATH_BYTES

Mode = Literal["user", "system"]

SYSTEM_CONFIG = Path("etc/kaged/config.toml")
SYSTEM_HOME = Path("var/lib/kaged")
SYSTEM_RUNTIME = Path("run/kaged")


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
        """Folder of config.toml, local.toml and env."""
        return self.config_file.parent

    @property
    def local_file(self) -> Path:
        """What belongs to this machine's operator: aliases and providers."""
        return self.config_dir / "local.toml"

    @property
    def env_file(self) -> Path:
        """Where systemd takes the nonce from at start (`EnvironmentFile=`)."""
        return self.config_dir / "env"

    @property
    def auth_cookie(self) -> Path:
        """The current launch token (0600)."""
        return self.runtime / "auth-cookie"

    @property
    def launch_url(self) -> Path:
        """The current launch URL (0600)."""
        return self.runtime / "launch-url"

    @property
    def control_socket(self) -> Path:
        """Where the CLI speaks HTTP to the daemon (0600)."""
        return self.runtime / "control.sock"

    @property
    def keeper_socket(self) -> Path:
        """Where the daemon finds the keeper (0600)."""
        return self.runtime / "keeper.sock"

    @property
    def projects_dir(self) -> Path:
        """Projects that kaged itself creates."""
        return self.home / "projects"

    @property
    def lock_file(self) -> Path:
        """Held by the one daemon of this home."""
        return self.home / "lock"

    @property
    def port_file(self) -> Path:
        """The port a user-mode daemon chose when its default one was taken."""
        return self.home / "port"


def user_home(environ: Mapping[str, str]) -> Path:
    """The account's home directory: `$HOME` when absolute, else the account's entry."""
    home = environ.get("HOME", "")
    if home and Path(home).is_absolute():
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ConfigError(f"HOME is not set and uid {os.getuid()} has no account; set HOME") from None


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    value = environ.get(name, "")
    # The XDG specification: a relative path is invalid and ignored.
    return Path(value) if value and Path(value).is_absolute() else user_home(environ) / fallback


def choose_mode(flag: str | None, environ: Mapping[str, str], root: Path) -> Mode:
    """The mode: `--mode`, else `KAGED_MODE`, else what `detect_mode` finds. Raises ConfigError."""
    for name, value in (("--mode", flag), ("KAGED_MODE", environ.get("KAGED_MODE"))):
        if value == "user":
            return "user"
        if value == "system":
            return "system"
        if value:
            raise ConfigError(f'{name}: {value!r} is not a mode; allowed: "user" or "system"')
    return detect_mode(environ, root)


def choose_file(flag: Path | None, mode: Mode, environ: Mapping[str, str], root: Path) -> Path:
    """Where config.toml is: `--config`, else `KAGED_CONFIG`, else the mode's own place."""
    if flag is not None:
        return flag.absolute()
    if given := environ.get("KAGED_CONFIG"):
        return Path(given).absolute()
    return config_file(mode, environ, root)


def config_file(mode: Mode, environ: Mapping[str, str], root: Path) -> Path:
    """Where config.toml is when no flag and no variable names it."""
    if folder := environ.get("KAGED_CONFIG_DIR"):
        return Path(folder).absolute() / "config.toml"
    if mode == "system":
        return root / SYSTEM_CONFIG
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "kaged" / "config.toml"


def default_home(mode: Mode, environ: Mapping[str, str], root: Path) -> Path:
    """The home when nothing names one."""
    if mode == "system":
        return root / SYSTEM_HOME
    return _xdg(environ, "XDG_DATA_HOME", ".local/share") / "kaged"


def runtime_dir(mode: Mode, environ: Mapping[str, str], home: Path, root: Path) -> Path:
    """Folder of sockets: systemd's RuntimeDirectory in system mode, `$XDG_RUNTIME_DIR/kaged` in user mode.

    Raises ConfigError when the socket names in it would be too long for the kernel.
    """
    if mode == "system":
        given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        runtime = Path(given) if given and Path(given).is_absolute() else root / SYSTEM_RUNTIME
    else:
        given = environ.get("XDG_RUNTIME_DIR", "")
        runtime = Path(given) / "kaged" if given and Path(given).is_absolute() else home / "run"
    if len(os.fsencode(runtime / "control.sock")) > SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{runtime}: too long a folder name for unix sockets (the kernel allows "
            f"{SOCKET_PATH_BYTES} bytes); set XDG_RUNTIME_DIR to a shorter one"
        )
    return runtime


def find_runtime(mode: Mode, file: Path, environ: Mapping[str, str], root: Path) -> Path:
    """The runtime folder of the daemon that `file` configures, without checking the rest of the file.

    For clients: quick, and it works while the configuration has mistakes elsewhere.
    """
    home = environ.get("KAGED_HOME", "")
    if not home and mode == "user" and not environ.get("XDG_RUNTIME_DIR"):
        home = _home_in(file)
    usable = Path(home) if home and Path(home).is_absolute() else default_home(mode, environ, root)
    return runtime_dir(mode, environ, usable, root)


def obstacle(file: Path) -> str | None:
    """Why no folder for `file` can be there: what is on the way is no folder. None when it can."""
    for folder in file.parents:
        try:
            if folder.exists():
                return None if folder.is_dir() else f"{folder} is not a folder"
        except OSError as error:
            return f"{folder}: {error.strerror}"
    return None


def _home_in(file: Path) -> str:
    import tomllib

    try:
        home = tomllib.loads(file.read_text(encoding="utf-8")).get("daemon", {}).get("home", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return home if isinstance(home, str) else ""


def detect_mode(environ: Mapping[str, str], root: Path) -> Mode:
    """System mode when this account owns the system home and a system configuration exists."""
    try:
        owner = (root / SYSTEM_HOME).stat().st_uid
    except OSError:
        return "user"
    return "system" if owner == os.geteuid() and (root / SYSTEM_CONFIG).exists() else "user"
