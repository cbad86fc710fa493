"""The `cage:` block of an agent, checked as far as text alone can be; the rest is decided when the plan is compiled.
Hosts are kept in one form, `name:port` with the name in lower-case ASCII, so that equal entries are equal."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from kaged.settings.problems import matching

PROJECT = "project:/"
Toolchain = Literal["local", "uv", "pyenv", "nvm", "fnm", "volta", "rustup", "go", "sdkman"]
"""Toolchains of the account's home that a cage can borrow: `kaged.cage.toolchains`."""

PROTECTED: tuple[str, ...] = (
    ".kaged/**", ".git/hooks/**", ".git/config", ".git/config.worktree", ".git/commondir", ".git/info/attributes",
    ".gitmodules", ".envrc", ".vscode/**", ".idea/**",
)  # fmt: skip
"""Read-only inside every writable project: what the operator's own tools would run or obey later."""

ALWAYS_PROTECTED = ".kaged/**"

HTTPS = 443
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_OWN_HEADERS = "host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect"
MIB, GIB = 1024**2, 1024**3
_Values = TypeVar("_Values", bound=tuple[Any, ...])

_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": GIB, "TiB": 1024 * GIB}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")


class Part(BaseModel):
    """One table of a project file: frozen, strict, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True,
        use_attribute_docstrings=True,
    )  # fmt: skip


Names = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Lets a tuple be written as a list."""


def _amount(units: dict[str, int], cast: type[int] | type[float], example: str) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        match = _AMOUNT.fullmatch(value.strip())
        if match is None or match[2] not in units:
            names = ", ".join(u for u in units if u)
            raise ValueError(f"expected a number with one of the units {names}, such as {example}")
        return cast(float(match[1]) * units[match[2]])

    return parse


def _schema(kind: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "string", "examples": [example]}]})


Bytes = Annotated[int, BeforeValidator(_amount(_UNITS, int, "2GiB")), _schema("integer", "2GiB")]
"""A size: bytes, or text such as `2GiB`."""

Seconds = Annotated[float, BeforeValidator(_amount(_SECONDS, float, "30m")), _schema("number", "30m")]
"""A time: seconds, or text such as `30m`."""


EnvName = Annotated[
    str,
    matching("[A-Za-z_][A-Za-z0-9_]*", "{!r} is not the name of an environment variable"),
    matching("(?i)(?!kaged_).*", "{} belongs to kaged itself and does not enter a cage"),
]


def _once(values: _Values) -> _Values:
    """The values; raises ValueError for the first one that is listed twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} is listed twice; remove one of the two")
    return values


def split(host: str) -> tuple[str, int]:
    """Name and port of a host in its one form, `name:port`."""
    name, _, port = host.rpartition(":")
    return name, int(port)


def _name(text: str) -> str:
    """A whole host name in lower-case ASCII (IDNA). Raises ValueError with what to write instead."""
    if text[-1:] == ".":
        raise ValueError(f"write {text.rstrip('.')!r}, without a dot at the end")
    name = text.lower()
    if not name.isascii():
        import idna

        try:
            name = idna.encode(text, uts46=True).decode("ascii").lower()
        except UnicodeError as error:
            raise ValueError(f"{text!r} is not a host name: {error}") from None
    if _is_address(name):
        raise ValueError(f"{text} is an address; write the host's name, and give its address in `net.hosts`")
    if "*" in name:
        raise ValueError("a wildcard stands for the whole beginning: `*.example.com`, or `*` for any host")
    bad = next((label for label in name.split(".") if _LABEL.fullmatch(label) is None), None)
    if bad is not None or len(name) > 253:
        raise ValueError(f"{text!r} is not a host name" + (f", because of {bad!r}" if bad else ""))
    return name


def _is_address(name: str) -> bool:
    """An IP address, also in the forms that programs read as one (`127.1`, `0x7f000001`)."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", name) is not None
    return True


