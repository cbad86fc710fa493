"""The client of the keeper: cages, processes and files, as the rest of the daemon sees them."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

from kaged.cage import launch
from kaged.cage.connection import Connection
from kaged.cage.process import Process as Process
from kaged.cage.ring import Ring as Ring
from kaged.cage.ring import Turns
from kaged.core.errors import KagedError
from kaged.core.keeper_stream import Stream
from kaged.core.keeper_wire import WIRE_VERSION, Frame, peer
from kaged.core.keeper_wire import Exit as Exit

ANY: Final = "any"  # `expect_sha256` of a write that replaces whatever is there
MOST_NAMES = 1000


class Plan(Protocol):
    """What the keeper needs of a cage plan."""

    def to_wire(self) -> dict[str, Any]:
        """The plan as the keeper's protocol has it."""


@dataclass(frozen=True, slots=True)
class CageInfo:
    """A cage that is ready; `started_at` in seconds since the epoch."""

    id: str
    plan_hash: str
    started_at: float


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process the keeper knows; `cage` is None for one on the host."""

    id: str
    cage: str | None
    argv: tuple[str, ...]
    pty: bool
    started_at: float
    exit: Exit | None

    @property
    def running(self) -> bool:
        return self.exit is None


@dataclass(frozen=True, slots=True)
class KeeperState:
    pid: int
    version: int
    limits: str  # what holds those of cages: `cgroup v2`, `cgroup v1`, or `rlimits and a look …`
    network: str  # how those of cages are held: `nftables …`, or `routes alone …` and why
    network_lost: int  # events that went because no daemon took them
    program: str  # the folder that it was started from; empty for one of a version that does not say
    cages: tuple[CageInfo, ...]
    processes: tuple[ProcessInfo, ...]
    lost: frozenset[str]  # commands that may have run although they are not in `processes`


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file in a cage. `data` holds at most what was asked for; `size` and `sha256` (empty for anything but a file of
    up to 32 MiB) are those of the whole. `kind` is `other` for what is never opened (FIFOs, devices, sockets)."""

    data: bytes
    size: int
    sha256: str
    mtime_ns: int
    mode: int
    kind: Literal["file", "dir", "missing", "other"]


@dataclass(frozen=True, slots=True)
class FileWrite:
    sha256: str
    size: int
    created: bool


