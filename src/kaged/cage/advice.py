"""Why a cage could not be made, in words, and the one thing to do about it."""

import re
from pathlib import Path

from kaged.core.errors import KagedError

APPARMOR_FILE = "/etc/apparmor.d/bwrap-kaged"
DOCKER_OPTIONS = " ".join(f"--security-opt {option}=unconfined" for option in ("seccomp", "apparmor", "systempaths"))
PODMAN_OPTIONS = "--security-opt seccomp=unconfined --security-opt unmask=ALL"

_APPARMOR_FIX = (
    f"write the profile of docs/operators/cage.md to {APPARMOR_FILE} and run `sudo apparmor_parser -r {APPARMOR_FILE}`"
)
_CONTAINER_FIX = (
    f"start the container with `docker run {DOCKER_OPTIONS}` (podman: `{PODMAN_OPTIONS}`); `--privileged` is not needed"
)
_SWITCHES = {
    "no userns": ("proc/sys/user/max_user_namespaces", "0"),
    "root only": ("proc/sys/kernel/unprivileged_userns_clone", "0"),
    "apparmor": ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
}


def refuse(key: str, problem: str) -> KagedError:
    """The error for a policy that cannot be carried out, with the key it is about."""
    return KagedError("dsl_invalid", f"{key}: {problem}", {"key": key})


def surroundings(root: Path = Path("/")) -> frozenset[str]:
    """What of the machine changes the advice: `no userns`, `root only`, `apparmor`, `container`."""

    def reads(path: str, value: str) -> bool:
        try:
            return (root / path).read_text().strip() == value
        except OSError:
            return False

    found = {name for name, switch in _SWITCHES.items() if reads(*switch)}
    if any((root / name).exists() for name in (".dockerenv", "run/.containerenv")):
        found.add("container")
    return frozenset(found)


def explain_bwrap_failure(stderr: str, around: frozenset[str] | None = None) -> tuple[str, str]:
    """From bubblewrap's own words to (problem, fix): one sentence each."""
    found = {"", *(surroundings() if around is None else around)}
    for said, where, problem, fix in _ADVICE:
        if where in found and re.search(said, stderr, re.I):
            return problem, fix
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    return (f"bubblewrap could not make the cage: {last}", "run `kaged doctor` and read docs/operators/cage.md")


_USERNS = (
    r"uid map|gid map|No permissions to creat\w* (?:a )?new namespace|user namespace|CLONE_NEWUSER|"
    r"Creating new namespace failed|Failed to make / slave|pivot_root|setting up tmpfs"
)
_NO_ROOM = r"Creating new namespace failed: (?:Resource temporarily|Cannot allocate|No space)"
_NO_BWRAP = r"bwrap.*not installed|no such file or directory: '?/?\S*bwrap|bwrap: (?:command )?not found"
_NETWORK = r"loopback: Failed|RTM_NEWADDR|RTM_NEWLINK"
_PROC = r"mount proc on|Can't mount proc"
_VANISHED = r"Can't find source path|Can't (?:mkdir|create file)|No such file or directory"

_ADVICE = (  # what bubblewrap said, where (empty: anywhere), the problem and the fix; the first row that fits counts
    (_NO_BWRAP, "", "bubblewrap (bwrap) is not installed", "install it: `sudo apt-get install bubblewrap`"),
    (r"unknown option|is too old", "", "this bubblewrap is too old for kaged",
     "install bubblewrap 0.5 or later (0.8 is better)"),
    (r"setuid|unexpected capabilities but not setuid", "",
     "this bubblewrap is installed set-user-id root, which kaged does not use",
     "run `sudo chmod u-s /usr/bin/bwrap` and allow user namespaces"),
    (_NETWORK, "container", "this container takes the rights away that a cage's own network needs", _CONTAINER_FIX),
    (_NETWORK, "apparmor", "AppArmor takes the rights away that a cage's own network needs", _APPARMOR_FIX),
    (_NETWORK, "", "the cage's own network could not be set up",
     "allow user namespaces their network (AppArmor, SELinux or the unit's RestrictNamespaces)"),
    (_PROC, "container", "this container hides parts of /proc, so no cage can have a /proc of its own", _CONTAINER_FIX),
    (_PROC, "", "parts of /proc are hidden from kaged, so no cage can have a /proc of its own",
     "in the unit, switch off ProtectKernelTunables, ProtectKernelLogs and ProcSubset"),
    (_USERNS, "no userns", "this machine allows no user namespaces at all",
     "run `sudo sysctl user.max_user_namespaces=15000` and keep it in /etc/sysctl.d/"),
    (_NO_ROOM, "", "the machine has no room for another process or namespace", "end something, or raise the limit"),
    (_USERNS, "root only", "this machine allows user namespaces to root only",
     "run `sudo sysctl kernel.unprivileged_userns_clone=1` and keep it in /etc/sysctl.d/"),
    (_USERNS, "container", "this container does not let bubblewrap make a user namespace", _CONTAINER_FIX),
    (_USERNS, "apparmor", "AppArmor does not let bubblewrap make a user namespace", _APPARMOR_FIX),
    (_USERNS, "", "the kernel does not let bubblewrap make a user namespace",
     "allow user namespaces (`sysctl user.max_user_namespaces`), and do not run kaged in a chroot"),
    (r"seccomp", "", "the kernel did not take the system call filter",
     "use a kernel with CONFIG_SECCOMP_FILTER; in a container add `--security-opt seccomp=unconfined`"),
    (_VANISHED, "", "a file or folder that the cage needs vanished while it was being made",
     "try again; if it stays, check that the project's files are not being replaced all the time"),
)  # fmt: skip