def _host(text: str) -> str:
    if "/" in text or "@" in text:
        inner = re.sub(r"^[a-z0-9+.-]*:?//", "", text, flags=re.I).partition("/")[0].rpartition("@")[2]
        port = "" if ":" in inner else f":{80 if text[:5].lower() == 'http:' else HTTPS}"
        raise ValueError(f"expected a host, without scheme, path and user; write {inner or 'example.com'}{port}")
    name, colon, digits = text.rpartition(":")
    if text[:1] == "[":
        name = text[1:].partition("]")[0]
    elif not colon or ":" in name:
        name, digits = text, str(HTTPS)
    if re.fullmatch(r"[0-9]{1,5}", digits) is None or not 0 < int(digits) <= 65535:
        raise ValueError(f"{digits!r} is not a port; expected a number from 1 to 65535")
    if name == "*":
        return f"*:{int(digits)}"
    wildcard = name[:2] if name[:2] == "*." else ""
    return f"{wildcard}{_name(name.removeprefix(wildcard))}:{int(digits)}"


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; expected one such as 10.0.0.5") from None
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255" or "%" in text:
        raise ValueError(f"{text} is not the address of one machine")
    return str(address)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; expected a network such as 10.1.0.0/16") from None
    if not network.prefixlen:
        raise ValueError(f"{text} is every address there is; name the networks that are needed")
    return str(network)


def _like(pattern: str, expected: str) -> AfterValidator:
    return matching(pattern, f"{{!r}} is not allowed; expected {expected.replace('{}', '{{}}')}")


Host = Annotated[str, AfterValidator(_host), Field(examples=["api.example.com:443"])]
"""`host`, `host:port`, `*.host:port`, `*` or `*:port`; without a port 443."""

Method = Annotated[str, _like(r"[A-Z][A-Z-]{0,31}", "a method in capitals, such as GET")]
_PATH = r"/|(/(?!\.{1,2}(/|$))[!\"$&-.0->@-\[\]-~]+)+/?"
RequestPath = Annotated[str, _like(_PATH, "a path such as `/v1/*`, without query, escapes, spaces, `//`, `.` and `..`")]


class HttpRule(Part):
    """Requests that may go to a host; its TLS is opened for that, with an authority of the cage's own."""

    host: Host
    methods: Annotated[tuple[Method, ...], Field(min_length=1), Names]
    paths: Annotated[tuple[RequestPath, ...], Field(min_length=1), Names] = ("/", "/*")

    def __str__(self) -> str:
        return f"the rule for {self.host}"


class NetSpec(Part):
    """What the cage reaches; with `enforce` and nothing listed, nothing at all."""

    mode: Literal["enforce", "ask", "learn"] = "enforce"
    allow: Annotated[tuple[Host, ...], Names, AfterValidator(_once)] = ()
    http: Annotated[tuple[HttpRule, ...], Names, AfterValidator(_once)] = ()
    hosts: dict[Annotated[str, AfterValidator(_name)], Annotated[str, AfterValidator(_address)]] = {}
    private: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Names] = ()
    ask_timeout: Annotated[Seconds, Field(ge=1, le=86400)] = 120.0


_SOURCE = _like(r"local:[A-Za-z0-9_-]{1,64}", "`local:KEY`, where KEY is a name in [secrets] of local.toml")
_HEADER = _like(
    rf"(?i)(?!({_OWN_HEADERS})$)[!#$%&'*+.^_`|~0-9A-Z-]+", "a header that can carry a secret, such as X-Api-Key"
)
_FORMAT = _like(r"(?!.*\{\}.*\{\})[ -~]*\{\}[ -~]*", 'text with `{}` once, where the secret goes, such as "Bearer {}"')


class SecretSpec(Part):
    """A secret that the gate writes into requests to one host; the cage's `name` holds a placeholder."""

    name: EnvName
    source: Annotated[str, _SOURCE, Field(alias="from")]
    host: Annotated[str, AfterValidator(_host), matching("[^*].*", "a secret goes to one host; write its whole name")]
    header: Annotated[str, _HEADER] = "Authorization"
    format: Annotated[str, _FORMAT] = "{}"


_NO_NUL = matching(r"[^\0]*", "a value holds no NUL")
_NO_SECRET = matching(
    r"(?i)(?!(.*_)?(api_?key|key|token|secret|password|passwd|credentials?|cookie|nonce)(_|$)).*",
    "{} looks like a secret, and secrets do not enter a cage through `env.pass`",
)


def _clean(path: str) -> None:
    if "\0" in path or "\n" in path:
        raise ValueError("a path holds no line break and no NUL")
    if any(part in ("..", ".") for part in path.split("/")):
        raise ValueError("`.` and `..` are not allowed in a path; write the path it leads to")
    if "//" in path or "*" in path or "?" in path or "[" in path:
        raise ValueError("write one plain path, without `//` and without wildcards")


