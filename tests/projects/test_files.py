"""Project files: what they mean, and one placed sentence for each mistake."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.projects.cage_spec import CageSpec
from kaged.projects.files import overlay_name, parse, parse_full, trust_hash
from kaged.projects.yaml_core import ProjectError

SMALL = "version: 1\nproject: bakery\nprimary:\n  system_prompt: config:/prompts/default.md\n"


def problems(text: str, overlay: str | None = None) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        parse(text, overlay=overlay)
    return caught.value.problems


def test_the_smallest_file() -> None:
    spec = parse(SMALL)
    assert spec.project == "bakery"
    assert spec.primary.model == "default"
    assert spec.primary.cage == CageSpec()
    assert "shell" in spec.primary.enabled_tools()


def test_a_full_file() -> None:
    spec = parse(
        """\
version: 1
project: bakery
description: Bread.
primary:
  model: anthropic:big-1
  system_prompt: project:/prompts/baker.md
  description: Bakes.
  max_steps: 7
  max_output_tokens: 4096
  tools:
    "*": {enabled: false}
    file.read: {enabled: true}
    ask:
    search.grep: {}
  cage:
    fs:
      - {path: "project:/", mode: rw}
      - {path: "project:/secrets", mode: hidden}
      - {path: /opt/toolchain, mode: ro}
    protect: {add: ["infra/**"], remove: [".envrc"]}
    seccomp: relaxed
    limits: {memory: 512MiB, pids: 64, walltime: 90s}
    env: {pass: [LANG], set: {CI: "1"}}
    home: ephemeral
    net: {mode: enforce, allow: []}
"""
    )
    agent = spec.primary
    assert agent.enabled_tools() == ("file.read", "search.grep")
    assert (agent.cage.limits.memory, agent.cage.limits.walltime) == (512 * 1024**2, 90)
    assert agent.cage.env.pass_ == ("LANG",)
    assert agent.cage.seccomp == "relaxed"


def test_every_mistake_is_listed_once_in_the_order_of_the_file() -> None:
    assert problems(
        """\
version: 2
project: B
descripton: x
primary:
  system_prompt: prompts/default.md
  max_steps: 0
  tools: {shel: {enabled: true}}
  cage:
    fs:
      - {path: "project:/", mod: rw}
    net: {allow: [api.example.com.]}
    limits: {memory: 2GB}
    env: {pass: [MY_TOKEN], set: {B: 1}}
