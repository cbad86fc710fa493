"""From a cage policy and a project folder to a plan. Reads the file system, changes nothing."""

import os
import pwd
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kaged.cage.advice import refuse
from kaged.cage.host import HostFacts, host_facts
from kaged.cage.mounts import Mounts, cover_of
from kaged.cage.network import JAVA_TRUST, TRUST_ENV, NetPlan, net_plan, placeholder
from kaged.cage.plan import GITCONFIG_INSIDE, HOME, CagePlan, Mode, PlanLimits
from kaged.cage.seccomp import Profile
from kaged.cage.toolchains import Lent, lend
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import PROJECT, PROTECTED, CageSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FSIZE_BYTES = 4 * 1024**3
KERNEL_DIRS = tuple(map(Path, ("/proc", "/sys", "/dev", "/run", "/var/run")))
SYSTEM_DIRS = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")))
NO_PROJECTS = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc")))
OWN_DIRS = tuple(map(Path, ("/tmp", "/var/tmp", HOME)))


def compile_plan(
    spec: CageSpec, project_root: Path, *, name: str, default_seccomp: Profile = "default", never: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None, host: HostFacts | None = None, home_dir: Path | None = None,
    repository: Path | None = None,
) -> CagePlan:  # fmt: skip
    """Compile `spec` for the project at `project_root`. `never` lists folders that no cage may show (the daemon's own);
    `env.pass` takes its values from `environ` (default: this process's). Without `home_dir` a plan that keeps its home
    can be shown and not started. With `repository`, the `.git` of another folder, `project_root` is a worktree of it,
    and the cage can write it but for what git obeys. Raises `KagedError("dsl_invalid")` whose details name the key."""
    facts = host or host_facts()
    root = _root(project_root, never)
    rules = _rules(spec, root, never) | ({repository: "rw"} if repository is not None else {})
    protect = tuple(dict.fromkeys(p for p in (*PROTECTED, *spec.protect.add) if p not in spec.protect.remove))
    mounts = Mounts(root, rules)
    for index, (path, mode) in enumerate(rules.items()):
        mounts.add_rule(path, mode, _key(index))
    for pattern in (*protect, *(_of_repository(repository, root.name) if repository is not None else ())):
        mounts.add_protected(pattern)
    if facts.python_prefix is not None and Path(facts.python_prefix).is_relative_to(root):
        mounts.add_rule(Path(facts.python_prefix), "ro", "cage.fs")
    lent = _lent(spec, root, never)
    for path in lent.shown:
        mounts.add_rule(path, "ro", "cage.toolchains")
    net, most = net_plan(spec), spec.limits
    limits = PlanLimits(most.memory, most.pids, most.nofile, FSIZE_BYTES, most.walltime, most.cpu, most.disk)
    shown = any(path.is_relative_to(root) and mode != "hidden" for path, mode in rules.items())
    return CagePlan(
        name=name, root=str(root), rules=tuple((str(path), mode) for path, mode in rules.items()), protect=protect,
        mounts=mounts.ordered(), env=_env(spec, facts, os.environ if environ is None else environ, lent, net),
        seccomp=spec.seccomp or default_seccomp, limits=limits, workdir=str(root) if shown else HOME,
        host=facts, net=net, toolchains=spec.toolchains, lent=tuple(map(str, lent.shown)), keeps=spec.home,
        home_dir=_home_dir(spec, home_dir),
    )  # fmt: skip


def _of_repository(repository: Path, worktree: str) -> list[str]:
    """What git obeys of a repository, in its own folder and in the worktree's share of it."""
    own = (f"worktrees/{worktree}/{name}" for name in ("commondir", "gitdir", "config.worktree"))
    rest = (name.removeprefix(".git/") for name in PROTECTED if name[:5] == ".git/")
    return [str(repository / name) for name in (*rest, *own)]


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
        words = f"{root} cannot be a project, because of {refused[0]}"
        raise KagedError("dsl_invalid", f"{words}; choose a folder of its own")
    return root


