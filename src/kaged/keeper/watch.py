"""The limits of a cage as a whole: memory and number of tasks, looked at four times a second.

Resource limits hold for one process (and root is exempt from the one on processes), so the sum is
counted here, from outside, while anything runs in a cage.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable

from kaged.keeper import init
from kaged.keeper.cages import Cage, State
from kaged.keeper.loop import Loop
from kaged.keeper.table import Table

INTERVAL_S = 0.25
STRIKES = 8
"""Looks in a row at which a cage may be over a limit before it is ended as a whole."""

BOMB = 4
"""How many times the limit of tasks may be reached before that."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_HAS_CHILDREN = os.path.exists("/proc/thread-self/children")


class Watch:
    """Looks at all cages while something runs in one of them; sleeps otherwise."""

    def __init__(self, loop: Loop, table: Table, cages: Callable[[], Iterable[Cage]]) -> None:
        self._loop = loop
        self._table = table
        self._cages = cages
        self._awake = False
        self._strikes: Counter[str] = Counter()

    def wake(self) -> None:
        """Something was started."""
        if not self._awake:
            self._awake = True
            self._loop.later(INTERVAL_S, self._look)

    def _look(self) -> None:
        self._awake = False
        busy = False
        for cage in [c for c in self._cages() if c.state is State.READY and c.init_pid]:
            tasks = tasks_of(cage)
            busy = busy or bool(tasks) or bool(self._table.running_in(cage.id))
            self._judge(cage, tasks)
        if busy:
            self.wake()

    def _judge(self, cage: Cage, tasks: dict[int, int]) -> None:
        limits = cage.plan.limits
        weights: dict[int, int] = {}
        reason = ""
        if limits.pids is not None and sum(tasks.values()) > limits.pids:
            reason, weights = "pids", tasks
        elif limits.memory_bytes is not None:
            weights = {pid: resident(pid) for pid in tasks}
            if sum(weights.values()) > limits.memory_bytes:
                # Shared pages count several times in that sum; the exact figure is dear, so only now.
                weights = {pid: proportional(pid) for pid in tasks}
                reason = "memory" if sum(weights.values()) > limits.memory_bytes else ""
        if not reason:
            self._strikes.pop(cage.id, None)
            return
        self._strikes[cage.id] += 1
        self._punish(cage, weights, reason)

    def _punish(self, cage: Cage, weights: dict[int, int], reason: str) -> None:
        by_label: Counter[int] = Counter()
        for pid, weight in weights.items():
            by_label[init.label(pid) or 0] += weight
        worst = max(by_label, key=lambda tag: by_label[tag])
        process = self._table.tagged(worst)
        # A fork bomb grows faster than its tree can be gathered; the kernel ends a whole cage at once.
        bomb = reason == "pids" and sum(weights.values()) > BOMB * (cage.plan.limits.pids or 0)
        if bomb or self._strikes[cage.id] > STRIKES or process is None or process.cage != cage.id:
            self._strikes.pop(cage.id, None)
            cage.kill(reason)
        elif process.exit is None:
            process.doom(reason, gently=False)
        else:  # what a command left behind
            process.signal(9, tree=True)


def tasks_of(cage: Cage) -> dict[int, int]:
    """Every process of a cage but its init, by its number out here: pid → number of threads."""
    return {} if cage.init_pid is None else descendants(cage.init_pid)


def descendants(root: int) -> dict[int, int]:
    """Every descendant of a process with its number of threads; zombies count as long as they are there."""
    return by_children(root) if _HAS_CHILDREN else by_table(root)


def by_children(root: int) -> dict[int, int]:
    """The descendants of a process, asking the kernel for each one's children."""
    found: dict[int, int] = {}
    queue = [root]
    while queue:
        pid = queue.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
            found[pid] = len(threads)
            for thread in threads:
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    queue += [int(child) for child in file.read().split()]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
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
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def resident(pid: int) -> int:
    """Resident bytes of a process, shared pages included."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def proportional(pid: int) -> int:
    """Resident bytes with each shared page divided among its users; `resident` where that is hidden."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line[:4] == b"Pss:":
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return resident(pid)
    return resident(pid)
