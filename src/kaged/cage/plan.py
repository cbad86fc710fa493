"""The plan of one cage: a pure value that says everything about it and can be printed, hashed and sent."""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kaged.cage.host import HostFacts
from kaged.cage.network import NetPlan
from kaged.cage.seccomp import Profile, filter_for
from kaged.core.errors import KagedError

HOME = "/home/agent"
INIT_INSIDE = "/run/kaged/init.py"
"""The cage's init as source, `files.py` beside it; with a `c` at the end as byte code."""
GITCONFIG_INSIDE = "/run/kaged/gitconfig"
UID = GID = 1000
PLACEHOLDER_MODE = 0o1755
"""The sticky bit on a folder that only its owner writes means nothing, so nobody sets it."""

KEPT = {"commondir": b".\n", "config.worktree": b"# kaged\n"}
"""Files of .git that git obeys and would stumble over as folders, by name, with what says nothing to it."""

Mode = Literal["rw", "ro", "hidden"]
MountKind = Literal["rw", "ro", "pin", "hide-dir", "hide-file", "keep-file"]
Home = Literal["ephemeral", "session", "project"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount at `path`, which is the same inside as outside. `pin` is a writable folder bound onto itself: a mount
    point cannot be renamed, so nobody inside can move a folder away to get rid of the protected file in it. `hide-dir`
    and `hide-file` cover what is there, `keep-file` is one of `KEPT`. `placeholder` says that the path is missing
    outside: bubblewrap makes an empty folder of an unusual mode to mount on, unseen by version control; the keeper
    removes it, which can only ever remove an empty folder."""

    kind: MountKind
    path: str
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How much the cage may use; None means no limit. `cpu` counts processors. Memory, open files and file size count
    per process; `disk_bytes` for /home/agent and /tmp each."""

    memory_bytes: int | None
    pids: int
    nofile: int
    fsize_bytes: int
    walltime_s: float
    cpu: float | None = None
    disk_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class CagePlan:
    """A compiled cage policy. `rules` is what the project file asked for, `protect` the patterns that stay read-only,
    `mounts` how both are carried out, in order. `lent` are folders of toolchains. `home_dir` holds, outside, a home
    which is kept."""

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
    net: NetPlan | None = None
    toolchains: tuple[str, ...] = ()
    lent: tuple[str, ...] = ()
    keeps: Home = "ephemeral"
    home_dir: str | None = None

    @property
    def own_bytes(self) -> int:
        """What /home/agent and /tmp hold in memory, each: together never over half of the machine's."""
        return min(self.limits.disk_bytes, self.host.memory_bytes // 4)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Host paths of the empty folders that starting the cage makes, to be removed after its end."""
        return tuple(mount.path for mount in self.mounts if mount.placeholder)

    @property
    def guards(self) -> tuple[str, ...]:
        """Paths that must stay mount points for as long as the cage lives. The kernel detaches one when the file below
        is renamed over or removed outside (an editor's save, `git config`); from then on the path would be writable
        inside."""
        return tuple(mount.path for mount in self.mounts if mount.path != self.root)

    def hash(self) -> str:
        """SHA-256 over the policy, as hex: a plan stays the same when `.envrc` is created. A cage that runs takes
        another network policy as it is, so of `net` only that counts which is built in: whether there is one, whether
        it trusts an authority of its own, and which placeholders it holds."""
        policy = asdict(self)
        del policy["name"], policy["mounts"]
        net = self.net
        policy["net"] = None if net is None else [net.opens_tls, sorted(s.name for s in net.secrets)]
        policy["seccomp"] = hashlib.sha256(filter_for(self.seccomp, self.host.machine)).hexdigest()
        canonical = json.dumps(policy, sort_keys=True, default=sorted)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def words(self) -> str:
        """One line for the operator: `reads and writes this project; reaches nothing; 2 GB per process`."""
        from kaged.cage.words import summary

        return summary(self)

    def explain(self) -> list[str]:
        """What can be read, written, reached, and how much may be used, one thing a line."""
        from kaged.cage.words import explain

        return explain(self)

    def to_wire(self) -> dict[str, Any]:
        """The plan as the keeper takes it: bubblewrap's options, the data they name, limits and network."""
        from kaged.cage.argv import bwrap_options

        if self.keeps != "ephemeral" and self.home_dir is None:
            raise KagedError("unavailable", f"the cage keeps its home by {self.keeps}, and has no folder for it")
        args, data = bwrap_options(self)
        init = INIT_INSIDE + "c" * self.host.bytecode
        return {
            "hash": self.hash(), "args": args, "init": [self.host.python, "-I", "-S", init],
            "data": {name: base64.b64encode(content).decode("ascii") for name, content in data.items()},
            "env": dict(self.env), "workdir": self.workdir, "limits": asdict(self.limits),
            "placeholders": list(self.placeholders), "guards": list(self.guards),
            "net": None if self.net is None else self.net.to_wire(), "home": self.home_dir,
        }  # fmt: skip
