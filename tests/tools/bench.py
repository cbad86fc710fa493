"""One tool call after the other in a real cage, without sessions."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.projects.cage_spec import CageSpec
from kaged.tools.base import CageSession, Findings, ToolContext, ToolResult, Withdrawn
from kaged.tools.ledger import Ledger
from kaged.tools.toolbox import Toolbox


@dataclass
class Answers:
    """An operator who answers at once."""

    answer: str | None = "yes"
    asked: list[tuple[str, str, list[str]]] = field(default_factory=list)

    async def ask(self, call_id: str, question: str, options: Sequence[str], *, kind: str = "ask") -> str:
        self.asked.append((call_id, question, list(options)))
        if self.answer is None:
            raise Withdrawn("The operator left.")
        return self.answer


@dataclass
class Bench:
    """A cage, its ledgers, and what was emitted."""

    root: Path
    cage: CageSession
    ledger: Ledger = field(default_factory=Ledger)
    answers: Answers = field(default_factory=Answers)
    emitted: list[tuple[str, int, int]] = field(default_factory=list)
    box: Toolbox = field(default_factory=Toolbox)
    _ids: Any = field(default_factory=lambda: (f"call{n}" for n in itertools.count(1)))

    async def _emit(self, text: str, offset: int, end: int) -> None:
        self.emitted.append((text, offset, end))

    @property
    def live(self) -> str:
        return "".join(text for text, _, _ in self.emitted)

    async def _delegate(self, agent: str, task: str) -> Findings:
        raise AssertionError("no tool of this test delegates")

    def context(self, call_id: str | None = None, **more: Any) -> ToolContext:
        return ToolContext(
            cage=self.cage,
            call_id=call_id or next(self._ids),
            emit=self._emit,
            attention=self.answers,
            ledger=self.ledger,
            **{"delegate": self._delegate} | more,
        )

    async def run(self, tool: str, *, ctx: ToolContext | None = None, **args: Any) -> ToolResult:
        """Run a tool as the loop would: the ledgers learn, released processes are forgotten."""
        found = self.box.get(tool)
        assert found is not None
        result = await found.run(ctx or self.context(), args)
        self.ledger.apply(tool, result.ok, result.detail)
        for process_id in result.release:
            await self.cage.client.forget(process_id)
        return result

    async def rejoin(self, tool: str, ctx: ToolContext, **args: Any) -> ToolResult | None:
        found = self.box.get(tool)
        assert found is not None
        return await found.rejoin(ctx, args)


@asynccontextmanager
async def bench_in(root: Path, runtime: Path, **spec: Any) -> AsyncIterator[Bench]:
    plan = compile_plan(CageSpec.model_validate(spec), root, name="bench", environ={})
    client = await KeeperClient.connect(runtime / "keeper.sock", runtime, grace_s=30)
    try:
        await client.ensure_cage("cage", plan)
        yield Bench(root, CageSession("cage", client, plan.root, plan))
    finally:
        await client.shutdown()
