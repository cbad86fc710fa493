"""The attacks: each notices the hole it is there for, and the guide lists them all."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cage.harness import start
from kaged.attacks.kernel import ABSENT
from kaged.attacks.table import ATTACKS, Attack, attempt
from kaged.attacks.ways import CAGE, NAMESPACE, NO_FILTER, Denied, Facts, NotHere
from kaged.cage.compile import compile_plan
from kaged.cage.probe import IN_ADDITION
from kaged.cage.seccomp import ABSENT as ABSENT_CALLS
from kaged.cage.stage import stage
from kaged.projects.cage_spec import CageSpec

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "attacks.md"


def test_names_are_unique_and_groups_are_not_mixed() -> None:
    assert len({row.name for row in ATTACKS}) == len(ATTACKS) >= 40
    groups = [row.group for row in ATTACKS]
    assert sorted(set(groups), key=groups.index) == [
        group for at, group in enumerate(groups) if at == 0 or groups[at - 1] != group
    ]


def test_the_filter_answers_as_the_attacks_expect() -> None:
    assert set(ABSENT_CALLS) == ABSENT


def test_the_guide_lists_every_attack_with_its_control() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    rows = [f"| {row.name} | {row.control} |" for row in (*ATTACKS, *IN_ADDITION)]
    assert [line for line in text.splitlines() if line[:2] == "| " and line in rows] == rows
    groups = dict.fromkeys(row.group for row in ATTACKS)
    assert [line[3:] for line in text.splitlines() if line[:3] == "## "][-len(groups) :] == list(groups)


FACTS = Facts(
    where=CAGE, secret="", homes=[], numbers={}, machine="", hosts=[], ports={}, sockets=[], namespaces={},
    inits=[], victim=0, keeper=0, mark="", capabilities=0,
)  # fmt: skip


def raising(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        (lambda: None, ("through", "b")),
        (lambda: "it", ("through", "b: it")),
        (raising(Denied("no")), ("denied", "no such file or directory, no")),
        (raising(PermissionError(1, "x")), ("denied", "no such file or directory, x")),
        (raising(NotHere("none")), ("not here", "none")),
        (raising(KeyError("k")), ("broken", "KeyError('k')")),
    ],
)
def test_the_first_way_that_works_decides(work: Callable[[], object], outcome: tuple[str, str]) -> None:
    ways = {"a": raising(FileNotFoundError(2, "")), "b": work}
    assert attempt(Attack("g", "n", lambda _: ways, NO_FILTER), FACTS) == outcome


def test_a_program_of_32_bit_arm_is_run_and_left_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [row] = [row for row in ATTACKS if "32-bit ARM" in row.name]
    told = attempt(row, replace(FACTS, machine="aarch64", where=NO_FILTER))
    # The second is said by other processors, and by those of ARM that have 64 bits only.
    assert told in {("through", "arm"), ("not here", "this processor or kernel runs no 32-bit programs")}
    assert list(tmp_path.iterdir()) == []


Args = list[Any]


def without(*names: str) -> Callable[[Args, Path], Args]:
    """Leave an option and its values out, wherever it stands."""
    text = "\0".join(names)

    def weaken(args: Args, _: Path) -> Args:
        joined = "\0".join(arg if isinstance(arg, str) else json.dumps(arg) for arg in args)
        assert text in joined, names
        parts = re.sub(r"\0{2,}", "\0", joined.replace(text, "")).strip("\0").split("\0")
        return [json.loads(part) if part[:1] == "{" else part for part in parts]

    return weaken


def with_bind(*paths: str) -> Callable[[Args, Path], Args]:
    def weaken(args: Args, base: Path) -> Args:
        at = len(args) - args[::-1].index("--remount-ro") - 1
        extra = [part for path in paths for part in ("--ro-bind", f"{base}{path}", f"{base}{path}")]
        return [*args[:at], *extra, *args[at:]]

    return weaken


def unprotected(args: Args, base: Path) -> Args:
    """The project's mount alone, without what is mounted below it."""
    at = args.index(f"{base}/project")
    end = len(args) - args[::-1].index("--remount-ro") - 1
    return [*args[: at + 2], *args[end:]]


def with_host_proc(args: Args, base: Path) -> Args:
    at = args.index("--proc")
    plain = [*args[:at], "--bind", "/proc", "/proc", *args[at + 4 :]]
    return [arg for arg in plain if arg != "--unshare-pid"]


def writable_root(args: Args, _: Path) -> Args:
    at = len(args) - args[::-1].index("--remount-ro") - 1
    return args[:at] + args[at + 2 :]


