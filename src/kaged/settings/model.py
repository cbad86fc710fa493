"""The sections and keys of config.toml, each once. `scripts/default_config.py` makes the commented file of them that a
first start writes."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from kaged.settings.paths import Bind, parse_bind
from kaged.settings.problems import matching


def _no_plugins(names: list[str]) -> list[str]:
    if names:
        raise ValueError("plugins are not supported by this version of kaged; leave the list empty")
    return names


def _with_cages(mode: object) -> object:
    if mode == "disabled":
        raise ValueError("running without cages is not supported by this version of kaged; allowed: 'enabled'")
    return mode


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def split_url(text: str, allowed: str) -> SplitResult:
    """The parts of an address. Raises ValueError, with what is `allowed`."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise ValueError(f"{error}; {allowed}") from None
    return url


def _public_url(text: str) -> str:
    if not text:
        return text
    problem = 'allowed: an origin with an optional path, such as "https://kaged.example.com"'
    url = split_url(text, problem)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"must begin with https:// or http:// and name a host; {problem}")
    if url.username is not None or url.query or url.fragment or "?" in text or "#" in text:
        raise ValueError(f"must have no user, query or fragment; {problem}")
    if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[\w.~-]+)*/?", url.path, re.ASCII) or not re.fullmatch("[!-~]+", text):
        raise ValueError(f"must be plain ASCII, its path of letters, digits and . _ ~ -; {problem}")
    return text.rstrip("/")


def _peer(text: str) -> str:
    if re.fullmatch("uid:[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}", text):
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        allowed = 'allowed: "uid:<account>" or an address such as "10.0.0.5"'
        raise ValueError(f"{text!r} is not a peer; {allowed}") from None


_UNSUPPORTED = "is not supported by this version of kaged"
AbsolutePath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]

_USER_ID = matching(
    r"[!#%&'*+\-./0-9:;=?@A-Z\[\]^_`a-z|~]{1,255}",
    "{!r} is not a user id; allowed: what the sidecar sends as X-Kaged-User-Id",
)


_NO_ADDRESS = '{!r} is no place to sign out at; allowed: a path such as "/oauth2/sign_out", or an https:// address'


class Section(BaseModel):
    """A table whose every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Daemon(Section):
    bind: Annotated[str, AfterValidator(lambda text: str(parse_bind(text)))] = "127.0.0.1:7777"
    """Address to listen on: `host:port`, `[v6]:port` or `unix:/path`. Port 0 takes any free port. Anything
    but loopback or a socket needs `kaged start --allow-remote-bind`. In user mode, when this is not set
    and the port is taken, the next free one is used and remembered."""
    home: AbsolutePath | None = None
    """Folder for the database, the audit log and projects. Empty: `/var/lib/kaged` in system mode,
    `$XDG_DATA_HOME/kaged` in user mode."""
    public_url: Annotated[str, AfterValidator(_public_url)] = ""
    """The address people type, such as `https://kaged.example.com`, with a path when served below one."""

    @property
    def address(self) -> Bind:
        return parse_bind(self.bind)


class Auth(Section):
    mode: Literal["secure", "insecure"] = "secure"
    """`secure`: a sidecar's headers in system mode, the launch URL in user mode. `insecure`: anybody who
    reaches the port is the admin; loopback only."""
    admins: list[Annotated[str, _USER_ID]] = []
    """User ids (`X-Kaged-User-Id`) that may load projects, run agents and change settings."""
    sidecar_peers: list[Annotated[str, AfterValidator(_peer)]] = []
    """Who may speak as the sidecar: `uid:<account>` or an exact address. Empty: any local process."""
    logout_url: Annotated[str, matching(r"((https?:/)?/[^\s/\\][!-\[\]-~]*)?", _NO_ADDRESS)] = ""
    """Where the page's "Sign out" leads: the sidecar's own path, such as `/oauth2/sign_out`, or an https address."""


class Storage(Section):
    url: Annotated[
        str,
        matching("(?s)(?!postgres(ql)?://).*", f"PostgreSQL {_UNSUPPORTED}; use sqlite:///absolute/path"),
        matching(r"(sqlite:///[^/\0].*)?", 'allowed: "sqlite:///absolute/path/kaged.db", or "" for <home>/kaged.db'),
    ] = ""
    """`sqlite:///absolute/path`. Empty: `<home>/kaged.db`."""


class Sandbox(Section):
    mode: Annotated[Literal["enabled"], BeforeValidator(_with_cages)] = "enabled"
    """Agents run in cages, always."""
    default_seccomp: Literal["default", "relaxed"] = "default"
    """System call filter of cages whose project file names none; `relaxed` lets debuggers trace."""


class Logging(Section):
    operational: Annotated[str, matching(r"stderr|file:/.+", 'allowed: "stderr" or "file:/absolute/path"')] = "stderr"
    """`stderr`, or `file:/absolute/path` (JSON lines; reopened when the file is moved away)."""
    audit: Annotated[str, matching(r"(file:/.+)?", 'allowed: "file:/absolute/path", or "" for <home>/audit.log')] = ""
    """`file:/absolute/path`. Empty: `<home>/audit.log`."""
    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least important lines to keep. Stack traces are written at `debug` only."""


