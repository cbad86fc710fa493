"""Where a project is cloned from: the URL, the cage that reaches its host and nothing else, and the operator's own
credentials for that host. A token is put into requests by the gate; an ssh key goes into the cage's memory. Neither is
ever in arguments, in the environment, on disk, or in what is stored of a clone."""

import base64
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ValidationError

from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec
from kaged.settings.local import Local, secret_value
from kaged.settings.paths import Paths

WALLTIME_S = 3600.0
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")  # An own server; never this host's loopback
KEY_LIMIT = 64 * 1024
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_SHORT = re.compile(rf"({_USER})@([A-Za-z0-9_.-]+):(?!//)[^:]+")

KEY, KNOWN_HOSTS = "/home/agent/key", "/home/agent/known_hosts"  # inside the cage, in memory

_SSH = {
    "IdentityFile": KEY, "IdentitiesOnly": "yes", "BatchMode": "yes", "StrictHostKeyChecking": "yes",
    "UserKnownHostsFile": KNOWN_HOSTS, "GlobalKnownHostsFile": "/dev/null", "UpdateHostKeys": "no",
    "PreferredAuthentications": "publickey", "LogLevel": "ERROR",
}  # fmt: skip
ENV = {
    "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_SSH_COMMAND": " ".join(("ssh", "-F", "none", *(f"-o {name}={value}" for name, value in _SSH.items()))),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A URL that can be cloned from. `user` is the account for ssh, None for https."""

    url: str
    scheme: Literal["https", "http", "ssh"]
    host: str
    port: int
    path: str
    user: str | None = None

    @property
    def place(self) -> str:
        """The host's name in `[git]` of local.toml: with the port, unless it is the usual one."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def table(self) -> str:
        """Where the operator's credentials for it belong."""
        return f'`[git."{self.place}"]` in local.toml'

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2].removesuffix(".git")

    def problem(self, why: str) -> str:
        return f"Could not clone {self.url}: {why.rstrip('.')}."

    def argv(self) -> list[str]:
        only = f"protocol.{self.scheme}.allow=always"
        options = ("core.hooksPath=/dev/null", "credential.helper=", "protocol.allow=never", only)
        settings = [word for option in options for word in ("-c", option)]
        how = ("--progress", "--no-recurse-submodules", "--template=")
        return ["git", *settings, "clone", *how, "--", self.url, "repo"]


@dataclass(frozen=True, slots=True)
class Access:
    """How its host is reached. `secrets` are for the gate; `key` and `known_hosts` for the cage, with ssh alone."""

    spec: CageSpec
    secrets: Mapping[str, str] = field(repr=False)
    key: bytes = field(default=b"", repr=False)
    known_hosts: bytes = b""


def parse(url: str, plain: Collection[str] = ()) -> Source:
    """Read a URL; hosts in `plain` need no TLS. KagedError bad_request, without a word of what may be a password."""
    short = _SHORT.fullmatch(url)
    try:
        parts = urlsplit(f"ssh://{short[1]}@{short[2]}/{url.partition(':')[2]}" if short else url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise KagedError("bad_request", f"This is no URL: {error}.") from None
    if parts.query or parts.fragment or parts.password is not None or (parts.username and parts.scheme != "ssh"):
        words = "A URL with a password, token, query or fragment is not taken, because it would be stored with the"
        raise KagedError("bad_request", f'{words} project: put credentials into `[git."{host}"]` in local.toml.')
    odd = not url.isprintable() or {*" *?#\\"} & set(url) or not host
    known = parts.scheme in ("https", "ssh") or (parts.scheme == "http" and host in plain)
    if odd or not known or (parts.scheme == "ssh" and re.fullmatch(_USER, parts.username or "") is None):
        words = "Only https://HOST/PATH, ssh://USER@HOST/PATH and USER@HOST:PATH are cloned"
        raise KagedError("bad_request", f"{words}; clone anything else by hand and load the folder.")
    scheme: Any = parts.scheme
    return Source(url, scheme, host, port or _PORTS[scheme], parts.path, parts.username)


def access(source: Source, local: Local, paths: Paths, environ: Mapping[str, str], hosts: Mapping[str, str]) -> Access:
    """The cage's policy and the operator's credentials for this source; `hosts` gives addresses of names. Reads files.
    KagedError bad_request, with what to do."""
    given, place = local.git.get(source.place), f"{source.host}:{source.port}"
    net: dict[str, Any] = {"hosts": dict(hosts), "private": [*PRIVATE, *(f"{own}/32" for own in hosts.values())]}
    if source.scheme == "ssh":
        if given is None or given.ssh_key is None:
            words = f"ssh needs a deploy key: name its file as ssh_key in {source.table}"
            raise KagedError("bad_request", source.problem(words))
        key, known = _key(paths.config_dir / given.ssh_key), _read(paths.known_hosts, missing=b"")
        return Access(_checked(source, net | {"allow": [place]}), {}, key, known)
    net["http"] = [{"host": place, "methods": ["GET", "POST"]}]
    values, secrets = {}, []
    if given is not None and given.token is not None:
        if not (token := secret_value(given.token, environ)):
            words = f"The token in {source.table} has no value: set the variable that it names."
            raise KagedError("bad_request", words)
        values["GIT_LOGIN"] = base64.b64encode(f"{given.user}:{token}".encode()).decode()
        secrets = [{"name": "GIT_LOGIN", "from": "local:git", "host": place, "format": "Basic {}"}]
    return Access(_checked(source, net, secrets), values)


def _checked(source: Source, net: dict[str, Any], secrets: Sequence[Mapping[str, str]] = ()) -> CageSpec:
    try:
        return CageSpec.model_validate({"net": net, "limits": {"walltime": WALLTIME_S}, "secrets": [*secrets]})
    except ValidationError:
        words = f"{source.host} is no host name; write the whole name of the host, not its address"
        raise KagedError("bad_request", source.problem(words)) from None


def _key(path: Path) -> bytes:
    key = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o027:
        raise KagedError("bad_request", f"Other accounts can read the key {path}: run `chmod o=,g-w {path}`.")
    return key if key.endswith(b"\n") else key + b"\n"


def _read(path: Path, missing: bytes | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_LIMIT)
    except OSError as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            return missing
        words = f"{path} cannot be read ({error.strerror}): make it a file that kaged's account can read"
        raise KagedError("bad_request", f"{words}.") from None
