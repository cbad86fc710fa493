"""A whole house without front door: real storage, keeper, cages and projects, and a model made of scripts."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from kaged.agents.runner import AgentRunner
from kaged.audit.log import Audit
from kaged.cage.cages import Cages
from kaged.cage.client import KeeperClient
from kaged.core.actors import Actor, Role
from kaged.core.events import SHAPES, Event, Part, TextPart, ToolCallPart
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.models.types import Delta, Emit, Finished, ModelEvent, ModelRequest, Provider, Usage
from kaged.projects.service import Project, Projects
from kaged.sessions.ports import SessionPorts, Workspace
from kaged.sessions.service import Sessions
from kaged.settings.config import Flags, load
from kaged.settings.local import Local, LocalFile
from kaged.settings.model import Limits
from kaged.storage.database import Database
from kaged.tools.toolbox import Toolbox
from kaged.workspace.files import Files
from kaged.workspace.snapshots import Snapshots
from kaged.workspace.worktrees import Worktrees

COMES_S = 30.0  # far longer than anything takes here
ME = Actor("local", "loopback", Role.ADMIN)
PROJECT = """\
version: 1
project: demo
primary:
  model: offline
  system_prompt: config:/prompts/main.md
"""

Answer = Callable[[ModelRequest], AsyncGenerator[ModelEvent | Finished, None]]


def says(*pieces: str, stop: Any = "end") -> Answer:
    """An answer of text, piece by piece."""

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        for piece in pieces:
            yield Delta(0, "text", piece)
            await asyncio.sleep(0)
        yield Usage(10, len(pieces))
        yield Finished([TextPart("".join(pieces))], stop)

    return answer


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "", ids: Sequence[str] = ()) -> Answer:
    """An answer that calls tools."""

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        parts: list[Part] = [TextPart(text)] if text else []
        if text:
            yield Delta(0, "text", text)
        for number, (tool, args) in enumerate(wanted):
            call_id = ids[number] if ids else f"call_{number}"
            yield Delta(len(parts), "tool_args", "", tool)
            yield Delta(len(parts), "tool_args", "{}")
            parts.append(ToolCallPart(call_id, tool, args))
        yield Usage(10, 5)
        yield Finished(parts, "tools")

    return answer


def streams(started: asyncio.Event, *pieces: str) -> Answer:
    """Text that never ends; `started` is set once its pieces are on the way."""

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        for piece in pieces:
            yield Delta(0, "text", piece)
        started.set()
        await asyncio.Event().wait()

    return answer


@dataclass
class Script:
    """A provider that gives one prepared answer after the other."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[ModelRequest] = field(default_factory=list)
    closed: int = 0
    name: str = "offline"
    prices: dict[int, float] = field(default_factory=dict)  # Of a call, by its input tokens

    def add(self, *answers: Answer) -> None:
        self.answers += answers

    def cost(self, usage: Usage, model: str) -> float | None:
        return self.prices.get(usage.input)

    async def ask(self, request: ModelRequest, emit: Emit) -> Finished:
        self.requests.append(request)
        answer = self.answers.pop(0)
        try:
            async with contextlib.aclosing(answer(request)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        return event
                    emit(event)
            raise AssertionError("the answer has no end")
        finally:
            self.closed += 1


@dataclass
class AuditList:
    """Records kept in memory."""

    records: list[tuple[str, str, str, str, dict[str, Any]]] = field(default_factory=list)

    async def record(self, actor: Actor, action: str, object: str, outcome: Any, details: Any) -> None:  # noqa: A002
        self.records.append((actor.id, action, object, outcome, dict(details)))

    def actions(self) -> list[str]:
        return [record[1] for record in self.records]


@dataclass
class House:
    """One daemon's worth of services; `restart` makes them anew on the same home with the same keeper."""

    home: Path
    runtime: Path
    project_dir: Path
    script: Script = field(default_factory=Script)
    offline: Provider | None = None
    audit: AuditList = field(default_factory=AuditList)
    sleeps: list[float] = field(default_factory=list)
    git: bool = False
    """Whether checkpoints are made."""

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        environ = {"KAGED_CONFIG_DIR": str(self.home / "config"), "XDG_DATA_HOME": str(self.home / "data")}
        environ |= {"XDG_RUNTIME_DIR": str(self.runtime), "KAGED_MODE": "user", "HOME": str(self.home)}
        loaded = load(flags=Flags(), environ=environ)
        loaded.paths.home.mkdir(parents=True, exist_ok=True)
        self.db = await Database.open(self.home / "kaged.db")
        self._stack.push_async_callback(self.db.close)
        self.journal = Journal(self.db)
        self.keeper = await KeeperClient.connect(self.runtime / "keeper.sock", self.runtime, grace_s=60)
        self._stack.callback(self.keeper.close)
        self.projects = Projects(self.db, loaded)
        self.models = Models(lambda: Local(), {}, offline=self.offline or self.script)
        self._stack.push_async_callback(self.models.aclose)
        self.runner = AgentRunner(
            self.journal, self.models, Toolbox(), self.audit, sleep=self._sleep, jitter=lambda: 0.0
        )
        workspace = None
        if self.git:
            self.snapshots = Snapshots(self.keeper, loaded.paths.snapshots)
            await self._stack.enter_async_context(self.snapshots)
            worktrees, audit = Worktrees(self.keeper, loaded.paths.worktrees), cast("Audit", self.audit)
            files = Files(self.snapshots, worktrees, audit)
            workspace = Workspace(self.snapshots, worktrees, files)
            await workspace.worktrees.settle()
        self.ports = SessionPorts(
            db=self.db,
            journal=self.journal,
            projects=self.projects,
            models=self.models,
            runner=self.runner,
            keeper=self.keeper,
            cages=Cages(loaded, {}, LocalFile(loaded.paths.local_file)),
            audit=self.audit,  # type: ignore[arg-type]
            limits=loaded.config.limits,
            workspace=workspace,
        )
        self.sessions = Sessions(self.ports)
        await self._stack.enter_async_context(self.sessions)
        self.project = await self.load_project()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The daemon's services are gone inside the block and made anew after it; the keeper goes on."""
        await self._stack.aclose()
        yield
        await self.__aenter__()

    async def restart(self) -> None:
        """As if the daemon had been killed and started again."""
        async with self.away():
            pass

    async def load_project(self) -> Project:
        prompt = self.project_dir / ".kaged" / "prompts" / "main.md"
        if not prompt.exists():
            prompt.parent.mkdir(parents=True)
            prompt.write_text("Be useful.\n")
            (self.project_dir / ".kaged" / "project.yaml").write_text(PROJECT)
        return await self.projects.load(self.project_dir, actor=ME, trust=True)

    async def session(self) -> str:
        made = (await self.sessions.create("demo", actor=ME)).id
        assert self.audit.records.pop()[1] == "session.create"  # Tests look at what comes after it
        return made

    async def events(self, session: str, *types: str) -> list[Event]:
        found = await self.journal.read(session, limit=100_000)
        return [event for event in found if not types or event.type in types]

    async def check_shapes(self) -> None:
        """Every event that any test makes has exactly the keys its type promises, without gaps in numbers."""
        known = await self.db.read(lambda c: [row[0] for row in c.execute("SELECT id FROM sessions")])
        for session in known:
            events = await self.events(session)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            for event in events:
                keys = set(event.data) - ({"folded"} if event.type == "message.delta" else set())
                required = {key for key in SHAPES[event.type] if not key.endswith("?")}
                allowed = {key.removesuffix("?") for key in SHAPES[event.type]}
                assert required <= keys <= allowed, (event.type, event.data)

    async def until(self, session: str, type_: str, count: int = 1, *, before: str = "", **data: object) -> Event:
        """The `count`th event of a type with that in its data. An event that must come does so in `COMES_S`, and before
        one of the type `before`."""
        seen: list[str] = []
        try:
            async with asyncio.timeout(COMES_S), self.journal.subscribe(f"session:{session}", 0) as subscription:
                async for event in subscription:
                    if not isinstance(event, Event):
                        continue
                    seen.append(event.type)
                    if event.type == before:
                        break
                    count -= event.type == type_ and event.data | data == event.data
                    if not count:
                        return event
        except TimeoutError:
            pass
        raise AssertionError(f"no (further) {type_} {data or ''} came; there were: {', '.join(seen)}")

    async def say(self, session: str, text: str, *answers: Answer) -> Event:
        """A message, and the end of its run."""
        self.script.add(*answers)
        started = await self.sessions.post_message(session, text, actor=ME)
        return await self.ended(session, started.run_id)

    async def ended(self, session: str, run_id: str) -> Event:
        return await self.until(session, "run.ended", run_id=run_id)


def limited(house: House, **limits: int) -> None:
    """The house's limits from now on."""
    object.__setattr__(house.ports, "limits", Limits(**{"runs_per_project": 100, "runs_per_user": 100} | limits))


@contextlib.asynccontextmanager
async def house_in(
    tmp_path: Path, runtime: Path, offline: Provider | None = None, *, git: bool = False
) -> AsyncIterator[House]:
    """A house whose keeper is ended with it; `offline` takes the place of its script."""
    project = tmp_path / "demo"
    project.mkdir()
    house = House(tmp_path / "home", runtime, project, git=git, offline=offline)
    house.home.mkdir()
    pid = None
    try:
        async with house:
            pid = house.keeper.pid
            yield house
            await house.check_shapes()
            if not house.keeper.closed.is_set():
                await house.keeper.shutdown()
                pid = None
    finally:
        if pid is not None and not house.keeper.closed.is_set():  # else its number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
