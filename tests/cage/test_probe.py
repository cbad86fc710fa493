"""The probe: it passes on a real cage, and each of its tries notices the hole it is there for."""

import json
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cage.harness import start
from kaged.cage import probe as probing
from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.cage.probe import ATTACK_TRIES, GATE_TRIES, probe
from kaged.cage.prober import Prober
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    client = await KeeperClient.connect(short_tmp / "keeper.sock", short_tmp, grace_s=5)
    try:
        yield client
    finally:
        await client.shutdown()
        client.close()


async def test_a_real_cage_holds(client: KeeperClient, tmp_path: Path) -> None:
    report = await probe(client, place=tmp_path)
    assert report.ok, [check for check in report.checks if not check.ok]
    assert {check.name for check in report.checks} >= set(GATE_TRIES.values())
    state = await client.state()
    assert state.cages == () and state.processes == ()
    assert list(tmp_path.iterdir()) == []


async def test_a_real_cage_holds_under_all_attacks(client: KeeperClient, tmp_path: Path) -> None:
    report = await probe(client, attacks=True, place=tmp_path)
    assert report.ok, [check for check in report.checks if not check.ok]
    names = {check.name for check in report.checks}
    assert names >= {*GATE_TRIES.values(), *ATTACK_TRIES.values()}
    assert {"memory is limited", "processes are limited", "nothing survives the cage"} <= names


async def test_a_cage_that_cannot_be_made_is_explained(client: KeeperClient, monkeypatch: Any) -> None:
    async def refuse(cage_id: str, plan: Any) -> None:
        raise KagedError(
            "unavailable",
            "the cage could not be made",
            {"stderr": "bwrap: setting up uid map: Permission denied"},
        )

    monkeypatch.setattr(client, "ensure_cage", refuse)
    report = await probe(client)
    assert not report.ok
    assert report.checks[0].name == "a cage can be made" and not report.checks[0].ok
    assert "user namespace" in report.checks[0].detail and report.checks[0].fix


def test_every_try_is_asked() -> None:
    own = {name for name in vars(Prober) if not name.startswith("_")}
    assert own == {*GATE_TRIES, *ATTACK_TRIES}


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
    "no filter": (
        without("--seccomp", '{"data": "seccomp"}'),
        {"mounts_and_namespaces", "other_processes_memory", "terminal_injection", "kernel_interfaces",
         "privileges", "set_user_id"},
    ),
    "a writable root": (writable_root, {"system_is_read_only"}),
    "the host's network": (without("--unshare-net"), {"network", "sockets_of_the_host"}),
    "the host's processes": (with_host_proc, {"processes_of_the_host"}),
    "a visible folder": (with_bind("/secret"), {"files_outside"}),
    "a visible socket": (with_bind("/s"), {"sockets_of_the_host"}),
    "no protection": (unprotected, {"protected_files"}),
}  # fmt: skip


def ask(tmp_path: Path, weaken: Callable[[Args, Path], Args] | None, **popen: Any) -> dict[str, str | None]:
    with probing._stage(tmp_path) as stage:
        plan = compile_plan(CageSpec(), stage.project, name="hole", environ={})
        code = Path(probing.__file__).with_name("prober.py").read_text()
        argv = [plan.host.python, "-I", "-S", "-c", code]
        argv.append(stage.given(plan, [*GATE_TRIES, *ATTACK_TRIES]))
        change = None if weaken is None else lambda args: weaken(args, stage.project.parent)
        with start(plan, argv, change=change, **popen) as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answers: dict[str, str | None] = json.loads(out)
    return answers


@pytest.mark.parametrize("hole", HOLES)
def test_each_hole_is_noticed(tmp_path: Path, hole: str) -> None:
    weaken, expected = HOLES[hole]
    answers = ask(tmp_path, weaken)
    found = {name for name, answer in answers.items() if answer is not None}
    assert expected <= found, answers


def test_a_passed_descriptor_is_noticed(tmp_path: Path) -> None:
    with (tmp_path / "leak").open("w") as leak:
        answers = ask(tmp_path, None, also=(leak.fileno(),))
    assert "leak" in (answers["descriptors"] or "")


def test_a_leaking_environment_is_noticed(tmp_path: Path) -> None:
    answers = ask(tmp_path, None, env={"PATH": "/usr/bin:/bin", "KAGED_AUTH_SIDECAR_NONCE": "x"})
    assert "environment" in (answers["environment"] or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only a daemon that is root could write there")
def test_kernel_switches_that_only_root_could_turn_are_noticed(tmp_path: Path) -> None:
    answers = ask(tmp_path, without("--remount-ro", "/proc"))
    assert "core_pattern" in (answers["kernel_switches"] or "")
