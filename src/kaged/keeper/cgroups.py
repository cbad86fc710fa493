"""Limits of a cage held by the kernel: one control group each. Version 2 needs a cgroup that was delegated to us
(`Delegate=yes`), version 1 writable hierarchies (containers, root); else resource limits and the watch have to do."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from kaged.inside import init
from kaged.keeper.loop import Loop, Timer
from kaged.keeper.plan import Limits

ROOT = "/sys/fs/cgroup"
WITHOUT = "rlimits and a look four times a second"
PERIOD_US = 100_000
OURS = 2  # tasks that are not the agent's: bwrap and the init
_NEEDED = ("memory", "pids", "cpu")
_OURS = re.compile(r"kaged-(\d+)-(\d+)-\d+")
_AGAIN_S = 0.02


class Group:
    """The control group of one cage: its folder for each controller (with version 2 one for all)."""

    def __init__(self, folders: Mapping[str, str], *, unified: bool) -> None:
        self._folders, self._unified, self._limits = folders, unified, Limits()
        self._places = frozenset(folders.values())

    def make(self, limits: Limits) -> None:
        """Make it, with its limits; raises OSError."""
        self._limits = limits
        for folder in self._places:
            os.mkdir(folder)
        self._limit()

    def hold(self) -> None:
        """Put the limits in force again, unless the controllers are away (`Groups.renew`); raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._limit()

    def _limit(self) -> None:
        for controller, name, value, needed in settings(self._limits, unified=self._unified):
            with contextlib.nullcontext() if needed else contextlib.suppress(OSError):
                _write(f"{self._folders[controller]}/{name}", value)

    def add(self, pids: Iterable[int]) -> None:
        """Put processes in; what they start from now on is in it as well."""
        for folder in self._places:
            for pid in pids:
                _write(f"{folder}/cgroup.procs", str(pid))

    def oom_kills(self) -> int:
        """How often the kernel has ended something in it for want of memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        with contextlib.suppress(OSError):
            for line in _read(f"{self._folders['memory']}/{name}").splitlines():
                if line.split()[0] == "oom_kill":
                    return int(line.split()[1])
        return 0

    def release(self) -> None:
        """Take the limits of time off: what is to end, and the init that ends it, must get some to do so."""
        legacy = {"cpu.cfs_quota_us": "-1", "cpu.shares": "1024"}
        unified = {"cpu.max": "max", "cpu.idle": "0", "cpu.weight": "100"}  # an idle group takes no weight
        for name, value in (unified if self._unified else legacy).items():
            with contextlib.suppress(OSError):
                _write(f"{self._folders['cpu']}/{name}", value)

    def remove(self) -> bool:
        """End what is left in it and remove it; whether it is gone."""
        return sum(_remove(folder) for folder in self._places) == len(self._places)


class Groups:
    """Makes control groups below the ones this process is in. `words` says what holds the limits."""

    def __init__(self, loop: Loop, *, root: str = ROOT, enabled: bool = True) -> None:
        self._loop = loop
        self._prefix = f"kaged-{os.getpid()}-{_started(str(os.getpid()))}"
        self._numbers = 0
        self._leaving: list[Group] = []
        self._again: Timer | None = None
        self._unified = False
        self._bases: dict[str, str] = {}
        self._divide: Callable[[], str] = str  # version 2: gives its folder; else there is nothing to divide
        if enabled:
            listed = dict(line.split(":", 2)[1:] for line in _read("/proc/self/cgroup").splitlines())
            self._bases = _legacy(root, listed)
            if not self._bases:
                self._divide = partial(_delegated, root, listed.get("", "/"))
                self.renew()
            self._remove_stale()

    @property
    def words(self) -> str:
        return WITHOUT if not self._bases else f"cgroup v{2 if self._unified else 1}"

    def renew(self) -> bool:
        """Divide the service's group of version 2, where it is not; whether it was not, so that limits have to be put
        in force (again). systemd before 254 starts no daemon in a divided one, so the unit undoes it in between."""
        if self._unified and self._bases:
            passed_on = _read(f"{self._bases['cpu']}/cgroup.subtree_control").split()
            if set(_NEEDED) <= set(passed_on):
                return False
        base = self._divide()
        if self._unified or base:
            self._unified, self._bases = True, dict.fromkeys(_NEEDED, base) if base else {}
        return bool(base)

    def make(self, limits: Limits) -> Group | None:
        """A group for a new cage; None where there are none. Raises OSError when it cannot be made."""
        if not self._bases:
            return None
        self._numbers += 1
        folders = {name: f"{base}/{self._prefix}-{self._numbers}" for name, base in self._bases.items()}
        group = Group(folders, unified=self._unified)
        try:
            group.make(limits)
        except OSError:
            self.leave(group)
            raise
        return group

    def leave(self, group: Group | None) -> None:
        """The cage has ended: remove its group, now or as soon as the kernel is done with it."""
        if group is not None:
            self._leaving.append(group)
            self.sweep()

    def sweep(self) -> bool:
        """Remove what is to be removed; whether nothing is left."""
        self._leaving = [group for group in self._leaving if not group.remove()]
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.later(_AGAIN_S, self.sweep) if self._leaving else None
        return not self._leaving

    def _remove_stale(self) -> None:
        """Of keepers that were killed: a group's name says whose it is."""
        for base in set(self._bases.values()):
            for name in os.listdir(base):
                found = _OURS.fullmatch(name)
                if found and _started(found[1]) != found[2]:
                    self._leaving.append(Group({"": f"{base}/{name}"}, unified=self._unified))
        self.sweep()


