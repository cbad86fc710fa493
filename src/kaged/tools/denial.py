"""Sentences for what the cage refused, since programs only print an errno; mounts and filters have decided. Pure."""

import re
from pathlib import PurePosixPath

from kaged.cage.plan import CagePlan
from kaged.projects.cage_spec import covers

MOST = 5
_QUOTE = "`'\"\u2018\u2019\u201c\u201d"
_QUOTED = rf"[{_QUOTE}]?(?P<path>[^\s:{_QUOTE}]+)[{_QUOTE}]?"
_NO_NETWORK = "This cage has no network: nothing outside it can be reached, nor can names be looked up."
_REACHES = "This cage reaches the hosts that the project file allows, and no others."
_SAID = {
    r"/proc/\d+/[\w/]+['\"]?: (?:permission denied|no such file or directory)":
        "The cage sees its own processes only, and cannot look into the one that holds it together.",
    r"could not resolve host|temporary failure in name resolution|network is unreachable|no route to host|"
    r"name or service not known|could not connect to server|EAI_AGAIN|getaddrinfo":
        _NO_NETWORK,
    r"operation not permitted|\bEPERM\b":
        "The cage has no privileges, and its system-call filter refuses what would widen it.",
    r"address family not supported": "The cage's system-call filter refuses this kind of socket.",
}  # fmt: skip
"""What a program's words mean in a cage."""
_INSIDE = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/tmp", "/proc", "/dev", "/etc")


def explain(text: str, plan: CagePlan) -> list[str]:
    """What the cage's rules have to do with this output of a failed command; empty when nothing is known."""
    found = [read_only(path, plan) for path in _paths("(?i:Read-only file system)", text)]
    absent = _paths("No such file or directory", text)
    found += [sentence for path in absent if (sentence := _covered(path, plan)) is not None]
    if outside := list(dict.fromkeys(path for path in absent if _outside(path, plan))):
        named = ", ".join(f"`{path}`" for path in outside[:MOST])
        verb = "does" if len(outside) == 1 else "do"
        there = "of the host, only this project and system programs are there."
        found.append(f"{named} {verb} not exist in this cage: {there}")
    found += [sentence for pattern, sentence in _SAID.items() if re.search(pattern, text, re.I)]
    if plan.net is not None:
        found = [_REACHES if sentence == _NO_NETWORK else sentence for sentence in found]
    return list(dict.fromkeys(found))[:MOST]


def read_only(path: str, plan: CagePlan) -> str:
    """Why `path` cannot be written in this cage."""
    absolute = PurePosixPath(plan.root, path)
    if not absolute.is_relative_to(plan.root):
        return f"`{absolute}` lies outside the project: this cage may read it, not change it."
    shown = absolute.relative_to(plan.root)
    if any(covers(pattern, shown) for pattern in plan.protect):
        return f"`{shown}` is protected: the cage mounts it read-only, so that only the operator changes it."
    return f"`{shown}` is read-only in this cage, as the project file says."


def _paths(words: str, text: str) -> list[str]:
    """The paths that stand before or behind these words of an error."""
    patterns = (rf"{_QUOTED}: {words}", rf"{words}:? {_QUOTED}")
    return [match["path"] for pattern in patterns for match in re.finditer(pattern, text)]


def _covered(path: str, plan: CagePlan) -> str | None:
    """A sentence for a path below a protected place that is not there yet, and so cannot be made."""
    absolute = PurePosixPath(plan.root, path)
    names = (PurePosixPath(place).name for place in plan.placeholders if absolute.is_relative_to(place))
    said = (f"`{name}` is protected: where it does not exist, the cage does not let it be made." for name in names)
    return next(said, None)


def _outside(path: str, plan: CagePlan) -> bool:
    """Whether this is an absolute path of a place that hosts have and this cage has not."""
    pure = PurePosixPath(path)
    inside = (plan.root, plan.home, *(rule for rule, _ in plan.rules), *_INSIDE)
    return pure.is_absolute() and not any(pure.is_relative_to(place) for place in inside)