"""
    ) == [
        "project.yaml:1:10: version: 2 is not allowed; allowed: 1",
        "project.yaml:2:10: project: 'B' does not match; expected ^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$",
        'project.yaml:3:1: descripton: is not a key that kaged knows; did you mean "description"?; '
        "allowed: version, project, description, primary, tasks",
        "project.yaml:5:18: primary.system_prompt: expected project:/PATH (below the project) or "
        "config:/PATH (below .kaged)",
        "project.yaml:6:14: primary.max_steps: 0 is out of range; allowed: at least 1",
        "project.yaml:7:10: primary.tools: 'shel' is not a tool; did you mean \"shell\"?; known: *, shell, "
        "file.read, file.write, file.edit, search.grep, search.find, ask, checkpoint, delegate",
        "project.yaml:10:9: primary.cage.fs.0.mode: is missing",
        'project.yaml:10:29: primary.cage.fs.0.mod: is not a key that kaged knows; did you mean "mode"?; '
        "allowed: path, mode",
        "project.yaml:11:19: primary.cage.net.allow.0: write 'api.example.com', without a dot at the end",
        "project.yaml:12:22: primary.cage.limits.memory: expected a number with one of the units B, KiB, "
        "MiB, GiB, TiB, such as 2GiB",
        "project.yaml:13:18: primary.cage.env.pass.0: MY_TOKEN looks like a secret, and secrets do not "
        "enter a cage through `env.pass`",
        'project.yaml:13:38: primary.cage.env.set.B: 1 is not allowed; expected text in quotes, such as "…"',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugins: {}\n" + SMALL, "project.yaml:1:1: plugins: is not supported by this version of kaged"),
        ("workflows: {}\n" + SMALL, "project.yaml:1:1: workflows: is not supported by this version"),
        *[
            (SMALL + f"  {key}: {{}}\n", f"project.yaml:5:3: primary.{key}: is not supported by this version")
            for key in ("compaction", "plugins", "mcp", "parameters")
        ],
        (SMALL + "  model: [a, b]\n", "project.yaml:5:10: primary.model: a list of fallback models is not supp"),
        (SMALL + "  cage: disabled\n", "project.yaml:5:9: primary.cage: an agent without a cage is not supported"),
        (
            SMALL + "  tools: {shell: {description: x}}\n",
            "project.yaml:5:19: primary.tools.shell.description: is not supported by this version of kaged",
        ),
        (
            SMALL + "  tools: {shell: {rules: [{host: example.com, approval: ask}]}}\n",
            "project.yaml:5:28: primary.tools.shell.rules.0.host: programs reach hosts, not tools: write it below",
        ),
    ],
)
def test_keys_of_the_wider_design_are_refused_by_name_and_nothing_else_is_said(text: str, problem: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0][: len(problem)] == problem


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ("{test: {run: make, cwd: x}}", "6:27: tasks.test.cwd: is not a key that kaged knows; allowed: run, desc"),
        ("{test: {}}", "6:9: tasks.test.run: is missing"),
        ("{test: {run: '  '}}", "6:21: tasks.test.run: expected a command, as one writes it in a shell"),
        ("{test: {run: [make]}}", "6:21: tasks.test.run: ['make'] is not allowed; expected text in quotes"),
        ("{Test: {run: make}}", "6:9: tasks.Test: 'Test' is no name: use 1 to 32 of a-z, 0-9 and -"),
        ("{test: make}", "6:15: tasks.test: 'make' is not allowed"),
        (f"{{{', '.join(f't{n}: {{run: x}}' for n in range(65))}}}", "6:8: tasks: "),
    ],
)  # fmt: skip
def test_a_task_that_is_none_has_its_place(tasks: str, problem: str) -> None:
    first = problems(SMALL + f"  model: offline\ntasks: {tasks}\n")[0].removeprefix("project.yaml:")
    assert first[: len(problem)] == problem


def test_the_overlay_takes_tasks_away_and_adds_some_and_trust_covers_them() -> None:
    base = SMALL + "tasks: {test: {run: make test}, lint: {run: ruff}}\n"
    spec = parse(base, overlay="tasks: {lint: null, serve: {run: ./serve, description: Mine}}\n")
    assert {name: task.run for name, task in spec.tasks.items()} == {"test": "make test", "serve": "./serve"}
    texts = (base, base.replace("make test", "make tests"), SMALL)
    assert len({trust_hash(parse_full(text).canonical, {}) for text in texts}) == 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("system_prompt: git:/x", "git:/ is not supported by this version"),
        ("system_prompt: project:/../x", "without `.`, `..` or `//`"),
        ("system_prompt: project:/", "expected one plain path"),
        ("system_prompt: /etc/passwd", "expected project:/PATH"),
        ("system_prompt: 3", "3 is not allowed; expected text in quotes"),
        ("model: 'a b'\n  system_prompt: config:/x", 'expected an alias such as "default"'),
        ("max_steps: 1.5\n  system_prompt: config:/x", "1.5 is not allowed; expected a whole number"),
        ("description: " + "x" * 281 + "\n  system_prompt: config:/x", "at most 280 characters"),
        ("max_steps: true\n  system_prompt: config:/x", "true is not allowed; expected a whole number"),
    ],
)
def test_single_values(line: str, problem: str) -> None:
    found = problems(f"version: 1\nproject: ab\nprimary:\n  {line}\n")
    assert len(found) == 1
    assert problem in found[0]


def test_a_missing_key_is_placed_at_its_parent() -> None:
    assert problems("version: 1\nproject: ab\nprimary: {}\n") == ["project.yaml:3:1: primary.system_prompt: is missing"]
    assert problems("- a\n") == ["project.yaml:1:1: expected keys such as `version: 1` and `project: my-name`"]


def test_the_overlay_merges_replaces_and_removes() -> None:
    base = SMALL + "  max_steps: 5\n  cage:\n    protect: {add: [a, b]}\n    limits: {pids: 64, memory: 1GiB}\n"
    overlay = "primary:\n  max_steps: null\n  model: offline\n  cage: {protect: {add: [c]}, limits: {pids: 32}}\n"
    agent = parse(base, overlay=overlay).primary
    assert (agent.max_steps, agent.model, agent.cage.protect.add) == (100, "offline", ("c",))
    assert (agent.cage.limits.pids, agent.cage.limits.memory) == (32, 1024**3)


def test_the_overlay_cannot_change_who_the_project_is_and_is_named_in_its_problems() -> None:
    assert problems(SMALL, "version: 1\nproject: other\nprimary:\n  max_stps: 1\n") == [
        "project.local.yaml:1:1: version: cannot be changed by the overlay; it belongs to project.yaml",
        "project.local.yaml:2:1: project: cannot be changed by the overlay; it belongs to project.yaml",
    ]
    assert problems(SMALL, "primary:\n  max_stps: 1\n") == [
        'project.local.yaml:2:3: primary.max_stps: is not a key that kaged knows; did you mean "max_steps"?; '
        "allowed: model, system_prompt, description, tools, cage, max_steps, max_output_tokens, budget, subagents"
    ]
    assert overlay_name(".kaged/project.yaml") == ".kaged/project.local.yaml"


def test_trust_covers_the_meaning_and_not_the_layout() -> None:
    def digest(text: str, overlay: str | None = None, prompt: str = "p") -> str:
        return trust_hash(parse_full(text, overlay=overlay).canonical, {"config:/x": prompt})

    same = "# comment\nproject: 'bakery'\nversion: 0x1\nprimary: {system_prompt: config:/prompts/default.md}\n"
    assert digest(SMALL) == digest(same) == digest(SMALL, overlay="primary: {}\n")
    assert digest(SMALL) != digest(SMALL, prompt="q")
    assert digest(SMALL) != digest(SMALL, overlay="primary: {max_steps: 3}\n")
    assert digest(SMALL) != digest(SMALL.replace("bakery", "bakers"))


KEYS = st.sampled_from(
    ["version", "project", "primary", "cage", "fs", "net", "allow", "mode", "tools", "shell", "limits",
     "memory", "env", "set", "pass", "system_prompt", "model", "*", "approval", "secrets", "home", "x"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["disabled", "rw", "2GiB", "project:/", "ask", ""])
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)


@given(TREES, st.one_of(st.none(), TREES))
def test_no_tree_of_known_words_crashes_the_reader(tree: Any, overlay: Any) -> None:
    text = json.dumps(tree)
    try:
        parse(text, overlay=None if overlay is None else json.dumps(overlay))
    except ProjectError as error:
        assert error.problems
        assert all(problem.startswith(("project.yaml:", "project.local.yaml:")) for problem in error.problems)


@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_no_agent_of_known_words_does(agent: dict[str, Any]) -> None:
    try:
        parse(json.dumps({"version": 1, "project": "ab", "primary": agent}))
    except ProjectError as error:
        assert error.problems


@given(st.text(max_size=60), st.one_of(st.none(), st.text(max_size=40)))
def test_no_text_crashes_the_reader(text: str, overlay: str | None) -> None:
    with pytest.raises(ProjectError):
        parse(text, overlay=overlay)


TEAM = (
    SMALL
    + """\
  budget: {tokens: 5000}
  subagents:
    reviewer:
      system_prompt: config:/prompts/reviewer.md
      budget: {tokens: 1000}
