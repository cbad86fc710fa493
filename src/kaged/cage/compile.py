"""From a cage policy and a project folder to a plan. Reads the file system, changes nothing."""

import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kaged.cage.host import HostFacts, host_facts
from kaged.cage.plan import HOME, CagePlan, Mode, Mount, MountKind, PlanLimits
from kaged.cage.seccomp import Profile
from kaged.cage.tree import Found, look
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import PROJECT, PROTECTED, CageSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOFILE = 4096
FSIZE_BYTES = 4 * 1024**3
KERNEL_DIRS = tuple(map(Path, ("/proc", "/sys", "/dev", "/run", "/var/run")))
SYSTEM_DIRS = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")))
OWN_DIRS = tuple(map(Path, ("/tmp", "/var/tmp", HOME)))


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
    protect = tuple(p for p in (*PROTECTED, *spec.protect.add) if p not in spec.protect.remove)
    mounts = _Mounts(root, dict(rules))
    for index, (path, mode) in enumerate(rules):
        mounts.add_rule(path, mode, f"cage.fs[{index}].path")
    for pattern in dict.fromkeys(protect):
        mounts.add_protected(pattern)
    if facts.python_prefix is not None and _within(Path(facts.python_prefix), root):
        mounts.add_read_only(Path(facts.python_prefix))
    return CagePlan(
        name=name,
        root=str(root),
        rules=tuple((str(path), mode) for path, mode in rules),
        protect=tuple(dict.fromkeys(protect)),
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
        workdir=_workdir(root, rules),
        host=facts,
    )


def _refuse(key: str, problem: str) -> KagedError:
    return KagedError("dsl_invalid", f"{key}: {problem}", {"key": key})


