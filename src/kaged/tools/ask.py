"""`ask` and `checkpoint`: what the agent itself puts to the operator."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from kaged.tools.base import A, Arguments, Tool, ToolContext, ToolResult, Withdrawn, failure

CONTINUE, STOP = CHECKPOINT_OPTIONS = ("continue", "stop")
"""Answers to a checkpoint; `stop` ends the run."""


class AskArguments(Arguments):
    question: str = Field(min_length=1, max_length=4000, description="The question, with what is needed.")
    options: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        [], max_length=10, description="Answers to choose from; the operator may also write another."
    )


class CheckpointArguments(Arguments):
    title: str = Field(min_length=1, max_length=200, description="What is reached, in one line.")
    summary: str = Field("", max_length=4000, description="What was done and what comes next.")


class _Asking(Tool[A]):
    """A tool whose question is stored with its call: asking again finds it, and its answer if there is one."""

    changes_files = False

    def repeatable(self, args: Mapping[str, Any]) -> bool:
        return True

    async def ask(self, ctx: ToolContext, question: str, options: Sequence[str], kind: str = "ask") -> ToolResult:
        try:
            answer = await ctx.attention.ask(ctx.call_id, question, options, kind=kind)
        except Withdrawn as withdrawn:
            return failure(str(withdrawn), reason="withdrawn")
        return ToolResult(True, answer, {"answer": answer})


class Ask(_Asking[AskArguments]):
    """Ask the operator a question and wait for the answer. For decisions that are the operator's."""

    name = "ask"
    arguments = AskArguments

    async def call(self, ctx: ToolContext, args: AskArguments) -> ToolResult:
        return await self.ask(ctx, args.question, args.options)


class Checkpoint(_Asking[CheckpointArguments]):
    """Let the operator look before you go on: at the end of a step, or before one that is hard to undo. The answer is
    `continue`, or what to do instead."""

    name = "checkpoint"
    arguments = CheckpointArguments

    async def call(self, ctx: ToolContext, args: CheckpointArguments) -> ToolResult:
        question = "\n\n".join(text for text in (args.title, args.summary) if text)
        return await self.ask(ctx, question, CHECKPOINT_OPTIONS, "checkpoint")
