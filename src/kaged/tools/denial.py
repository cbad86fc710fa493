"""Sentences for what the cage refused: programs only print an errno, people want to know whose rule it is.

Pure, and only an explanation: what is allowed was decided by the mounts and filters themselves.
"""

import re
from pathlib import PurePosixPath

from kaged.cage.plan import CagePlan

MOST = 5
_QUOTE = "`'\"\u2018\u2019\u201c\u201d"
_QUOTED = rf"[{_QUOTE}]?(?P<path>[^\s:{_QUOTE}]+)[{_QUOTE}]?"
_READ_ONLY = (
    re.compile(rf"{_QUOTED}: Read-only file system", re.I),
    re.compile(rf"Read-only file system:? {_QUOTED}", re.I),
)
_ABSENT = (
    re.compile(rf"{_QUOTED}: No such file or directory"),
    re.compile(rf"No such file or directory:? {_QUOTED}"),
)
_NETWORK = re.compile(
    r"could not resolve host|temporary failure in name resolution|network is unreachable|"
    r"name or service not known|could not connect to server|EAI_AGAIN|getaddrinfo|no route to host",
    re.I,
)
_SYSCALL = re.compile(
    r"(?:unshare|mount|umount|setns|chroot|pivot_root|ptrace|strace|gdb|bpf|keyctl|insmod|modprobe|nsenter|reboot|"
    r"swapon|dmesg|perf|sethostname|hostname)\b[^\n]*(?:operation not permitted|permission denied)",
    re.I,
)
_FAMILY = re.compile(r"address family not supported", re.I)
_INSIDE = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/tmp", "/proc", "/dev", "/etc")


def explain(text: str, plan: CagePlan) -> list[str]:
    """What the cage's rules have to do with this output of a failed command; empty when nothing is known."""
    found: list[str] = []
    for path in _paths(_READ_ONLY, text):
        found.append(read_only(path, plan))
    for path in _paths(_ABSENT, text):
        if (sentence := _outside(path, plan)) is not None:
            found.append(sentence)
    if _NETWORK.search(text):
        found.append(
            "This cage has no network: nothing outside it can be reached, nor can names be looked up."
        )
    if _SYSCALL.search(text):
        found.append("The cage has no privileges, and its system-call filter refuses this.")
    if _FAMILY.search(text):
        found.append("The cage's system-call filter refuses this kind of socket.")
    return list(dict.fromkeys(found))[:MOST]


def read_only(path: str, plan: CagePlan) -> str:
    """Why `path` cannot be written in this cage."""
    absolute = PurePosixPath(plan.root, path)
    shown = str(absolute.relative_to(plan.root)) if absolute.is_relative_to(plan.root) else str(absolute)
    if absolute.is_relative_to(plan.root):
        relative = absolute.relative_to(plan.root)
        if any(_covers(pattern, relative) for pattern in plan.protect):
            return (
                f"`{shown}` is protected: the cage mounts it read-only, so that only the operator changes it."
            )
        return f"`{shown}` is read-only in this cage, as the project file says."
    return f"`{shown}` lies outside the project: this cage may read it, not change it."


def _covers(pattern: str, path: PurePosixPath) -> bool:
    base = pattern.removesuffix("/**")
    return path == PurePosixPath(base) or (base != pattern and path.is_relative_to(base))


def _paths(patterns: tuple[re.Pattern[str], ...], text: str) -> list[str]:
    return [match["path"] for pattern in patterns for match in pattern.finditer(text)]


def _outside(path: str, plan: CagePlan) -> str | None:
    """A sentence for an absolute path that exists on hosts but not in this cage."""
    pure = PurePosixPath(path)
    inside = (plan.root, plan.home, *(rule for rule, _ in plan.rules), *_INSIDE)
    if not pure.is_absolute() or any(pure.is_relative_to(place) for place in inside):
        return None
    return (
        f"`{path}` does not exist in this cage: of the host, only this project and system programs are there."
    )
