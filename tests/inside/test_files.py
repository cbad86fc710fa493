"""The file operations of a cage's init: what needs no cage to be tried; and watching, in a real one."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kaged.cage.client import MOST_NAMES, Change, Changes, KeeperClient
from kaged.core.errors import KagedError
from kaged.inside import files
from real_keeper import LiteralPlan, connect, keeper, project


def test_a_swap_loses_against_a_change_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    facts, _ = files.read_file(str(path), 10)
    real = files._before

    def meddle(target: str, name: str, expect: object) -> os.stat_result | None:
        found = real(target, name, expect)
        path.write_text("somebody else")
        return found

    monkeypatch.setattr(files, "_before", meddle)
    with pytest.raises(files.Refused, match="changed since") as caught:
        files.write_file(str(path), b"mine", facts["sha256"], False)
    assert caught.value.code == "conflict"
    assert path.read_text() == "somebody else"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_new_file_loses_against_one_that_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    monkeypatch.setattr(files, "_before", lambda *_: path.write_text("first") and None)
    with pytest.raises(files.Refused, match="exists already") as caught:
        files.write_file(str(path), b"mine", None, False)
    assert caught.value.code == "conflict"
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_set_user_id_is_not_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    path.chmod(0o6755)
    files.write_file(str(path), b"y", "any", False)
    assert path.stat().st_mode & 0o7777 == 0o755


def test_reading_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = time.monotonic()
    assert files.read_file(str(tmp_path / "fifo"), 5)[0]["kind"] == "other"
    assert time.monotonic() - before < 60  # it would be for ever


# ---- watching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["sub", ".", "sub/../sub"])
def test_a_folder_beneath_is_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    fd = files.open_beneath(str(tmp_path), str(tmp_path / path))
    assert Path(f"/proc/self/fd/{fd}").readlink() == (tmp_path / path).resolve()
    os.close(fd)


@pytest.mark.parametrize("path", ["link", "link/inner", "sub/link", "..", "/etc", "none", "file", "sub/\0"])
def test_no_other_is(tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "sub" / "link").symlink_to(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(files.Refused):
        files.open_beneath(str(tmp_path), str(tmp_path / path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def watches() -> AsyncIterator[files.Watches]:  # type: ignore[misc]
    one = files.Watches()
    yield one
    if one.fd is not None:
        os.close(one.fd)


def test_changes_are_gathered_by_name(tmp_path: Path, watches: files.Watches) -> None:
    for number in (1, 2):  # one folder, two who look
        watches.add(number, str(tmp_path), str(tmp_path))
    for _ in range(3):
        (tmp_path / "a").write_text("x")
    (tmp_path / "a").rename(tmp_path / "b")
    told = watches.tell()
    assert told == [
        {"ev": "changed", "watch": number, "names": ["a", "b"], "lost": False, "gone": False} for number in (1, 2)
    ]
    watches.drop(1)
    (tmp_path / "b").unlink()
    assert [(one["watch"], one["names"]) for one in watches.tell()] == [(2, ["b"])]
    watches.drop(None)
    (tmp_path / "c").touch()
    assert watches.tell() == []


def test_too_many_names_are_told_as_lost(tmp_path: Path, watches: files.Watches) -> None:
    watches.add(1, str(tmp_path), str(tmp_path))
    for number in range(files.MOST_NAMES + 1):
        (tmp_path / str(number)).touch()
    assert watches.tell() == [{"ev": "changed", "watch": 1, "names": [], "lost": True, "gone": False}]


def test_a_full_queue_is_told_as_lost(tmp_path: Path, watches: files.Watches) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        watches.add(number, str(tmp_path), str(tmp_path / name))
    one, two = tmp_path / "one" / "a", tmp_path / "one" / "b"
    one.touch()
    for _ in range(most // 4 + 10):
        one.rename(two)
        two.rename(one)
    told = watches.tell() + watches.tell()
    assert all(any(each["lost"] for each in told if each["watch"] == number) for number in (0, 1))


@pytest.mark.parametrize("moved", [True, False])
def test_the_folder_itself_may_go(tmp_path: Path, watches: files.Watches, moved: bool) -> None:
    (tmp_path / "sub").mkdir()
    watches.add(1, str(tmp_path), str(tmp_path / "sub"))
    (tmp_path / "sub").rename(tmp_path / "other") if moved else (tmp_path / "sub").rmdir()
    assert [(one["watch"], one["gone"]) for one in watches.tell()] == [(1, True)]
    if moved:
        (tmp_path / "other" / "late").touch()
    assert watches.tell() == []


def test_their_number_is_bounded(tmp_path: Path, watches: files.Watches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_WATCHES", 1)
    watches.add(1, str(tmp_path), str(tmp_path))
    with pytest.raises(files.Refused, match="1 folders of this cage"):
        watches.add(2, str(tmp_path), str(tmp_path))


async def test_whoever_comes_late_hears_of_all_at_once() -> None:
    changes = Changes("c")
    changes.take(["a"], lost=False, gone=False)
    changes.take(["b", "a"], lost=False, gone=False)
    assert await anext(changes) == Change(("a", "b"), False)
    changes.take(map(str, range(MOST_NAMES + 1)), lost=False, gone=True)
    assert [change async for change in changes] == [Change((), True)]


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        await one.ensure_cage("c", LiteralPlan(project(short_tmp)))
        yield one


async def seen(changes: Changes, done: Callable[[set[str]], bool]) -> set[str]:
    """The names told until that is enough."""
    names = set[str]()
    async with asyncio.timeout(20):
        while not done(names):
            names |= set((await anext(changes)).names)
    return names


@pytest.mark.cage
async def test_a_folder_of_a_cage(client: KeeperClient, short_tmp: Path) -> None:
    folder = short_tmp / "project" / "src"
    folder.mkdir()
    async with client.watch("c", "src") as changes, client.watch("c", str(folder)) as same:
        (folder / "outside").write_text("x")
        inside = await client.run("c", "p", ["touch", "src/inside"])
        await inside.wait()
        for one in (changes, same):
            assert await seen(one, {"inside", "outside"}.issubset) is not None
        (folder / "inside").rename(folder / "renamed")
        assert await seen(changes, {"inside", "renamed"}.issubset)
        for number in range(10_000):
            (folder / "flood").write_text(str(number))
        assert (await client.read_file("c", "src/flood", max_bytes=10)).data == b"9999"  # others are served
        assert await seen(changes, {"flood"}.issubset)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        async with asyncio.timeout(20):
            [_ async for change in changes for _ in change.names]  # ends with the folder
    folder.symlink_to("/etc")
    for path in ("src", "..", "/etc"):
        with pytest.raises(KagedError):
            async with client.watch("c", path):
                pass


@pytest.mark.cage
async def test_the_end_of_whoever_watches(client: KeeperClient, short_tmp: Path) -> None:
    started = asyncio.Event()

    async def wait() -> None:
        async with client.watch("c", ".") as changes:
            started.set()
            await anext(changes)

    for _ in range(files.MOST_WATCHES + 1):  # each is ended in turn, or the last would be refused
        task = asyncio.create_task(wait())
        await started.wait()
        started.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with client.watch("c", ".") as changes:
        await client.drop_cage("c")
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
    await client.ensure_cage("d", LiteralPlan(project(short_tmp)))
    async with client.watch("d", ".") as changes:
        client.close()
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
    second = await connect(short_tmp, start=False)
    async with second.watch("d", ".") as changes:  # the same number again, and nothing of the first is left
        (short_tmp / "project" / "x").touch()
        assert await seen(changes, {"x"}.issubset)
    await second.shutdown()
