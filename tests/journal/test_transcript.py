"""A session as Markdown."""

from typing import Any

from kaged.core.events import SHAPES, Event
from kaged.journal.transcript import _WRITERS, to_markdown


def event(type_: str, **data: Any) -> Event:
    return Event("S", 1, "2026-01-01T00:00:00.000Z", type_, data, 1)


def test_a_whole_conversation() -> None:
    text = to_markdown(
        "Demo",
        [
            event("message.user", message_id="m", text="Do it", actor="local"),
            event("run.started", agent="primary", model="m", provider="p", cage="reads"),
            event("message.delta", part=0, kind="text", text="ignored"),
            event(
                "message.end", stop_reason="tools", interrupted=False,
                parts=[{"kind": "text", "text": "I will."}, {"kind": "tool_call", "tool": "shell"}],
            ),
            event("tool.call", tool="shell", args={"command": "ls ```"}),
            event(
                "tool.result", tool="shell", ok=True, output="a.txt", duration_ms=1500,
                detail={"diff": "--- a\n+++ b\n"},
            ),
            event("attention.required", question="Sure?", options=["yes", "no"]),
            event("attention.resolved", answer="yes", actor="ada"),
            event("error", code="rate_limit", message="Slow down."),
            event("run.interrupted", reason="kaged stopped."),
            event("run.recovered", run_id="R", actor="ada"),
            event("tool.denied", tool="x", reason="There is no tool `x`."),
            event("run.ended", outcome="cancelled", reason="Stopped.", stopped=["the command `ls`"]),
        ],
    )  # fmt: skip
    for piece in (
        "# Demo", "## local, 2026", "Do it", "I will.", "````\nls ```\n````", "Done after 1.5 s", "a.txt",
        "```diff", "**Question:** Sure?", "- yes", "**Answer of ada:** yes", "rate_limit: Slow down.",
        "Run resumed by ada",
        "There is no tool `x`.", "Run ended: cancelled. Stopped. Stopped: the command `ls`.",
    ):  # fmt: skip
        assert piece in text, piece
    assert "ignored" not in text


def test_what_sub_agents_do_is_told_apart() -> None:
    about = {"run_id": "A", "provider": "p", "model": "m", "cage": "reads"}
    names = {"agent": "primary.subagents.reviewer.subagents.helper", "task": "Look."}
    parts = [{"kind": "text", "text": "One\n\nTwo"}]
    text = to_markdown(
        "Demo",
        [
            event("agent.spawned", **about, **names),
            event("message.end", run_id="A", interrupted=False, parts=parts),
            event("message.end", run_id="R", interrupted=False, parts=parts),
            event("agent.finished", run_id="A", outcome="failed", reason="No.", steps=1, tokens=5),
        ],
    )
    assert "> **reviewer/helper**\n>\n> *Sub-agent primary" in text
    assert "> Look." in text
    assert "> **reviewer/helper**\n>\n> One\n>\n> Two\n\nOne\n\nTwo\n\n> **reviewer/helper**" in text
    assert "Sub-agent ended: failed, 1 model calls, 5 tokens. No." in text


def test_every_written_type_exists() -> None:
    assert set(_WRITERS) <= set(SHAPES)
