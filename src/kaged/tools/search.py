"""`search.grep` and `search.find`: ripgrep inside the cage."""

import base64
from typing import Annotated

import msgspec
from pydantic import Field

from kaged.cage.client import Exit
from kaged.core.errors import KagedError
from kaged.tools.base import Arguments, Tool, ToolContext, ToolResult, failure, text_of
from kaged.tools.text import head_and_tail

TIMEOUT_S = 60.0
LINE_CHARS = 400
ENOUGH_BYTES = 4 * 1024 * 1024
_MISSING = "ripgrep (`rg`) is not installed on this machine, so searching is not possible this way: use `grep -rn` or "
_MISSING += "`find` through `shell`, or ask the operator to install the package `ripgrep`."
Where = Annotated[str, text_of(4096, "File or folder to search.")]


class GrepArguments(Arguments):
    pattern: str = text_of(10_000, "Regular expression.")
    path: Where = "."
    glob: str | None = Field(None, max_length=1000, pattern=r"^[^\x00]*$", description="Only files like this: `*.py`.")
    ignore_case: bool = False
    context: int = Field(0, ge=0, le=20, description="Lines to show around each match.")
    limit: int = Field(200, ge=1, le=5000, description="Most matching lines to show.")


class FindArguments(Arguments):
    pattern: str = text_of(1000, "Glob: `*.py`, `src/**/test_*`.")
    path: Where = "."
    limit: int = Field(200, ge=1, le=5000, description="Most paths to show.")


class Grep(Tool[GrepArguments]):
    """Search file contents with a regular expression (ripgrep). Ignored files (.gitignore) and binary files are left
    out. Shows `path:line: text`."""

    name = "search.grep"
    arguments = GrepArguments
    read_only = True

    async def call(self, ctx: ToolContext, args: GrepArguments) -> ToolResult:
        argv = ["rg", "--json", "--hidden", "--glob=!.git", "--sort=path", f"--context={args.context}"]
        argv += ["--ignore-case"] if args.ignore_case else []
        argv += _only(args.glob) if args.glob else []
        argv += [f"--regexp={args.pattern}", "--", ctx.cage.resolve(args.path)]
        found = await _run(ctx, argv)
        if isinstance(found, ToolResult):
            return found
        data, how, cut = found
        lines, matches = _matches(ctx, data, args.limit, args.context)
        if how.code not in (0, 1) and not matches:
            return failure(_complaint(data), reason="search_failed")
        more = f"[only the first {args.limit} matching lines are shown]" if matches > args.limit else ""
        more = "[there is more than is shown; narrow the search]" if cut else more
        text = head_and_tail("\n".join(lines) or "No matches.", ctx.limit, "[… matches left out here …]")
        detail = {"matches": min(matches, args.limit), "more": bool(more)}
        return ToolResult(True, f"{text}\n{more}".rstrip(), detail)


class Find(Tool[FindArguments]):
    """Find files by name with a glob (ripgrep). Ignored files (.gitignore) are left out. Sorted by path."""

    name = "search.find"
    arguments = FindArguments
    read_only = True

    async def call(self, ctx: ToolContext, args: FindArguments) -> ToolResult:
        argv = ["rg", "--files", "--hidden", "--sort=path", "--null", "--glob=!.git", *_only(args.pattern)]
        found = await _run(ctx, [*argv, "--", ctx.cage.resolve(args.path)])
        if isinstance(found, ToolResult):
            return found
        data, how, cut = found
        head, separator, rest = data.rpartition(b"\0")
        paths = [ctx.cage.show(name.decode("utf-8", "replace")) for name in head.split(b"\0") if name]
        if how.code not in (0, 1) and not paths:
            return failure(_complaint(rest if separator else data), reason="search_failed")
        shown = paths[: args.limit]
        more = f"\n[{len(paths) - len(shown)} more]" if len(paths) > len(shown) else ""
        text = head_and_tail("\n".join(shown) or "No files match.", ctx.limit, "[… paths left out here …]")
        return ToolResult(True, text + more, {"matches": len(shown), "more": bool(more) or cut})


async def _run(ctx: ToolContext, argv: list[str]) -> tuple[bytes, Exit, bool] | ToolResult:
    """Run ripgrep and collect what it prints, up to `ENOUGH_BYTES`; then it is stopped."""
    cage = ctx.cage
    try:
        process = await cage.client.run(cage.cage_id, ctx.call_id, argv, cwd=cage.root, walltime_s=TIMEOUT_S)
    except KagedError as error:
        if error.code == "not_found" and "program" in error.message:
            return failure(_MISSING, reason="no_ripgrep")
        raise
    ring = process.stream
    while ring.head < ENOUGH_BYTES and await ring.wait_past(ring.head):
        pass
    cut = ring.head >= ENOUGH_BYTES and process.running
    if cut:
        await process.signal(9, tree=True)
    how = await process.wait()
    _, data = ring.read(0, ENOUGH_BYTES)
    await cage.client.forget(process.id)
    if how.reason == "walltime":
        return failure(f"The search took more than {TIMEOUT_S:g} s; narrow it with `path` or `glob`.")
    if how.reason != "exited" and not cut:
        return failure("The search was stopped.", reason=how.reason)
    return data, how, cut


def _complaint(data: bytes) -> str:
    # ripgrep's own words stand among its JSON lines.
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line[:1] not in ("{", "")]
    said = "; ".join(line.removeprefix("rg: ").strip() for line in lines if line.strip())[:1000]
    return f"The search failed: {said or 'ripgrep gave no reason'}"


def _only(glob: str) -> list[str]:
    # A `--glob` that names files would bring ignored ones back; a file type does not, but knows no folders.
    if "/" in glob or glob[0] == "!":
        return [f"--glob={glob}"]
    return [f"--type-add=wanted:{glob}", "--type=wanted"]


def _matches(ctx: ToolContext, data: bytes, limit: int, context: int) -> tuple[list[str], int]:
    """ripgrep's JSON as `path:line: text` lines, and how many matching lines there were."""
    lines: list[str] = []
    matches = 0
    shown_to = 0
    for raw in data.splitlines():
        try:
            record = msgspec.json.decode(raw, type=_Record)
        except msgspec.DecodeError:
            continue
        number = record.data.line_number or 0
        if record.type == "begin" and matches >= limit:
            shown_to = 0
        elif record.type == "match":
            matches += 1
            if matches <= limit:
                shown_to = number + context
                lines.append(_line(ctx, record))
        elif record.type == "context" and (matches < limit or number <= shown_to):
            lines.append(_line(ctx, record))
    return lines, matches


class _Data(msgspec.Struct):
    path: dict[str, str] = {}
    lines: dict[str, str] = {}
    line_number: int | None = None


class _Record(msgspec.Struct):
    type: str
    data: _Data


def _read(said: dict[str, str]) -> str:
    return said["text"] if "text" in said else base64.b64decode(said.get("bytes", "")).decode("utf-8", "replace")


def _line(ctx: ToolContext, record: _Record) -> str:
    path = ctx.cage.show(_read(record.data.path)) if record.data.path else "?"
    text = _read(record.data.lines).rstrip("\r\n")
    if len(text) > LINE_CHARS:
        text = f"{text[:LINE_CHARS]}…"
    sign = ":" if record.type == "match" else "-"
    return f"{path}{sign}{record.data.line_number or 0}{sign} {text}"