def settings(limits: Limits, *, unified: bool) -> list[tuple[str, str, str, bool]]:
    """(controller, file, value, whether it has to work) for every limit that is set."""
    # The daemon and the keeper come first. With version 2 nothing else is beside a cage, so it may have what they leave
    # (older kernels lack `cpu.idle` and weigh). Version 1 weighs it against every task beside it, maybe anybody's.
    idle = [("cpu.weight", "25", False), ("cpu.idle", "1", False)]
    found = idle if unified else [("cpu.shares", "512", False)]
    if limits.memory_bytes is not None:
        size = str(limits.memory_bytes)
        if unified:  # a kernel without swap has no such file
            found += [("memory.max", size, True), ("memory.oom.group", "1", True), ("memory.swap.max", "0", False)]
        else:
            found += [("memory.limit_in_bytes", size, True), ("memory.memsw.limit_in_bytes", size, False)]
    if limits.pids is not None:
        found.append(("pids.max", str(limits.pids + OURS), True))
    if limits.cpu is not None:
        quota = str(max(1000, round(limits.cpu * PERIOD_US)))
        legacy = [("cpu.cfs_period_us", str(PERIOD_US), True), ("cpu.cfs_quota_us", quota, True)]
        found += [("cpu.max", f"{quota} {PERIOD_US}", True)] if unified else legacy
    return [(name.split(".")[0], name, value, needed) for name, value, needed in found]


def _legacy(root: str, listed: Mapping[str, str]) -> dict[str, str]:
    """Where version 1 lets us make groups: controller → folder; empty unless it does for all."""
    found = {}
    for controllers, path in listed.items():
        for name in set(controllers.split(",")) & set(_NEEDED):
            # In a container the path may be the one outside of it, and the mount shows only what is below.
            places = (f"{root}/{controllers}{path.rstrip('/')}", f"{root}/{controllers}")
            found[name] = next((place for place in places if os.path.isdir(place)), "")
    usable = len(found) == len(_NEEDED) and all(path and os.access(path, os.W_OK) for path in found.values())
    return found if usable else {}


def _delegated(root: str, path: str) -> str:
    """Our own group of version 2, made ready to hold others; empty when it is not ours to divide."""
    if os.path.splitext(os.path.dirname(path))[1] == ".service":
        path = os.path.dirname(path)  # `DelegateSubgroup=`, or where an earlier keeper put the daemon
    base = f"{root}{path.rstrip('/')}"
    try:
        if set(_NEEDED) - set(_read(f"{base}/cgroup.controllers").split()):
            return ""
        # A group that passes controllers on must not hold processes itself. What else is in a service of
        # ours, or in a container, is the daemon; in a desktop's scope it may be anybody's shell.
        leaf = f"{base}/kaged-keeper"
        os.makedirs(leaf, exist_ok=True)
        alone = path != "/" and os.path.splitext(path)[1] != ".service"
        for pid in [str(os.getpid())] if alone else _read(f"{base}/cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                _write(f"{leaf}/cgroup.procs", pid)
        _write(f"{base}/cgroup.subtree_control", " ".join(f"+{name}" for name in _NEEDED))
    except OSError:
        return ""
    return base


def _remove(folder: str) -> bool:
    try:
        if os.path.exists(f"{folder}/cgroup.kill"):
            _write(f"{folder}/cgroup.kill", "1")
        else:
            for pid in _read(f"{folder}/cgroup.procs").split():
                init.send_signal(int(pid), signal.SIGKILL)
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:  # still busy: somebody in it is not quite dead
        return False
    return True


def _started(pid: str) -> str:
    """When a process began, as the kernel counts; empty when there is none."""
    with contextlib.suppress(OSError):
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return fields[19] if fields[0] not in "ZX" else ""
    return ""


def _read(path: str) -> str:
    with open(path, "rb", 0) as file:  # once for each command, and text files are slow
        return file.read().decode("utf-8", "replace")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
