"""`file.read`, `file.write`, `file.edit`: files as the cage sees them, changed only as last seen."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic import Field

from kaged.cage.client import FileRead
from kaged.core.errors import KagedError
from kaged.tools import denial, diff
from kaged.tools.base import Arguments, Bound, Tool, ToolContext, ToolResult, failure, text_of
from kaged.tools.edit import EditProblem, replace_text
from kaged.tools.text import looks_binary, size_words

MAX_BYTES = 8 * 1024 * 1024
"""Larger files are not edited, and read only up to here."""
DEFAULT_LINES = 2_000
LINE_CHARS = 2_000
MAX_ENTRIES = 1_000
P = TypeVar("P", bound="PathArguments")
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image",
    b"RIFF": "a RIFF file (such as WebP or WAV)", b"%PDF-": "a PDF document", b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "gzip data", b"\x7fELF": "an ELF program or library", b"SQLite format 3\0": "an SQLite database",
}  # fmt: skip


class PathArguments(Arguments):
    path: str = text_of(4096, "Path; relative to the project.")


class ReadArguments(PathArguments):
    offset: int = Field(1, ge=1, description="First line to show, counted from 1.")
    limit: int = Field(DEFAULT_LINES, ge=1, le=100_000, description="Number of lines to show.")


class WriteArguments(PathArguments):
    content: str = Field(description="The complete new content.")


class EditArguments(PathArguments):
    old_string: str = Field(min_length=1, description="Exact text to replace, without line numbers.")
    new_string: str = Field(description="What takes its place.")
    replace_all: bool = Field(False, description="Replace every occurrence.")


class ReadFile(Tool[ReadArguments]):
    """Read a text file with line numbers, or list a folder. Long files are shown in parts: `offset` is the first line,
    `limit` the number of lines."""

    name = "file.read"
    arguments = ReadArguments
    read_only = True

    async def call(self, ctx: ToolContext, args: ReadArguments) -> ToolResult:
        path = ctx.cage.resolve(args.path)
        found = await ctx.cage.client.read_file(ctx.cage.cage_id, path, max_bytes=MAX_BYTES)
        if found.kind == "dir":
            return await _listing(ctx, path)
        if found.kind != "file":
            return _not_a_file(ctx, path, found)
        if looks_binary(found.data):
            return _binary(ctx, path, found)
        ctx.ledger.seen[path] = found.sha256
        text = found.data.decode("utf-8", "replace").removeprefix("\ufeff")
        return _numbered(ctx, args, path, found, text)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a file is to become; `count` places of it are replaced."""

    path: str
    old: FileRead
    text: str
    count: int | None = None

    @property
    def before(self) -> str | None:
        return self.old.data.decode("utf-8", "replace") if self.old.kind == "file" else None


class _Changing(Tool[P]):
    """A tool that changes one file, from the version that the agent has seen."""

    kinds: tuple[str, ...] = ("file",)

    @abstractmethod
    def change(self, ctx: ToolContext, args: P, path: str, old: FileRead) -> _Change | ToolResult:
        """The change, or why there is none."""

    async def _changed(self, ctx: ToolContext, args: P) -> _Change | ToolResult:
        path = ctx.cage.resolve(args.path)
        old = await ctx.cage.client.read_file(ctx.cage.cage_id, path, max_bytes=MAX_BYTES)
        if old.kind not in self.kinds:
            return _not_a_file(ctx, path, old)
        unseen = _unseen(ctx, path, old) if old.kind == "file" else None
        return unseen or self.change(ctx, args, path, old)

    async def call(self, ctx: ToolContext, args: P) -> ToolResult:
        change = await self._changed(ctx, args)
        return change if isinstance(change, ToolResult) else await _store(ctx, change)

    async def bound(self, ctx: ToolContext, args: P) -> Bound | ToolResult:
        change = await self._changed(ctx, args)
        if isinstance(change, ToolResult):
            return change
        shown = ctx.cage.show(change.path)
        files = {shown: change.old.sha256} if change.old.kind == "file" else {}
        return Bound(files, diff.unified(change.before, change.text, shown))


class WriteFile(_Changing[WriteArguments]):
    """Create a file, or replace one that you have read, with `content`. Missing folders are made. Prefer `file.edit`
    for changes to an existing file."""

    name = "file.write"
    arguments = WriteArguments
    kinds = ("file", "missing")

    def change(self, ctx: ToolContext, args: WriteArguments, path: str, old: FileRead) -> _Change | ToolResult:
        return _Change(path, old, args.content)


class EditFile(_Changing[EditArguments]):
    """Replace `old_string` by `new_string` in a file that you have read. `old_string` must match exactly, white space
    included, and be unique in the file unless `replace_all` is set."""

    name = "file.edit"
    arguments = EditArguments

    def change(self, ctx: ToolContext, args: EditArguments, path: str, old: FileRead) -> _Change | ToolResult:
        try:
            before = old.data.decode("utf-8")
        except UnicodeDecodeError:
            return failure(f"{ctx.cage.show(path)} is not UTF-8 text, so it cannot be edited this way.")
        try:
            after, count = replace_text(before, args.old_string, args.new_string, everywhere=args.replace_all)
        except EditProblem as error:
            return failure(f"{ctx.cage.show(path)}: {error}", path=path, reason="no_match")
        return _Change(path, old, after, count)


