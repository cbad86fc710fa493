"""The trial: a project with something around it to be reached, and the surroundings attacks are tried in."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kaged import attacks
from kaged.attacks.ways import CAGE, NAMESPACE, NO_FILTER, Facts, status
from kaged.cage.compile import account_home, compile_plan
from kaged.cage.host import host_facts
from kaged.cage.plan import CagePlan, Mount
from kaged.cage.seccomp import NUMBERS, number
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec, Limits

TIME_LIMIT_S = 60.0
_ADDRESSES = {
    "tcp4": (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, "::1"),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
}
_NAMESPACE = (
    *(f"--unshare-{name}" for name in ("user", "net", "uts", "ipc", "pid")),
    *("--uid", "0", "--gid", "0", "--cap-add", "ALL", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
)


@dataclass(frozen=True, slots=True)
class Weakened:
    """A plan without one of its protections: what shows that an attack can succeed."""

    plan: CagePlan
    where: str

    def to_wire(self) -> dict[str, Any]:
        if self.where == NO_FILTER:
            wire = self.plan.to_wire()
            return {**wire, "args": _without(wire["args"], "--seccomp")}
        wire = replace(self.plan, mounts=(Mount("rw", self.plan.root),)).to_wire()
        return {**wire, "args": [*_without(wire["args"], "--remount-ro", "--size"), "--tmpfs", "/usr/share"]}


def _without(args: Sequence[Any], *options: str) -> list[Any]:
    rest = iter(args)
    return [arg for arg in rest if arg not in options or (next(rest), False)[1]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A trial project in `base`; `facts` is what attacks in the real cage are told."""

    base: Path
    project: Path
    facts: Facts
    leak: int

    def plan(self) -> CagePlan:
        """The default policy, with a home that is soon full."""
        return compile_plan(CageSpec(limits=Limits(disk=256 << 20)), self.project, name="probe", environ={})

    def told(self, where: str) -> dict[str, Any]:
        """The facts for other surroundings: nothing that does not belong to the trial is touched there."""
        facts = {**asdict(self.facts), "where": where}
        if where == CAGE:
            return facts
        own = {"hosts": self.facts.hosts[:1], "sockets": self.facts.sockets[:2]}
        return {**facts, **own, "inits": [self.facts.victim]}

    async def run_outside(self, where: str, argv: Sequence[str], plan: CagePlan, given: bytes) -> bytes:
        """What a command said without a cage; raises `KagedError` with its complaints when it failed."""
        own = (plan.host.bwrap, *_NAMESPACE, "--bind", str(self.base), str(self.base), "--")
        process = await asyncio.create_subprocess_exec(
            *(own if where == NAMESPACE else ()), *("timeout", str(TIME_LIMIT_S)), *argv, cwd=self.project,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[self.leak],
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "KAGED_PROBE": "a secret"},
        )  # fmt: skip
        out, err = await process.communicate(given)
        if process.returncode:
            stderr = err.decode("utf-8", "replace")
            raise KagedError("unavailable", f"it ended with {process.returncode}", {"stderr": stderr})
        return out


@contextlib.contextmanager
def stage(place: Path | None, keeper: int) -> Iterator[Stage]:
    """A stage below `place`, taken down afterwards; `keeper` is the keeper's process."""
    base = Path(tempfile.mkdtemp(prefix="kaged-probe-", dir=place)).resolve()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, base, ignore_errors=True)
        project, secret, leak = base / "project", base / "secret", base / "leak"
        for name in (".kaged/project.yaml", ".git/config", ".git/hooks/sample", "plain"):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text("as it was\n")
        shutil.copytree(Path(attacks.__file__).parent, project / "attacks", ignore=lambda *_: ["__pycache__"])
        secret.write_text("nobody inside may read this")
        abstract = "\0kaged-probe-" + secrets.token_hex(8)
        for address in (abstract, str(base / "s")):
            _listen(cleanup, socket.AF_UNIX, socket.SOCK_STREAM, address)
        mark = str(secrets.randbelow(10**8) + 10**8)
        null = subprocess.DEVNULL
        # It waits at a pipe, so that it ends with us even when we are killed; a shell, so that its mark can be seen.
        waits = ["sh", "-c", "read _ || :", "victim", mark]
        victim = cleanup.enter_context(subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=null))
        cleanup.callback(victim.kill)
        kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
        machine = os.uname().machine
        facts = Facts(
            where=CAGE, secret=str(secret), homes=_private(base), machine=machine, hosts=["127.0.0.1", "192.0.2.1"],
            numbers={name: number(name, machine) for name in NUMBERS},  # type: ignore[arg-type]
            ports=_ports(cleanup), sockets=[abstract, str(base / "s"), *_servers()], inits=[1], victim=victim.pid,
            namespaces={kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds},
            keeper=keeper, mark=mark, capabilities=status("CapEff"),
        )  # fmt: skip
        yield Stage(base, project, facts, cleanup.enter_context(leak.open("w")).fileno())


def _ports(cleanup: contextlib.ExitStack) -> dict[str, int]:
    ports = dict.fromkeys(_ADDRESSES, 0)
    for name, (family, kind, host) in _ADDRESSES.items():
        with contextlib.suppress(OSError):
            ports[name] = _listen(cleanup, family, kind, (host, 0)).getsockname()[1]
    return ports


def _listen(cleanup: contextlib.ExitStack, family: int, kind: int, address: Any) -> socket.socket:
    listener = cleanup.enter_context(socket.socket(family, kind))
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen(8)
    return listener


def _private(base: Path) -> list[str]:
    """What is in the account's home, and other places; not what leads to something that a cage shows."""
    prefix = host_facts().python_prefix
    shown = (base, *((Path(prefix),) if prefix else ()))
    paths = [entry for home in account_home() if os.access(home, os.R_OK) for entry in home.iterdir()]
    paths += map(Path, ("/root", "/boot", "/var/log", "/srv"))
    return [str(path) for path in paths if not any(kept.is_relative_to(path) for kept in shown)]


def _servers() -> list[str]:
    """Every socket of the machine that has a path: the keeper's and the daemon's are among them."""
    rows = (row.split() for row in Path("/proc/net/unix").read_text().splitlines())
    return sorted({row[7] for row in rows if len(row) == 8 and row[7][:1] == "/"})
