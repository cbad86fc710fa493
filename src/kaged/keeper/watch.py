"""The limits of a cage as a whole that the kernel does not hold, looked at four times a second while anything runs in
it: what a kept home takes on disk, and without control groups memory and processes, summed up from outside."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable

from kaged.inside import init
from kaged.keeper.cages import Cage, State
from kaged.keeper.kin import descendants, proportional, resident
from kaged.keeper.loop import Loop
from kaged.keeper.meter import Meter
from kaged.keeper.table import Table

INTERVAL_S = 0.25
STRIKES = 8  # looks in a row at which a cage may be over a limit before it is ended as a whole
BOMB = 4  # how many times the limit of tasks may be reached before that


class Watch:
    """Looks at all cages while something runs in one of them; sleeps otherwise."""

    def __init__(self, loop: Loop, table: Table, cages: Callable[[], Iterable[Cage]]) -> None:
        self._loop, self._table, self._cages = loop, table, cages
        self._awake = False
        self._strikes: Counter[str] = Counter()
        self._meters: dict[Cage, Meter] = {}

    def wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._loop.later(INTERVAL_S, self._look)

    def _look(self) -> None:
        self._awake = False
        busy = False
        ready = [cage for cage in self._cages() if cage.state is State.READY]
        self._meters = {cage: self._meters.get(cage) or _meter(cage) for cage in ready if cage.plan.home is not None}
        for cage in ready:
            if cage.group is None or cage in self._meters:
                tasks = tasks_of(cage)
                busy = busy or bool(tasks) or bool(self._table.running_in(cage.id))
                if cage.group is None:
                    self._judge(cage, tasks)
                if tasks and cage in self._meters and (words := self._meters[cage].look(tasks)):
                    cage.fail(words, "disk")
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


def _meter(cage: Cage) -> Meter:
    assert cage.plan.home is not None
    return Meter(cage.plan.home, cage.plan.limits.disk_bytes or sys.maxsize)


def tasks_of(cage: Cage) -> dict[int, int]:
    """Every process of a cage but its init, by its number out here: pid → number of threads."""
    return {} if cage.init_pid is None else descendants(cage.init_pid)
