"""`shell`: a command in the cage, waited for or in the background."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from kaged.cage.client import Exit, Process
from kaged.core.errors import KagedError
from kaged.projects.commands import Unclear, take_apart
from kaged.tools import command, denial
from kaged.tools.base import Arguments, Bound, Tool, ToolContext, ToolResult, failure

DEFAULT_TIMEOUT_S = 120.0
_TIMEOUT = (
    "Seconds until the command and all it started are killed (120 unless given). With `job`: seconds to wait for "
)
_TIMEOUT += "new output or the end (0 unless given)."
MOST_FILES = 64
"""Files named on a command line that an approval is bound to."""
FIRST_LOOK_S = 0.3
"""How long a background command is watched, so that one that fails at once is reported at once."""


class ShellArguments(Arguments):
    """Either `command`, or `job` with what to do with it."""

    command: str | None = Field(None, min_length=1, max_length=100_000, description="The command line.")
    timeout_s: float | None = Field(None, gt=0, description=_TIMEOUT)
    background: bool = Field(False, description="Return at once with a job id; for servers and long work.")
    job: str | None = Field(None, description="Id of a background command: gives its output since the last look.")
    input: str | None = Field(None, max_length=100_000, description="With `job`: text for its standard input.")
    kill: bool = Field(False, description="With `job`: end it and all it started.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.command is None) == (self.job is None):
            raise ValueError("give either `command` or `job`")
        if self.job is None and (self.input is not None or self.kill):
            raise ValueError("`input` and `kill` go with `job`")
        if self.job is not None and self.background:
            raise ValueError("`background` goes with `command`")
        if "\0" in (self.command or ""):
            raise ValueError("a command holds no NUL")
        return self


class Shell(Tool[ShellArguments]):
    """Run a command with bash in the project's folder, inside the cage. Standard output and error come together; long
    output is cut in the middle and kept whole in a file. Each call starts a new shell. Use `background` for what does
    not end by itself, then `job` to read on, send `input` or `kill`."""

    name = "shell"
    arguments = ShellArguments

    async def call(self, ctx: ToolContext, args: ShellArguments) -> ToolResult:
        if args.job is not None:
            return await _look(ctx, args, args.job)
        return await _see(ctx, args, await _start(ctx, args, args.command or ""))

    async def bound(self, ctx: ToolContext, args: ShellArguments) -> Bound | ToolResult:
        """The files of the project that the command line names: a script, a patch, what it reads."""
        line = args.command or ""
        try:
            words = [word for each in take_apart(line) for word in each.words if word]
        except Unclear:
            words = line.split()
        files = {}
        for path in [*dict.fromkeys(ctx.cage.resolve(word) for word in words if len(word) < 256)][:MOST_FILES]:
            found = await ctx.cage.client.read_file(ctx.cage.cage_id, path, max_bytes=0)
            if found.kind == "file":
                files[ctx.cage.show(path)] = found.sha256 or f"{found.size} bytes of {found.mtime_ns}"
        return Bound(files)

    def repeatable(self, args: Mapping[str, Any]) -> bool:
        """A look at a job, and its end, may be had again; a command goes on only while the keeper knows it."""
        return args.get("job") is not None and args.get("input") is None

    async def rejoin(self, ctx: ToolContext, args: Mapping[str, Any]) -> ToolResult | None:
        """Attach to the command that this call started, if the keeper still knows it."""
        try:
            parsed = self.arguments.model_validate(dict(args))
        except ValidationError:
            return await self.run(ctx, args)
        if parsed.job is not None:
            return await super().rejoin(ctx, args)
        try:
            process = await ctx.cage.client.attach(ctx.call_id)
        except KagedError as error:
            if error.code == "not_found":
                return None
            raise
        return await _see(ctx, parsed, process)


async def _see(ctx: ToolContext, args: ShellArguments, process: Process) -> ToolResult:
    return await (_background(ctx, process) if args.background else _wait(ctx, process, _timeout(ctx, args)))


def _timeout(ctx: ToolContext, args: ShellArguments) -> float:
    most = ctx.cage.plan.limits.walltime_s
    return min(args.timeout_s or (most if args.background else DEFAULT_TIMEOUT_S), most)


async def _start(ctx: ToolContext, args: ShellArguments, line: str) -> Process:
    run = partial(ctx.cage.client.run, ctx.cage.cage_id, ctx.call_id, cwd=ctx.cage.root, stdin=args.background)
    start = partial(run, walltime_s=_timeout(ctx, args))
    try:
        return await start(["bash", "-c", line])
    except KagedError as error:
        if error.code != "not_found" or "program" not in error.message:
            raise
    return await start(["sh", "-c", line])


async def _wait(ctx: ToolContext, process: Process, timeout_s: float) -> ToolResult:
    with ctx.rest.here():
        how = await command.follow(process, command.LiveOutput(ctx.emit, ctx.resume_at))
    seen = command.view(process.stream, 0, ctx.limit, ended=True)
    lines = [seen.text.rstrip("\n")] if seen.text.strip() else ["(no output)"]
    detail: dict[str, Any] = {"bytes": process.stream.head}
    if seen.left_out:
        detail |= {"truncated_bytes": seen.left_out}
        sentence = await command.keep_whole(ctx.cage, ctx.call_id, process.stream)
        lines.append(sentence)
        detail |= {"output_note": sentence, "output_file": f"{command.OUTPUT_DIR}/{ctx.call_id}.log"}
    lines.append(f"[{command.exit_sentence(how, timeout_s)}]")
    return _ended(ctx, process, how, lines, detail)


def _ended(ctx: ToolContext, process: Process, how: Exit, lines: list[str], detail: dict[str, Any]) -> ToolResult:
    ok = how.code == 0 and how.reason == "exited"
    detail |= {"exit_code": how.code, "signal": how.signal, "reason": how.reason}
    if reasons := [] if ok else denial.explain("\n".join(lines), ctx.cage.plan):
        lines += [f"cage: {reason}" for reason in reasons]
        detail |= {"denied": reasons}
    return ToolResult(ok, "\n".join(lines), detail, (process.id,))


async def _background(ctx: ToolContext, process: Process) -> ToolResult:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_S):
            await process.wait()
    result = await _news(ctx, process)
    if "exit_code" in result.detail:
        return result
    how_to = f"[Running in the background as job {process.id}. Read on with shell(job={process.id!r}).]"
    text = result.output.rpartition("\n")[0]
    return ToolResult(True, f"{text}\n{how_to}" if text else how_to, result.detail)


async def _look(ctx: ToolContext, args: ShellArguments, job: str) -> ToolResult:
    client = ctx.cage.client
    info = next((one for one in (await client.state()).processes if one.id == job), None)
    if info is None or info.cage != ctx.cage.cage_id or info.pty:
        why = "it was never started, or it ended and its end was reported, or its cage is gone"
        return failure(f"There is no job {job}: {why}.", reason="not_found")
    process = await client.attach(job)
    if args.input is not None:
        if not process.running:
            news = await _news(ctx, process)
            return replace(news, detail={**news.detail, "reason": "ended"})
        await process.write(args.input.encode())
    if args.kill and process.running:
        await process.signal(9, tree=True)
        await process.wait()
    elif args.timeout_s is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(args.timeout_s, ctx.cage.plan.limits.walltime_s)):
                if not await process.stream.wait_past(ctx.ledger.offset[job]):
                    await process.wait()
    return await _news(ctx, process)


async def _news(ctx: ToolContext, process: Process) -> ToolResult:
    """What a job printed since the last look, and whether it still runs."""
    job = process.id
    ended = await process.wait() if not process.running else None
    since = ctx.ledger.offset[job]
    seen = command.view(process.stream, since, ctx.limit, ended=ended is not None)
    detail: dict[str, Any] = {"job": job, "next_offset": seen.end, "running": ended is None}
    if seen.left_out:
        detail |= {"truncated_bytes": seen.left_out}
    text = seen.text.rstrip("\n") if seen.text.strip() else "(no new output)"
    if ended is not None:
        return _ended(ctx, process, ended, [text, f"[{command.exit_sentence(ended, 0.0)}]"], detail)
    return ToolResult(True, f"{text}\n[Still running.]", detail)