class Plugins(Section):
    """`[plugins]`: accepted as in the deployment guide."""

    dir: AbsolutePath | None = None
    """Folder of plugins. Empty: `<home>/plugins`."""
    enabled: Annotated[list[str], AfterValidator(_no_plugins)] = []
    """Must be empty: plugins are not supported by this version of kaged."""


class Ui(Section):
    serve: bool = True
    """Whether the daemon serves the page itself."""
    url: Annotated[str, matching("", f"a console served elsewhere {_UNSUPPORTED}; remove it")] = ""
    """Must be empty: a console served elsewhere is not supported by this version of kaged."""


class Projects(Section):
    roots: list[AbsolutePath] = []
    """System mode: projects are loaded only from below these folders. Empty: `<home>/projects`."""


class Terminals(Section):
    host: bool | None = None
    """Whether admins may open shells outside of any cage. Absent: yes in user mode, no in system mode."""


class Notifications(Section):
    private_hosts: list[str] = []
    """Push services in networks of your own, as `host` or `host:port`: all others need a public address."""


class Limits(Section):
    """`[limits]`: bounds an operator may want to move."""

    keeper_grace_s: int = Field(default=600, ge=0, le=86_400)
    """Seconds that commands and terminals go on without a daemon before they are ended."""
    tool_output_chars: int = Field(default=30_000, ge=1_000, le=1_000_000)
    """Characters of a command's output that the model sees; the rest is kept in a file in the cage."""
    message_bytes: int = Field(default=1_048_576, ge=1_024, le=16_777_216)
    """Largest message a user may send, in bytes."""
    runs: int = Field(default=64, ge=1, le=1_000)
    """Agents at work at once, in all projects; a message over that waits for a free place. Sub-agents count, an agent
    that waits for them or for an answer does not."""
    runs_per_project: int = Field(default=16, ge=1, le=1_000)
    """The same in one project."""
    runs_per_user: int = Field(default=32, ge=1, le=1_000)
    """The same of one person: of runs that their messages began."""
    approval_s: int = Field(default=86_400, ge=1, le=2_592_000)
    """Seconds that a tool call waits to be approved before the agent is told that nobody did."""
    delegates: int = Field(default=4, ge=1, le=64)
    """Sub-agents of one run at work at once, in its whole tree; further ones wait for a free place."""
    clone_bytes: int = Field(default=2_147_483_648, ge=1_048_576)
    """Largest project that is cloned from a URL, in bytes on disk."""


class Config(Section):
    """Everything in config.toml, validated. After `load`, paths are filled in and absolute."""

    daemon: Daemon = Daemon()
    auth: Auth = Auth()
    storage: Storage = Storage()
    sandbox: Sandbox = Sandbox()
    logging: Logging = Logging()
    plugins: Plugins = Plugins()
    ui: Ui = Ui()
    projects: Projects = Projects()
    terminals: Terminals = Terminals()
    notifications: Notifications = Notifications()
    limits: Limits = Limits()

    @property
    def insecure(self) -> bool:
        return self.auth.mode == "insecure"


LATER: dict[tuple[int | str, ...], str] = {("auth", "sharedsso"): "shared sign-on", ("retention",): "retention"}
"""Keys of the public design that this version refuses, with what they stand for."""
