"""project: load, new, list."""

import json
from pathlib import Path
from typing import Any

PROJECT = {
    "slug": "app", "path": "/work/app", "description": None, "trust": "untrusted", "hash": "h",
    "problems": [], "model": "default",
    "route": {"provider": "offline", "model": "offline", "label": "offline"},
    "cage": {"words": "reads and writes this project", "explain": []}, "sample": False, "created_at": "t",
}  # fmt: skip


def test_load(run: Any, daemon: Any, environ: Path) -> None:
    daemon.routes["POST /projects/load"] = PROJECT
    result = run("project", "load", str(environ / "app"), "--create")
    assert result.code == 0
    assert daemon.asked == [("POST /projects/load", {"path": str(environ / "app"), "create": True, "trust": False})]
    assert "cage   reads and writes this project" in result.out
    assert (
        "not trusted yet: nothing of it runs; read .kaged there, then: kaged project load /work/app --trust"
        in result.out
    )
    daemon.routes["POST /projects/load"] = {**PROJECT, "trust": "trusted"}
    assert "kaged session send app" in run("project", "load", "--trust").out
    assert daemon.asked[-1][1] == {"path": str(Path.cwd()), "create": False, "trust": True}
    assert json.loads(run("project", "load", "--json").out)["slug"] == "app"
    daemon.routes["POST /projects/load"] = {**PROJECT, "trust": "changed", "problems": ["x:1:1: y"], "cage": None}
    shown = run("project", "load").out
    assert "PROBLEM x:1:1: y" in shown
    assert "changed since it was trusted" in shown


def test_a_missing_project_file_shows_the_proposal(run: Any, daemon: Any, refusal: Any) -> None:
    details = {"proposal": "version: 1\nproject: app\n", "file": ".kaged/project.yaml"}
    daemon.routes["POST /projects/load"] = refusal(409, "project_missing", "/x has no project file", details)
    result = run("project", "load", "/x")
    assert result.code == 1
    assert "kaged: /x has no project file" in result.err
    assert "    project: app\n" in result.err
    assert "again with --create" in result.err


def test_problems_are_all_shown(run: Any, daemon: Any, refusal: Any) -> None:
    details = {"problems": ["a:1:1: one", "a:2:1: two"]}
    daemon.routes["POST /projects/load"] = refusal(422, "dsl_invalid", "a:1:1: one (and 1 more)", details)
    result = run("project", "load")
    assert (result.code, "  a:1:1: one\n  a:2:1: two\n" in result.err) == (1, True)


def test_new_makes_the_folder_and_trusts_it(run: Any, daemon: Any, environ: Path) -> None:
    daemon.routes |= {"GET /versions": {}, "POST /projects/load": {**PROJECT, "trust": "trusted"}}
    folder = environ / "a" / "shop"
    assert run("project", "new", str(folder)).code == 0
    assert folder.is_dir()
    assert daemon.asked[-1] == ("POST /projects/load", {"path": str(folder), "create": True, "trust": True})


def test_new_leaves_nothing_behind_when_it_is_refused(run: Any, daemon: Any, refusal: Any, environ: Path) -> None:
    daemon.routes |= {"GET /versions": {}, "POST /projects/load": refusal(403, "forbidden", "not there")}
    assert run("project", "new", str(environ / "shop")).code == 1
    assert not (environ / "shop").exists()
    (environ / "mine").mkdir()
    assert run("project", "new", str(environ / "mine")).code == 1
    assert (environ / "mine").is_dir()
    daemon.path.unlink()
    assert run("project", "new", str(environ / "shop")).code == 1
    assert not (environ / "shop").exists()


def test_new_does_not_touch_a_project(run: Any, daemon: Any, environ: Path) -> None:
    (environ / "p" / ".kaged").mkdir(parents=True)
    (environ / "p" / ".kaged" / "project.yaml").touch()
    result = run("project", "new", str(environ / "p"))
    assert (result.code, daemon.asked) == (1, [])
    assert "is a project already" in result.err
    (environ / "file").touch()
    daemon.routes["GET /versions"] = {}
    assert "cannot be made" in run("project", "new", str(environ / "file" / "x")).err


def test_list(run: Any, daemon: Any) -> None:
    broken = {**PROJECT, "slug": "b", "problems": ["x"], "route": None, "model": None}
    daemon.routes["GET /projects"] = {"items": [PROJECT, broken], "next": None}
    rows = [line.split() for line in run("project", "list").out.splitlines()]
    assert rows == [
        ["PROJECT", "STATE", "MODEL", "FOLDER"],
        ["app", "untrusted", "offline", "/work/app"],
        ["b", "problems", "-", "/work/app"],
    ]
    assert [p["slug"] for p in json.loads(run("project", "list", "--json").out)] == ["app", "b"]


def test_explain_names_the_agent(run: Any, daemon: Any, refusal: Any) -> None:
    asked: list[dict[str, str]] = []

    def capabilities(query: dict[str, str], _: Any) -> Any:
        asked.append(query)
        if query["agent"] != "primary":
            return refusal(404, "not_found", "app has no agent 'primry', only `primary`", {})
        return {"cage": {"words": "reads this project", "explain": ["reaches: nothing"], "hash": "h"}}

    daemon.routes["GET /projects/app/capabilities"] = capabilities
    assert run("cage", "explain", "app").out == "app: reads this project\n  reaches: nothing\n  plan h\n"
    assert run("cage", "explain", "app", "primary").code == 0
    result = run("cage", "explain", "app", "primry")
    assert (result.code, asked[-1]) == (1, {"agent": "primry"})
    assert "only `primary`" in result.err
