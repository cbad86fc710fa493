"""From a plan to bubblewrap's options: pure, no kernel needed.

The options travel NUL-separated through `--args`, so no value can become an option of its own; a NUL in
one is refused here. Everything bubblewrap reads from a descriptor is named and carried as data.
"""

from kaged.cage.plan import GID, HOME, INIT_INSIDE, UID, CagePlan, Mount
from kaged.cage.seccomp import filter_for
from kaged.cage.tree import PLACEHOLDER_MODE
from kaged.core.errors import KagedError

Arg = str | dict[str, str]

SHM_BYTES = 64 * 1024**2
TMP_BYTES = 256 * 1024**2
HOME_BYTES = 256 * 1024**2

PASSWD = f"""root:x:0:0:root:/nonexistent:/usr/sbin/nologin
agent:x:{UID}:{GID}:agent:{HOME}:{{shell}}
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = f"root:x:0:\nagent:x:{GID}:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
RESOLV = "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n"
HOSTS = "127.0.0.1 localhost cage\n::1 localhost\n"
GITCONFIG = """[user]
\tname = agent
\temail = agent@localhost
[safe]
\tdirectory = *
[init]
\tdefaultBranch = main
"""
"""Only one account exists inside, so git would call every other owner's repository dubious."""


def bwrap_options(plan: CagePlan) -> tuple[list[Arg], dict[str, bytes]]:
    """All of bubblewrap's options for `plan`, and the content of the data they refer to by name."""
    data: dict[str, bytes] = {}
    args: list[Arg] = [
        *_namespaces(plan),
        *_base(plan),
        *_files(plan, data),
        *_own_filesystems(plan, data),
        *(arg for mount in plan.mounts for arg in _mount(plan, mount)),
        *("--remount-ro", "/"),
        *_environment(plan),
    ]
    data["seccomp"] = filter_for(plan.seccomp, plan.host.machine)
    args += ["--seccomp", {"data": "seccomp"}]
    for arg in args:
        if isinstance(arg, str) and "\0" in arg:
            raise KagedError("dsl_invalid", f"cage: {arg!r} holds a NUL, which no path and no value may")
    return args, data


def _namespaces(plan: CagePlan) -> list[Arg]:
    names = ("user", "pid", "ipc", "uts", "net", "cgroup-try")
    args: list[Arg] = [f"--unshare-{name}" for name in names]
    args += ["--uid", str(UID), "--gid", str(GID)]
    if plan.host.has("--disable-userns"):
        args.append("--disable-userns")
    args += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "cage"]
    return args


def _base(plan: CagePlan) -> list[Arg]:
    args: list[Arg] = ["--ro-bind", "/usr", "/usr"]
    for path, target in plan.host.base:
        args += ["--symlink", target, path] if target is not None else ["--ro-bind", path, path]
    for name in plan.host.etc:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    if plan.host.python_prefix is not None:
        args += ["--ro-bind", plan.host.python_prefix, plan.host.python_prefix]
    return args


def _files(plan: CagePlan, data: dict[str, bytes]) -> list[Arg]:
    contents = {
        "passwd": PASSWD.format(shell=plan.host.shell),
        "group": GROUP,
        "nsswitch.conf": NSSWITCH,
        "resolv.conf": RESOLV,
        "hosts": HOSTS,
    }
    args: list[Arg] = []
    for name, text in contents.items():
        data[name] = text.encode()
        args += ["--perms", "0644", "--ro-bind-data", {"data": name}, f"/etc/{name}"]
    return args


def _own_filesystems(plan: CagePlan, data: dict[str, bytes]) -> list[Arg]:
    data["gitconfig"] = GITCONFIG.encode()
    return [
        # bubblewrap leaves files such as /proc/sys/kernel/core_pattern writable for a daemon that is root.
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"),
        *_tmpfs(plan, SHM_BYTES, "1777", "/dev/shm"),
        *("--remount-ro", "/dev"),
        *_tmpfs(plan, TMP_BYTES, "1777", "/tmp"),
        *_tmpfs(plan, HOME_BYTES, "0700", plan.home),
        *("--perms", "0644", "--file", {"data": "gitconfig"}, f"{plan.home}/.gitconfig"),
        *("--dir", "/run", "--symlink", "/run", "/var/run", "--dir", "/var/tmp"),
        *("--ro-bind", plan.host.init, INIT_INSIDE),
    ]


def _tmpfs(plan: CagePlan, size: int, mode: str, path: str) -> list[Arg]:
    sized: list[Arg] = ["--size", str(size)] if plan.host.has("--size") else []
    return [*sized, "--perms", mode, "--tmpfs", path]


def _mount(plan: CagePlan, mount: Mount) -> list[Arg]:
    match mount.kind:
        case "rw" | "pin":
            return ["--bind", mount.path, mount.path]
        case "ro":
            return ["--ro-bind", mount.path, mount.path]
        case "hide-file":
            return ["--ro-bind", "/dev/null", mount.path]
        case "hide-dir":
            made = ["--perms", f"{PLACEHOLDER_MODE:o}", "--dir", mount.path] if mount.placeholder else []
            return [*made, *_tmpfs(plan, 4096, "0555", mount.path), "--remount-ro", mount.path]


def _environment(plan: CagePlan) -> list[Arg]:
    """The init's own environment: fixed, so that nothing a project sets can steer it."""
    own = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": plan.home, "LANG": "C.UTF-8"}
    args: list[Arg] = ["--chdir", plan.workdir, "--clearenv"]
    for name, value in own.items():
        args += ["--setenv", name, value]
    return args
