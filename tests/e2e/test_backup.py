"""`kaged db`: back up beside a working daemon, restore on another host, go on; and what is refused."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from e2e.clients import Browser
from e2e.harness import Daemon, daemon
from e2e.talk import Talk, control, folded, of, talk
from e2e.zygote import Zygote
from kaged.storage.schema import APPLICATION_ID, migrations

pytestmark = pytest.mark.cage


@pytest.fixture
def other(short_tmp: Path, zygote: Zygote) -> Iterator[Daemon]:
    """Another host: a home that does not exist yet."""
    yield Daemon(short_tmp / "b", zygote=zygote)


def refused(it: Daemon, *arguments: str, code: int = 1) -> str:
    """A command of `kaged db` that must be refused; its sentence."""
    done = it.cli("db", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


async def test_a_session_goes_on_from_a_backup_taken_while_it_ran(kaged: Daemon, other: Daemon) -> None:
    archive = kaged.base / "kaged.tar.gz"
    (kaged.config_dir / "local.toml").write_text('operator_name = "Alice"\n', encoding="utf-8")
    async with talk(kaged) as session:
        await session.run("write notes.txt:\nremember the milk")
        before = await session.events()
        await session.say("run: for n in $(seq 3000); do echo line $n; sleep 0.1; done")
        await session.until("tool.output", len(before))
        done = kaged.cli("db", "backup", str(archive))
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r".*: schema \d+, [\d,]+ KiB; without local.toml and env, .*\(--secrets\)\n", done.stdout)
        assert "database: " in done.stderr
        await session.post("/interrupt", {})
        await session.until("run.ended", len(before))
        assert kaged.cli("db", "check").stdout.startswith(str(kaged.home)), "checked beside the daemon"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in kaged.home.iterdir() if p.name[:1] == "."] == [], "nothing is left behind"
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
        manifest = json.load(packed.extractfile("manifest.json") or pytest.fail("no manifest"))
    assert set(manifest["files"]) == {"audit.log", "audit.log.head", "kaged.db", "config/config.toml"}
    assert {"projects/sample/notes.txt", *manifest["files"]} <= names

    done = other.cli("db", "restore", str(archive))
    assert done.returncode == 0, done.stderr
    assert other.cli("db", "check").returncode == 0
    with daemon(other.base, zygote=other.zygote) as it:
        async with control(it) as api:
            again = Talk(api, session.project, session.sid)
            assert folded(await again.events())[: len(before)] == folded(before)
            state = await again.get()
            assert state["run"]["state"] == "interrupted", "what ran on the old host does not run here"
            assert "comes from a backup" in of(await again.events(), "run.interrupted")[-1]["reason"]
            await again.post("/resume", {})
            await again.until("run.ended", state["head"])
            said = of(await again.run("read: notes.txt"), "tool.result")
            assert "remember the milk" in said[0]["output"]
        assert "chain holds" in it.cli("audit", "verify").stdout
    assert "exists already" in refused(other, "restore", str(archive))


def test_secrets_only_when_asked_and_never_over_a_file(kaged: Daemon, other: Daemon) -> None:
    (kaged.config_dir / "local.toml").write_text('operator_name = "Alice"\n', encoding="utf-8")
    archive = kaged.base / "all.tar"
    assert kaged.cli("db", "backup", "--secrets", "--no-projects", str(archive)).returncode == 0
    with tarfile.open(archive) as packed:
        assert "config/local.toml" in packed.getnames()
        assert not [name for name in packed.getnames() if name.startswith("projects")]
    assert "File exists; name a new file" in refused(kaged, "backup", str(archive))
    other.env  # noqa: B018 - makes the folders of an account
    other.config_dir.mkdir()
    (other.config_dir / "config.toml").write_text("", encoding="utf-8")
    done = other.cli("db", "restore", str(archive))
    assert done.returncode == 0, done.stderr
    assert "config.toml is left as it is" in done.stderr
    assert (other.config_dir / "config.toml").read_text(encoding="utf-8") == ""
    assert (other.config_dir / "local.toml").stat().st_mode & 0o777 == 0o600


def test_an_old_backup_brings_back_who_was_signed_out(kaged: Daemon, other: Daemon) -> None:
    """As the page about backups warns; and what it says to do helps."""
    browser, archive = Browser.sign_in(kaged.launch_url), str(kaged.base / "old.tar")
    assert kaged.cli("db", "backup", "--no-projects", archive).returncode == 0
    with kaged.api() as api:
        (known,) = api.get("/api/v1/me/browsers").json()["items"]
        assert api.delete(f"/api/v1/me/browsers/{known['id']}").status_code == 204
    with browser.client() as page:
        assert page.get("/api/v1/me").status_code == 401
    port = kaged.port
    kaged.stop()
    assert other.cli("db", "restore", archive).returncode == 0
    with daemon(other.base, port=port, zygote=other.zygote) as it:
        back = replace(browser, origin=it.origin, base=it.url.removeprefix(it.origin))
        with back.client() as page:
            assert page.get("/api/v1/me").status_code == 200, "signed in again"
            curl = ["curl", "-sS", "--unix-socket", str(it.runtime / "control.sock")]
            where = "http://localhost/api/v1/me/browsers"
            listed = subprocess.run([*curl, where], capture_output=True, text=True, check=True).stdout
            assert [item["id"] for item in json.loads(listed)["items"]] == [known["id"]]
            subprocess.run([*curl, "-f", "-X", "DELETE", f"{where}/{known['id']}"], check=True)
            assert page.get("/api/v1/me").status_code == 401


def test_what_is_no_whole_backup_is_refused(kaged: Daemon, other: Daemon) -> None:
    archive = kaged.base / "whole.tar"
    assert kaged.cli("db", "backup", str(archive)).returncode == 0
    work = kaged.base / "work"
    work.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", work], check=True)

    def packed(name: str) -> str:
        file = kaged.base / f"{name}.tar"
        subprocess.run(["tar", "-cf", file, "-C", work, "."], check=True)
        return str(file)

    cut = kaged.base / "cut.tar"
    cut.write_bytes(archive.read_bytes()[:100_000])
    assert "cut.tar" in refused(other, "restore", str(cut))
    assert "cannot be read" in refused(other, "restore", str(kaged.base / "none.tar"))
    manifest = json.loads((work / "manifest.json").read_bytes())
    (work / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}), encoding="utf-8")
    assert "newer (schema 99); restore it with that version" in refused(other, "restore", packed("newer"))
    (work / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (kaged.base / "victim" / "mine").mkdir(parents=True)
    for name, target in (("projects", kaged.base / "victim"), ("kaged.db", kaged.base / "kept.db")):
        (work / name).rename(aside := kaged.base / f"kept{(work / name).suffix}")
        (work / name).symlink_to(target)
        assert "is not a whole backup" in refused(other, "restore", packed(f"link-{name}"))
        (work / name).unlink()
        aside.rename(work / name)
    assert (kaged.base / "victim" / "mine").is_dir(), "nothing outside of the backup was moved"
    away = {**manifest, "files": {**manifest["files"], "/etc/hostname": "0" * 64}}
    (work / "manifest.json").write_text(json.dumps(away), encoding="utf-8")
    assert "is not a whole backup" in refused(other, "restore", packed("away"))
    (work / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (work / "audit.log").write_bytes(b"{}\n" + (work / "audit.log").read_bytes())
    assert "audit.log was changed; take another" in refused(other, "restore", packed("changed"))
    (work / "manifest.json").unlink()
    assert "not a whole backup" in refused(other, "restore", packed("bare"))
    assert not [p for p in other.home.iterdir() if p.name != "run"], "a refused backup leaves nothing"


def test_check_names_what_is_broken(kaged: Daemon) -> None:
    kaged.stop()
    assert json.loads(kaged.cli("db", "check", "--json").stdout) == {"ok": True, "sessions": 1, "problems": []}
    connection = apsw.Connection(str(kaged.home / "kaged.db"))
    connection.execute("DELETE FROM events WHERE seq = 1")
    connection.close()
    log = kaged.home / "audit.log"
    log.write_bytes(log.read_bytes().replace(b"daemon.start", b"daemon.stirs", 1))
    done = kaged.cli("db", "check")
    assert done.returncode == 1
    assert "an event after 0 is missing" in done.stdout or "and 1 was written" in done.stdout
    assert "audit log: line 1 " in done.stdout or "audit log: line" in done.stdout


def test_migrate_says_what_it_would_do_then_does_it(kaged: Daemon) -> None:
    assert "up to" not in kaged.cli("db", "migrate").stdout
    kaged.stop()
    first, *later = migrations()
    known = len(later) + 1
    for file in kaged.home.glob("kaged.db*"):
        file.unlink()
    connection = apsw.Connection(str(kaged.home / "kaged.db"))
    connection.execute(first.sql)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", 1)
    connection.close()
    would = kaged.cli("db", "migrate", "--dry-run").stdout
    assert "would apply 0002_network.sql\n" in would and f"schema 1 of {known}\n" in would
    assert f"schema {known} of {known}\n" in kaged.cli("db", "migrate").stdout
    assert "would" not in kaged.cli("db", "migrate", "--dry-run").stdout
    connection = apsw.Connection(str(kaged.home / "kaged.db"))
    connection.pragma("user_version", 99)
    connection.close()
    for command in (["migrate"], ["check"], ["backup", str(kaged.base / "x.tar")]):
        assert "was written by a newer kaged (schema 99" in refused(kaged, *command, code=69)
    assert not (kaged.base / "x.tar").exists()


def test_a_full_disk_leaves_no_half_backup(kaged: Daemon) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    disk = kaged.base / "small"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False)
    if made.returncode != 0:
        pytest.skip("this root may not mount")
    try:
        assert "x.tar: the disk is full; nothing was kept" in refused(kaged, "backup", str(disk / "x.tar"))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