def _rule_path(path: str) -> str:
    relative = path.removeprefix(PROJECT)
    if relative != path:
        _clean(relative)
        if relative[:1] == "/":
            raise ValueError("write one plain path after `project:/`")
        return path
    if not PurePosixPath(path).is_absolute():
        raise ValueError("expected `project:/…` (below the project) or an absolute path")
    _clean(path)
    return path


def _pattern(pattern: str) -> str:
    path = pattern.removesuffix("/**")
    if not path or PurePosixPath(path).is_absolute():
        raise ValueError("expected a path below the project, such as `infra/**` or `Makefile`")
    _clean(path)
    return pattern


def _not_policy(remove: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in remove:
        if pattern == ALWAYS_PROTECTED:
            raise ValueError(f"{pattern} holds the policy itself and always stays protected")
        if pattern not in PROTECTED:
            known = ", ".join(p for p in PROTECTED if p != ALWAYS_PROTECTED)
            raise ValueError(f"{pattern} is not protected by default; what can be removed: {known}")
    return remove


def _secrets(secrets: tuple[SecretSpec, ...], info: ValidationInfo) -> tuple[SecretSpec, ...]:
    _once(tuple(secret.name for secret in secrets))
    _once(tuple(f"the header {secret.header.lower()} of {secret.host}" for secret in secrets))
    env = info.data.get("env") or EnvSpec()
    for secret in secrets:
        if secret.name in (*env.set, *env.pass_):
            raise ValueError(f"{secret.name} is in `env` too; remove it there: the cage sees a placeholder")
    return secrets


Below = Annotated[str, AfterValidator(_pattern)]
"""A path below the project, `infra/**` for a folder with all that is in it."""


def covers(pattern: str, path: PurePosixPath) -> bool:
    """Whether such a pattern means a path below the project."""
    base = pattern.removesuffix("/**")
    return path == PurePosixPath(base) or (base != pattern and path.is_relative_to(base))


class FsRule(Part):
    """One path and how the cage sees it. A path inside another one's rule wins over it."""

    path: Annotated[str, AfterValidator(_rule_path)]
    mode: Literal["rw", "ro", "hidden"]


class Protect(Part):
    """Changes to the list of paths that stay read-only inside a writable project."""

    add: Annotated[tuple[Below, ...], Names] = ()
    remove: Annotated[tuple[str, ...], Names, AfterValidator(_not_policy)] = ()


class Limits(Part):
    """How much one cage may use; sizes in bytes, times in seconds, None = no limit.

    `walltime` is for each command, `disk` for /home/agent and /tmp each, `nofile` for each process."""

    memory: Annotated[Bytes, Field(ge=64 * MIB)] | None = 2 * GIB
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    pids: Annotated[int, Field(ge=16, le=65536)] = 512
    walltime: Annotated[Seconds, Field(gt=0, le=7 * 86400)] = 1800.0
    disk: Annotated[Bytes, Field(ge=MIB, le=1024 * GIB)] = 2 * GIB
    nofile: Annotated[int, Field(ge=64, le=1024**2)] = 4096


class EnvSpec(Part):
    """The environment of commands: names taken over from the daemon's, and fixed values."""

    pass_: Annotated[tuple[Annotated[EnvName, _NO_SECRET], ...], Names, Field(alias="pass")] = ()
    set: dict[EnvName, Annotated[str, _NO_NUL]] = {}


class CageSpec(Part):
    """The policy of one agent's cage. `seccomp` None means the daemon's `[sandbox] default_seccomp`."""

    fs: Annotated[tuple[FsRule, ...], Names] = (FsRule(path=PROJECT, mode="rw"),)
    net: NetSpec = NetSpec()
    protect: Protect = Protect()
    seccomp: Literal["default", "relaxed"] | None = None
    limits: Limits = Limits()
    env: EnvSpec = EnvSpec()
    secrets: Annotated[tuple[SecretSpec, ...], Names, AfterValidator(_secrets)] = ()
    home: Literal["ephemeral", "session", "project"] = "ephemeral"

    def beyond(self) -> list[str]:
        """The keys that give the agent something of the host that is not the project's own."""
        outside = any(rule.mode == "ro" and rule.path == rule.path.removeprefix(PROJECT) for rule in self.fs)
        given = {
            "fs": outside, "net.private": self.net.private, "seccomp": self.seccomp == "relaxed",
            "env.pass": self.env.pass_, "secrets": self.secrets,
        }  # fmt: skip
        return [f"cage.{key}" for key, there in given.items() if there]

    toolchains: Annotated[tuple[Toolchain, ...], Names] = ()
