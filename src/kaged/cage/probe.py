"""Proves the cage on this machine: starts a real one and tries, from inside, what must not work."""

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kaged.cage.advice import explain_bwrap_failure
from kaged.cage.client import KeeperClient
from kaged.cage.compile import account_home, compile_plan
from kaged.cage.plan import CagePlan
from kaged.cage.seccomp import NUMBERS, number
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid
from kaged.projects.cage_spec import CageSpec

GATE_TRIES = {
    "project_is_usable": "the project can be read and written",
    "files_outside": "no file outside the project is visible",
    "protected_files": "protected files cannot be changed, moved or made",
    "system_is_read_only": "the system is read-only",
    "network": "no network",
    "sockets_of_the_host": "no socket of this machine",
    "processes_of_the_host": "no process of this machine",
    "environment": "nothing of the daemon's environment",
    "mounts_and_namespaces": "no mounts and no namespaces",
    "other_processes_memory": "no access to other processes' memory",
    "terminal_injection": "no injection into terminals",
    "kernel_interfaces": "no dangerous kernel interface",
    "privileges": "no capabilities",
    "set_user_id": "no set-user-id files",
    "descriptors": "no descriptor of the daemon",
}
"""What the start gate asks: the prober's methods and what each one proves."""

ATTACK_TRIES = {
    "ways_around_paths": "no way around the paths",
    "devices": "no devices",
    "kernel_switches": "no kernel switches",
    "raising_limits": "limits cannot be raised",
    "a_cage_in_the_cage": "no cage inside the cage",
    "becoming_root": "nobody becomes root",
    "datagrams_and_names": "no datagrams and no names",
}
"""What `kaged doctor --attacks` asks in addition."""

_FIX = (
    "do not run agents on this machine; update the kernel and bubblewrap, then run `kaged doctor --attacks`"
)
_GREED = {
    "memory is limited": "x = bytearray(400 << 20); print('took it all', flush=True)",
    "processes are limited": """import os, time
for n in range(200):
    if os.fork() == 0: time.sleep(30); os._exit(0)
time.sleep(5)
print('took it all', flush=True)""",
}
"""What `kaged doctor --attacks` lets a cage with small limits run."""

