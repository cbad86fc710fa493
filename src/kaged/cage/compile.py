"""From a cage policy and a project folder to a plan. Reads the file system, changes nothing."""

import os
import pwd
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaged.cage.host import HostFacts, host_facts
from kaged.cage.plan import HOME, PLACEHOLDER_MODE, CagePlan, Mode, Mount, MountKind, PlanLimits
from kaged.cage.seccomp import Profile
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import PROJECT, PROTECTED, CageSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOFILE = 4096
FSIZE_BYTES = 4 * 1024**3
KERNEL_DIRS = tuple(map(Path, ("/proc", "/sys", "/dev", "/run", "/var/run")))
SYSTEM_DIRS = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")))
NO_PROJECTS = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc")))
OWN_DIRS = tuple(map(Path, ("/tmp", "/var/tmp", HOME)))

Kind = Literal["dir", "file", "missing", "link", "other"]


def compile_plan(
    spec: CageSpec,
    project_root: Path,
    *,
    name: str,
    default_seccomp: Profile = "default",
    never: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    host: HostFacts | None = None,
) -> CagePlan:
    """Compile `spec` for the project at `project_root`; `name` is for display only.

    `never` lists folders that no cage may show (the daemon's configuration, home, runtime, audit log);
    `environ` is where `env.pass` takes its values from (default: this process's environment).
    Raises `KagedError("dsl_invalid")` whose details name the key, when the policy cannot be carried out.
    """
    facts = host_facts() if host is None else host
    root = _root(project_root, never)
    rules = _rules(spec, root, never)
    protect = tuple(dict.fromkeys(p for p in (*PROTECTED, *spec.protect.add) if p not in spec.protect.remove))
    mounts = _Mounts(root, rules)
    for index, (path, mode) in enumerate(rules.items()):
        mounts.add_rule(path, mode, _key(index))
    for pattern in protect:
        mounts.add_protected(pattern)
    if facts.python_prefix is not None and Path(facts.python_prefix).is_relative_to(root):
        mounts.add_rule(Path(facts.python_prefix), "ro", "cage.fs")
    shown = any(path.is_relative_to(root) and mode != "hidden" for path, mode in rules.items())
    return CagePlan(
        name=name,
        root=str(root),
        rules=tuple((str(path), mode) for path, mode in rules.items()),
        protect=protect,
        mounts=mounts.ordered(),
        env=_env(spec, facts, os.environ if environ is None else environ),
        seccomp=spec.seccomp or default_seccomp,
        limits=PlanLimits(
            memory_bytes=spec.limits.memory,
            pids=spec.limits.pids,
            nofile=NOFILE,
            fsize_bytes=FSIZE_BYTES,
            walltime_s=spec.limits.walltime,
        ),
        workdir=str(root) if shown else HOME,
        host=facts,
    )


def _refuse(key: str, problem: str) -> KagedError:
    return KagedError("dsl_invalid", f"{key}: {problem}", {"key": key})


def _key(index: int) -> str:
    return f"cage.fs[{index}].path"


def _root(project_root: Path, never: Iterable[Path]) -> Path:
    try:
        root = project_root.resolve(strict=True)
    except OSError as error:
        raise KagedError("not_found", f"{project_root} cannot be opened: {error.strerror}") from error
    if not root.is_dir():
        raise KagedError("dsl_invalid", f"{root} is not a folder; a project is one")
    refused = [p for p in (*KERNEL_DIRS, *SYSTEM_DIRS, *OWN_DIRS, *never) if p.is_relative_to(root)]
    refused += [p for p in NO_PROJECTS if root.is_relative_to(p)]
    if refused:
        raise KagedError(
            "dsl_invalid", f"{root} cannot be a project, because of {refused[0]}; choose a folder of its own"
        )
    return root


def _rules(spec: CageSpec, root: Path, never: Sequence[Path]) -> dict[Path, Mode]:
    """The rules in their order, by absolute path, checked against each other."""
    rules: dict[Path, Mode] = {}
    for index, rule in enumerate(spec.fs):
        relative = rule.path.removeprefix(PROJECT)
        path = root.joinpath(relative) if relative != rule.path else Path(rule.path)
        if path in rules:
            raise _refuse(_key(index), f"{rule.path} is named twice")
        rules[path] = rule.mode
    for index, (path, mode) in enumerate(rules.items()):
        key = _key(index)
        if not path.is_relative_to(root):
            _check_extra(key, path, mode, root, never)
        cover = _cover(path.parent, rules)
        if cover is None:
            if mode == "hidden" and not path.is_relative_to("/usr"):
                raise _refuse(key, f"{path} needs no hiding: nothing shows it; remove the rule")
        elif rules[cover] == "hidden":
            raise _refuse(key, f"{path} lies inside {cover}, which is hidden")
        elif rules[cover] == mode:
            raise _refuse(key, f"{path} lies inside {cover}, which is {mode} already; remove one of the two")
    return rules


