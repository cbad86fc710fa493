"""The prefixes: what they become, in which order, and how a script goes on after a crash."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.events import ToolCallPart
from kaged.models.offline.script import Call, Say, Tokens, Wait, parse, words_of
from kaged.models.types import AssistantMessage, ToolMessage, UserMessage
from models.offline_driver import Loop, shell_in


def steps(text: str) -> list[object]:
    return [step for command in parse(text) or [] for step in command[1]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run: ls -l | wc", [Call("shell", {"command": "ls -l | wc"})]),
        ("run:ls", [Call("shell", {"command": "ls"})]),
        ("read: a b.txt", [Call("file.read", {"path": "a b.txt"})]),
        ("search: def .*:", [Call("search.grep", {"pattern": "def .*:"})]),
        ("ask: Which colour: red?", [Call("ask", {"question": "Which colour: red?"})]),
        ("checkpoint: The schema", [Call("checkpoint", {"title": "The schema"})]),
        ("say: hello: you", [Say("hello: you\n")]),
        ("wait: 1.5", [Wait(1.5)]),
        ("stream: 20", [Tokens(20)]),
        (
            "edit a.py: x = 1 => x = 2",
            [
                Call("file.read", {"path": "a.py"}),
                Call("file.edit", {"path": "a.py", "old_string": "x = 1", "new_string": "x = 2"}),
            ],
        ),
        ("plan: read; fix it ;test", [Say("1. read\n2. fix it\n3. test\n\n")]),
        (
            "delegate a: run: x; y\n\ndelegate b: say: one ; delegate c: say: two ;; say: three ; say: four",
            [
                (
                    Call("delegate", {"agent": "a", "task": "run: x; y"}),
                    Call("delegate", {"agent": "b", "task": "say: one\ndelegate c: say: two ; say: three\nsay: four"}),
                )
            ],
        ),
        ("write a.txt: one line", [Call("file.write", {"path": "a.txt", "content": "one line\n"})]),
        ("write a.txt:\none\n\nrun: two", [Call("file.write", {"path": "a.txt", "content": "one\n\nrun: two\n"})]),
        ("write a.txt:", [Call("file.write", {"path": "a.txt", "content": ""})]),
    ],
)
def test_each_prefix(line: str, expected: list[object]) -> None:
    assert steps(line) == expected


@pytest.mark.parametrize("text", ["hello", "", "Run: this?", "please run: ls", "https://example.com/x: y", "edit me"])
def test_other_text_is_no_script(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("line", ["wait: long", "wait: -1", "stream: many", "stream: 99999999999", "run:", "ask: "])
def test_a_prefix_without_what_it_needs_says_so(line: str) -> None:
    (step,) = steps(line)
    assert isinstance(step, Say)
    assert "needs" in step.text


@given(st.text(max_size=200))
def test_any_text_can_be_parsed(text: str) -> None:
    parse(text)


async def test_a_script_runs_in_order_through_real_tools(tmp_path: Path) -> None:
    loop = Loop(tmp_path, shell_in(tmp_path))
    said = await loop.run(
        "say: First.\nrun: echo x = 1 > a.py\nwhat is this\nedit a.py: x = 1 => x = 2\nrun: cat a.py\n"
        "ask: Which colour?\nread: nothing.txt\nwrite b.txt:\nhello\nrun: not a command"
    )
    assert (tmp_path / "a.py").read_text() == "x = 2\n"
    assert (tmp_path / "b.txt").read_text() == "hello\nrun: not a command\n"
    assert [call.tool for call in loop.calls] == [
        "shell", "file.read", "file.edit", "shell", "ask", "file.read", "file.write",
    ]  # fmt: skip
    assert said.startswith("First.\nRunning `echo x = 1 > a.py`.\nThat worked.\nI skip this line")
    assert "You answered: blue" in said
    assert "That failed: There is no file nothing.txt." in said
    assert said.endswith("Done: 6 of 7 tool calls worked.")


async def test_a_failed_reading_ends_an_edit(tmp_path: Path) -> None:
    loop = Loop(tmp_path, shell_in(tmp_path))
    await loop.run("edit none.py: a => b\nsay: on")
    assert [call.tool for call in loop.calls] == ["file.read"]
    assert "on\nDone: 0 of 1 tool call worked." in loop.said


async def test_it_goes_on_from_the_messages_alone(tmp_path: Path) -> None:
    text = "say: a\nrun: echo 1\nsay: b\nrun: echo 2\nsay: c"
    whole = Loop(tmp_path, shell_in(tmp_path))
    await whole.run(text)
    for kept in range(1, len(whole.messages)):
        resumed = Loop(tmp_path, shell_in(tmp_path), messages=list(whole.messages[:kept]))
        last = resumed.messages[-1]
        if isinstance(last, AssistantMessage):
            continue
        answer = await resumed.answer()
        told = [part.text for part in answer.parts if not isinstance(part, ToolCallPart)]
        following = whole.messages[kept]
        assert isinstance(following, AssistantMessage)
        assert told == [part.text for part in following.parts if not isinstance(part, ToolCallPart)]
        again = [part.args for part in answer.parts if isinstance(part, ToolCallPart)]
        assert again == [part.args for part in following.parts if isinstance(part, ToolCallPart)]


async def test_a_new_message_starts_a_new_script(tmp_path: Path) -> None:
    loop = Loop(tmp_path, shell_in(tmp_path))
    await loop.run("run: echo 1")
    loop.said = ""
    await loop.run("run: echo 2")
    assert loop.calls[-1].args == {"command": "echo 2"}
    assert loop.said.endswith("Done: 1 of 1 tool call worked.")


async def test_a_tool_that_is_off_is_said_to_be_off(tmp_path: Path) -> None:
    from kaged.models.offline import decide
    from models.offline_driver import request

    out = decide(request(UserMessage("run: ls\nask: why?"), tools=("ask",)), 1)
    assert isinstance(out[0], Say)
    assert "I need the tool shell" in out[0].text
    assert out[-1] == Call("ask", {"question": "why?"})


@pytest.mark.parametrize(
    ("output", "words"),
    [("a\nb\n\n[Exit status 2.]\ncage: no", "b"), ("[Exit status 2.]", "[Exit status 2.]"), ("", "no output")],
)
def test_the_telling_line_of_a_result(output: str, words: str) -> None:
    assert words_of(ToolMessage("c", "shell", output, ok=False)) == words
