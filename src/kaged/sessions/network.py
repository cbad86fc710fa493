"""What the network gate decided and asks: into the journal and the audit log, and before the operator."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Literal

from kaged.agents.ports import AGENT
from kaged.core import clock, ids
from kaged.core.actors import DAEMON, Actor, Role
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.attention import Questions
from kaged.sessions.ports import SessionPorts
from kaged.sessions.types import Attention, cage_owner

log = logging.getLogger(__name__)

ONCE: Final = "allow once"
SESSION: Final = "allow for this session"
ALWAYS: Final = "always allow"
DENY: Final = "deny"
OPTIONS: Final = (ONCE, SESSION, ALWAYS, DENY)
Verdict = Literal["once", "session", "deny"]
VERDICTS: Final[Mapping[str, Verdict]] = {ONCE: "once", SESSION: "session", ALWAYS: "session", DENY: "deny"}
"""What the gate is told for each answer; what is always allowed is also written down."""

NETWORK_CALL: Final = "network:"  # begins the `call_id` of a question that the network gate asked
TASK: Final = "task:"  # begins the id of the cage of a project's task
BATCH: Final = 200
AGAIN_S: Final = 2.0  # time between two tries to store on a disk that refuses; the keeper holds the events meanwhile

_LATE = {
    "time": "Nobody answered in time, so the connection was refused.",
    "end": "The connection was given up before anybody answered.",
}
_STALE = "kaged was away when this was asked, so the connection was refused."

Frame = Mapping[str, Any]


class NetworkDesk:
    """Stores what the gate tells, once, and carries its questions to the operator and back."""

    def __init__(self, ports: SessionPorts, questions: Questions) -> None:
        self._ports = ports
        self._questions = questions
        self._keeper = ports.keeper
        self._news: asyncio.Queue[Frame] = asyncio.Queue()
        self._keeper.on_network = self._keeper.on_ask = self._keeper.on_ask_done = self._news.put_nowait
        self._asked: dict[str, Attention] = {}
        self._audited: dict[str, int] = {}

    async def serve(self) -> None:
        """Work until cancelled; open questions are refused by the gate itself when this ends."""
        await self._patiently(self._withdraw_stale)
        async with asyncio.TaskGroup() as tasks:
            while True:
                frames = [await self._news.get()]
                while not self._news.empty() and len(frames) < BATCH:
                    frames.append(self._news.get_nowait())
                if told := [frame for frame in frames if frame["ev"] == "network"]:
                    await self._patiently(lambda told=told: self._store(told))  # type: ignore[misc]
                for frame in frames:
                    if frame["ev"] == "ask" and (item := await self._open(frame)) is not None:
                        tasks.create_task(self._question(frame, item))
                    elif frame["ev"] == "ask_done":
                        await self._settled(frame)

    async def _patiently(self, store: Callable[[], Awaitable[object]]) -> object:
        while True:
            try:
                return await store()
            except KagedError as error:
                log.warning("the network's decisions cannot be stored: %s", error.message)
                await asyncio.sleep(AGAIN_S)

    async def _store(self, frames: Sequence[Frame]) -> None:
        for session, group in groupby(sorted(frames, key=_session), key=_session):
            await self._keep(session, list(group))
        self._keeper.network_taken(max(frame["n"] for frame in frames))

    async def _keep(self, session: str, frames: Sequence[Frame]) -> None:
        """The audit log first: what a crash between the two repeats there is better than what it loses."""
        mark = await self._ports.db.read(lambda c: rows.network_mark(c, session))
        if mark is None:  # a cage that belongs to no session: a task's, or the probe's
            for frame in frames if session[: len(TASK)] == TASK else ():
                await self._audit(frame, {"task": session[len(TASK) :]})
            return
        agents = {frame["cage"]: await self._agent(frame["cage"]) for frame in frames}
        fresh = [frame for _, frame in sorted({f["n"]: f for f in frames if f["n"] > mark}.items())]
        for frame in fresh:
            if frame["n"] <= self._audited.get(session, mark):
                continue  # only the journal refused it
            await self._audit(frame, {"session": session, **agents[frame["cage"]]})
            self._audited[session] = frame["n"]
        events = [NewEvent(f"network.{frame['verdict']}", event_data(frame) | agents[frame["cage"]]) for frame in fresh]
        if events:
            last = int(fresh[-1]["n"])
            await self._ports.journal.append(session, events, also=lambda c: rows.set_network_mark(c, session, last))
            self._audited.pop(session, None)

    async def _audit(self, frame: Frame, whose: Mapping[str, str]) -> None:
        verdict, target = frame["verdict"], f"{frame['host'] or 'several hosts'}:{frame['port']}"
        await self._ports.audit.record(DAEMON, f"network.{verdict}", target, verdict, event_data(frame) | {**whose})

    async def _agent(self, cage: str) -> dict[str, str]:
        """Which agent's cage that is, as the journal has it; the run only of a sub-agent."""
        sub = await self._ports.db.read(lambda c: rows.get_sub_run(c, cage_owner(cage)[1]))
        return {"agent": AGENT} if sub is None else {"agent": sub.agent, "run_id": sub.id}

    async def _withdraw_stale(self) -> None:
        for item in await self._ports.db.read(rows.open_questions):
            if item.call_id[: len(NETWORK_CALL)] == NETWORK_CALL:
                await self._questions.withdraw(item, _STALE)

    async def _open(self, frame: Frame) -> Attention | None:
        """Store the gate's question; None when it is refused at once because that is not possible."""
        ask, host, port = str(frame["ask"]), frame["host"], frame["port"]
        async with self._or_deny(ask):
            session, sub_run = cage_owner(str(frame["cage"]))
            found = await self._ports.db.read(lambda c: rows.get_session(c, session))
            run = sub_run or ("" if found.run is None else found.run.id)
            origin = (ids.new_ulid(), found.id, found.project, run, f"{NETWORK_CALL}{ask}")
            question = f"May this cage connect to {host}, port {port}? Its policy does not say."
            about = {"network": {"host": host, "port": port}}
            item = Attention(*origin, "approval_gate", question, OPTIONS, "open", clock.iso(), about=about)
            await self._questions.open(item)
            self._asked[ask] = item
        return self._asked.get(ask)

    @contextlib.asynccontextmanager
    async def _or_deny(self, ask: str) -> AsyncIterator[None]:
        try:
            yield
        except KagedError as error:
            log.warning("the gate's question could not be put, so it is refused: %s", error.message)
            await self._answer(ask, "deny")

    async def _question(self, frame: Frame, item: Attention) -> None:
        ask = str(frame["ask"])
        async with self._or_deny(ask):
            try:
                now = await self._questions.closed(item)
            finally:
                del self._asked[ask]
            answer = now.answer if now.state == "answered" else DENY
            actor = Actor(now.resolved_by or DAEMON.id, "attention", Role.ADMIN)
            if answer == ALWAYS:
                await self._always(item, frame, actor)
            await self._answer(ask, VERDICTS.get(answer or DENY, "deny"))

    async def _answer(self, ask: str, verdict: Verdict) -> None:
        """The gate may have settled it by itself meanwhile, or be gone with the keeper."""
        with contextlib.suppress(KagedError):
            await self._keeper.answer_ask(ask, verdict)

    async def _always(self, item: Attention, frame: Frame, actor: Actor) -> None:
        agent, host, port = (await self._agent(str(frame["cage"])))["agent"], str(frame["host"]), int(frame["port"])
        try:
            await self._ports.projects.allow_host(item.project, host, port, actor, agent)
        except KagedError as error:
            text = f"{host}:{port} is allowed in this session only; it could not be written down: {error.message}"
            event = NewEvent("error", {"code": error.code, "message": text})
            with contextlib.suppress(KagedError):
                await self._ports.journal.append(item.session, [event])

    async def _settled(self, frame: Frame) -> None:
        """The gate has answered by itself: whoever is asked need not answer any more."""
        reason, item = _LATE.get(str(frame["by"])), self._asked.get(str(frame["ask"]))
        if reason is not None and item is not None:
            await self._patiently(lambda: self._questions.withdraw(item, reason))


def event_data(frame: Frame) -> dict[str, Any]:
    """The journal's form of one decision of the gate, without whose cage it was."""
    shared = {key: frame[key] for key in ("host", "port", "via", "rule")}
    keys = ("reason", "count") if frame["verdict"] == "denied" else ("connection", "state", "up", "down", "ms")
    optional = {key: frame[key] for key in ("method", "path") if frame.get(key)}
    if frame["verdict"] == "allowed" and frame["count"] > 1:
        optional["count"] = frame["count"]
    return {**shared, **{key: frame.get(key) for key in keys}, **optional}


def _session(frame: Frame) -> str:
    return cage_owner(str(frame["cage"]))[0]
