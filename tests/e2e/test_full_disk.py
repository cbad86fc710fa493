"""A full disk under the home: refusals are sentences, nothing stored is lost, and with room it goes on."""

import asyncio
import contextlib
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.clients import Follower, control_socket
from e2e.harness import Daemon, daemon
from e2e.talk import check_error, folded, of, talk
from e2e.zygote import Zygote

pytestmark = pytest.mark.cage


@pytest.fixture
def small(short_tmp: Path, zygote: Zygote) -> Iterator[Daemon]:
    """A home on a disk of 16 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = short_tmp / "d"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this root may not mount")
    try:
        yield Daemon(short_tmp, zygote=zygote)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Filler:
    """Takes all the room there is, and gives it back."""

    def __init__(self, it: Daemon) -> None:
        self._file = it.home / "filler"

    def fill(self) -> None:
        with self._file.open("ab", buffering=0) as out:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def empty(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()


async def test_writes_are_refused_and_reads_go_on(small: Daemon) -> None:
    with daemon(small.base, zygote=small.zygote) as it:
        filler = Filler(it)
        async with talk(it) as session:
            assert of(await session.run("say: before"), "run.ended")[0]["outcome"] == "success"
            before = await session.events()
            filler.fill()
            for number in range(3):
                answer = await session.api.post(f"{session.route}/messages", json={"text": f"say: {number}"})
                assert "full" in check_error(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) > 0
            assert folded(await session.events()) == folded(before), "what was refused is not there"
            assert (await session.get())["state"] == "idle"
            assert (await session.api.get("/healthz")).text == "ok"
            assert "before" in (await session.api.get(f"{session.route}/transcript")).text
            filler.empty()
            assert of(await session.run("say: after"), "run.ended")[0]["outcome"] == "success"
            assert (await session.events())[: len(before)] == before
            verify = (await session.api.get("/api/v1/audit/verify")).json()
            assert verify["ok"] is True, verify
            filler.fill()
        assert it.stop() == 0
        check_log(it)
        assert it.processes() == [], "a full disk keeps nothing running"
        filler.empty()
        it.start()
        async with talk(it) as session:
            assert of(await session.run("say: again"), "run.ended")[0]["outcome"] == "success"


async def test_a_run_is_stopped_by_a_full_disk_and_goes_on_with_room(small: Daemon) -> None:
    with daemon(small.base, zygote=small.zygote) as it:
        filler = Filler(it)
        async with talk(it) as session:
            client = Follower(control_socket(it), f"session:{session.sid}")
            following = asyncio.create_task(client.follow())
            await session.say("say: " + " ".join(f"word{n}" for n in range(700)))
            await client.until(lambda f: f["seq"] > 20)
            filler.fill()
            # The journal's file has room left in its last pages; then it is over.
            await asyncio.to_thread(wait_for_log, it, "disk")
            shown = list(client.seen)
            stored = await session.events()
            assert [f["seq"] for f in shown] == list(range(1, len(shown) + 1))
            assert stored[: len(shown)] == shown, "what was shown is stored"
            filler.empty()
            interrupted = await client.until(lambda f: f["type"] == "run.interrupted")
            assert "full" in interrupted["data"]["reason"]
            assert (await session.get())["run"]["state"] == "interrupted"
            await session.post("/resume", {})
            ended = await client.until(lambda f: f["type"] == "run.ended")
            assert ended["data"]["outcome"] == "success"
            await client.until(lambda f: f["seq"] >= ended["seq"])
            assert [f["seq"] for f in client.seen] == list(range(1, len(client.seen) + 1))
            following.cancel()
            await asyncio.wait({following})


def wait_for_log(it: Daemon, words: str) -> None:
    """The next line of the daemon's log with these words."""
    assert it.process is not None and it.process.stderr is not None
    for line in it.process.stderr:
        it.output.append(line)
        if words in line and "stored" in line:
            return
    raise AssertionError("the daemon ended")


def check_log(it: Daemon) -> None:
    text = "".join(it.output)
    assert "Traceback" not in text, text


def test_a_start_on_a_full_disk(small: Daemon) -> None:
    with daemon(small.base, zygote=small.zygote):
        pass
    filler = Filler(small)
    filler.fill()
    code, said = small.refused("--bind=127.0.0.1:0")
    assert code == 69
    assert "Traceback" not in said
    assert "full" in said or "No space left" in said
    filler.empty()
    with daemon(small.base, zygote=small.zygote) as it, it.api() as api:
        assert api.get("/api/v1/audit/verify").json()["ok"] is True


def test_a_first_start_on_a_full_disk(small: Daemon) -> None:
    small.home.mkdir(mode=0o700)
    filler = Filler(small)
    filler.fill()
    code, said = small.refused("--bind=127.0.0.1:0")
    assert code == 69
    assert "Traceback" not in said
    assert "full" in said or "No space left" in said
    filler.empty()
    with daemon(small.base, zygote=small.zygote) as it, it.api() as api:
        projects = api.get("/api/v1/projects").json()["items"]
        assert [p["slug"] for p in projects] == ["sample"], json.dumps(projects)
