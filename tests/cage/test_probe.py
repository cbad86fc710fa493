"""The probe: it passes on a real cage, says what it could not show, and never calls that a success."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import kaged
from kaged.attacks.table import ATTACKS
from kaged.attacks.ways import NO_FILTER, OPEN_MOUNTS
from kaged.cage import argv, host, seccomp
from kaged.cage.client import KeeperClient
from kaged.cage.probe import probe
from kaged.cage.stage import Weakened
from kaged.core.errors import KagedError

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    client = await KeeperClient.connect(short_tmp / "keeper.sock", short_tmp, grace_s=5)
    try:
        yield client
    finally:
        await client.shutdown()
        client.close()


async def test_a_real_cage_holds(client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    run = client.run
    monkeypatch.setattr(client, "run", lambda *args, **how: (ran.extend(args[2]), run(*args, **how))[1])
    report = await probe(client, place=tmp_path)
    # Who looks for a keeper by its socket among all command lines must not take the attacks for one.
    assert ran and not any("keeper.sock" in word for word in ran)
    assert report.ok, [check for check in report.checks if not check.ok]
    assert [attack.name for attack in report.attacks] == [row.name for row in ATTACKS if not row.slow]
    assert not any(attack.control for attack in report.attacks)
    assert {check.name for check in report.checks} >= {row.group for row in ATTACKS}
    state = await client.state()
    assert state.cages == () and state.processes == ()
    assert list(tmp_path.iterdir()) == []


async def test_a_real_cage_holds_under_all_attacks_and_each_is_shown_to_work(
    client: KeeperClient, tmp_path: Path
) -> None:
    report = await probe(client, attacks=True, place=tmp_path)
    assert report.ok, [check for check in report.checks if not check.ok]
    assert {attack.name for attack in report.attacks} > {row.name for row in ATTACKS}
    assert len(report.attacks) >= 40 and {attack.verdict for attack in report.attacks} == {"denied"}
    rows = {row.name: row for row in ATTACKS}
    for attack in report.attacks:
        row = rows.get(attack.name)
        may_lack = row is None or row.needs is not None or attack.name in MACHINES
        assert attack.shown or (may_lack and "not shown here: " in attack.control), attack
    shown = sum(attack.shown for attack in report.attacks)
    assert report.summary() == f"{len(report.attacks)} attacks, {len(report.attacks)} denied, " + (
        f"{shown} shown to work elsewhere"
    )
    assert list(tmp_path.iterdir()) == []


MACHINES = {
    "use calls of another architecture (i386, x32, 32-bit ARM)", "reach the hypervisor (AF_VSOCK)",
    "connect by TCP over IPv6", "find a network interface", "dump core", "open more than 4096 files",
    "write a file of more than 4 GiB",
}  # fmt: skip
"""What some kernels and machines lack."""


async def test_a_cage_that_cannot_be_made_is_explained(client: KeeperClient, monkeypatch: Any) -> None:
    async def refuse(cage_id: str, plan: Any) -> None:
        raise KagedError(
            "unavailable", "the cage could not be made", {"stderr": "bwrap: setting up uid map: Permission denied"}
        )

    monkeypatch.setattr(client, "ensure_cage", refuse)
    report = await probe(client)
    assert not report.ok
    assert report.checks[0].name == "a cage can be made" and not report.checks[0].ok
    assert "user namespace" in report.checks[0].detail and report.checks[0].fix


async def test_a_missing_bubblewrap_is_explained(
    client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.host_facts.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(host.shutil, "which", lambda *_, **__: None)
        report = await probe(client, place=tmp_path)
    assert [check.ok for check in report.checks] == [False]
    assert "sudo apt-get install bubblewrap" in report.checks[0].fix
    assert list(tmp_path.iterdir()) == []


async def test_a_filter_that_allows_everything_is_found(
    client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = struct.pack("<HBBI", 0x06, 0, 0, seccomp.ALLOW)
    monkeypatch.setattr(argv, "filter_for", lambda *_: everything)
    report = await probe(client, place=tmp_path)
    through = {attack.name for attack in report.attacks if attack.verdict == "got through"}
    assert through >= {row.name for row in ATTACKS if row.control == NO_FILTER} - MACHINES - {
        "run without the filter or no_new_privs"
    }
    bad = {check.name: check for check in report.checks if not check.ok}
    assert "Kernel" in bad and "set the clock: got through" in bad["Kernel"].detail
    assert "do not run agents" in bad["Kernel"].fix


async def test_an_attack_that_works_nowhere_is_inconclusive(
    client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weaker cages are as strong as the real one here: nothing is shown, so nothing is passed."""
    monkeypatch.setattr(Weakened, "to_wire", lambda self: self.plan.to_wire())
    report = await probe(client, attacks=True, place=tmp_path)
    by_name = {attack.name: attack for attack in report.attacks}
    rows = [row for row in ATTACKS if row.control in (NO_FILTER, OPEN_MOUNTS) and row.needs is None]
    for attack in (by_name[row.name] for row in rows if row.name not in MACHINES):
        assert (attack.verdict, attack.ok, attack.shown) == ("inconclusive", False, False)
        assert attack.control.partition(" in a cage")[0] == "did not work"
    assert not report.ok


