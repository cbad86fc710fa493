"""From a plan to bubblewrap's options: pure. They travel NUL-separated through `--args`, so no value can become an
option of its own; a NUL in one is refused. What bubblewrap reads from a descriptor is carried as named data."""

from pathlib import Path

from kaged.cage.network import CA, CA_BUNDLE, CA_TRUSTSTORE
from kaged.cage.plan import GID, GITCONFIG_INSIDE, HOME, INIT_INSIDE, KEPT, PLACEHOLDER_MODE, UID, CagePlan, Mount
from kaged.cage.seccomp import filter_for
from kaged.core.errors import KagedError

Arg = str | dict[str, str]

SHM_BYTES = 64 * 1024**2

FILES = ("passwd", "group", "nsswitch.conf", "resolv.conf", "hosts")  # of /etc, the cage's own
_INSIDE = Path(__file__).parent / "data" / "inside"
# Of `gitconfig` for the cage's one user: git would call another owner's repository dubious.
_TEXTS = {name: (_INSIDE / name).read_text("utf-8") for name in (*FILES, "gitconfig")}


def bwrap_options(plan: CagePlan) -> tuple[list[Arg], dict[str, bytes]]:
    """All of bubblewrap's options for `plan`, and the data they refer to by name, but for what the keeper adds."""
    args: list[Arg] = [
        *_isolation(plan),
        *_system(plan),
        *_own_filesystems(plan),
        *_trust(plan),
        *(arg for mount in plan.mounts for arg in _mount(plan, mount)),
        *("--remount-ro", "/"),
        # The init's own environment is fixed, so that nothing a project sets can steer it.
        *("--chdir", plan.workdir, "--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"),
        *("--setenv", "HOME", plan.home, "--setenv", "LANG", "C.UTF-8"),
        *("--seccomp", {"data": "seccomp"}),
    ]
    for arg in args:
        if isinstance(arg, str) and "\0" in arg:
            raise KagedError("dsl_invalid", f"cage: {arg!r} holds a NUL, which no path and no value may")
    known = {"uid": UID, "gid": GID, "home": HOME, "shell": plan.host.shell}
    data = {name: text.format(**known).encode() for name, text in _TEXTS.items()}
    data |= {name: text for name, text in KEPT.items() if {"data": name} in args}
    return args, {**data, "seccomp": filter_for(plan.seccomp, plan.host.machine)}


def _isolation(plan: CagePlan) -> list[Arg]:
    return [
        *(f"--unshare-{name}" for name in ("user", "pid", "ipc", "uts", "net", "cgroup-try")),
        *("--uid", str(UID), "--gid", str(GID)),
        *(["--disable-userns"] if "--disable-userns" in plan.host.options else []),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "cage"),
    ]


def _system(plan: CagePlan) -> list[Arg]:
    args: list[Arg] = ["--ro-bind", "/usr", "/usr"]
    for path, target in plan.host.base:
        args += ["--symlink", target, path] if target is not None else ["--ro-bind", path, path]
    for name in plan.host.etc:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    if plan.host.python_prefix is not None:
        args += ["--ro-bind", plan.host.python_prefix, plan.host.python_prefix]
    for name in FILES:
        args += _data(name, f"/etc/{name}")
    return args


def _own_filesystems(plan: CagePlan) -> list[Arg]:
    temporary = _tmpfs(plan, plan.own_bytes, "0700", plan.home)
    return [
        # bubblewrap leaves files such as /proc/sys/kernel/core_pattern writable for a daemon that is root.
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"),
        *_tmpfs(plan, SHM_BYTES, "1777", "/dev/shm"),
        *("--remount-ro", "/dev"),
        *_tmpfs(plan, plan.own_bytes, "1777", "/tmp"),
        *(temporary if plan.home_dir is None else ("--bind", plan.home_dir, plan.home)),
        *("--dir", "/run", "--symlink", "/run", "/var/run", "--dir", "/var/tmp"),
        *_init(plan),
        *_data("gitconfig", GITCONFIG_INSIDE),
    ]


def _init(plan: CagePlan) -> list[Arg]:
    """Compiled by the keeper where that is of use: the compilation is a third of the init's start."""
    inside = [INIT_INSIDE.replace("init", name) for name in ("init", "files")]
    if plan.host.bytecode:
        return [arg for path in inside for arg in _data(path.rpartition("/")[2][:-3], path + "c")]
    outside = [plan.host.init, plan.host.init.replace("init.py", "files.py")]
    return [arg for pair in zip(outside, inside, strict=True) for arg in ("--ro-bind", *pair)]


def _trust(plan: CagePlan) -> list[Arg]:
    """The cage's own authority, of which the keeper has the files, wherever programs look for one."""
    if plan.net is None or not plan.net.opens_tls:
        return []
    named = {CA: "ca", CA_TRUSTSTORE: "ca-truststore", CA_BUNDLE: "ca-bundle"}
    named |= dict.fromkeys(plan.host.ca_files, "ca-bundle")
    return [arg for path, name in named.items() for arg in _data(name, path)]


def _data(name: str, path: str) -> list[Arg]:
    return ["--perms", "0644", "--ro-bind-data", {"data": name}, path]


def _tmpfs(plan: CagePlan, size: int, mode: str, path: str) -> list[Arg]:
    sized: list[Arg] = ["--size", str(size)] if "--size" in plan.host.options else []
    return [*sized, "--perms", mode, "--tmpfs", path]


def _mount(plan: CagePlan, mount: Mount) -> list[Arg]:
    match mount.kind:
        case "rw" | "pin":
            return ["--bind", mount.path, mount.path]
        case "ro":
            return ["--ro-bind", mount.path, mount.path]
        case "keep-file":
            # Made with its content, since git outside reads it, too; then covered, since it is made writable.
            data: Arg = {"data": mount.path.rpartition("/")[2]}
            return [arg for way in ("--file", "--ro-bind-data") for arg in ("--perms", "0644", way, data, mount.path)]
        case "hide-file":
            return ["--ro-bind", "/dev/null", mount.path]
        case "hide-dir":
            made = ["--perms", f"{PLACEHOLDER_MODE:o}", "--dir", mount.path] if mount.placeholder else []
            return [*made, *_tmpfs(plan, 4096, "0555", mount.path), "--remount-ro", mount.path]
