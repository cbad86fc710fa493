"""The plan of one cage: a pure value that says everything about it and can be printed, hashed and sent."""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from kaged.cage.host import HostFacts
from kaged.cage.seccomp import Profile, filter_for

HOME = "/home/agent"
INIT_INSIDE = "/run/kaged/init.py"
UID = GID = 1000
PLACEHOLDER_MODE = 0o1755
"""The sticky bit on a folder that only its owner writes means nothing, so nobody sets it."""

Mode = Literal["rw", "ro", "hidden"]
MountKind = Literal["rw", "ro", "pin", "hide-dir", "hide-file"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount at `path`, which is the same inside as outside.

    `pin` is a writable folder bound onto itself: a mount point cannot be renamed, so nobody inside can
    move a folder away to get rid of the protected file in it. `hide-dir` and `hide-file` cover what is
    there. `placeholder` says that the path is missing outside: bubblewrap makes an empty folder of an unusual
    mode to mount on, and the keeper removes it. Version control does not see it, and removing it can only
    ever remove an empty folder.
    """

    kind: MountKind
    path: str
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How much the cage may use. Memory, open files and file size count per process."""

    memory_bytes: int | None
    pids: int
    nofile: int
    fsize_bytes: int
    walltime_s: float


@dataclass(frozen=True, slots=True)
class CagePlan:
    """A compiled cage policy.

    `rules` is what the project file asked for, `protect` the patterns that stay read-only, `mounts` how
    both are carried out on the file system as it was found, in order.
    """

    name: str
    root: str
    rules: tuple[tuple[str, Mode], ...]
    protect: tuple[str, ...]
    mounts: tuple[Mount, ...]
    env: tuple[tuple[str, str], ...]
    seccomp: Profile
    limits: PlanLimits
    workdir: str
    host: HostFacts
    home: str = HOME

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Host paths of the empty folders that starting the cage makes, to be removed after its end."""
        return tuple(mount.path for mount in self.mounts if mount.placeholder)

    @property
    def guards(self) -> tuple[str, ...]:
        """Paths that must stay mount points for as long as the cage lives.

        The kernel detaches a mount when the file below it is renamed over or removed outside (an editor's
        save, `git config`); from then on the path would be writable inside.
        """
        return tuple(mount.path for mount in self.mounts if mount.path != self.root)

    def hash(self) -> str:
        """SHA-256 over the policy, as hex: a plan stays the same when `.envrc` is created."""
        policy = asdict(self)
        del policy["name"], policy["mounts"]
        policy["seccomp"] = hashlib.sha256(filter_for(self.seccomp, self.host.machine)).hexdigest()
        canonical = json.dumps(policy, sort_keys=True, default=sorted)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def words(self) -> str:
        """One line for the operator: `reads and writes this project; reaches nothing; 2 GB per process`."""
        memory = self.limits.memory_bytes
        amount = "no memory limit" if memory is None else f"{size(memory)} per process"
        return f"{self._project_words()}; reaches nothing; {amount}"

    def _project_words(self) -> str:
        inside = {path: mode for path, mode in self.rules if PurePosixPath(path).is_relative_to(self.root)}
        outside = [path for path, mode in self.rules if path not in inside and mode == "ro"]
        of_root = inside.pop(self.root, None)
        writes = "rw" in inside.values()
        if of_root == "rw":
            text = "reads and writes this project"
        elif of_root == "ro":
            text = "reads this project" + (" and writes parts of it" if writes else "")
        elif inside:
            text = "reads " + ("and writes " if writes else "") + "parts of this project"
        else:
            text = "sees nothing of this project"
        if "hidden" in inside.values():
            text += " except what is hidden"
        return text + (" and reads " + " and ".join(outside) if outside else "")

    def explain(self) -> list[str]:
        """What can be read, written, reached, and how much may be used, one thing a line."""
        limits = self.limits
        memory = "no limit"
        if limits.memory_bytes is not None:
            memory = f"{size(limits.memory_bytes)} in each process and in all together"
        writes, reads, hidden = ([p for p, m in self.rules if m == mode] for mode in ("rw", "ro", "hidden"))
        own = f"{self.home}, /tmp ({self.home} and /tmp are emptied with the cage)"
        listed = {
            "writes": [*writes, own],
            "reads": [*reads, "the system's programs and libraries (/usr, parts of /etc)"],
            "hidden": hidden,
            "cannot change": self.protect if writes else (),
            "cannot create": self.placeholders,
        }
        return [
            *(f"{what}: {', '.join(paths)}" for what, paths in listed.items() if paths),
            "reaches: nothing (no network, no other process, no socket of this machine)",
            f"uses at most: memory {memory}, {limits.pids} processes, files of {size(limits.fsize_bytes)}, "
            f"{duration(limits.walltime_s)} a command",
            f"kernel: system call filter `{self.seccomp}`, no capabilities, no namespaces of its own",
        ]

    def to_wire(self) -> dict[str, Any]:
        """The plan as the keeper takes it: bubblewrap's options, the data they name, and the limits."""
        from kaged.cage.argv import bwrap_options

        args, data = bwrap_options(self)
        return {
            "hash": self.hash(),
            "args": args,
            "data": {name: base64.b64encode(content).decode("ascii") for name, content in data.items()},
            "init": [self.host.python, "-I", "-S", INIT_INSIDE],
            "env": dict(self.env),
            "workdir": self.workdir,
            "limits": asdict(self.limits),
            "placeholders": list(self.placeholders),
            "guards": list(self.guards),
        }


def size(amount: int) -> str:
    """Bytes the way people say them: `2 GB`, `512 MB`, `1.5 GB`."""
    for unit, name in ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB")):
        if amount >= unit:
            return f"{amount / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{amount} bytes"


def duration(seconds: float) -> str:
    """Seconds the way people say them: `30 minutes`, `1 hour`, `90 seconds`."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{seconds:g} second" + ("" if seconds == 1 else "s")
