"""Whether a call may start: by the project's rules, or once, by the operator's word on this call and these files."""

import hashlib
import os
from pathlib import PurePosixPath
from typing import Any

import msgspec

from kaged.agents.conversation import Call
from kaged.agents.ports import RunContext
from kaged.agents.risk import risk
from kaged.tools.base import Bound, Tool, ToolContext, ToolResult, Withdrawn
from kaged.tools.diff import MAX_CHARS

ONCE, DENY = APPROVAL_OPTIONS = ("approve once", "deny")
"""The answers to an approval; `deny: WHY` tells the agent why."""
SHOWN = 4_000
"""Characters of a command or path that go into lists."""


def args_hash(call: Call) -> str:
    """SHA-256 of the exact arguments: the canonical JSON of the object, or the raw text that is none."""
    raw = call.part.raw
    exact = raw.encode() if raw is not None else msgspec.json.encode(call.part.args, order="sorted")
    return hashlib.sha256(exact).hexdigest()


def answers(text: str) -> bool:
    return text == ONCE or text.partition(":")[0] == DENY


async def clear(run: RunContext, call: Call, tool: Tool[Any], ctx: ToolContext) -> dict[str, Any] | str | None:
    """None for a call that may start at once; what `tool.approved` says of one that the operator approved; else a
    sentence on why it must not. Waits until the question expires, also across restarts. Cancelling leaves it open."""
    args = call.part.args
    if call.part.args_error is not None:
        return None  # Nothing is done with arguments that cannot be read
    why = ""
    while True:
        names = _names(ctx, args.get("path"))
        verdict = run.prepared.agent.verdict(tool.name, args, names or ())
        if verdict.approval == "auto":
            return None
        if verdict.approval == "deny":
            told = "Find another way, or say what you would need."
            return f"Not run: the project file denies this call of `{tool.name}`, by {verdict.rule}. {told}"
        bound = await tool.bind(ctx, args)
        if isinstance(bound, ToolResult):
            return bound.output
        held = {"args_sha256": args_hash(call), "files": dict(bound.files), "paths": names}
        about = {"tool": tool.name, "rule": verdict.rule, **_shown(tool.name, args, bound, outside=names == [])} | held
        about |= {"why": why} if why else {}
        try:
            said = await run.attention.approval(call.id, f"May `{tool.name}` run? {about['subject']}", about)
        except Withdrawn as withdrawn:
            return f"Not run: {withdrawn}"
        if said.answer != ONCE:
            reason = said.answer.removeprefix(DENY).removeprefix(":").strip()
            return f"Not run: {said.actor} denied it{': ' + reason if reason else '.'}"
        now = await tool.bind(ctx, args)
        if isinstance(now, ToolResult):
            return f"Not run, though {said.actor} approved it: {now.output}"
        held |= {"files": dict(now.files), "paths": _names(ctx, args.get("path"))}
        if not (changed := _changed(said.about, held)):
            hashed = {"args_sha256": held["args_sha256"]}
            return {"tool": tool.name, "attention_id": said.attention_id, "actor": said.actor, **hashed}
        why = f"{said.actor} approved this, but {changed} changed meanwhile, so it is asked again."


def _names(ctx: ToolContext, path: object) -> list[str] | None:
    """The names of a call's file below the project, as written and where links lead. Outside: empty; no file: None."""
    if not isinstance(path, str) or "\0" in path:
        return None
    written = ctx.cage.resolve(path)
    both = [PurePosixPath(name) for name in dict.fromkeys((written, os.path.realpath(written)))]
    return [str(name.relative_to(ctx.cage.root)) for name in both if name.is_relative_to(ctx.cage.root)]


def _shown(tool: str, args: dict[str, Any], bound: Bound, *, outside: bool) -> dict[str, Any]:
    text = str(args.get("command") or args.get("path") or args.get("input") or msgspec.json.encode(args).decode())
    level, words = risk(tool, args, outside=outside, cut=len(bound.diff) > MAX_CHARS)
    shown: dict[str, Any] = {"subject": text[:SHOWN], "risk": {"level": level, "words": words}}
    more = {"more": len(text) - SHOWN} if len(text) > SHOWN else {}
    return shown | more | ({"diff": bound.diff} if bound.diff else {})


def _changed(then: dict[str, Any], now: dict[str, Any]) -> str:
    """What is not as it was when it was asked, in words; empty when all is."""
    if differing := sorted({name for name, _ in then["files"].items() ^ now["files"].items()}):
        return ", ".join(differing)
    return "the call" if any(then[key] != value for key, value in now.items()) else ""