def _rules(spec: CageSpec, root: Path, never: Sequence[Path]) -> dict[Path, Mode]:
    rules: dict[Path, Mode] = {}
    for index, rule in enumerate(spec.fs):
        relative = rule.path.removeprefix(PROJECT)
        path = root.joinpath(relative) if relative != rule.path else Path(rule.path)
        if path in rules:
            raise refuse(_key(index), f"{rule.path} is named twice")
        rules[path] = rule.mode
    for index, (path, mode) in enumerate(rules.items()):
        key = _key(index)
        if not path.is_relative_to(root):
            _check_extra(key, path, mode, root, never)
        cover = cover_of(path.parent, rules)
        if cover is None:
            if mode == "hidden" and not path.is_relative_to("/usr"):
                raise refuse(key, f"{path} needs no hiding: nothing shows it; remove the rule")
        elif rules[cover] == "hidden":
            raise refuse(key, f"{path} lies inside {cover}, which is hidden")
        elif rules[cover] == mode:
            raise refuse(key, f"{path} lies inside {cover}, which is {mode} already; remove one of the two")
    return rules


def _check_extra(key: str, path: Path, mode: Mode, root: Path, never: Iterable[Path]) -> None:
    """A path outside the project: read-only, real, and not of the system, the kernel or the daemon."""
    if mode == "rw":
        raise refuse(key, f"{path} is outside the project and can only be `ro`")
    if root.is_relative_to(path):
        raise refuse(key, f"{path} holds the project itself; name the folders inside it that are needed")
    for taken in (*KERNEL_DIRS, Path("/etc"), *never):
        if path.is_relative_to(taken) or taken.is_relative_to(path):
            raise refuse(key, f"{path} is not allowed in a cage, because of {taken}; copy what is needed")
    for taken in (*OWN_DIRS, *account_home()):
        if taken.is_relative_to(path):
            raise refuse(key, f"{path} is or holds {taken}; name the folders inside it that are needed")
    if mode == "ro" and any(path.is_relative_to(system) for system in SYSTEM_DIRS):
        raise refuse(key, f"{path} is there already, read-only; remove the rule")
    try:
        real = path.resolve(strict=True)
    except OSError as error:
        raise refuse(key, f"{path} cannot be opened: {error.strerror}") from error
    if real != path:
        raise refuse(key, f"{path} leads through a symbolic link; write {real}")


def _lent(spec: CageSpec, root: Path, never: Iterable[Path]) -> Lent:
    lent = lend(spec.toolchains, *account_home()) if spec.toolchains and account_home() else Lent()
    for path in lent.shown:
        _check_extra("cage.toolchains", path, "ro", root, never)
    return lent


def _home_dir(spec: CageSpec, home_dir: Path | None) -> str | None:
    """The folder of a home that is kept: the account's own, and nobody else's to look into."""
    if spec.home == "ephemeral" or home_dir is None:
        return None
    try:
        found = home_dir.lstat()
    except OSError as error:
        raise KagedError("unavailable", f"{home_dir} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.getuid():
        raise KagedError("unavailable", f"{home_dir} has to be a folder of kaged's account, mode 0700")
    return str(home_dir)


def account_home() -> tuple[Path, ...]:
    """The home folder of the account this process runs as; nothing for an account without a name."""
    try:
        return (Path(pwd.getpwuid(os.getuid()).pw_dir),)
    except KeyError:  # containers run as any number
        return ()


def _env(
    spec: CageSpec, host: HostFacts, environ: Mapping[str, str], lent: Lent, net: NetPlan | None
) -> tuple[tuple[str, str], ...]:
    python = () if host.python_prefix is None else (f"{host.python_prefix}/bin",)
    env = {
        "PATH": ":".join((f"{HOME}/.local/bin", *lent.path, PATH, *python)), "HOME": HOME, "USER": "agent",
        "LOGNAME": "agent", "SHELL": host.shell, "LANG": "C.UTF-8", "TERM": "xterm-256color", "TMPDIR": "/tmp",
        "GIT_CONFIG_SYSTEM": GITCONFIG_INSIDE, **dict(lent.env),
    }  # fmt: skip
    if net is not None and net.opens_tls:
        java = host.java or "sdkman" in spec.toolchains
        env |= {**TRUST_ENV, **({"JAVA_TOOL_OPTIONS": JAVA_TRUST} if java else {})}
    for index, secret in enumerate(spec.secrets):
        if secret.name in env:
            raise refuse(f"cage.secrets[{index}].name", f"{secret.name} is set by kaged; choose another")
    env.update({name: environ[name] for name in spec.env.pass_ if name in environ})
    env.update(spec.env.set)
    env.update({secret.name: placeholder(secret) for secret in spec.secrets})
    return tuple(sorted(env.items()))
