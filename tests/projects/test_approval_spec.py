"""Rules of tool calls: what may be written, and what they make of calls."""

from pathlib import Path
from typing import Any

import pytest

from kaged.projects.files import parse
from kaged.projects.model import AgentSpec
from kaged.projects.yaml_core import ProjectError

HEAD = "version: 1\nproject: demo\nprimary:\n  system_prompt: config:/prompts/main.md\n  tools:\n    "


def agent(tools: str) -> AgentSpec:
    return parse(HEAD + tools + "\n").primary


def test_by_default_everything_runs() -> None:
    for tool in ("shell", "file.write", "ask"):
        assert agent("{}").verdict(tool, {"command": "rm -rf /", "path": "x"}, ["x"]).approval == "auto"


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        (
            "shell: {rules: [{match: 'a | b', approval: ask}]}",
            ":6:29: primary.tools.shell.rules.0.match: 'a | b' is not",
        ),
        (
            "shell: {rules: [{match: 'A=1 b', approval: ask}]}",
            ":6:29: primary.tools.shell.rules.0.match: 'A=1 b' is not",
        ),
        ("shell: {rules: [{match: '', approval: ask}]}", ":6:29: primary.tools.shell.rules.0.match: '' is not"),
        (
            "shell: {rules: [{match: a, approval: never}]}",
            ":6:42: primary.tools.shell.rules.0.approval: 'never' is not",
        ),
        ("shell: {rules: [{match: a}]}", ":6:21: primary.tools.shell.rules.0.approval: is missing"),
        ("shell: {rules: [{approval: ask}]}", ":6:21: primary.tools.shell.rules.0: give either `match`"),
        ("shell: {rules: [{path: a, approval: ask}]}", ":6:5: primary.tools: the rules of shell take `match`"),
        ("file.read: {rules: [{match: a, approval: ask}]}", ":6:5: primary.tools: the rules of file.read take `path`"),
        ("file.read: {rules: [{path: ../a, approval: ask}]}", ":6:32: primary.tools.file.read.rules.0.path: `.` and"),
        ("search.find: {rules: [{path: a, approval: ask}]}", ":6:5: primary.tools: search.find takes no rules"),
        ("'*': {rules: [{path: a, approval: ask}]}", ":6:5: primary.tools: rules belong to one tool"),
        ("ask: {approval: ask}", ":6:5: primary.tools: ask only asks the operator"),
        ("checkpoint: {approval: deny}", ":6:5: primary.tools: checkpoint only asks the operator"),
    ],
)
def test_bad_rules_are_refused_with_their_place(tools: str, says: str) -> None:
    with pytest.raises(ProjectError) as refused:
        agent(tools)
    assert refused.value.problems[0].partition("project.yaml")[2][: len(says)] == says


def test_a_setting_for_all_tools_leaves_the_questions_of_the_agent_alone() -> None:
    spec = agent("{'*': {approval: deny}, shell: {approval: ask}}")
    found = {tool: spec.verdict(tool, {"command": "ls", "path": "a"}, ["a"]).approval for tool in spec.enabled_tools()}
    assert found == {
        "shell": "ask", "file.read": "deny", "file.write": "deny", "file.edit": "deny", "search.grep": "deny",
        "search.find": "deny", "ask": "auto", "checkpoint": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "approval"),
    [
        (["infra/a"], "deny"),
        (["infra"], "deny"),
        (["infrastructure/a"], "ask"),
        (["x", "infra/deep/er"], "deny"),
        (["Makefile"], "auto"),
        (["sub/Makefile"], "ask"),
        (["Makefile", "elsewhere"], "ask"),
        ([], "ask"),
    ],
)
def test_of_all_names_of_a_file_the_strictest_counts(paths: list[str], approval: str) -> None:
    rules = "[{path: infra/**, approval: deny}, {path: Makefile, approval: auto}]"
    spec = agent(f"file.write: {{approval: ask, rules: {rules}}}")
    assert spec.verdict("file.write", {"path": "x"}, paths).approval == approval


@pytest.mark.parametrize(
    ("args", "approval"),
    [
        ({"job": "J"}, "auto"),
        ({"job": "J", "kill": True}, "auto"),
        ({"job": "J", "input": "rm -rf x\n"}, "deny"),
        ({"command": "bash", "background": True}, "deny"),
        ({"command": "ls"}, "auto"),
        ({"command": 5}, "auto"),
        ({}, "auto"),
    ],
)
def test_what_is_typed_into_a_command_may_be_a_command(args: dict[str, Any], approval: str) -> None:
    spec = agent("shell: {rules: [{match: 'rm *', approval: deny}]}")
    assert spec.verdict("shell", args).approval == approval


def test_the_example_of_the_documentation_says_what_it_says() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "users" / "project-file.md").read_text(encoding="utf-8")
    example = page.partition("### Approvals\n\n```yaml\n")[2].partition("```")[0]
    spec = parse(HEAD.removesuffix("  tools:\n    ") + "".join(f"  {line}\n" for line in example.splitlines())).primary
    said = [
        spec.verdict("shell", {"command": line}).approval for line in ("git -C x push", "rm -fr a", "rm -r -f a", "ls")
    ]
    assert said == ["ask", "deny", "deny", "auto"]
