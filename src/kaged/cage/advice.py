"""Why a cage could not be made, in words, and the one thing to do about it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

APPARMOR_FILE = "/etc/apparmor.d/bwrap-kaged"
APPARMOR_PROFILE = """abi <abi/4.0>,
include <tunables/global>

profile bwrap-kaged /usr/bin/bwrap flags=(unconfined) {
  userns,
}
"""
"""Lets bubblewrap, and nothing else, make user namespaces where the kernel denies them to all."""

DOCKER_OPTIONS = " ".join(
    f"--security-opt {option}=unconfined" for option in ("seccomp", "apparmor", "systempaths")
)
PODMAN_OPTIONS = "--security-opt seccomp=unconfined --security-opt unmask=ALL"

_APPARMOR_FIX = (
    f"write the profile of docs/operators/cage.md to {APPARMOR_FILE} and run "
    f"`sudo apparmor_parser -r {APPARMOR_FILE}`"
)
_CONTAINER_FIX = (
    f"start the container with `docker run {DOCKER_OPTIONS}` (podman: `{PODMAN_OPTIONS}`); "
    "`--privileged` is not needed"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the machine changes the advice."""

    apparmor_restricts: bool = False
    userns_clone_off: bool = False
    max_user_namespaces_zero: bool = False
    container: bool = False
    setuid_bwrap: bool = False


def surroundings(root: Path = Path("/")) -> Surroundings:
    """Look at the machine's switches; what cannot be read counts as off."""

    def reads(path: str, value: str) -> bool:
        try:
            return (root / path).read_text().strip() == value
        except OSError:
            return False

    bwrap = root / "usr/bin/bwrap"
    return Surroundings(
        apparmor_restricts=reads("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        userns_clone_off=reads("proc/sys/kernel/unprivileged_userns_clone", "0"),
        max_user_namespaces_zero=reads("proc/sys/user/max_user_namespaces", "0"),
        container=any((root / name).exists() for name in (".dockerenv", "run/.containerenv")),
        setuid_bwrap=bwrap.exists() and bool(bwrap.stat().st_mode & 0o4000),
    )


def explain_bwrap_failure(stderr: str, around: Surroundings | None = None) -> tuple[str, str]:
    """From bubblewrap's own words to (problem, fix): one sentence each."""
    found = surroundings() if around is None else around
    for pattern, answer in _ANSWERS:
        if re.search(pattern, stderr, re.I):
            return answer(found)
    said = stderr.strip().splitlines()
    last = said[-1] if said else "it said nothing"
    return (
        f"bubblewrap could not make the cage: {last}",
        "run `kaged doctor` and read docs/operators/cage.md",
    )


def _no_namespaces(around: Surroundings) -> tuple[str, str]:
    """The kernel, AppArmor or a container's filter refused a user namespace."""
    if around.max_user_namespaces_zero:
        return (
            "this machine allows no user namespaces at all",
            "run `sudo sysctl user.max_user_namespaces=15000` and keep it in /etc/sysctl.d/",
        )
    if around.userns_clone_off:
        return (
            "this machine allows user namespaces to root only",
            "run `sudo sysctl kernel.unprivileged_userns_clone=1` and keep it in /etc/sysctl.d/",
        )
    if around.apparmor_restricts and not around.container:
        return "AppArmor does not let bubblewrap make a user namespace", _APPARMOR_FIX
    if around.container:
        return "this container does not let bubblewrap make a user namespace", _CONTAINER_FIX
    return (
        "the kernel does not let bubblewrap make a user namespace",
        "allow user namespaces (`sysctl user.max_user_namespaces`), and do not run kaged in a chroot",
    )


def _masked_proc(around: Surroundings) -> tuple[str, str]:
    if around.container:
        return "this container hides parts of /proc, so no cage can have a /proc of its own", _CONTAINER_FIX
    return (
        "parts of /proc are hidden from kaged, so no cage can have a /proc of its own",
        "in the unit, switch off ProtectKernelTunables, ProtectKernelLogs and ProcSubset",
    )


def _missing(_: Surroundings) -> tuple[str, str]:
    return "bubblewrap (bwrap) is not installed", "install it: `sudo apt-get install bubblewrap`"


def _too_old(_: Surroundings) -> tuple[str, str]:
    return "this bubblewrap is too old for kaged", "install bubblewrap 0.5 or later (0.8 is better)"


def _setuid(around: Surroundings) -> tuple[str, str]:
    return (
        "this bubblewrap is installed set-user-id root, which kaged does not use",
        "run `sudo chmod u-s /usr/bin/bwrap` and allow user namespaces",
    )


def _loopback(around: Surroundings) -> tuple[str, str]:
    if around.apparmor_restricts and not around.container:
        return "AppArmor takes the rights away that a cage's own network needs", _APPARMOR_FIX
    if around.container:
        return "this container takes the rights away that a cage's own network needs", _CONTAINER_FIX
    return (
        "the cage's own network could not be set up",
        "allow user namespaces their network (AppArmor, SELinux or the unit's RestrictNamespaces)",
    )


def _vanished(_: Surroundings) -> tuple[str, str]:
    return (
        "a file or folder that the cage needs vanished while it was being made",
        "try again; if it stays, check that the project's files are not being replaced all the time",
    )


def _no_seccomp(_: Surroundings) -> tuple[str, str]:
    return (
        "the kernel did not take the system call filter",
        "use a kernel with CONFIG_SECCOMP_FILTER; in a container add `--security-opt seccomp=unconfined`",
    )


def _full(around: Surroundings) -> tuple[str, str]:
    if around.max_user_namespaces_zero:
        return _no_namespaces(around)
    return "the machine has no room for another process or namespace", "end something, or raise the limit"


_ANSWERS: tuple[tuple[str, Callable[[Surroundings], tuple[str, str]]], ...] = (
    (r"bwrap.*not installed|no such file or directory: '?/?\S*bwrap|bwrap: (?:command )?not found", _missing),
    (r"unknown option|is too old", _too_old),
    (r"setuid|unexpected capabilities but not setuid", _setuid),
    (r"loopback: Failed|RTM_NEWADDR|RTM_NEWLINK", _loopback),
    (r"mount proc on|Can't mount proc", _masked_proc),
    (
        r"uid map|gid map|No permissions to creat\w* (?:a )?new namespace|user namespace|CLONE_NEWUSER",
        _no_namespaces,
    ),
    (r"Creating new namespace failed: (?:Resource temporarily|Cannot allocate|No space)", _full),
    (r"Creating new namespace failed|Failed to make / slave|pivot_root|setting up tmpfs", _no_namespaces),
    (r"seccomp", _no_seccomp),
    (r"Can't find source path|Can't (?:mkdir|create file)|No such file or directory", _vanished),
)