_TIME_LIMIT_S = 60.0
_OUTPUT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `fix` says what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All checks, in order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the cage held everywhere."""
        return all(check.ok for check in self.checks)


async def probe(client: KeeperClient, *, attacks: bool = False, place: Path | None = None) -> ProbeReport:
    """Start a cage through `client`, run the prober in it, and end it.

    `attacks` adds the larger set (a few seconds). `place` is where the trial project is made (default: the
    folder for temporary files). Never raises for a cage that fails: that is what the report says.
    """
    with _stage(place) as stage:
        before = _snapshot(stage.project)
        checks = await _start(client, stage, attacks=attacks)
        if attacks and all(check.ok for check in checks):
            checks += [*await _limits(client, stage.plan()), await _leftovers(client, stage.plan())]
        changed = {name for name, _ in before.items() ^ _snapshot(stage.project).items()}
    finding = f"changed or left over: {', '.join(sorted(changed))}" if changed else None
    return ProbeReport((*checks, _judged("the project is left as it was", finding)))


@dataclass(frozen=True, slots=True)
class _Stage:
    """The trial project and what lies around it, waiting to be reached."""

    project: Path
    secret: Path
    unix: socket.socket
    abstract: socket.socket
    tcp: socket.socket

    def plan(self) -> CagePlan:
        """The default policy."""
        return compile_plan(CageSpec(), self.project, name="probe", environ={})

    def given(self, plan: CagePlan, tries: Iterable[str]) -> str:
        """What the prober is told."""
        homes = [home / name for home in account_home() for name in (".ssh", ".bashrc", ".config")]
        outside = [self.secret, *homes, "/etc/shadow", "/boot", "/sys/kernel", "/var/log"]
        kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
        facts: dict[str, Any] = {
            "tries": list(tries),
            "numbers": {name: number(name, plan.host.machine) for name in NUMBERS},
            "project": str(self.project),
            "outside": [str(path) for path in outside],
            "port": self.tcp.getsockname()[1],
            "socket": self.unix.getsockname(),
            "abstract": self.abstract.getsockname()[1:].decode(),
            "namespaces": {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds},
        }
        return json.dumps(facts)


@contextlib.contextmanager
def _stage(place: Path | None) -> Iterator[_Stage]:
    base = Path(tempfile.mkdtemp(prefix="kaged-probe-", dir=place)).resolve()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, base, ignore_errors=True)
        project, secret = base / "project", base / "secret"
        for name in (".kaged/project.yaml", ".git/config", ".git/hooks/sample", "plain"):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text("as it was\n")
        secret.write_text("nobody inside may read this")
        addresses = ("\0kaged-probe-" + secrets.token_hex(8), str(base / "s"))
        abstract, unix = (_listen(cleanup, socket.AF_UNIX, address) for address in addresses)
        tcp = _listen(cleanup, socket.AF_INET, ("127.0.0.1", 0))
        yield _Stage(project, secret, unix, abstract, tcp)


def _listen(cleanup: contextlib.ExitStack, family: int, address: Any) -> socket.socket:
    listener = cleanup.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listener.bind(address)
    listener.listen(8)
    return listener


def _snapshot(folder: Path) -> dict[str, bytes]:
    """Everything below a folder by name; files with their content."""
    paths = folder.rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


async def _start(client: KeeperClient, stage: _Stage, *, attacks: bool) -> list[Check]:
    """A cage with the default policy, and what the prober finds in it."""
    name = "a cage can be made"
    tries = {**GATE_TRIES, **(ATTACK_TRIES if attacks else {})}
    code = Path(__file__).with_name("prober.py").read_text(encoding="utf-8")
    try:
        plan = stage.plan()
        output = await _run(client, plan, "-c", code, stage.given(plan, tries))
    except KagedError as error:
        stderr = str((error.details or {}).get("stderr", "")) or error.message
        problem, fix = explain_bwrap_failure(stderr)
        return [Check(name, False, f"{problem} ({error.message})", fix)]
    checks = [Check(name, True, f"bubblewrap at {plan.host.bwrap}, filter {plan.seccomp}")]
    try:
        found = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        said = output[-2000:].decode("utf-8", "replace") or "nothing"
        return [*checks, Check("the prober runs inside", False, f"it said: {said}", _FIX)]
    return checks + [_judged(words, found.get(method, "was not tried")) for method, words in tries.items()]


def _judged(words: str, finding: str | None) -> Check:
    return Check(words, True, "held") if finding is None else Check(words, False, finding, _FIX)


@contextlib.asynccontextmanager
async def _cage(client: KeeperClient, plan: CagePlan) -> AsyncIterator[str]:
    cage = f"probe-{new_ulid()}"
    await client.ensure_cage(cage, plan)
    try:
        yield cage
    finally:
        await client.drop_cage(cage)


async def _run(client: KeeperClient, plan: CagePlan, *arguments: str) -> bytes:
    """Everything that Python, run in a cage of its own, said until it ended."""
    async with _cage(client, plan) as cage:
        argv = [plan.host.python, "-I", "-S", *arguments]
        process = await client.run(cage, f"{cage}-try", argv, walltime_s=_TIME_LIMIT_S)
        try:
            await process.wait()
            return process.stream.read(0, _OUTPUT_LIMIT)[1]
        finally:
            await client.forget(process.id)


async def _limits(client: KeeperClient, plan: CagePlan) -> list[Check]:
    """Memory and processes, with limits small enough to be met at once."""
    small = replace(plan, limits=replace(plan.limits, memory_bytes=96 * 1024**2, pids=32))
    checks = []
    for words, script in _GREED.items():
        taken = b"took it all" in await _run(client, small, "-c", script)
        checks.append(_judged(words, "it got what it asked for" if taken else None))
    return checks


async def _leftovers(client: KeeperClient, plan: CagePlan) -> Check:
    """What a command left behind in every way there is must be gone with the cage."""
    mark = str(secrets.randbelow(10**8) + 10**8)
    script = f"""trap '' TERM HUP
        setsid nohup sleep {mark} >/dev/null 2>&1 &
        (sleep {mark} &)
        echo started"""
    async with _cage(client, plan) as cage:
        process = await client.run(cage, f"{cage}-try", ["/bin/sh", "-c", script])
        await process.stream.wait_past(0)
        await process.signal(signal.SIGTERM, tree=False)
        started = await asyncio.to_thread(_sleepers, mark)
    await process.wait()
    await client.forget(process.id)
    left = await asyncio.to_thread(_sleepers, mark)
    finding = f"still running: {left}" if left else None
    return _judged("nothing survives the cage", finding if started else "nothing could be started")


def _sleepers(mark: str) -> list[str]:
    """Live processes of this machine with `mark` as their last argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[-2:-1] == [mark.encode()]:
                found.append(path.parent.name)
    return found
