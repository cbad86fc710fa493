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
INIT_INSIDE = "/run/kaged/init.py"  # the cage's init, `files.py` beside it; with a `c` at the end as byte code
GITCONFIG_INSIDE = "/run/kaged/gitconfig"
UID = GID = 1000
PLACEHOLDER_MODE = 0o1755  # the sticky bit on a folder that only its owner writes means nothing, so nobody sets it

KEPT = {"commondir": b".\n", "config.worktree": b"# kaged\n"}
"""Files of .git that git obeys and would stumble over as folders, by name, with what says nothing to it."""

Mode = Literal["rw", "ro", "hidden"]
MountKind = Literal["rw", "ro", "pin", "hide-dir", "hide-file", "keep-file"]
Home = Literal["ephemeral", "session", "project"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount at `path`, the same inside as outside. `pin` is a writable folder bound onto itself, which cannot be
    renamed or moved away with the protected file in it. `hide-…` covers what is there, `keep-file` is one of `KEPT`.
    With `placeholder` the path is missing outside: bubblewrap makes an empty folder there, which the keeper removes."""

    kind: MountKind
    path: str
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How much the cage may use; None means no limit. Memory, open files and file size count per process."""

    memory_bytes: int | None
    pids: int
    nofile: int
    fsize_bytes: int
    walltime_s: float
    cpu: float | None = None  # processors
    disk_bytes: int = 2 * 1024**3  # for /home/agent and /tmp each


@dataclass(frozen=True, slots=True)
class CagePlan:
    """A compiled cage policy: `mounts` carries out, in order, the `rules` asked for and the patterns to `protect`."""

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
    lent: tuple[str, ...] = ()  # folders of toolchains
    keeps: Home = "ephemeral"
    home_dir: str | None = None  # outside: where a home that is kept lies

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
        """Paths that must stay mount points: the kernel detaches one when the file below is replaced outside."""
        return tuple(mount.path for mount in self.mounts if mount.path != self.root)

    def hash(self) -> str:
        """SHA-256 over the policy, as hex: the same when `.envrc` is created. A running cage takes another network
        policy, so of `net` only what is built in counts: whether there is one, an authority, and its placeholders."""
        policy = asdict(self)
        del policy["name"], policy["mounts"]
        net = self.net
        policy["net"] = None if net is None else [net.opens_tls, sorted(s.name for s in net.secrets)]
        policy["seccomp"] = hashlib.sha256(filter_for(self.seccomp, self.host.machine)).hexdigest()
        canonical = json.dumps(policy, sort_keys=True, default=sorted)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def words(self) -> str:
        from kaged.cage.words import summary

        return summary(self)

    def explain(self) -> list[str]:
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