def _check_extra(key: str, path: Path, mode: Mode, root: Path, never: Iterable[Path]) -> None:
    """A path outside the project: read-only, real, and not of the system, the kernel or the daemon."""
    if mode == "rw":
        raise _refuse(key, f"{path} is outside the project and can only be `ro`")
    if root.is_relative_to(path):
        raise _refuse(key, f"{path} holds the project itself; name the folders inside it that are needed")
    for taken in (*KERNEL_DIRS, Path("/etc"), *never):
        if path.is_relative_to(taken) or taken.is_relative_to(path):
            raise _refuse(key, f"{path} is not allowed in a cage, because of {taken}; copy what is needed")
    for taken in (*OWN_DIRS, *account_home()):
        if taken.is_relative_to(path):
            raise _refuse(key, f"{path} is or holds {taken}; name the folders inside it that are needed")
    if mode == "ro" and any(path.is_relative_to(system) for system in SYSTEM_DIRS):
        raise _refuse(key, f"{path} is there already, read-only; remove the rule")
    try:
        real = path.resolve(strict=True)
    except OSError as error:
        raise _refuse(key, f"{path} cannot be opened: {error.strerror}") from error
    if real != path:
        raise _refuse(key, f"{path} leads through a symbolic link; write {real}")


def account_home() -> tuple[Path, ...]:
    """The home folder of the account this process runs as; nothing for an account without a name."""
    try:
        return (Path(pwd.getpwuid(os.getuid()).pw_dir),)
    except KeyError:  # containers run as any number
        return ()


def _cover(path: Path, rules: Mapping[Path, Mode]) -> Path | None:
    """The rule that decides about `path`: the nearest one at it or above it."""
    return next((p for p in (path, *path.parents) if p in rules), None)


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands at a path: `at` is the path itself, or the first part on the way that ends the walk.

    `parents` are the real folders between the root and `at`, both excluded. A placeholder (of a live cage,
    or left over by a crash) counts as `missing`.
    """

    kind: Kind
    at: Path
    parents: tuple[Path, ...]


def _walk(root: Path, path: Path) -> _Found:
    """Walk from `root` down to `path`, one name at a time, without ever following a symbolic link."""
    kind: Kind = "dir"
    here = root
    above: list[Path] = []
    for name in path.relative_to(root).parts:
        above.append(here)
        here = here / name
        kind = _kind(here)
        if kind != "dir":
            break
    return _Found(kind, here, tuple(above[1:]))


def _kind(path: Path) -> Kind:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise KagedError("unavailable", f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        return "link"
    if not stat.S_ISDIR(mode):
        return "file" if stat.S_ISREG(mode) else "other"
    placeholder = stat.S_IMODE(mode) == PLACEHOLDER_MODE and next(path.iterdir(), None) is None
    return "missing" if placeholder else "dir"


class _Mounts:
    """Collects the mounts of one plan: the first one at a path counts, but any wins over a pin."""

    def __init__(self, root: Path, rules: Mapping[Path, Mode]) -> None:
        self._root = root
        self._rules = rules
        self._mounts: dict[Path, Mount] = {}

    def add_rule(self, path: Path, mode: Mode, key: str) -> None:
        found = self._look(path, key)
        if found.kind == "missing" or found.at != path:
            if mode == "rw" or found.at != path or not self._writable(path.parent):
                raise _refuse(key, f"{path} does not exist; create it, or remove the rule")
            self._mount(path, "hide-dir", placeholder=True)
        elif mode == "hidden":
            self._mount(path, "hide-dir" if found.kind == "dir" else "hide-file")
        else:
            self._mount(path, mode)

    def add_protected(self, pattern: str) -> None:
        path = self._root / pattern.removesuffix("/**")
        key = "cage.protect"
        if any(mode == "rw" and rule.is_relative_to(path) for rule, mode in self._rules.items()):
            raise _refuse(
                key, f"a rule makes {path} writable, but {pattern} is protected; add it to protect.remove"
            )
        if self._writable(path):
            found = self._look(path, key)
            missing = found.kind == "missing"
            self._mount(found.at, "hide-dir" if missing else "ro", placeholder=missing)

    def _writable(self, path: Path) -> bool:
        cover = _cover(path, self._rules)
        return cover is not None and self._rules[cover] == "rw"

    def _look(self, path: Path, key: str) -> _Found:
        """What stands at `path`; each writable folder above becomes a mount, or it could be renamed."""
        found = _walk(self._root if path.is_relative_to(self._root) else Path("/"), path)
        if found.kind == "link":
            raise _refuse(
                key, f"{found.at} is a symbolic link, so kaged cannot hold {path}; put a real one there"
            )
        if found.kind == "other":
            raise _refuse(key, f"{found.at} is a socket, pipe or device, which no cage shows")
        for parent in filter(self._writable, found.parents):
            self._mounts.setdefault(parent, Mount("pin", str(parent)))
        return found

    def _mount(self, path: Path, kind: MountKind, *, placeholder: bool = False) -> None:
        if path not in self._mounts or self._mounts[path].kind == "pin":
            self._mounts[path] = Mount(kind, str(path), placeholder)

    def ordered(self) -> tuple[Mount, ...]:
        """Folders before what is in them."""
        return tuple(mount for _, mount in sorted(self._mounts.items(), key=lambda item: item[0].parts))


def _env(spec: CageSpec, host: HostFacts, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    env = {
        "PATH": PATH if host.python_prefix is None else f"{PATH}:{host.python_prefix}/bin",
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": host.shell,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "TMPDIR": "/tmp",
    }
    env.update({name: environ[name] for name in spec.env.pass_ if name in environ})
    env.update(spec.env.set)
    return tuple(sorted(env.items()))