async def test_a_control_that_cannot_be_set_up_says_why(
    client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaged.cage.stage._NAMESPACE", ("--no-such-option",))
    report = await probe(client, attacks=True, place=tmp_path)
    lost = next(attack for attack in report.attacks if attack.name == "change routes")
    assert lost.verdict == "inconclusive" and "install bubblewrap 0.5 or later" in lost.control


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """An ordinary account with a copy of the sources in its home."""
    if os.geteuid() != 0 or not shutil.which("useradd") or not shutil.which("setpriv"):
        pytest.skip("making an account needs root, useradd and setpriv")
    name = f"kgprobe{os.getpid()}"
    made = subprocess.run(["useradd", "-m", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"useradd refused: {made.stderr.strip()}")
    try:
        home = Path(f"~{name}").expanduser()
        shutil.copytree(Path(kaged.__file__).parent, home / "src" / "kaged")
        subprocess.run(["chown", "-R", name, str(home)], check=True)
        yield name, home
    finally:
        subprocess.run(["userdel", "-r", name], capture_output=True, check=False)


AS_ACCOUNT = """
import asyncio, json, sys, tempfile
from pathlib import Path
from kaged.cage.client import KeeperClient
from kaged.cage.probe import probe
async def main():
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        runtime = Path(folder)
        client = await KeeperClient.connect(runtime / "k", runtime, grace_s=5)
        try:
            report = await probe(client, attacks=True, place=runtime)
        finally:
            await client.shutdown()
            client.close()
    bad = [str(check) for check in report.checks if not check.ok]
    print(json.dumps([bad, {attack.name: attack.control for attack in report.attacks}]))
asyncio.run(main())
"""


def interpreter_for(name: str, packages: str) -> str:
    """A Python of this version that the account can run."""
    wanted = (
        "import os, sys, pydantic\n"  # setpriv itself could start more than the account can
        f"fits = sys.version_info[:2] == {tuple(sys.version_info[:2])}\n"
        "fits = fits and os.access(sys.executable, os.X_OK)\n"
        "sys.exit(not fits)"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        command = ["setpriv", "--reuid", name, "--regid", name, "--init-groups", python, "-c", wanted]
        done = subprocess.run(command, env={"PYTHONPATH": packages}, cwd="/", capture_output=True, check=False)
        if done.returncode == 0:
            return python
    pytest.skip("no Python here that an ordinary account may run with these packages")


def test_an_ordinary_account_holds_too_and_says_what_it_cannot_show(account: tuple[str, Path]) -> None:
    name, home = account
    packages = str(Path(sys.modules["pydantic"].__file__ or "").parent.parent)
    python = interpreter_for(name, packages)
    done = subprocess.run(
        ["setpriv", "--reuid", name, "--regid", name, "--init-groups", python, "-c", AS_ACCOUNT],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": f"{home / 'src'}:{packages}"},
        cwd=home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bad, controls = json.loads(done.stdout)
    assert bad == []
    assert controls["make a device"] == "not shown here: this account lacks the rights"
    assert controls["write to the system's programs"] == "worked in a cage with open mounts (/usr/share/kaged-probe)"
