"""The plan of one cage: a pure value that says everything about it and can be printed, hashed and sent."""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kaged.cage.host import HostFacts
from kaged.cage.seccomp import Profile, filter_for

HOME = "/home/agent"
INIT_INSIDE = "/run/kaged/init.py"
UID = GID = 1000

Mode = Literal["rw", "ro", "hidden"]
MountKind = Literal["rw", "ro", "pin", "hide-dir", "hide-file"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount at `path`, which is the same inside as outside.

    `pin` is a writable folder bound onto itself: a mount point cannot be renamed, so nobody inside can
    move a folder away to get rid of the protected file in it. `hide-dir` and `hide-file` cover what is
    there. `placeholder` says that the path is missing outside: bubblewrap makes an empty folder to mount on.
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
        """SHA-256 over the policy, as hex: equal plans allow the same, whatever the project holds today.

        What the file system happened to hold (which protected files exist) is left out: a plan does not
        become another one because somebody created `.envrc`.
        """
        policy = asdict(self)
        del policy["name"], policy["mounts"]
        policy["seccomp"] = hashlib.sha256(filter_for(self.seccomp, self.host.machine)).hexdigest()
        canonical = json.dumps(policy, sort_keys=True, default=sorted)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def words(self) -> str:
        """One line for the operator: `reads and writes this project; reaches nothing; 2 GB per process`."""
        from kaged.cage.words import words

        return words(self)

    def explain(self) -> list[str]:
        """A few lines: what can be read, written and reached, and how much may be used."""
        from kaged.cage.words import explain

        return explain(self)

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