HOLES: dict[str, tuple[Callable[[Args, Path], Args], set[str]]] = {
    "a writable root": (writable_root, {"write to /, /etc, /var, /run, /home", "have code loaded into it"}),
    "the host's network": (
        without("--unshare-net"),
        {"connect by TCP", "send datagrams", "reach a server without a path (abstract socket)",
         "share a namespace with this machine"},
    ),
    "the host's processes": (
        with_host_proc,
        {"see a process of this machine", "stop the keeper or another process"},
    ),
    "a visible folder": (
        with_bind("/secret"),
        {"read another project", "leave the project by links, `..` and /proc/*/root"},
    ),
    "a visible socket": (with_bind("/s"), {"reach servers at a path (keeper, daemon, docker, D-Bus)"}),
    "no protection": (
        unprotected,
        {"change the policy, git's configuration, a hook", "write through a symbolic link",
         "make a missing one (.envrc, a hook, .gitmodules)", "give git a configuration the way git does",
         "write under a second name (hard link)", "move the folder around it away"},
    ),
    "no sizes": (without("--size", "67108864"), {"fill memory through /dev/shm, /tmp or the home"}),
    "no filter": (
        without("--seccomp", '{"data": "seccomp"}'),
        {row.name for row in ATTACKS if row.control == NO_FILTER} - {
            "use calls of another architecture (i386, x32, 32-bit ARM)", "reach the hypervisor (AF_VSOCK)"},
    ),
}  # fmt: skip


def ask(tmp_path: Path, weaken: Callable[[Args, Path], Args] | None, **popen: Any) -> dict[str, tuple[str, str]]:
    with stage(tmp_path, os.getpid()) as trial:
        plan = compile_plan(CageSpec(), trial.project, name="hole", environ={})
        code = f"import sys; sys.path.insert(0, {str(trial.project)!r})\nfrom attacks.table import main; main()"
        argv = [plan.host.python, "-I", "-S", "-B", "-c", code]
        change = None if weaken is None else lambda args: weaken(args, trial.base)
        with start(
            plan, [*argv, *map(str, range(len(ATTACKS)))], change=change, stdin=subprocess.PIPE, **popen
        ) as process:
            out, err = process.communicate(json.dumps(trial.told(CAGE)), timeout=60)
    assert process.returncode == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    return {row["attack"]: (row["outcome"], row["words"]) for row in told}


@pytest.mark.cage
@pytest.mark.parametrize("hole", HOLES)
def test_each_hole_is_noticed(tmp_path: Path, hole: str) -> None:
    weaken, expected = HOLES[hole]
    answers = ask(tmp_path, weaken)
    assert expected <= {name for name, (outcome, _) in answers.items() if outcome == "through"}, answers
    assert not [name for name, (outcome, _) in answers.items() if outcome == "broken"], answers


@pytest.mark.cage
def test_a_passed_descriptor_is_noticed(tmp_path: Path) -> None:
    with (tmp_path / "leak").open("w") as leak:
        answers = ask(tmp_path, None, also=(leak.fileno(),))
    assert answers["use a descriptor that was left open"][0] == "through"


@pytest.mark.cage
def test_a_leaking_environment_is_noticed(tmp_path: Path) -> None:
    answers = ask(tmp_path, None, env={"PATH": "/usr/bin:/bin", "KAGED_AUTH_SIDECAR_NONCE": "x"})
    assert answers["find the daemon's secrets in an environment"][0] == "through"


@pytest.mark.cage
@pytest.mark.skipif(os.geteuid() != 0, reason="only a daemon that is root could write there")
def test_kernel_switches_that_only_root_could_turn_are_noticed(tmp_path: Path) -> None:
    outcome, words = ask(tmp_path, without("--remount-ro", "/proc"))[
        "turn kernel switches (core_pattern, modprobe, sysrq)"
    ]
    assert outcome == "through" and "core_pattern" in words


@pytest.mark.cage
async def test_every_system_call_reaches_the_kernel_where_nothing_filters(tmp_path: Path) -> None:
    """Not only one of each row: none of the arguments is such that the kernel says what the filter says."""
    with stage(tmp_path, os.getpid()) as trial:
        plan = trial.plan()
        code = f"""import sys, json; sys.path.insert(0, {str(trial.project)!r})
from attacks.table import ATTACKS
from attacks.ways import Facts
facts = Facts(**json.load(sys.stdin))
for row in ATTACKS:
    if row.control in ({NO_FILTER!r}, {NAMESPACE!r}):
        for name, work in row.ways(facts).items():
            if getattr(getattr(work, "func", None), "__name__", "") == "_reached":
                try: work()
                except OSError as error: print(row.name, name, error)
                else: print("reached")
"""
        out = await trial.run_outside(
            NAMESPACE,
            [plan.host.python, "-I", "-S", "-B", "-c", code],
            plan,
            json.dumps(trial.told(NAMESPACE)).encode(),
        )
    lines = out.decode().splitlines()
    assert lines.count("reached") > 30
    assert [line for line in lines if line != "reached" and "AF_VSOCK" not in line] == []
