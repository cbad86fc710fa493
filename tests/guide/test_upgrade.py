"""An upgrade with install.sh while an agent's command runs: the work goes on, and the way back is refused."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from guide import machine as machines
from guide.machine import ROOT, Machine

pytestmark = [pytest.mark.scratch, pytest.mark.cage, pytest.mark.timeout(400)]
INSTALL = "sh examples/deployment/install.sh --offline /srv/wheels --wheel /srv/wheels"
NEWER = "99.0.0"
POLL = """\
import time, urllib.request
gap, last = 0.0, time.monotonic()
while True:
    try:
        if urllib.request.urlopen("http://127.0.0.1:7777/healthz", timeout=2).read() == b"ok":
            now = time.monotonic()
            gap, last = max(gap, now - last), now
    except OSError:
        pass
    open("/srv/gap.new", "w").write(str(gap))
    __import__("os").replace("/srv/gap.new", "/srv/gap")
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def newer(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a version to come: this tree with a higher number and one migration more."""
    tree = tmp_path_factory.mktemp("tree") / "kaged"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "hatch_build.py"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    here = f'version = "{machines.version()}"'
    project = tree / "pyproject.toml"
    project.write_text(project.read_text().replace(here, f'version = "{NEWER}"', 1))
    init = tree / "src/kaged/__init__.py"
    init.write_text(init.read_text().replace(machines.version(), NEWER))
    added = len(list((tree / "src/kaged/storage/migrations").glob("*.sql"))) + 1
    (tree / f"src/kaged/storage/migrations/{added:04}_added.sql").write_text("CREATE TABLE added (x TEXT) STRICT;\n")
    return machines.wheel(tmp_path_factory.mktemp("newer"), tree)


def test_work_goes_on_over_an_upgrade(machine: Machine, newer: Path) -> None:
    (machine.root / "srv" / newer.name).write_bytes(newer.read_bytes())
    machine.run(f"{INSTALL}/kaged-{machines.version()}-py3-none-any.whl")
    machine.run("kaged project new /var/lib/kaged/projects/bakery", account="kaged")
    machine.write("/srv/poll.py", POLL)
    machine.run("systemd-run -q --unit=poll python3 /srv/poll.py")
    command = "run: n=0; until [ -e enough ]; do n=$((n + 1)); echo line $n; sleep 0.2; done"
    sid = machine.run(f"kaged session send bakery '{command}'", account="kaged")
    session = json.loads(machine.run("kaged --mode=system session list bakery --json"))[0]["id"]
    machine.run("until pgrep -f '[u]ntil . -e enough' > /dev/null; do sleep 0.1; done")
    keeper = machine.run("pgrep -f '[k]eeper/main.py'")

    said = machine.run(f"{INSTALL}/../{newer.name}".replace("/srv/wheels/..", "/srv"))
    assert f"kaged {NEWER} runs" in said, sid
    gap = float((machine.root / "srv/gap").read_text())
    print(f"\n/healthz was away for {gap:.2f} s at most, with a load of {os.getloadavg()[0]:.0f}")
    assert gap < 30
    assert f"daemon {NEWER}" in machine.run("kaged --mode=system version")
    assert machine.run("pgrep -f '[k]eeper/main.py'") == keeper
    machine.run("touch /var/lib/kaged/projects/bakery/enough", account="kaged")
    export = f"kaged --mode=system session export bakery {session}"
    machine.run(f"for n in $(seq 1200); do {export} | grep -q 'Exit status' && break; sleep 0.1; done")
    told = machine.run(export)
    lines = [int(n) for n in re.findall(r"^line (\d+)$", told, re.MULTILINE)]
    assert lines == list(range(1, len(lines) + 1)) and len(lines) > 5, told
    assert "Exit status 0" in told
    machine.run(f"for n in $(seq 600); do {export} --json | grep -q run.ended && break; sleep 0.1; done")
    events = json.loads(machine.run(f"{export} --json"))
    assert [e["data"]["outcome"] for e in events if e["type"] == "run.ended"] == ["success"], "it went on by itself"
    assert next(e["data"] for e in events if e["type"] == "run.recovered")["actor"] == "kaged"
    assert "read from beginning to end" in machine.run("kaged --mode=system db check")


def test_a_copy_of_before_was_kept(machine: Machine, tmp_path: Path) -> None:
    copies = list((machine.root / "var/lib/kaged/backups").iterdir())
    assert len(copies) == 1 and copies[0].name.startswith(f"before-{NEWER}-")
    assert copies[0].stat().st_mode & 0o777 == 0o600
    subprocess.run(["tar", "-xzf", copies[0], "-C", tmp_path], check=True)
    with sqlite3.connect(tmp_path / "kaged.db") as old:
        (schema,) = old.execute("PRAGMA user_version").fetchone()
    assert schema == json.loads((tmp_path / "manifest.json").read_text())["schema"]
    assert "_added.sql\n" not in machine.run("kaged --mode=system db migrate --dry-run")


def test_the_older_version_refuses_and_the_newer_comes_back(machine: Machine) -> None:
    said = machine.run(f"{INSTALL}/kaged-{machines.version()}-py3-none-any.whl", ok=False)
    assert "the new kaged does not start, so the one before is back" in said
    assert "was written by a newer kaged (schema " in machine.journal()
    machine.run("for n in $(seq 100); do kaged --mode=system status >/dev/null 2>&1 && break; sleep 0.1; done")
    assert f"daemon {NEWER}" in machine.run("kaged --mode=system version")
