"""audit tail and verify."""

import json
from typing import Any


def record(seq: int) -> dict[str, Any]:
    return {
        "seq": seq, "at": f"t{seq}", "actor": {"id": "ada", "source": "loopback"}, "action": "project.load",
        "object": "app", "outcome": "ok", "details": {"path": "/x\x1b"}, "prev": "", "hash": "",
    }  # fmt: skip


def test_tail_is_oldest_first(run: Any, daemon: Any) -> None:
    daemon.routes["GET /audit"] = lambda query, _: {
        "items": [record(n) for n in range(9, 9 - int(query["limit"]), -1)],
        "next": "more",
    }
    result = run("audit", "tail", "-n", "2")
    assert result.out.splitlines() == [
        't8  ada  project.load  app  ok  {"path": "/x\\u001b"}',
        't9  ada  project.load  app  ok  {"path": "/x\\u001b"}',
    ]
    assert [r["seq"] for r in json.loads(run("audit", "tail", "-n", "2", "--json").out)] == [8, 9]


def test_verify(run: Any, daemon: Any) -> None:
    good = {"ok": True, "records": 4, "first_seq": 1, "last_seq": 4, "problem": None, "line": None}
    daemon.routes["GET /audit/verify"] = good
    result = run("audit", "verify")
    assert (result.code, result.out) == (0, "the chain holds: 4 records, 1 to 4\n")
    daemon.routes["GET /audit/verify"] = {**good, "ok": False, "line": 3, "problem": "its hash is wrong"}
    result = run("audit", "verify")
    assert (result.code, result.out) == (1, "THE CHAIN IS BROKEN: line 3: its hash is wrong\n")
    data = run("audit", "verify", "--json")
    assert (data.code, json.loads(data.out)["ok"]) == (1, False)
