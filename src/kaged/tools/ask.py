"""`ask`: a question to the operator."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from kaged.tools.base import Arguments, Tool, ToolContext, ToolResult, Withdrawn, failure


class AskArguments(Arguments):
    question: str = Field(min_length=1, max_length=4000, description="The question, with what is needed.")
    options: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        [], max_length=10, description="Answers to choose from; the operator may also write another."
    )


class Ask(Tool[AskArguments]):
    """Ask the operator a question and wait for the answer. For decisions that are the operator's."""

    name = "ask"
    arguments = AskArguments

    async def call(self, ctx: ToolContext, args: AskArguments) -> ToolResult:
        try:
            answer = await ctx.attention.ask(ctx.call_id, args.question, args.options)
        except Withdrawn as withdrawn:
            return failure(str(withdrawn), reason="withdrawn")
        return ToolResult(True, answer, {"answer": answer})

    def repeatable(self, args: Mapping[str, Any]) -> bool:
        return True

    async def rejoin(self, ctx: ToolContext, args: Mapping[str, Any]) -> ToolResult | None:
        """The question is stored with its call: asking again finds it, and its answer if there is one."""
        return await self.run(ctx, args)
