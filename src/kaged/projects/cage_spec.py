"""The `cage:` block of an agent: what a project file may ask for, checked as far as text alone can be.

Whether a path exists, is a symbolic link or overlaps another is decided when the plan is compiled.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

GIB = 1024**3
PROJECT = "project:/"

LATER: frozenset[str] = frozenset({"secrets", "net.http", "limits.cpu", "limits.disk"})
"""Keys below `cage` that this version refuses by name (the message should say so) and not as unknown."""

PROTECTED: tuple[str, ...] = (
    ".kaged/**",
    ".git/hooks/**",
    ".git/config",
    ".git/info/attributes",
    ".gitmodules",
    ".envrc",
    ".vscode/**",
    ".idea/**",
)
"""Read-only inside every writable project: what the operator's own tools would run or obey later."""

ALWAYS_PROTECTED = ".kaged/**"

_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": GIB, "TiB": 1024 * GIB}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?i)(^|_)(api_?key|key|token|secret|password|passwd|credentials?|cookie|nonce)(_|$)"
)


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


def _env_name(name: str) -> str:
    if _ENV_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of an environment variable")
    if name[:6].upper() == "KAGED_":
        raise ValueError(f"{name} belongs to kaged itself and does not enter a cage")
    return name


def _passed_name(name: str) -> str:
    _env_name(name)
    if _SECRET_NAME.search(name):
        raise ValueError(f"{name} looks like a secret, and secrets do not enter a cage through `env.pass`")
    return name


def _env_value(value: str) -> str:
    if "\0" in value:
        raise ValueError("a value holds no NUL")
    return value


def _no_network(allow: tuple[str, ...]) -> tuple[str, ...]:
    if allow:
        raise ValueError("network access is not supported by this version of kaged; leave `allow` empty")
    return allow


def _not_policy(remove: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in remove:
        if pattern == ALWAYS_PROTECTED:
            raise ValueError(f"{pattern} holds the policy itself and always stays protected")
        if pattern not in PROTECTED:
            known = ", ".join(p for p in PROTECTED if p != ALWAYS_PROTECTED)
            raise ValueError(f"{pattern} is not protected by default; what can be removed: {known}")
    return remove


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True
    )


Names = BeforeValidator(_listed)


class FsRule(_Part):
    """One path and how the cage sees it. A path inside another one's rule wins over it."""

    path: Annotated[str, AfterValidator(_rule_path)]
    mode: Literal["rw", "ro", "hidden"]


class NetSpec(_Part):
    """What the cage reaches: nothing, in this version."""

    mode: Literal["enforce"] = "enforce"
    allow: Annotated[tuple[str, ...], Names, AfterValidator(_no_network)] = ()


class Protect(_Part):
    """Changes to the list of paths that stay read-only inside a writable project."""

    add: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Names] = ()
    remove: Annotated[tuple[str, ...], Names, AfterValidator(_not_policy)] = ()


class Limits(_Part):
    """How much one cage may use; `memory` in bytes (None = no limit), `walltime` in seconds a command."""

    memory: Annotated[
        Annotated[int, Field(ge=64 * 1024**2)] | None,
        BeforeValidator(_amount(_UNITS, int, "2GiB")),
        WithJsonSchema({"anyOf": [{"type": ["integer", "null"]}, {"type": "string", "examples": ["2GiB"]}]}),
    ] = 2 * GIB
    pids: Annotated[int, Field(ge=16, le=65536)] = 512
    walltime: Annotated[
        float,
        BeforeValidator(_amount(_SECONDS, float, "30m")),
        Field(gt=0, le=7 * 86400),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "examples": ["30m"]}]}),
    ] = 1800.0


class EnvSpec(_Part):
    """The environment of commands: names taken over from the daemon's, and fixed values."""

    pass_: Annotated[
        tuple[Annotated[str, AfterValidator(_passed_name)], ...], Names, Field(alias="pass")
    ] = ()
    set: dict[Annotated[str, AfterValidator(_env_name)], Annotated[str, AfterValidator(_env_value)]] = {}


class CageSpec(_Part):
    """The policy of one agent's cage. `seccomp` None means the daemon's `[sandbox] default_seccomp`."""

    fs: Annotated[tuple[FsRule, ...], Names] = (FsRule(path=PROJECT, mode="rw"),)
    net: NetSpec = NetSpec()
    protect: Protect = Protect()
    seccomp: Literal["default", "relaxed"] | None = None
    limits: Limits = Limits()
    env: EnvSpec = EnvSpec()
    home: Literal["ephemeral"] = "ephemeral"
