"""Events as text: streamed, folded, joined in the middle, and never obeyed by the terminal."""

from typing import Any

import click
import pytest

from kaged.cli.transcript import RESULT_LINES, Transcript


def shown(*events: tuple[str, dict[str, Any]]) -> str:
    out: list[str] = []
    transcript = Transcript(answer="ANSWER", resume="RESUME", write=out.append)
    for kind, data in events:
        transcript.show({"seq": 7, "type": kind, "data": data})
    return click.unstyle("".join(out))


def test_what_a_newer_version_wrote_is_named() -> None:
    assert shown(("agent.dreamt", {})) == "-- event 7 is of the type agent.dreamt, which a newer kaged wrote\n"


def delta(text: str, part: int = 0, kind: str = "text") -> tuple[str, dict[str, Any]]:
    return "message.delta", {"message_id": "m", "part": part, "kind": kind, "text": text}


def end(*texts: str, interrupted: bool = False) -> tuple[str, dict[str, Any]]:
    parts = [{"kind": "text", "text": text} for text in texts]
    return "message.end", {"message_id": "m", "parts": parts, "interrupted": interrupted}


def result(ok: bool = True, output: str = "out\n", call: str = "c", **detail: Any) -> tuple[str, dict[str, Any]]:
    data = {"call_id": call, "tool": "shell", "ok": ok, "output": output, "duration_ms": 1234, "detail": detail}
    return "tool.result", data


def test_streamed_text_is_written_once() -> None:
    assert shown(delta("Hel"), delta("lo"), end("Hello")) == "Hello\n"


def test_folded_text_comes_with_the_end() -> None:
    assert shown(delta(""), end("Hello")) == "Hello\n"
    assert shown(end("Hello", "World")) == "Hello\nWorld\n"


def test_a_reader_who_joined_in_the_middle_gets_the_rest() -> None:
    assert shown(delta("Hel"), end("Hello")) == "Hello\n"


def test_an_interrupted_message_says_so() -> None:
    assert shown(delta("Hel"), end("Hel", interrupted=True)) == "Hel\n-- this answer was cut off\n"


def test_parts_begin_on_their_own_lines_and_arguments_are_not_shown_twice() -> None:
    assert shown(delta("hmm", kind="thinking"), delta("Hi", 1), delta('{"a":', 2, "tool_args")) == "hmm\nHi"


def test_a_command_with_live_output() -> None:
    call = ("tool.call", {"call_id": "c", "tool": "shell", "args": {"command": "make"}})
    live = ("tool.output", {"call_id": "c", "offset": 0, "text": "one\ntwo"})
    assert shown(call, live, result(False, exit_code=2)) == "$ make\none\ntwo\n-- failed, exit status 2 (1.2 s)\n"


def test_other_tools_show_their_arguments_and_a_diff_or_the_output() -> None:
    call = ("tool.call", {"call_id": "c", "tool": "file.edit", "args": {"path": "a.py", "old": "x\ny", "n": 3}})
    assert shown(call, result(diff="-a\n+b\n")) == ("> file.edit path=a.py old=x... n=3\n  -a\n  +b\n-- ok (1.2 s)\n")
    text = shown(result(output="\n".join(map(str, range(RESULT_LINES + 5)))))
    assert text.count("\n") == RESULT_LINES + 2
    assert "  ... 5 more lines\n" in text