@dataclass(frozen=True, slots=True)
class DirEntry:
    """An entry of a directory; `kind` is `file`, `dir`, `link` (not followed) or `other`."""

    name: str
    kind: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed in a folder since the last one: names of entries; or `lost`: too much, list it again."""

    names: tuple[str, ...]
    lost: bool


class Changes:
    """The changes of one folder, gathered while nobody asks; ends when the folder or its cage is not there any more."""

    def __init__(self, cage_id: str) -> None:
        self.cage_id = cage_id
        self._names: dict[str, None] = {}
        self._lost = self._gone = False
        self._news = asyncio.Event()

    def take(self, names: Iterable[str], *, lost: bool, gone: bool) -> None:
        self._names |= dict.fromkeys(names)
        self._lost |= lost or len(self._names) > MOST_NAMES
        self._gone |= gone
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._news.wait()
        if not self._names and not self._lost:
            raise StopAsyncIteration
        change = Change(() if self._lost else tuple(self._names), self._lost)
        self._names, self._lost = {}, False
        if not self._gone:
            self._news.clear()
        return change


Hook = Callable[[dict[str, Any]], None]


def _hook(kind: str, doc: str) -> Any:
    """A callback for one kind of event; when it is set it hears what came before."""

    def put(client: "KeeperClient", call: Hook) -> None:
        client._hooks[kind] = call
        early = client._early.copy()
        client._early = deque((event for event in early if event["ev"] != kind), early.maxlen)
        for event in early:
            if event["ev"] == kind:
                call(event)

    return property(lambda client: client._hooks.get(kind), put, doc=doc)


class KeeperClient:
    """One connection to the keeper, safe for concurrent callers of one event loop. Every method raises `KagedError`:
    the keeper's refusal in its own words, or `unavailable` once the connection is lost (`closed` is set then, and every
    process has ended as `cage_lost`). Cancelling a call never undoes what the keeper was asked to do."""

    on_network = _hook("network", "Called with each decision of the gate: numbered (`n`), see `network_taken`.")
    on_ask = _hook("ask", "Called with each question for the operator; a new connection hears open ones again.")
    on_ask_done = _hook("ask_done", "Called when a question is settled, by whomever.")

    def __init__(self, sock: socket.socket) -> None:
        self.pid, _ = peer(sock)
        self.memory = ""  # names this life of the keeper; empty for one of a version that does not say
        self.on_cage_gone: Callable[[str, str, str], None] = lambda cage_id, reason, words: None
        """Called with (cage id, reason, last words) when a cage has ended, for whatever reason."""
        self._hooks: dict[str, Hook] = {}
        self._early: deque[dict[str, Any]] = deque(maxlen=20_000)
        self._processes: dict[str, Process] = {}
        self._changes: dict[int, Changes] = {}
        self._refusals: dict[str, list[tuple[str, str]]] = {}
        self._numbers = itertools.count(1)
        self._turns = Turns()
        self._connection = Connection(sock, self._event, self._lost, self._adopt)
        self.closed = self._connection.closed

    @classmethod
    async def connect(cls, socket_path: Path, runtime: Path, *, grace_s: float = 600, start: bool = True) -> Self:
        """Attach to the keeper at `socket_path`, starting it when there is none (and `start`). Raises `KagedError`:
        `conflict` when another daemon is attached or it speaks another version, `unavailable` when there is none."""
        try:
            return await cls._attach(socket_path, runtime, grace_s, start)
        except KagedError as error:
            if error.code != "unavailable" or not start:
                raise
        # Most likely a keeper that is ending: the one started now waits for it.
        return await cls._attach(socket_path, runtime, grace_s, start)

    @classmethod
    async def _attach(cls, socket_path: Path, runtime: Path, grace_s: float, start: bool) -> Self:
        sock = launch.dial(socket_path)
        if sock is None and start:
            await launch.start(socket_path, runtime, grace_s)
            sock = launch.dial(socket_path)
        if sock is None:
            raise KagedError("unavailable", f"no keeper listens at {socket_path}")
        _, uid = peer(sock)
        if uid not in (os.geteuid(), 0):
            sock.close()
            raise KagedError("forbidden", f"the keeper's socket {socket_path} belongs to uid {uid}, not to us")
        client = cls(sock)
        try:
            hello = await client._connection.request("hello", version=WIRE_VERSION, grace=grace_s)
            client.memory = hello.header["ok"].get("memory", "")
        except BaseException:
            client.close()
            raise
        return client

    async def state(self) -> KeeperState:
        fields = await self._ask("state")
        return KeeperState(
            fields["pid"], WIRE_VERSION, fields["limits"], fields["network"], fields["network_lost"],
            fields.get("program", ""), tuple(CageInfo(**cage) for cage in fields["cages"]),
            tuple(map(_info, fields["processes"])), frozenset(fields.get("lost", ())),
        )  # fmt: skip

    async def ensure_cage(self, cage_id: str, plan: Plan, *, secrets: Mapping[str, str] | None = None) -> CageInfo:
        """The cage of that id under that plan, made when needed. One with another plan is replaced when nothing runs in
        it; otherwise `conflict`. Other network rules or `secrets` (name → value; None: as they are) are put in force in
        the running cage. `unavailable`, with bubblewrap's words in `details["stderr"]`, when it cannot be made."""
        given = None if secrets is None else dict(secrets)
        return CageInfo(**await self._ask("ensure_cage", id=cage_id, plan=plan.to_wire(), secrets=given))

    async def drop_cage(self, cage_id: str) -> None:
        """End a cage and all that runs in it; returns when nothing of it is left. Unknown ids are fine."""
        await self._ask("drop_cage", id=cage_id)

    async def answer_ask(self, ask: str, verdict: Literal["once", "session", "deny"]) -> None:
        """The operator's word on a question; `not_found` when it is settled already."""
        await self._ask("answer_ask", ask=ask, verdict=verdict)

    def network_taken(self, upto: int) -> None:
        """All network events up to that number are stored; the keeper forgets them."""
        self._connection.tell("network_taken", upto=upto)

    async def run(
        self, cage_id: str, process_id: str, argv: Sequence[str], *, cwd: str | None = None,
        env: Mapping[str, str] | None = None, stdin: bool = False, pty: tuple[int, int] | None = None,
        walltime_s: float | None = None,
    ) -> Process:  # fmt: skip
        """Start a command, or return what runs (or ran) under `process_id`. `cwd` and `walltime_s` default to the
        plan's (terminals: no limit), `pty` is (columns, rows). `not_found` for an unknown program or folder."""
        given = {"argv": list(argv), "cwd": cwd, "env": dict(env or {}), "stdin": stdin, "pty": pty}
        await self._ask("run", cage=cage_id, id=process_id, walltime_s=walltime_s, **given)
        return self._process(process_id)

    async def run_host(
        self, process_id: str, argv: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None,
        pty: tuple[int, int] | None = None,
    ) -> Process:  # fmt: skip
        """Start a command outside any cage, in a clean environment: only for what an admin switched on."""
        await self._ask("run_host", id=process_id, argv=list(argv), cwd=cwd, env=dict(env or {}), pty=pty, stdin=False)
        return self._process(process_id)

    async def attach(self, process_id: str) -> Process:
        """A process by id, with its output as far as it is kept; `not_found` when there is none."""
        if process_id not in self._processes:
            await self._ask("attach", id=process_id)
        return self._process(process_id)

    async def forget(self, process_id: str) -> None:
        """Drop an ended process and its output; `conflict` while it runs. Unknown ids are fine."""
        if (process := self._processes.get(process_id)) is not None:
            if process.running:
                raise KagedError("conflict", f"process {process_id} still runs: end it before it is forgotten")
            del self._processes[process_id]
            process.close()
        await self._ask("forget", id=process_id)

    async def read_file(self, cage_id: str, path: str, *, max_bytes: int) -> FileRead:
        """Look at a path inside a cage and read up to `max_bytes` (at most 32 MiB) when it is a file."""
        frame = await self._connection.request("read", cage=cage_id, path=path, limit=max_bytes)
        return FileRead(data=frame.payload, **frame.header["ok"])

    async def write_file(
        self, cage_id: str, path: str, data: bytes, *, expect_sha256: str | None = ANY, make_parents: bool = False
    ) -> FileWrite:
        """Replace a file inside a cage in one step, keeping its mode; at most 32 MiB. `expect_sha256` is the hash it
        must have now, None when it must not exist, or `ANY`; otherwise nothing is changed: `conflict`."""
        fields = {"cage": cage_id, "path": path, "expect": expect_sha256, "parents": make_parents}
        frame = await self._connection.request("write", data, **fields)
        return FileWrite(**frame.header["ok"])

    async def list_dir(self, cage_id: str, path: str, limit: int) -> list[DirEntry]:
        """The first `limit` entries of a directory inside a cage, sorted by name."""
        fields = await self._ask("list", cage=cage_id, path=path, limit=limit)
        return [DirEntry(*entry) for entry in fields["entries"]]

    @contextlib.asynccontextmanager
    async def watch(self, cage_id: str, path: str) -> AsyncIterator[Changes]:
        """What changes in a folder of a cage, by name and without what is in its folders, until the block is left. It
        must lie in the working directory, without a link on the way: `forbidden`, `not_found`. At most 256 of them."""
        number = next(self._numbers)
        changes = self._changes[number] = Changes(cage_id)
        try:
            await self._ask("watch", cage=cage_id, path=path, watch=number)
            yield changes
        finally:
            del self._changes[number]
            self._connection.tell("unwatch", cage=cage_id, watch=number)

    @contextlib.contextmanager
    def refusals(self, cage_id: str) -> Iterator[list[tuple[str, str]]]:
        """What the gate refuses a cage until the block is left: hosts and reasons. `on_network` hears it too."""
        refused = self._refusals[cage_id] = list[tuple[str, str]]()
        try:
            yield refused
        finally:
            del self._refusals[cage_id]

    def share(self) -> None:
        """Somebody waits for an answer of this process: output that floods is read in short turns for a second."""
        self._turns.shared(asyncio.get_running_loop().time())

    async def shutdown(self) -> None:
        """End the keeper and everything in it; returns when nothing is left."""
        keeper = os.pidfd_open(self.pid)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(keeper, gone.set)
        try:
            await self._ask("shutdown")
            await self.closed.wait()
            # It hangs up before it exits, and whoever stops kaged expects no process afterwards.
            await gone.wait()
        finally:
            loop.remove_reader(keeper)
            os.close(keeper)

    def close(self) -> None:
        """Detach: everything goes on in the keeper, and its output is kept there."""
        self._connection.close()

    async def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        frame = await self._connection.request(op, **fields)
        answer: dict[str, Any] = frame.header["ok"]
        return answer

    def _process(self, process_id: str) -> Process:
        if process_id not in self._processes:
            raise KagedError("gone", f"process {process_id} was forgotten meanwhile")
        return self._processes[process_id]

    def _adopt(self, frame: Frame) -> None:
        """Take over what came with an answer: from now on this process is the reader of the output."""
        fields = frame.header["ok"]
        if not frame.fds:
            return
        process_id = fields["id"]
        if process_id in self._processes:
            for fd in frame.fds:
                os.close(fd)
            return
        fds = dict(zip(fields["names"], frame.fds, strict=True))
        stage = (fds["stage_read"], fds["stage_write"]) if "stage_read" in fds else None
        stream = Stream(fds["ring"], fds.get("source"), stage, fields["capacity"])
        ring = Ring(stream, lambda: self._drained(process_id), self._turns)
        ends = {"master": os.dup(fds["source"]) if stage else None, "stdin": fds.get("stdin")}
        process = Process(process_id, tuple(fields["argv"]), ring, self._ask, **ends, pty=fields["pty"])
        self._processes[process_id] = process
        if fields["exit"] is not None:
            process.ended(Exit.from_wire(fields["exit"]))

    def _drained(self, process_id: str) -> None:
        self._connection.tell("drained", id=process_id)
        if (process := self._processes.get(process_id)) is not None:
            process.drained()

    def _event(self, fields: dict[str, Any]) -> None:
        kind = fields["ev"]
        if kind in ("network", "ask", "ask_done"):
            if fields.get("verdict") == "denied" and fields["cage"] in self._refusals:
                self._refusals[fields["cage"]].append((fields["host"], fields["reason"]))
            self._hooks[kind](fields) if kind in self._hooks else self._early.append(fields)
        elif kind == "changed":
            if (changes := self._changes.get(fields["watch"])) is not None:
                changes.take(fields["names"], lost=fields["lost"], gone=fields["gone"])
        elif kind == "cage_gone":
            self._no_more_changes(fields["id"])
            self.on_cage_gone(fields["id"], fields["reason"], fields["words"])
        elif (process := self._processes.get(fields["id"])) is not None:
            process.ended(Exit.from_wire(fields["exit"]))

    def _no_more_changes(self, cage_id: str | None) -> None:
        for changes in self._changes.values():
            if cage_id in (None, changes.cage_id):
                changes.take((), lost=False, gone=True)

    def _lost(self) -> None:
        self._no_more_changes(None)
        for process in self._processes.values():
            process.lost()


def _info(fields: dict[str, Any]) -> ProcessInfo:
    exit_ = Exit.from_wire(fields["exit"]) if fields["exit"] else None
    return ProcessInfo(**{**fields, "argv": tuple(fields["argv"]), "exit": exit_})
