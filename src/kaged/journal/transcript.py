"""A session as a Markdown document. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kaged.core.events import Event

RESULT_CHARS = 4_000


def to_markdown(title: str, events: Iterable[Event]) -> str:
    """The conversation with its calls and their results, in the order in which it happened."""
    names: dict[str, str] = {}
    blocks = [f"# {title}"]
    for event in events:
        if event.type == "agent.spawned":
            names[event.data["run_id"]] = "/".join(event.data["agent"].split(".subagents.")[1:])
        block, name = _block(event), names.get(event.data.get("run_id") or "")
        blocks.append(_quoted(name, block) if name and block else block)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _block(event: Event) -> str:
    if event.type in _LINES:
        return _LINES[event.type].format_map(event.data)
    return _WRITERS[event.type](event) if event.type in _WRITERS else ""


def _quoted(name: str, block: str) -> str:
    """A sub-agent's block, told from those of others at work at the same time."""
    return "\n".join(f"> {line}".rstrip() for line in (f"**{name}**", "", *block.splitlines()))


def _user(event: Event) -> str:
    files = "".join(f"\n\n*Attached: {file['name']}*" for file in event.data.get("attachments", ()))
    return f"## {event.data['actor']}, {event.at}\n\n{event.data['text'].strip()}{files}"


def _answer(event: Event) -> str:
    texts = (part["text"].strip() for part in event.data["parts"] if part["kind"] == "text")
    blocks = [text for text in texts if text]
    if event.data["interrupted"] and blocks:
        blocks.append("*(this answer was interrupted)*")
    return "\n\n".join(blocks)


def _call(event: Event) -> str:
    args: Mapping[str, Any] = event.data["args"]
    command = args.get("command")
    shown = command if isinstance(command, str) else json.dumps(args, ensure_ascii=False, indent=1)
    return f"**{event.data['tool']}**\n\n{_fenced(shown)}"


def _result(event: Event) -> str:
    data, output = event.data, event.data["output"]
    if len(output) > RESULT_CHARS:
        output = f"{output[:RESULT_CHARS]}\n… {len(output) - RESULT_CHARS:,} more characters"
    text = f"{'Done' if data['ok'] else 'Failed'} after {data['duration_ms'] / 1000:.1f} s:\n\n{_fenced(output)}"
    diff = data["detail"].get("diff")
    return f"{text}\n\n{_fenced(diff, 'diff')}" if isinstance(diff, str) and diff else text


def _asked(event: Event) -> str:
    options = "".join(f"\n- {option}" for option in event.data["options"])
    return f"**Question:** {event.data['question']}" + (f"\n{options}" if options else "")


def _resolved(event: Event) -> str:
    if event.data.get("withdrawn"):
        return "**The question was withdrawn.**"
    return f"**Answer of {event.data['actor']}:** {event.data['answer']}"


def _ended(event: Event) -> str:
    data = event.data
    stopped = f" Stopped: {', '.join(data['stopped'])}." if data.get("stopped") else ""
    return f"*Run ended: {data['outcome']}. {data['reason']}{stopped}*".replace(". *", ".*")


def _fenced(text: str, language: str = "") -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _restored(event: Event) -> str:
    what = {"both": "The conversation and the files were", "files": "The files were"}
    return f"*{what.get(event.data['what'], 'The conversation was')} rolled back by {event.data['actor']}.*"


_LINES = {
    "run.started": "*{agent} ({provider}, {model}); the cage {cage}*",
    "tool.denied": "**{tool}** was not run: {reason}",
    "agent.spawned": "*Sub-agent {agent} ({provider}, {model}); the cage {cage}*\n\n{task}",
    "agent.finished": "*Sub-agent ended: {outcome}, {steps} model calls, {tokens} tokens. {reason}*",
    "run.interrupted": "*Run interrupted: {reason}*",
    "run.recovered": "*Run resumed by {actor}*",
    "error": "*{code}: {message}*",
}
_WRITERS: Mapping[str, Callable[[Event], str]] = {
    "message.user": _user,
    "message.end": _answer,
    "tool.call": _call,
    "tool.result": _result,
    "attention.required": _asked,
    "attention.resolved": _resolved,
    "run.ended": _ended,
    "checkpoint.restored": _restored,
}