"""
)


def test_sub_agents_are_agents_by_their_path() -> None:
    spec = parse(TEAM + "      subagents:\n        helper: {system_prompt: config:/h.md, budget: {tokens: 7}}\n")
    found = {path: agent.budget and agent.budget.tokens for path, agent in spec.agents().items()}
    reviewer = "primary.subagents.reviewer"
    assert found == {"primary": 5000, reviewer: 1000, f"{reviewer}.subagents.helper": 7}
    assert "delegate" in spec.primary.enabled_tools()
    assert "delegate" not in spec.agents()[f"{reviewer}.subagents.helper"].enabled_tools(), "it has nobody below it"


HELPER = "      subagents:\n        helper:\n          system_prompt: config:/h.md\n          budget: {tokens: 7}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            TEAM.replace("      budget: {tokens: 1000}\n", ""),
            "project.yaml:7:5: primary.subagents.reviewer.budget: is missing; a sub-agent needs one, such as {tok",
        ),
        (TEAM.replace("1000", "0"), "project.yaml:9:24: primary.subagents.reviewer.budget.tokens: 0 is out of range"),
        (
            TEAM + HELPER.replace("          budget: {tokens: 7}\n", ""),
            "project.yaml:11:9: primary.subagents.reviewer.subagents.helper.budget: is missing",
        ),
        (
            TEAM.replace("reviewer:", "Re viewer:"),
            "project.yaml:7:5: primary.subagents.Re viewer: 'Re viewer' is no name",
        ),
        (
            TEAM + "      cage: disabled\n",
            "project.yaml:10:13: primary.subagents.reviewer.cage: an agent without a cage",
        ),
        (
            TEAM + "      mcp: {}\n",
            "project.yaml:10:7: primary.subagents.reviewer.mcp: is not supported by this version",
        ),
        (TEAM + "      path: x\n", "project.yaml:10:7: primary.subagents.reviewer.path: is not supported by this vers"),
        (
            TEAM + "      tols: {}\n",
            'project.yaml:10:7: primary.subagents.reviewer.tols: is not a key that kaged knows; did you mean "tools"?',
        ),
        (TEAM + "      subagents: &all\n        again: *all\n", "project.yaml:10:18: anchors (&name) are not allowed"),
    ],
)
def test_bad_sub_agents_are_refused_where_they_are_written(text: str, problem: str) -> None:
    found = problems(text)
    assert (len(found), found[0][: len(problem)]) == (1, problem)


def test_sub_agents_lie_at_most_four_deep() -> None:
    def nested(depth: int) -> str:
        agent = "{system_prompt: config:/p.md, budget: {tokens: 9}}"
        for _ in range(depth - 1):
            agent = f"{{system_prompt: config:/p.md, budget: {{tokens: 9}}, subagents: {{a: {agent}}}}}"
        return SMALL + f"  subagents: {{a: {agent}}}\n"

    assert len(parse(nested(4)).agents()) == 5
    path = "primary" + ".subagents.a" * 5
    assert [problem.partition(": ")[2] for problem in problems(nested(5))] == [
        f"{path}: is too deep; agents may lie 4 below the primary one"
    ]
    assert len(problems(nested(9))) == 1
