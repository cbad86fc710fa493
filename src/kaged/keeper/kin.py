"""Who descends from a process, and how much memory each one takes, as the keeper sees it from outside."""

import contextlib
import os

from kaged.inside import init

_GONE = contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HAS_CHILDREN = os.path.exists("/proc/thread-self/children")


def descendants(root: int) -> dict[int, int]:
    """Every descendant of a process with its number of threads; zombies count as long as they are there."""
    return by_children(root) if _HAS_CHILDREN else by_table(root)


def by_children(root: int) -> dict[int, int]:
    found: dict[int, int] = {}
    queue = [root]
    while queue:
        pid = queue.pop()
        with _GONE:
            threads = os.listdir(f"/proc/{pid}/task")
            found[pid] = len(threads)
            for thread in threads:
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    queue += [int(child) for child in file.read().split()]
    found.pop(root, None)
    return found


def by_table(root: int) -> dict[int, int]:
    """The same from the whole process table, for kernels without `children` files."""
    table = init.processes()
    members = {root}
    while more := {pid for pid, (parent, _) in table.items() if parent in members} - members:
        members |= more
    return {pid: _threads(pid) for pid in members - {root}}


def _threads(pid: int) -> int:
    with _GONE:
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def resident(pid: int) -> int:
    """Resident bytes of a process, shared pages included."""
    with _GONE, open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
    return 0


def proportional(pid: int) -> int:
    """Resident bytes with each shared page divided among its users; `resident` where that is hidden."""
    with _GONE, open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line[:4] == b"Pss:":
                return int(line.split()[1]) * 1024
    return resident(pid)
