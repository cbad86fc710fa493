"""session: every command against the API's shapes."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from kaged.cli import follow

SID = "01JDABCDEFGHJKMNPQRSTVWXYZ"
OLD = "01JC0000000000000000000000"
BASE = "/projects/app/sessions"
RUN = "01JDRUN"


def session(sid: str = SID, head: int = 0, run: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": sid, "project": "app", "title": "T", "state": "idle", "run": run, "head": head,
        "created_at": "a", "updated_at": "b", "created_by": "local",
    }  # fmt: skip


def frame(seq: int, event: str, /, **data: Any) -> dict[str, Any]:
    return {"channel": f"session:{SID}", "seq": seq, "at": "t", "type": event, "data": {"run_id": RUN, **data}}


EVENTS = [
    frame(1, "message.user", actor="local", text="Hi"),
    frame(2, "run.started", agent="primary", model="offline", provider="offline", cage="w", message_id="m0"),
    frame(3, "message.delta", message_id="m", part=0, kind="text", text="Hello"),
    frame(4, "message.end", message_id="m", parts=[{"kind": "text", "text": "Hello"}], interrupted=False),
    frame(5, "run.ended", outcome="success", reason=""),
]


def events(stored: list[dict[str, Any]], asked: list[dict[str, str]] | None = None) -> Any:
    """An events route that gives two events a page, and remembers what it was asked."""

    def route(query: dict[str, str], _: Any) -> dict[str, Any]:
        if asked is not None:
            asked.append(query)
        items = [e for e in stored if e["seq"] > int(query["after"])][:2]
        return {"items": items, "next": items[-1]["seq"] if items else int(query["after"])}

    return route


@pytest.fixture
def app(daemon: Any) -> Any:
    daemon.routes |= {
        f"GET {BASE}": {"items": [session(), session(OLD)], "next": None},
        f"GET {BASE}/{SID}": session(),
        f"POST {BASE}": session(),
        f"POST {BASE}/{SID}/messages": {"message_id": "m0", "run_id": RUN, "state": "started"},
        f"GET {BASE}/{SID}/events": events(EVENTS),
    }
    return daemon


def test_list(run: Any, app: Any) -> None:
    app.routes[f"GET {BASE}"]["items"][1]["run"] = {"id": "r", "state": "interrupted", "model": "m", "provider": "p"}
    rows = [line.split() for line in run("session", "list", "app").out.splitlines()]
    assert rows[1:] == [[SID, "idle", "b", "T"], [OLD, "interrupted", "b", "T"]]
    assert len(json.loads(run("session", "list", "app", "--json").out)) == 2


def test_send_begins_a_session_named_after_the_message(run: Any, app: Any) -> None:
    result = run("session", "send", "app", "Fix it\nplease")
    assert (result.code, result.out) == (0, f"session {SID}; follow it with: kaged session tail app {SID[-6:]}\n")
    assert app.asked == [
        (f"POST {BASE}", {"title": "Fix it"}),
        (f"POST {BASE}/{SID}/messages", {"text": "Fix it\nplease"}),
    ]
    data = json.loads(run("session", "send", "app", "x" * 99, "--json").out)
    assert data == {"session": SID, "message_id": "m0", "run_id": RUN, "state": "started"}
    assert len(app.asked[2][1]["title"]) == 60


def test_send_and_wait_prints_the_answer_and_succeeds_with_the_run(run: Any, app: Any) -> None:
    result = run("session", "send", "app", "Hi", "--wait")
    assert (result.code, result.out) == (0, "local> Hi\n-- primary on offline; w\nHello\n-- done\n")
    frames = [json.loads(x) for x in run("session", "send", "app", "Hi", "--wait", "--json").out.splitlines()]
    assert frames == EVENTS
    app.routes[f"GET {BASE}/{SID}/events"] = events([frame(1, "run.ended", outcome="failed", reason="no")])
    assert run("session", "send", "app", "Hi", "--wait").code == 1
    app.routes[f"GET {BASE}/{SID}/events"] = events([frame(1, "run.interrupted", reason="restart")])
    result = run("session", "send", "app", "Hi", "--wait")
    assert (result.code, "kaged session resume app" in result.out) == (1, True)


def test_send_goes_on_with_a_session_from_its_head(run: Any, app: Any) -> None:
    asked: list[dict[str, str]] = []
    app.routes[f"GET {BASE}"]["items"][0] = session(head=2)
    app.routes[f"GET {BASE}/{SID}/events"] = events(EVENTS, asked)
    assert run("session", "send", "app", "Hi", "--session", "last", "--wait").out == "Hello\n-- done\n"
    assert asked[0] == {"after": "2", "limit": "500", "wait": "20"}
    assert [q["after"] for q in asked] == ["2", "4"]


def test_text_from_standard_input(run: Any, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    run("session", "send", "app", "-")
    assert app.asked[-1][1] == {"text": "from a pipe\n"}
    assert run("session", "send", "app", " ").code == 2


def test_sessions_are_found_by_the_end_of_their_id(run: Any, app: Any) -> None:
    app.routes[f"GET {BASE}/{OLD}/transcript"] = "# Old"
    assert run("session", "export", "app", "0000").out == "# Old"
    result = run("session", "export", "app", "zzzz")
    assert (result.code, "no session of app end" in result.err) == (1, True)
    app.routes[f"GET {BASE}"]["items"] = [session("A" * 26), session("B" + "A" * 25)]
    assert "2 sessions of app" in run("session", "export", "app", "aa").err
    app.routes[f"GET {BASE}"]["items"] = []
    assert "has no session; begin one" in run("session", "export", "app").err


def test_tail_prints_what_there_is(run: Any, app: Any) -> None:
    assert run("session", "tail", "app", "--no-follow").out == "local> Hi\n-- primary on offline; w\nHello\n-- done\n"
    lines = run("session", "tail", "app", SID, "--no-follow", "--json", "--after", "3").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [4, 5]


def test_tail_follows_over_a_restart_without_gap_or_repeat(
    run: Any, app: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "RETRY_S", 0.001)
    down = [refusal(503, "unavailable", "kaged is shutting down")] * 3
    plain = events(EVENTS)

    def route(query: dict[str, str], body: Any) -> Any:
        if query["after"] == "2" and down:
            return down.pop()
        if query["after"] == "5":
            return refusal(404, "not_found", "gone")
        return plain(query, body)

    app.routes[f"GET {BASE}/{SID}/events"] = route
    result = run("session", "tail", "app", "--json")
    assert [json.loads(line)["seq"] for line in result.out.splitlines()] == [1, 2, 3, 4, 5]
    assert (result.code, result.err) == (1, "! kaged is shutting down; waiting for it\nkaged: gone\n")


def test_ctrl_c_leaves_the_run_running(run: Any, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any, after: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow.Follower, "_endless", interrupted)
    result = run("session", "send", "app", "Hi", "--wait")
    assert result.code == 130
    assert f"The run goes on. Stop it with: kaged session interrupt app --session {SID[-6:]}" in result.err
    assert app.asked[-1][0] == f"POST {BASE}/{SID}/messages"


QUESTION = frame(1, "attention.required", attention_id="A1", call_id="c", kind="ask", question="Sure?", options=["yes"])


def test_questions_are_put_to_the_person_at_the_terminal(
    run: Any, app: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.routes[f"GET {BASE}/{SID}/events"] = events([QUESTION, EVENTS[4]])
    app.routes[f"POST {BASE}/{SID}/attention/A1"] = {}
    assert "? Sure?" in run("session", "send", "app", "Hi", "--wait").out
    assert app.asked[-1][0] != f"POST {BASE}/{SID}/attention/A1"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *args, **kwargs: "yes")
    assert run("session", "send", "app", "Hi", "--wait").code == 0
    assert (f"POST {BASE}/{SID}/attention/A1", {"answer": "yes"}) in app.asked
    app.routes[f"POST {BASE}/{SID}/attention/A1"] = refusal(409, "conflict", "answered already")
    result = run("session", "send", "app", "Hi", "--wait")
    assert (result.code, result.err) == (0, "! answered already\n")


def test_answer(run: Any, app: Any) -> None:
    route = f"{BASE}/{SID}/attention"
    done = {"id": "A0", "state": "answered", "question": "Old?"}
    app.routes |= {f"GET {route}": {"items": [done], "next": None}, f"POST {route}/A1": {}}
    assert "is waiting for an answer" in run("session", "answer", "app", "yes").err
    app.routes[f"GET {route}"] = {
        "items": [{"id": "A1", "state": "open", "kind": "ask", "question": "Sure?"}, done],
        "next": None,
    }
    result = run("session", "answer", "app", "yes")
    assert (result.code, result.out) == (0, "answered: Sure?\n")
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "yes"})


GATE = {"kind": "approval_gate", "question": "May it connect?", "options": ["allow once", "always allow", "deny"]}


def test_questions_of_the_gate_take_an_option_or_its_number(
    run: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = f"{BASE}/{SID}/attention"
    asked = frame(1, "attention.required", attention_id="A1", call_id="network:1", **GATE)
    app.routes |= {f"GET {BASE}/{SID}/events": events([asked, EVENTS[4]]), f"POST {route}/A1": {}}
    app.routes[f"GET {route}"] = {"items": [{"id": "A1", "state": "open", **GATE}], "next": None}
    shown = run("session", "tail", "app", "--no-follow").out
    assert "? May it connect?\n    1  allow once\n    2  always allow\n    3  deny\n" in shown
    assert run("session", "answer", "app", "2").out == "answered: May it connect? always allow\n"
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "always allow"})
    run("session", "answer", "app", "allow once")
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "allow once"})
    run("session", "answer", "app", "4")
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "4"}), "the daemon says what it takes"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *args, **kwargs: "3")
    run("session", "send", "app", "Hi", "--wait")
    assert (f"POST {route}/A1", {"answer": "deny"}) in app.asked


def test_no_answer_goes_to_a_question_that_was_not_meant(run: Any, app: Any) -> None:
    route = f"{BASE}/{SID}/attention"
    asked = [{"id": f"ATT{n}XYZ", "state": "open", **GATE, "question": f"host {n}?"} for n in (1, 2)]
    app.routes |= {f"GET {route}": {"items": asked, "next": None}, f"POST {route}/ATT1XYZ": {}}
    result = run("session", "answer", "app", "always allow")
    assert (result.code, "TT1XYZ: host 1?; TT2XYZ: host 2?" in result.err) == (1, True)
    assert run("session", "answer", "app", "1", "--question", "t1xyz").code == 0
    assert app.asked[-1] == (f"POST {route}/ATT1XYZ", {"answer": "allow once"})


def test_interrupt_and_resume(run: Any, app: Any) -> None:
    app.routes |= {
        f"POST {BASE}/{SID}/interrupt": {"run_id": RUN, "stopped": ["make", "the model"]},
        f"POST {BASE}/{SID}/resume": {"run_id": RUN},
    }
    assert run("session", "interrupt", "app").out == "stopped: make, the model\n"
    assert "resumed; follow it with: kaged session tail app" in run("session", "resume", "app").out
    result = run("session", "resume", "app", "--wait")
    assert (result.code, result.out.splitlines()[-1]) == (0, "-- done")


def test_one_sub_agent_is_stopped_by_its_name_or_by_the_end_of_its_runs_id(run: Any, app: Any) -> None:
    runs = {"R1AAAAAA": "primary.subagents.tester", "R2BBBBBB": "primary.subagents.tester",
            "R3CCCCCC": "primary.subagents.lead.subagents.writer", "R4DDDDDD": "primary.subagents.done"}  # fmt: skip
    story = [frame(n, "agent.spawned", run_id=r, agent=name) for n, (r, name) in enumerate(runs.items(), 1)]
    app.routes[f"GET {BASE}/{SID}/events"] = events([*story, frame(5, "agent.finished", run_id="R4DDDDDD")])
    app.routes[f"POST {BASE}/{SID}/interrupt"] = {"run_id": "R", "stopped": ["the command `make`"]}
    for named, meant in (("writer", "R3CCCCCC"), ("bbbb", "R2BBBBBB")):
        assert run("session", "interrupt", "app", "--agent", named).out == "stopped: the command `make`\n"
        assert app.asked[-1] == (f"POST {BASE}/{SID}/interrupt", {"run_id": meant})
    for named, words in (
        ("tester", "2 sub-agents called 'tester'"), ("done", "no sub-agents called 'done'"), ("", "no sub-agents"),
    ):  # fmt: skip
        result = run("session", "interrupt", "app", "--agent", named)
        assert (result.code, words in result.err, "writer (CCCCCC)" in result.err) == (1, True, True)


def test_export(run: Any, app: Any, environ: Path) -> None:
    app.routes[f"GET {BASE}/{SID}/transcript"] = "# T\n\x1b[2J\n"
    assert run("session", "export", "app").out == "# T\n\\x1b[2J\n"
    assert run("session", "export", "app", "-o", str(environ / "t.md")).out == ""
    assert (environ / "t.md").read_text() == "# T\n\x1b[2J\n"
    assert json.loads(run("session", "export", "app", "--json").out) == EVENTS
    assert "cannot be written" in run("session", "export", "app", "-o", str(environ / "no" / "t.md")).err


APPROVAL = {
    "tool": "shell", "rule": "the rule `rm *`", "subject": "rm x", "args_sha256": "0", "files": {},
    "risk": {"level": 3, "words": ["deletes files"]}, "why": "x changed meanwhile", "diff": "-a\n+b\n",
    "expires_at": "2099",
}  # fmt: skip
WAITS = {"kind": "approval_gate", "question": "May `shell` run? rm x", "options": ["approve once", "deny"]}


def test_attention_lists_what_waits_everywhere_or_in_one_project(run: Any, app: Any) -> None:
    shared = {"session": SID, "state": "open", "call_id": "c"}
    items = [
        {**shared, **WAITS, "id": "01AAAAAA", "project": "app", "risk": 3, "approval": APPROVAL},
        {**shared, "id": "01BBBBBB", "project": "other", "kind": "ask", "question": "a\x1b[2Jb", "risk": 0},
    ]
    app.routes["GET /attention"] = {"items": items, "next": None}
    lines = run("session", "attention").out.splitlines()
    assert lines[1].split() == ["AAAAAA", "app", SID[-6:], "high", "May", "`shell`", "run?", "rm", "x"]
    assert lines[2].split()[3:] == ["none", "known", "a\\x1b[2Jb"]
    assert [it["id"] for it in json.loads(run("session", "attention", "other", "--json").out)] == ["01BBBBBB"]


def test_a_call_that_waits_is_shown_with_its_change_and_risk_and_answered_by_number(run: Any, app: Any) -> None:
    asked = frame(1, "attention.required", attention_id="A1", run_id=RUN, call_id="c", approval=APPROVAL, **WAITS)
    app.routes[f"GET {BASE}/{SID}/events"] = events([asked])
    out = run("session", "tail", "app", "--no-follow").out
    assert "the rule `rm *` asks; risk: high, deletes files" in out
    assert "x changed meanwhile\n  -a\n  +b\n    1  approve once\n    2  deny" in out
    route = f"{BASE}/{SID}/attention"
    app.routes[f"GET {route}"] = {"items": [{"id": "A1", "state": "open", **WAITS}]}
    app.routes[f"POST {route}/A1"] = {}
    assert run("session", "answer", "app", "1").code == 0
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "approve once"})
    assert run("session", "answer", "app", "deny: why").code == 0
    assert app.asked[-1] == (f"POST {route}/A1", {"answer": "deny: why"})


def checkpoint(sid: str, auto: str | None, name: str | None = None) -> dict[str, Any]:
    return {"id": sid, "created_at": "t", "files_changed": 2, "name": name, "auto": auto}


def test_checkpoints_are_listed_and_restored_by_the_end_of_their_id(run: Any, app: Any) -> None:
    one, two = "C" * 25 + "1", "C" * 25 + "2"
    found = [checkpoint(two, "run"), checkpoint(one, None, "by hand")]
    app.routes[f"GET {BASE}/{SID}/checkpoints"] = {"items": found, "next": None}
    lines = run("session", "checkpoints", "app").out.splitlines()
    rows = [line.split(maxsplit=3) for line in lines[1:]]
    assert rows == [[two, "t", "2", "before a run"], [one, "t", "2", "by hand"]]
    assert json.loads(run("session", "checkpoints", "app", "--json").out) == found
    app.routes[f"POST {BASE}/{SID}/rollback"] = {"undo": "U" * 26, "files_changed": 3}
    result = run("session", "rollback", "app", "c1", "--what", "files", "--force")
    undo = f"kaged session rollback app UUUUUU --session {SID[-6:]}"
    assert (result.code, result.out) == (0, f"restored; files changed: 3; undo it with: {undo}\n")
    assert app.asked[-1] == (f"POST {BASE}/{SID}/rollback", {"checkpoint": one, "what": "files", "force": True})
    result = run("session", "rollback", "app", "x")
    assert (result.code, "no checkpoints of this session end with 'x'" in result.err) == (1, True)


def test_a_new_session_can_work_in_a_worktree(run: Any, app: Any) -> None:
    assert run("session", "send", "app", "Hi", "--workspace", "worktree").code == 0
    assert (f"POST {BASE}", {"title": "Hi", "workspace": "worktree"}) in app.asked
    assert run("session", "send", "app", "Hi", "--workspace", "worktree", "--session", "last").code == 2