def test_questions_and_answers() -> None:
    asked = ("attention.required", {"question": "Which?", "options": ["a", "b"]})
    assert shown(asked) == "? Which?\n    a\n    b\n  answer with: ANSWER\n"
    assert shown(("attention.resolved", {"actor": "ada", "answer": "a"})) == "ada> a\n"
    assert shown(("attention.resolved", {"actor": "ada", "answer": "", "withdrawn": True})) == (
        "-- the question was withdrawn\n"
    )


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("message.user", {"actor": "ada", "text": "Hi\n"}, "ada> Hi\n"),
        ("run.started", {"agent": "primary", "model": "o", "provider": "o", "cage": "w"},
         "-- primary on o; w\n"),
        ("run.started", {"agent": "primary", "model": "m", "provider": "p", "cage": "w"},
         "-- primary on p:m; w\n"),
        ("run.ended", {"outcome": "success", "reason": ""}, "-- done\n"),
        ("run.ended", {"outcome": "cancelled", "reason": "by ada", "stopped": ["make"]},
         "-- stopped: by ada (stopped: make)\n"),
        ("run.interrupted", {"reason": "kaged was restarted"},
         "-- interrupted: kaged was restarted; go on with: RESUME\n"),
        ("run.interrupted", {"reason": "kaged stopped.", "goes_on": True},
         "-- interrupted: kaged stopped; it goes on by itself\n"),
        ("run.recovered", {"actor": "ada"}, "-- resumed by ada\n"),
        ("tool.denied", {"tool": "shell", "reason": "no"}, "! shell was denied: no\n"),
        ("network.denied", {"host": "a.example.org", "port": 443, "via": "tls", "reason": "no", "count": 4},
         "! a.example.org:443 denied 4 times: no\n"),
        ("network.denied", {"host": "a.example.org", "port": 53, "via": "dns", "reason": "no", "count": 1},
         "! a.example.org denied: no\n"),
        ("network.denied", {"host": "", "port": 0, "via": "tls", "reason": "more", "count": 9},
         "! several hosts denied 9 times: more\n"),
        ("error", {"message": "overloaded", "retry_in_s": 2.0}, "! overloaded; again in 2 s\n"),
        ("error", {"message": "refused"}, "! refused\n"),
        ("session.updated", {"title": "x"}, ""),
        ("usage.recorded", {}, ""),
    ],
)  # fmt: skip
def test_each_event_has_its_line(kind: str, data: dict[str, Any], text: str) -> None:
    assert shown((kind, data)) == text


def test_nothing_an_agent_writes_reaches_the_terminal_as_a_command() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b"
    out: list[str] = []
    transcript = Transcript(answer="A", resume="R", write=out.append)
    for kind, data in [
        delta(evil),
        end(evil),
        ("tool.call", {"call_id": "c", "tool": "shell", "args": {"command": evil}}),
        ("tool.call", {"call_id": "c", "tool": evil, "args": {evil: evil}}),
        ("tool.output", {"call_id": "c", "offset": 0, "text": evil}),
        result(output=evil, call="d"),
        ("attention.required", {"question": evil, "options": [evil]}),
        ("network.denied", {"host": evil, "port": 1, "via": evil, "reason": evil, "count": 1}),
        ("error", {"message": evil}),
    ]:
        transcript.show({"seq": 7, "type": kind, "data": data})
    text = click.unstyle("".join(out))
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_sub_agents_are_told_in_two_lines_each() -> None:
    out: list[str] = []
    transcript = Transcript(answer="A", resume="R", write=out.append)
    names = {"agent": "primary.subagents.reviewer.subagents.helper", "model": "offline", "task": "Look\naround"}
    part = {"message_id": "m", "part": 0, "kind": "text", "text": "among others"}
    ask = {"question": "Which?", "options": []}
    for kind, data in [
        ("agent.spawned", names),
        ("message.delta", part),
        ("tool.call", {"tool": "shell", "args": {"command": "ls"}}),
        ("attention.required", ask),
        ("agent.finished", {"outcome": "failed", "reason": "No more.", "steps": 3, "tokens": 1234}),
    ]:
        transcript.show({"type": kind, "data": {"run_id": "S", **data}})
    text = click.unstyle("".join(out))
    assert "-- sub-agent reviewer/helper on offline: Look..." in text
    assert "? Which?" in text
    assert "-- sub-agent reviewer/helper failed: No more. (3 model calls, 1,234 tokens)" in text
    assert "among others" not in text
    assert "$ ls" not in text
