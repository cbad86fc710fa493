"""Opening, appending, recovering: the log as the daemon holds it."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from kaged.audit.log import Audit, head_path, verify_file
from kaged.core.actors import Actor, Role
from kaged.core.errors import GateError, KagedError

ALICE = Actor(id="alice", source="sidecar", role=Role.ADMIN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


async def fill(path: Path, count: int) -> None:
    audit = await Audit.open(path)
    for number in range(count):
        await audit.record(ALICE, "tool.call", f"call-{number}", "ok", {"n": number})
    await audit.close()


async def test_a_record_is_on_disk_when_record_returns(path: Path) -> None:
    audit = await Audit.open(path)
    record = await audit.record(ALICE, "project.trust", "sample", "allowed", {"hash": "ab"})
    fields = json.loads(path.read_text())
    await audit.close()
    assert fields["seq"] == record.seq == 1
    assert fields["prev"] == "0" * 64
    assert fields["actor"] == {"id": "alice", "source": "sidecar"}
    assert (fields["action"], fields["object"], fields["outcome"]) == ("project.trust", "sample", "allowed")
    assert fields["at"][-1] == "Z" and len(fields["hash"]) == 64


async def test_both_files_are_only_for_their_owner(path: Path) -> None:
    await fill(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert head_path(path).stat().st_mode & 0o777 == 0o600


async def test_the_chain_goes_on_after_reopening(path: Path) -> None:
    await fill(path, 3)
    await fill(path, 2)
    audit = await Audit.open(path)
    report = await audit.verify()
    assert report.ok and report.records == 5 and report.last_seq == 5
    assert [r.seq for r in await audit.newest(limit=2)] == [5, 4]
    assert [r.seq for r in await audit.newest(offset=1, limit=3)] == [4, 3, 2]
    assert [r.seq for r in await audit.newest(limit=100)] == [5, 4, 3, 2, 1]
    await audit.close()


async def test_concurrent_records_get_one_number_each(path: Path) -> None:
    audit = await Audit.open(path)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(audit.record(ALICE, "tool.call", str(i), "ok", {"text": "x" * 500})) for i in range(300)
        ]
    assert sorted(task.result().seq for task in tasks) == list(range(1, 301))
    assert len(await audit.newest(limit=1000)) == 300
    assert (await audit.verify()).ok
    await audit.close()


async def test_verifying_while_somebody_writes_finds_nothing_wrong(path: Path) -> None:
    audit = await Audit.open(path)

    async def write() -> None:
        for number in range(40):
            await audit.record(ALICE, "tool.call", str(number), "ok", {})

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        while not writing.done():
            report = await audit.verify()
            assert report.ok, report
    await audit.close()


async def test_a_cut_last_line_is_moved_aside_and_recorded(path: Path) -> None:
    await fill(path, 3)
    with path.open("ab") as file:
        file.write(b'{"seq":4,"at":"2026')
    audit = await Audit.open(path)
    [record] = await audit.newest(limit=1)
    assert record.action == "audit.tail_recovered" and record.seq == 4
    assert Path(record.details["moved_to"]).read_bytes() == b'{"seq":4,"at":"2026'
    assert (await audit.verify()).ok
    await audit.close()


async def test_records_written_after_the_stored_head_are_taken_over(path: Path) -> None:
    await fill(path, 2)
    before = head_path(path).read_bytes()
    await fill(path, 2)
    head_path(path).write_bytes(before)
    audit = await Audit.open(path)
    assert (await audit.record(ALICE, "run.start", "r", "ok", {})).seq == 5
    await audit.close()


async def test_a_head_slot_cut_in_half_leaves_the_other(path: Path) -> None:
    await fill(path, 4)
    side = head_path(path)
    content = bytearray(side.read_bytes())
    newest = max((0, 512), key=lambda at: json.loads(content[at : at + 512].split(b" ", 1)[1])["seq"])
    content[newest + 80 : newest + 512] = b"\0" * 432
    side.write_bytes(content)
    audit = await Audit.open(path)
    assert (await audit.verify()).records == 4
    await audit.close()


@pytest.mark.parametrize("keep", [0, 1, 2])
async def test_a_log_cut_after_a_whole_record_does_not_open(path: Path, keep: int) -> None:
    await fill(path, 3)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))
    with pytest.raises(GateError, match="its end is missing"):
        await Audit.open(path)


async def test_a_log_cut_inside_a_stored_record_does_not_open(path: Path) -> None:
    await fill(path, 3)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(GateError, match="its end is missing"):
        await Audit.open(path)


async def test_a_changed_last_record_does_not_open(path: Path) -> None:
    await fill(path, 3)
    path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":7'))
    with pytest.raises(GateError, match="was changed"):
        await Audit.open(path)


async def test_a_foreign_line_at_the_end_does_not_open(path: Path) -> None:
    await fill(path, 3)
    with path.open("ab") as file:
        file.write(b'{"hello": 1}\n')
    with pytest.raises(GateError, match="keys of a record"):
        await Audit.open(path)


@pytest.mark.parametrize("damage", ["remove", "empty", "garbage"])
async def test_a_log_without_its_head_does_not_open(path: Path, damage: str) -> None:
    await fill(path, 3)
    side = head_path(path)
    side.unlink()
    if damage != "remove":
        side.write_bytes(b"" if damage == "empty" else os.urandom(1024))
    with pytest.raises(GateError, match="missing or damaged"):
        await Audit.open(path)


async def test_a_removed_log_does_not_open(path: Path) -> None:
    await fill(path, 3)
    path.unlink()
    with pytest.raises(GateError, match="its end is missing"):
        await Audit.open(path)


async def test_two_daemons_cannot_hold_one_log(path: Path) -> None:
    audit = await Audit.open(path)
    with pytest.raises(GateError, match="another daemon"):
        await Audit.open(path)
    await audit.close()
    await (await Audit.open(path)).close()


async def test_an_unwritable_place_is_refused_with_a_fix(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(GateError, match=r"cannot be written.*\n.*audit"):
        await Audit.open(blocker / "audit.log")
    link = tmp_path / "link.log"
    link.symlink_to("/dev/null")
    with pytest.raises(GateError, match="cannot be written"):
        await Audit.open(link)


async def test_a_cancelled_caller_leaves_the_log_whole(path: Path) -> None:
    audit = await Audit.open(path)
    task = asyncio.ensure_future(audit.record(ALICE, "tool.call", "a", "ok", {}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await audit.record(ALICE, "tool.call", "b", "ok", {})).seq == 2
    assert (await audit.verify()).records == 2
    await audit.close()


async def test_a_closed_log_says_so(path: Path) -> None:
    audit = await Audit.open(path)
    await audit.close()
    await audit.close()
    with pytest.raises(KagedError, match="closed"):
        await audit.record(ALICE, "tool.call", "a", "ok", {})


async def test_secrets_never_reach_the_file(path: Path) -> None:
    audit = await Audit.open(path)
    await audit.record(
        ALICE,
        "provider.set",
        "https://kaged.example.com/launch?token=hunter2hunter2",
        "ok",
        {
            "api_key": "hunter2",
            "nested": [{"X-Kaged-Auth-Nonce": "hunter2", "api_key_env": "SOME_KEY"}],
            "argv": "curl -H 'Authorization: Bearer hunter2hunter2'",
            "url": "https://me:hunter2@example.com/x",
            "accessToken": "hunter2",
            "input_tokens": 12,
        },
    )
    await audit.close()
    text = path.read_text()
    assert "hunter2" not in text
    assert "SOME_KEY" in text and '"input_tokens":12' in text


def full_disk() -> None:
    """Runs in a namespace of its own, where a 64 KiB tmpfs stands for the disk."""
    import sys

    async def story(path: Path) -> None:
        audit = await Audit.open(path)
        written = 0
        try:
            for _ in range(100):
                await audit.record(ALICE, "tool.call", "x", "ok", {"text": "y" * 3000})
                written += 1
            raise AssertionError("the disk never filled up")
        except KagedError as error:
            assert error.code == "unavailable" and "is full" in error.message, error.message
        (path.parent / "ballast").unlink()
        record = await audit.record(ALICE, "tool.call", "after", "ok", {})
        assert record.seq == written + 1
        report = await audit.verify()
        assert report.ok and report.records == written + 1, report
        await audit.close()

    place = Path(sys.argv[1])
    (place / "ballast").write_bytes(b"z" * 16384)
    asyncio.run(story(place / "audit.log"))


@pytest.mark.cage
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    import sys

    root = Path(__file__).resolve().parents[2]
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["bwrap", "--unshare-user", "--bind", "/", "/", "--dev", "/dev", "--size", "65536", "--tmpfs", place,
         "--chdir", root / "tests", "--setenv", "PYTHONPATH", f"{root}/src:{root}/tests",
         sys.executable, "-c", "from audit.test_log import full_disk; full_disk()", place],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def test_a_log_is_verified_from_its_files_alone(path: Path) -> None:
    await fill(path, 3)
    assert (verify_file(path).ok, verify_file(path).records) == (True, 3)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    assert "its end is missing" in (verify_file(path).problem or "")
    head_path(path).write_bytes(b"x" * 1024)
    assert "is damaged" in (verify_file(path).problem or "")
