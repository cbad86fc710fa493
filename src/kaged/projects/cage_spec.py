"""The `cage:` block of an agent: what a project file may ask for, checked as far as text alone can be. Whether a path
exists, is a symbolic link or overlaps another is decided when the plan is compiled."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from kaged.projects.net_spec import NetSpec, SecretSpec
from kaged.projects.parts import GIB, Bytes, Names, Part, Seconds, env_name, once
from kaged.settings.problems import matching

PROJECT = "project:/"
MIB = 1024**2
Toolchain = Literal["local", "uv", "pyenv", "nvm", "fnm", "volta", "rustup", "go", "sdkman"]
"""Toolchains of the account's home that a cage can borrow: `kaged.cage.toolchains`."""

PROTECTED: tuple[str, ...] = (
    ".kaged/**", ".git/hooks/**", ".git/config", ".git/config.worktree", ".git/commondir", ".git/info/attributes",
    ".gitmodules", ".envrc", ".vscode/**", ".idea/**",
)  # fmt: skip
"""Read-only inside every writable project: what the operator's own tools would run or obey later."""

ALWAYS_PROTECTED = ".kaged/**"

_NO_NUL = matching(r"[^\0]*", "a value holds no NUL")
_NO_SECRET = matching(
    r"(?i)(?!(.*_)?(api_?key|key|token|secret|password|passwd|credentials?|cookie|nonce)(_|$)).*",
    "{} looks like a secret, and secrets do not enter a cage through `env.pass`",
)
_Passed = Annotated[str, AfterValidator(env_name), _NO_SECRET]


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
    once(tuple(secret.name for secret in secrets))
    once(tuple(f"the header {secret.header.lower()} of {secret.host}" for secret in secrets))
    env = info.data.get("env") or EnvSpec()
    for secret in secrets:
        if secret.name in (*env.set, *env.pass_):
            raise ValueError(f"{secret.name} is in `env` too; remove it there: the cage sees a placeholder")
    return secrets


class FsRule(Part):
    """One path and how the cage sees it. A path inside another one's rule wins over it."""

    path: Annotated[str, AfterValidator(_rule_path)]
    mode: Literal["rw", "ro", "hidden"]


class Protect(Part):
    """Changes to the list of paths that stay read-only inside a writable project."""

    add: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Names] = ()
    remove: Annotated[tuple[str, ...], Names, AfterValidator(_not_policy)] = ()


class Limits(Part):
    """How much one cage may use; sizes in bytes, times in seconds, None = no limit.

    `walltime` is for each command, `disk` for /home/agent and /tmp each, `nofile` for each process.
    """

    memory: Annotated[Bytes, Field(ge=64 * MIB)] | None = 2 * GIB
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    pids: Annotated[int, Field(ge=16, le=65536)] = 512
    walltime: Annotated[Seconds, Field(gt=0, le=7 * 86400)] = 1800.0
    disk: Annotated[Bytes, Field(ge=MIB, le=1024 * GIB)] = 2 * GIB
    nofile: Annotated[int, Field(ge=64, le=1024**2)] = 4096


class EnvSpec(Part):
    """The environment of commands: names taken over from the daemon's, and fixed values."""

    pass_: Annotated[tuple[_Passed, ...], Names, Field(alias="pass")] = ()
    set: dict[Annotated[str, AfterValidator(env_name)], Annotated[str, _NO_NUL]] = {}


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
    toolchains: Annotated[tuple[Toolchain, ...], Names] = ()
