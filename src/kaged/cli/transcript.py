"""A session's events as text that a person can follow while it happens."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from kaged.cli.output import safe
from kaged.core.events import SHAPES

Frame = Mapping[str, Any]
RESULT_LINES = 40

RISKS = ("none known", "low", "medium", "high")  # The levels of `risk`
_OUTCOMES = {"success": "done", "failed": "failed", "cancelled": "stopped"}


class Transcript:
    """Writes events as they come; text that was streamed is not written again when its message ends."""

    def __init__(self, *, answer: str, resume: str, write: Callable[[str], None] | None = None) -> None:
        """`answer` and `resume` are the commands to hint at; `write` replaces standard output."""
        self._write = write or (lambda text: click.echo(text, nl=False))
        self._hints = (answer, resume)
        self._streamed: dict[tuple[str, int], str] = {}
        self._output: set[str] = set()
        self._agents: dict[str, str] = {}
        self._at_start = True

    def show(self, frame: Frame) -> None:
        """Write one event. What says nothing to a reader, and the steps of sub-agents, are skipped."""
        if frame["data"].get("run_id") in self._agents and frame["type"].partition(".")[0] in ("message", "tool"):
            return
        handler = getattr(self, f"_on_{frame['type'].replace('.', '_')}", None)
        if handler is not None:
            handler(frame["data"])
        elif frame["type"] not in SHAPES:
            self._line(f"-- event {frame['seq']} is of the type {frame['type']}, which a newer kaged wrote", dim=True)

    def _text(self, text: str, **style: Any) -> None:
        if text:
            text = safe(text)
            self._write(click.style(text, **style) if style else text)
            self._at_start = text[-1] == "\n"

    def _break(self) -> None:
        if not self._at_start:
            self._write("\n")
            self._at_start = True

    def _line(self, text: str, **style: Any) -> None:
        self._break()
        self._text(text, **style)
        self._write("\n")
        self._at_start = True

    def _on_message_user(self, data: Frame) -> None:
        self._line(f"{data['actor']}> {data['text'].strip()}", bold=True)

    def _on_run_started(self, data: Frame) -> None:
        model = data["model"] if data["provider"] == data["model"] else f"{data['provider']}:{data['model']}"
        self._line(f"-- {data['agent']} on {model}; {data['cage']}", dim=True)

    def _on_message_delta(self, data: Frame) -> None:
        if data["kind"] == "tool_args":
            return
        key = (data["message_id"], data["part"])
        if key not in self._streamed:
            self._break()
        self._streamed[key] = self._streamed.get(key, "") + data["text"]
        self._text(data["text"], **({"dim": True} if data["kind"] == "thinking" else {}))

    def _on_message_end(self, data: Frame) -> None:
        """What was not streamed: all of it in a folded message, the rest when joined in the middle."""
        for number, part in enumerate(data["parts"]):
            if part["kind"] != "text":
                continue
            seen = self._streamed.pop((data["message_id"], number), "")
            rest = part["text"].removeprefix(seen) if seen else part["text"]
            if not seen:
                self._break()
            if rest != part["text"] or not seen:
                self._text(rest)
        self._break()
        if data["interrupted"]:
            self._line("-- this answer was cut off", fg="yellow")

    def _on_tool_call(self, data: Frame) -> None:
        args = data["args"]
        if data["tool"] in ("ask", "delegate"):
            return
        command = args.get("command")
        if isinstance(command, str):
            self._line(f"$ {command}", fg="cyan")
            return
        shown = " ".join(f"{key}={_short(value)}" for key, value in args.items())
        self._line(f"> {data['tool']} {shown}", fg="cyan")

    def _on_tool_denied(self, data: Frame) -> None:
        self._line(f"! {data['tool']} was denied: {data['reason']}", fg="red")

    def _on_tool_output(self, data: Frame) -> None:
        self._output.add(data["call_id"])
        self._text(data["text"])

    def _on_tool_result(self, data: Frame) -> None:
        detail = data["detail"]
        if data["call_id"] not in self._output and data["tool"] != "ask":
            diff = detail.get("diff")
            self._lines(diff if isinstance(diff, str) and diff else data["output"])
        status = "ok" if data["ok"] else "failed"
        code = detail.get("exit_code")
        if isinstance(code, int) and code != 0:
            status += f", exit status {code}"
        self._line(f"-- {status} ({data['duration_ms'] / 1000:.1f} s)", fg="green" if data["ok"] else "red")

    def _lines(self, text: str) -> None:
        lines = text.rstrip().splitlines()
        for entry in lines[:RESULT_LINES]:
            self._line(f"  {entry}")
        if len(lines) > RESULT_LINES:
            self._line(f"  ... {len(lines) - RESULT_LINES} more lines", dim=True)

    def _on_agent_spawned(self, data: Frame) -> None:
        name = self._agents[data["run_id"]] = "/".join(data["agent"].split(".subagents.")[1:])
        self._line(f"-- sub-agent {name} on {data['model']}: {_short(data['task'])}", dim=True)

    def _on_agent_finished(self, data: Frame) -> None:
        how = _OUTCOMES[data["outcome"]] + (f": {data['reason']}" if data["reason"] else "")
        spent = f"{data['steps']} model calls, {data['tokens']:,} tokens"
        self._line(f"-- sub-agent {self._agents.get(data['run_id'], '')} {how} ({spent})", dim=True)

    def _on_attention_required(self, data: Frame) -> None:
        self._line(f"? {data['question']}", fg="yellow", bold=True)
        if about := data.get("approval"):
            why = ", ".join((RISKS[about["risk"]["level"]], *about["risk"]["words"]))
            self._line(f"  {about['rule']} asks; risk: {why}", fg="yellow")
            self._lines("\n".join((about.get("why", ""), about.get("diff", ""))).strip())
        numbered = data.get("kind") == "approval_gate"
        for number, option in enumerate(data["options"], 1):
            self._line(f"    {number}  {option}" if numbered else f"    {option}")
        self._line(f"  answer with: {self._hints[0]}", dim=True)

    def _on_attention_resolved(self, data: Frame) -> None:
        if data.get("withdrawn"):
            self._line("-- the question was withdrawn", dim=True)
        else:
            self._line(f"{data['actor']}> {data['answer']}", bold=True)

    def _on_network_denied(self, data: Frame) -> None:
        host = "several hosts" if not data["host"] else data["host"]
        where = host if data["via"] == "dns" or not data["host"] else f"{host}:{data['port']}"
        times = f" {data['count']} times" if data["count"] > 1 else ""
        self._line(f"! {where} denied{times}: {data['reason']}", fg="red")

    def _on_error(self, data: Frame) -> None:
        again = f"; again in {data['retry_in_s']:g} s" if data.get("retry_in_s") is not None else ""
        self._line(f"! {data['message']}{again}", fg="red")

    def _on_run_ended(self, data: Frame) -> None:
        reason = f": {data['reason']}" if data["reason"] else ""
        stopped = f" (stopped: {', '.join(data['stopped'])})" if data.get("stopped") else ""
        self._line(f"-- {_OUTCOMES.get(data['outcome'], data['outcome'])}{reason}{stopped}", dim=True)

    def _on_run_interrupted(self, data: Frame) -> None:
        how = "it goes on by itself" if data.get("goes_on") else f"go on with: {self._hints[1]}"
        self._line(f"-- interrupted: {data['reason'].rstrip('.')}; {how}", fg="yellow")

    def _on_run_recovered(self, data: Frame) -> None:
        self._line(f"-- resumed by {data['actor']}", dim=True)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    first, *more = text.splitlines() or [""]
    return first if len(first) <= 80 and not more else first[:77] + "..."
