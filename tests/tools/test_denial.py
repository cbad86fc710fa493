"""The cage's rules in sentences, for what programs print."""

from pathlib import Path

import pytest

from kaged.cage.compile import compile_plan
from kaged.cage.plan import CagePlan
from kaged.projects.cage_spec import CageSpec
from kaged.tools.denial import explain


@pytest.fixture
def plan(tmp_path: Path) -> CagePlan:
    return compile_plan(CageSpec(), tmp_path, name="x", environ={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bash: line 1: .kaged/project.yaml: Read-only file system", "`.kaged/project.yaml` is protected"),
        ("touch: cannot touch '.git/hooks/pre-commit': Read-only file system", "`.git/hooks/pre-commit` is prot"),
        ("OSError: [Errno 30] Read-only file system: '/usr/x'", "`/usr/x` lies outside the project"),
        ("cat: /root/.ssh/id_rsa: No such file or directory", "`/root/.ssh/id_rsa` does not exist in this cage"),
        ("curl: (6) Could not resolve host: example.com", "This cage has no network"),
        ("bash: connect: Network is unreachable", "This cage has no network"),
        ("unshare: unshare failed: Operation not permitted", "The cage has no privileges"),
        ("PermissionError: [Errno 1] Operation not permitted", "The cage has no privileges"),
        ("bash: .git/hooks/x: No such file or directory", "`.git` is protected: where it does not exist"),
        ("grep: /proc/4711/cmdline: No such file or directory", "its own processes only"),
        ("bash: line 1: /proc/1/environ: Permission denied", "its own processes only"),
        ("OSError: [Errno 97] Address family not supported by protocol", "this kind of socket"),
    ],
)
def test_refusals_are_explained(plan: CagePlan, text: str, expected: str) -> None:
    assert any(expected in sentence for sentence in explain(text, plan)), explain(text, plan)


@pytest.mark.parametrize(
    "text",
    [
        "FAILED tests/test_x.py::test_y - AssertionError",
        "cat: missing.txt: No such file or directory",
        "cat: /usr/share/none: No such file or directory",
        "bash: ./run.sh: Permission denied",
    ],
)
def test_ordinary_failures_are_left_alone(plan: CagePlan, text: str) -> None:
    assert explain(text, plan) == []


def test_missing_files_of_the_project_are_no_denials(plan: CagePlan) -> None:
    assert explain(f"cat: {plan.root}/none: No such file or directory", plan) == []


def test_the_same_reason_is_given_once(plan: CagePlan) -> None:
    lines = "\n".join(f"cat: /root/{n}: No such file or directory" for n in range(20))
    (sentence,) = explain(lines, plan)
    assert sentence.startswith("`/root/0`, `/root/1`, `/root/2`, `/root/3`, `/root/4` do not exist")
    assert len(explain("x: Network is unreachable\ny: Network is unreachable", plan)) == 1


def test_a_cage_with_a_network_is_not_said_to_have_none(tmp_path: Path) -> None:
    spec = CageSpec.model_validate({"net": {"allow": ["api.example.com"]}})
    plan = compile_plan(spec, tmp_path, name="x", environ={})
    [said] = explain("curl: (6) Could not resolve host: b.example.com", plan)
    assert said == "This cage reaches the hosts that the project file allows, and no others."