def _unseen(ctx: ToolContext, path: str, found: FileRead) -> ToolResult | None:
    shown = ctx.cage.show(path)
    if found.size > MAX_BYTES or not found.sha256:
        sizes = f"{size_words(found.size)}, more than {size_words(MAX_BYTES)}"
        return failure(f"{shown} is {sizes}: change it with `shell`.")
    seen = ctx.ledger.seen.get(path)
    if seen is None:
        return failure(f"{shown} exists; read it with `file.read` before you change it.", reason="not_read")
    if seen != found.sha256:
        return failure(f"{shown} has changed since you read it; read it again first.", reason="changed")
    return None


async def _store(ctx: ToolContext, wanted: _Change) -> ToolResult:
    path, old, before, text, count = wanted.path, wanted.old, wanted.before, wanted.text, wanted.count
    shown = ctx.cage.show(path)
    if before == text:
        return ToolResult(True, f"{shown} already has this content; nothing was changed.", {"path": path})
    expect = old.sha256 if old.kind == "file" else None
    try:
        write = partial(ctx.cage.client.write_file, ctx.cage.cage_id, path, text.encode())
        written = await write(expect_sha256=expect, make_parents=True)
    except KagedError as error:
        if error.code == "conflict":
            return failure(f"{shown} changed while this was written; read it again first.", reason="changed")
        if error.code == "forbidden":
            reason = denial.read_only(path, ctx.cage.plan) if "read-only" in error.message else error.message
            return failure(reason, path=path, reason="denied", denied=[reason])
        raise
    ctx.ledger.seen[path] = written.sha256
    change = diff.unified(before, text, shown)
    added, removed = diff.counts(change)
    did = "Created" if written.created else "Changed"
    places = f" in {count} places" if count is not None and count > 1 else ""
    text = f"{did} {shown}{places}: +{added} -{removed} lines, {size_words(written.size)}."
    file = {"path": path, "sha256": written.sha256, "created": written.created}
    return ToolResult(True, text, {**file, "diff": change, "added": added, "removed": removed})


def _not_a_file(ctx: ToolContext, path: str, found: FileRead) -> ToolResult:
    shown = ctx.cage.show(path)
    if found.kind == "missing":
        reasons = denial.explain(f"{path}: No such file or directory", ctx.cage.plan)
        detail = {"reason": "not_found"} | ({"denied": reasons} if reasons else {})
        return ToolResult(False, " ".join([f"{shown} does not exist.", *reasons]), detail)
    what = "a folder" if found.kind == "dir" else "neither a file nor a folder (a device, socket or pipe)"
    return failure(f"{shown} is {what}; nothing was done.", reason="not_a_file")


async def _listing(ctx: ToolContext, path: str) -> ToolResult:
    entries = await ctx.cage.client.list_dir(ctx.cage.cage_id, path, MAX_ENTRIES + 1)
    lines = []
    for entry in entries[:MAX_ENTRIES]:
        mark = {"dir": "/", "link": "@", "other": "="}.get(entry.kind, "")
        lines.append(f"{entry.name}{mark}" + (f"  {size_words(entry.size)}" if entry.kind == "file" else ""))
    if len(entries) > MAX_ENTRIES:
        lines.append(f"[only the first {MAX_ENTRIES:,} entries are shown]")
    head = f"{ctx.cage.show(path)}/ holds {len(entries[:MAX_ENTRIES])} entries:"
    return ToolResult(True, "\n".join([head, *lines]), {"path": path, "directory": True, "entries": len(lines)})


def _binary(ctx: ToolContext, path: str, found: FileRead) -> ToolResult:
    what = next((name for magic, name in _KINDS.items() if found.data.startswith(magic)), "a binary file")
    text = f"{ctx.cage.show(path)} is {what} of {size_words(found.size)}, not text; its content is not shown (sha256 "
    text += f"{found.sha256[:16] or 'not computed'}…). Look into it with a program through `shell`."
    return ToolResult(True, text, {"path": path, "size": found.size, "binary": True})


def _numbered(ctx: ToolContext, args: ReadArguments, path: str, found: FileRead, text: str) -> ToolResult:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    cut = found.size > len(found.data)
    shown: list[str] = []
    room = ctx.limit
    for number, raw in enumerate(lines[args.offset - 1 : args.offset - 1 + args.limit], args.offset):
        line = raw.removesuffix("\r")
        if len(raw) > LINE_CHARS:
            line = f"{raw[:LINE_CHARS]}… [{len(raw) - LINE_CHARS:,} more characters]"
        room -= len(line) + 8
        if room < 0 and shown:
            break
        shown.append(f"{number:>6}\t{line}")
    last = args.offset + len(shown) - 1
    detail = {"path": path, "sha256": found.sha256, "lines": len(lines), "from": args.offset, "to": last}
    if not lines:
        return ToolResult(True, f"{ctx.cage.show(path)} is empty.", detail)
    if not shown:
        return failure(f"{ctx.cage.show(path)} has only {len(lines):,} lines.", reason="past_end")
    if last < len(lines) or cut:
        more = f"[lines {args.offset:,} to {last:,} of {'more than ' if cut else ''}{len(lines):,}"
        more += f"; go on with offset={last + 1}]" if last < len(lines) else "; use `shell` for what follows]"
        shown.append(more)
    return ToolResult(True, "\n".join(shown), detail)