def _within(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _touches(path: Path, folder: Path) -> bool:
    return _within(path, folder) or _within(folder, path)


def _root(project_root: Path, never: Iterable[Path]) -> Path:
    try:
        root = project_root.resolve(strict=True)
    except OSError as error:
        raise KagedError("not_found", f"{project_root} cannot be opened: {error.strerror}") from error
    if not root.is_dir():
        raise KagedError("dsl_invalid", f"{root} is not a folder; a project is one")
    for taken in (*KERNEL_DIRS, *SYSTEM_DIRS, *OWN_DIRS, *never):
        if _within(taken, root):
            raise KagedError(
                "dsl_invalid",
                f"{root} cannot be a project: it is or holds {taken}; choose a folder of its own",
            )
    for system in (*KERNEL_DIRS[:3], Path("/etc")):
        if _within(root, system):
            raise KagedError("dsl_invalid", f"{root} cannot be a project: it lies in {system}")
    return root


def _rules(spec: CageSpec, root: Path, never: Sequence[Path]) -> list[tuple[Path, Mode]]:
    """The rules with absolute paths, checked against each other."""
    rules: list[tuple[Path, Mode]] = []
    for index, rule in enumerate(spec.fs):
        key = f"cage.fs[{index}].path"
        relative = rule.path.removeprefix(PROJECT)
        path = root.joinpath(relative) if relative != rule.path else Path(rule.path)
        if any(path == other for other, _ in rules):
            raise _refuse(key, f"{rule.path} is named twice")
        rules.append((path, rule.mode))
    table = dict(rules)
    for index, (path, mode) in enumerate(rules):
        key = f"cage.fs[{index}].path"
        if not _within(path, root):
            _check_extra(key, path, mode, root, never)
        cover = _cover(path, table, strictly=True)
        if cover is not None and table[cover] == "hidden":
            raise _refuse(key, f"{path} lies inside {cover}, which is hidden")
        if cover is not None and table[cover] == mode:
            raise _refuse(key, f"{path} lies inside {cover}, which is {mode} already; remove one of the two")
        if mode == "hidden" and cover is None and not _within(path, Path("/usr")):
            raise _refuse(key, f"{path} needs no hiding: nothing shows it; remove the rule")
    return rules


def _check_extra(key: str, path: Path, mode: Mode, root: Path, never: Iterable[Path]) -> None:
    """A path outside the project: read-only, real, and not of the system, the kernel or the daemon."""
    if mode == "rw":
        raise _refuse(key, f"{path} is outside the project and can only be `ro`")
    if _within(root, path):
        raise _refuse(key, f"{path} holds the project itself; name the folders inside it that are needed")
    for taken in (*KERNEL_DIRS, Path("/etc"), *never):
        if _touches(path, taken):
            raise _refuse(key, f"{path} is not allowed in a cage, because of {taken}; copy what is needed")
    for taken in (*OWN_DIRS, *account_home()):
        if _within(taken, path):
            raise _refuse(key, f"{path} is or holds {taken}; name the folders inside it that are needed")
    if mode == "ro" and any(_within(path, system) for system in SYSTEM_DIRS):
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


def _cover(path: Path, rules: Mapping[Path, Mode], *, strictly: bool) -> Path | None:
    """The rule that decides about `path`: the nearest one above it (or at it)."""
    return next((p for p in ([] if strictly else [path]) + list(path.parents) if p in rules), None)


class _Mounts:
    """Collects the mounts of one plan; a later, stricter kind wins over an earlier one at the same path."""

    def __init__(self, root: Path, rules: Mapping[Path, Mode]) -> None:
        self._root = root
        self._rules = rules
        self._mounts: dict[Path, Mount] = {}

    def add_rule(self, path: Path, mode: Mode, key: str) -> None:
        base = self._root if _within(path, self._root) else Path("/")
        found = look(base, path.relative_to(base).parts)
        self._refuse_unmountable(found, path, key, "it")
        if found.kind == "missing" or not found.whole:
            cover = _cover(path, self._rules, strictly=True)
            if mode == "rw" or not found.whole or cover is None or self._rules[cover] != "rw":
                raise _refuse(key, f"{path} does not exist; create it, or remove the rule")
            self._cover_with(path, "hide-dir", placeholder=True)
        elif mode == "hidden":
            self._cover_with(path, "hide-dir" if found.kind == "dir" else "hide-file")
        else:
            self._cover_with(path, mode)
        self._pin(found)

    def add_protected(self, pattern: str) -> None:
        relative = pattern.removesuffix("/**")
        path = self._root / relative
        key = "cage.protect"
        if any(mode == "rw" and _within(rule, path) for rule, mode in self._rules.items()):
            raise _refuse(
                key, f"a rule makes {path} writable, but {pattern} is protected; add it to protect.remove"
            )
        cover = _cover(path, self._rules, strictly=False)
        if cover is None or self._rules[cover] != "rw":
            return
        found = look(self._root, relative.split("/"))
        self._refuse_unmountable(found, path, key, f"it (pattern {pattern})")
        missing = found.kind == "missing"
        self._cover_with(found.at, "hide-dir" if missing else "ro", placeholder=missing)
        self._pin(found)

    def add_read_only(self, path: Path) -> None:
        """Keep a folder below the project read-only although no rule names it."""
        found = look(self._root, path.relative_to(self._root).parts)
        self._cover_with(path, "ro")
        self._pin(found)

    def _refuse_unmountable(self, found: Found, path: Path, key: str, what: str) -> None:
        if found.kind == "link":
            raise _refuse(
                key,
                f"{found.at} is a symbolic link, so kaged cannot hold {what}; put a real one there",
            )
        if found.kind == "other":
            raise _refuse(key, f"{found.at} is a socket, pipe or device, which no cage shows")

    def _cover_with(self, path: Path, kind: MountKind, *, placeholder: bool = False) -> None:
        before = self._mounts.get(path)
        if before is None or before.kind == "pin":
            self._mounts[path] = Mount(kind, str(path), placeholder)

    def _pin(self, found: Found) -> None:
        """Make each writable folder above a mount one itself, or it could be renamed with what is in it."""
        for parent in found.parents:
            cover = _cover(parent, self._rules, strictly=False)
            if cover is not None and self._rules[cover] == "rw" and parent not in self._mounts:
                self._mounts[parent] = Mount("pin", str(parent))

    def ordered(self) -> tuple[Mount, ...]:
        """Folders before what is in them."""
        ranked = sorted(self._mounts.items(), key=lambda item: (len(item[0].parts), item[0].parts))
        return tuple(mount for _, mount in ranked)


def _env(spec: CageSpec, host: HostFacts, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    path = PATH if host.python_prefix is None else f"{PATH}:{host.python_prefix}/bin"
    env = {
        "PATH": path,
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


def _workdir(root: Path, rules: Sequence[tuple[Path, Mode]]) -> str:
    """The project's root when anything of it is inside, else the home."""
    shown = any(_within(path, root) and mode != "hidden" for path, mode in rules)
    return str(root) if shown else HOME
