"""dsl validate and schema, without a daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

GOOD = "version: 1\nproject: app\nprimary:\n  system_prompt: config:/p.md\n"


def test_validate(run: Any, environ: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = environ / ".kaged" / "project.yaml"
    file.parent.mkdir()
    file.write_text(GOOD)
    monkeypatch.chdir(environ)
    result = run("dsl", "validate")
    assert (result.code, result.out) == (0, ".: no problems\n")
    file.write_text(GOOD + "  x: 1\n")
    result = run("dsl", "validate")
    assert result.code == 1
    assert result.out.startswith(".kaged/project.yaml:5:3: primary.x: is not a key")
    data = run("dsl", "validate", "--json", str(file))
    assert (data.code, len(json.loads(data.out)["problems"])) == (1, 1)
    assert run("dsl", "validate", str(environ / "none")).code == 1


def test_schema(run: Any) -> None:
    assert json.loads(run("dsl", "schema").out)["title"] == "kaged project file"


def test_a_broken_reader_is_not_taken_for_problems(run: Any, monkeypatch: pytest.MonkeyPatch, environ: Path) -> None:
    from kaged.cli import project

    monkeypatch.setattr(project, "python", lambda *arguments: ["python3", "-c", "raise SystemExit('broken')"])
    result = run("dsl", "validate")
    assert result.code == 1
    assert "broken" in result.err
    assert "the reader of project files failed" in result.err
