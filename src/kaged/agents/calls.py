"""Tool calls: each stored before it starts, run or rejoined, stopped at an interrupt, its result stored."""

import logging
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from kaged.agents.approval import args_hash, clear
from kaged.agents.conversation import LOST, UNKNOWN, Call
from kaged.agents.log import RunLog
from kaged.agents.ports import RunContext
from kaged.agents.stopping import stop_call
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.core import clock
from kaged.core.errors import KagedError, did_you_mean
from kaged.core.events import NewEvent
from kaged.core.tasks import until
from kaged.tools.base import NotStored, Tool, ToolContext, ToolResult, failure
from kaged.tools.delegate import Delegate
from kaged.tools.shell import Shell
from kaged.tools.toolbox import Toolbox

Approved = dict[str, Any] | None
log_ = logging.getLogger(__name__)
STOPPED = "The operator stopped this."
KEEPER_LOST = "The keeper ended, and with it every cage and command."


class Calls:
    def __init__(self, run: RunContext, log: RunLog, toolbox: Toolbox, audit: Audit, *, output_chars: int) -> None:
        self._run = run
        self._log = log
        self._toolbox = toolbox
        self._audit = audit
        self._output_chars = output_chars
        self._enabled = frozenset(run.prepared.agent.enabled_tools())

    async def settle(self, call: Call) -> list[str]:
        """Give a call its result; says in words what an interrupt stopped on the way. A call begun before is rejoined,
        repeated where harmless, begun where it never was; else nobody knows. Cancelling leaves its command running."""
        tool = self._toolbox.get(call.part.tool) if call.part.tool in self._enabled else None
        if tool is None:
            await self._deny(call, self._unknown(call.part.tool))
            return []
        ctx = self._context(call)
        if call.started_at is not None and not await never_began(self._run.cage.client, call):
            async with self._step(call, tool):
                return await self._finish(call, tool, tool.rejoin(ctx, call.part.args))
        async with until(self._run.interrupt, clear(self._run, call, tool, ctx)) as clearing:
            if not clearing.done():
                return await self._run.attention.withdraw(STOPPED)
            approved = clearing.result()
        if isinstance(approved, str):
            await self._deny(call, approved)
            return []
        async with self._step(call, tool):
            return await self._start(call, tool, ctx, approved)

    def _step(self, call: Call, tool: Tool[Any]) -> AbstractAsyncContextManager[None]:
        """Around what a call does to files only: while it waits for an approval, others may change them."""
        changes = tool.changes_files and not tool.read_only
        return self._run.checkpoints.step(call) if changes and self._run.checkpoints is not None else nullcontext()

    async def _start(self, call: Call, tool: Tool[Any], ctx: ToolContext, approved: Approved) -> list[str]:
        hashed = {"args_sha256": args_hash(call)}
        await self._audited(call, "tool.call", "allowed", hashed | ({"approved": approved} if approved else {}))
        part = call.part
        if call.started_at is None:
            about = {"message_id": call.message_id, "tool": part.tool, "args": part.args}
            start = self._event("tool.call", call, **about, keeper=self._run.cage.client.memory)
            await self._log.commit(*[self._event("tool.approved", call, **approved)] if approved else [], start)
        if part.args_error is not None:
            problem = f"The arguments could not be read: {part.args_error}. Nothing was done."
            await self._store(call, failure(problem, reason="bad_arguments"))
            return []
        return await self._finish(call, tool, tool.run(ctx, part.args))

    async def follow(self, call: Call) -> None:
        """Go on with a command that outlived a crash; the call of one that the keeper forgot is left open."""
        tool = self._toolbox.get(call.part.tool)
        if tool is None or tool.read_only or tool.name == Delegate.name:
            return
        if (result := await tool.rejoin(self._context(call), call.part.args)) is not None:
            await self._store(call, result)

    async def _finish(self, call: Call, tool: Tool[Any], work: Coroutine[Any, Any, ToolResult | None]) -> list[str]:
        async with until(self._run.interrupt, self._guarded(call, tool, work)) as task:
            if task.done():
                await self._store(call, task.result())
                return []
            words = await self._run.agents.stop(call.id)
            words += await self._run.attention.withdraw(STOPPED)
            words += await stop_call(self._run.cage, task)
            result = task.result() if task.done() else failure(STOPPED)
        if not result.ok or result.detail.get("reason") == "killed":
            text = result.output if STOPPED in result.output else f"{result.output}\n[{STOPPED}]"
            result = replace(result, ok=False, output=text, detail={**result.detail, "reason": "interrupted"})
        await self._store(call, result)
        return words or [f"the tool `{tool.name}`"]

    async def _guarded(self, call: Call, tool: Tool[Any], work: Coroutine[Any, Any, ToolResult | None]) -> ToolResult:
        # A refusal is a result; a crash of the tool is our bug: logged, told, and the loop goes on.
        try:
            result = await work
            same = call.keeper in ("", self._run.cage.client.memory)
            return failure(UNKNOWN if same else LOST, reason="unknown") if result is None else result
        except KagedError as error:
            return failure(error.message, reason=error.code)
        except NotStored:
            raise
        except Exception as crash:
            log_.exception("the tool %s crashed: %r", tool.name, crash)
            text = f"Internal error: the tool {tool.name} failed in a way that kaged did not expect; "
            text += "the log of the daemon has the details. It may or may not have had an effect."
            return failure(text, reason="internal")

    def _context(self, call: Call) -> ToolContext:
        async def emit(text: str, offset: int, end: int) -> None:
            try:
                await self._commit("tool.output", call, offset=offset, text=text, end=end)
            except KagedError as error:
                raise NotStored(error) from error

        run, ledger = self._run, self._log.conversation.ledger
        delegate = partial(run.agents.delegate, run, call.id)
        limits = self._output_chars, call.output_end
        return ToolContext(run.cage, call.id, emit, run.attention, delegate, ledger, *limits, run.rest)

    def _event(self, kind: str, call: Call, **data: Any) -> NewEvent:
        return NewEvent(kind, {"run_id": call.run_id, "call_id": call.id, **data})

    async def _commit(self, kind: str, call: Call, **data: Any) -> None:
        await self._log.commit(self._event(kind, call, **data))

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._enabled)) or "none"
        if name in self._toolbox.names:
            return f"The tool `{name}` is switched off in this project; the tools here are: {known}."
        return f"There is no tool `{name}`{did_you_mean(name, self._enabled)}. The tools here are: {known}."

    async def _deny(self, call: Call, reason: str) -> None:
        await self._audited(call, "tool.call", "denied", {"args_sha256": args_hash(call), "reason": reason})
        await self._commit("tool.denied", call, tool=call.part.tool, reason=reason)

    async def _store(self, call: Call, result: ToolResult) -> None:
        if not result.ok and self._run.cage.client.closed.is_set():
            # Not the call failed: everything is gone. The run stays where it is, to be resumed.
            raise KagedError("unavailable", KEEPER_LOST)
        shown = {"tool": call.part.tool, "ok": result.ok, "output": result.output}
        began = call.started_at
        took = 0 if began is None else max(0, clock.now_ms() - int(datetime.fromisoformat(began).timestamp() * 1000))
        await self._commit("tool.result", call, **shown, duration_ms=took, detail={**result.detail})
        outcome = {key: result.detail[key] for key in ("exit_code", "reason", "path") if key in result.detail}
        await self._audited(call, "tool.result", "ok" if result.ok else "failed", outcome)
        for process_id in result.release:  # stored, so the keeper may drop its output
            try:
                await self._run.cage.client.forget(process_id)
            except KagedError as error:
                log_.info("the output of %s stays with the keeper: %s", process_id, error.message)

    async def _audited(self, call: Call, action: str, outcome: Any, more: dict[str, Any]) -> None:
        run = self._run
        place = {"project": run.prepared.project.slug, "session": run.session, "run": run.run_id, "agent": run.agent}
        await self._audit.record(run.actor, action, call.id, outcome, place | {"tool": call.part.tool} | more)


async def never_began(keeper: KeeperClient, call: Call) -> bool:
    """Whether a call whose start is stored has started nothing: the keeper of that time would know its command."""
    starts = call.part.tool == Shell.name and call.part.args.get("job") is None
    if not starts or call.output_end or call.keeper != (keeper.memory or None):
        return False
    state = await keeper.state()
    return call.id not in state.lost.union(process.id for process in state.processes)
