"""Commands and files in a real cage, through the client."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import ANY, Exit, KeeperClient, Process
from kaged.core.errors import KagedError
from real_keeper import LiteralPlan, connect, keeper, mark, marked, project, until

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        await one.ensure_cage("c", LiteralPlan(project(short_tmp)))
        yield one


async def output(process: Process) -> tuple[Exit, str]:
    """The end of a process and all it has put out."""
    end = await process.wait()
    return end, process.stream.read(0, 1 << 24)[1].decode()


async def sh(client: KeeperClient, script: str, **options: object) -> tuple[Exit, str]:
    process = await client.run("c", f"sh-{mark()}", ["sh", "-c", script], **options)  # type: ignore[arg-type]
    return await output(process)


async def refused(code: str, text: str, work: object) -> KagedError:
    with pytest.raises(KagedError, match=text) as caught:
        await work  # type: ignore[misc]
    assert caught.value.code == code
    return caught.value


# ---- commands ----------------------------------------------------------------------------------------


async def test_exit_code_and_both_streams_in_order(client: KeeperClient) -> None:
    end, text = await sh(client, "echo one; echo two >&2; echo three; exit 7")
    assert end == Exit(7, None, "exited")
    assert text == "one\ntwo\nthree\n"


async def test_death_by_its_own_signal_is_told(client: KeeperClient) -> None:
    end, _ = await sh(client, "kill -SEGV $$")
    assert end == Exit(None, signal.SIGSEGV, "exited")


async def test_cwd_and_env(client: KeeperClient, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_tmp / "project" / "sub").mkdir()
    end, text = await sh(client, "pwd; echo $EXTRA $HOME", cwd=str(short_tmp / "project/sub"), env={"EXTRA": "yes"})
    assert (end.code, text) == (0, f"{short_tmp}/project/sub\nyes /tmp\n")
    _, text = await sh(client, "env | cut -d= -f1 | sort | tr '\\n' ' '")
    assert text == "HOME LANG PATH PWD "
    await refused("not_found", "working directory .* does not exist", sh(client, "true", cwd="/nowhere"))
    await refused("bad_request", "KAGED_X", sh(client, "true", env={"KAGED_X": "1"}))


async def test_the_program_is_looked_up_on_the_path_of_its_own_environment(
    client: KeeperClient, short_tmp: Path
) -> None:
    tool = short_tmp / "project" / "bin" / "mytool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    process = await client.run("c", "t", ["mytool"], env={"PATH": f"{tool.parent}:/usr/bin"})
    assert await output(process) == (Exit(0, None, "exited"), "mine\n")
    await refused("not_found", "no program named 'mytool'", client.run("c", "u", ["mytool"]))
    await refused("bad_request", "empty", client.run("c", "v", []))
    await refused("forbidden", "permission denied", client.run("c", "w", ["/etc/passwd"]))


async def test_a_command_has_three_descriptors_and_sees_nothing_of_the_daemon(
    client: KeeperClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = await sh(
        client, "ls /proc/self/fd; cd /proc/1; cat environ maps; readlink fd/0 || echo closed; cat cmdline"
    )
    lines = text.splitlines()
    assert lines[:4] == ["0", "1", "2", "3"]  # 3 is the listing itself
    assert "environ: Permission denied" in text
    assert "maps: Permission denied" in text
    assert "closed\n" in text
    assert "KAGED" not in text
    assert "/run/kaged/init.py" in text


async def test_no_command_can_end_or_stop_the_init(client: KeeperClient) -> None:
    end, _ = await sh(client, "for s in INT TERM HUP QUIT KILL STOP TSTP USR1 SEGV CHLD; do kill -$s 1; done; true")
    assert end.code == 0
    assert (await sh(client, "echo alive"))[1] == "alive\n"


async def test_signals_are_as_a_program_expects_them(client: KeeperClient) -> None:
    _, text = await sh(client, "grep -E 'Sig(Ign|Blk|Cgt)' /proc/self/status")
    values = {line.split()[0]: int(line.split()[1], 16) for line in text.splitlines()}
    assert values["SigIgn:"] & 0x7FFFFFFF == 0  # the two above are the C library's own
    assert values["SigBlk:"] == 0


async def test_limits_hold_inside(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("tight", LiteralPlan(project(short_tmp), fsize_bytes=4096, nofile=99))
    process = await client.run("tight", "limits", ["cat", "/proc/self/limits"])
    _, text = await output(process)
    limits = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["99", "99"]
    assert limits["Max file size"] == ["4096", "4096"]
    assert limits["Max data size"] == [str(1 << 30)] * 2
    assert limits["Max processes"] == ["128", "128"]
    assert limits["Max address space"][0] == "unlimited"
    process = await client.run("tight", "big", ["sh", "-c", "head -c 5000 /dev/zero > big"])
    assert (await process.wait()).code == 128 + signal.SIGXFSZ
    assert (short_tmp / "project" / "big").stat().st_size == 4096


async def test_stdin_is_written_and_closed(client: KeeperClient) -> None:
    process = await client.run("c", "cat", ["sh", "-c", "sha256sum; echo done"], stdin=True)
    data = os.urandom(3_000_000)
    await process.write(data)
    await process.close_stdin()
    end, text = await output(process)
    assert end.code == 0
    assert text == f"{hashlib.sha256(data).hexdigest()}  -\ndone\n"
    await refused("gone", "has ended", process.write(b"more"))


async def test_without_stdin_the_input_is_empty(client: KeeperClient) -> None:
    process = await client.run("c", "cat", ["cat"])
    assert await output(process) == (Exit(0, None, "exited"), "")
    waiting = await client.run("c", "sleep", ["sleep", "100"])
    await refused("bad_request", "without input", waiting.write(b"x"))


async def test_a_writer_waiting_for_room_learns_that_its_reader_is_gone(client: KeeperClient) -> None:
    process = await client.run("c", "deaf", ["sleep", "100"], stdin=True)
    writing = asyncio.ensure_future(process.write(bytes(1_000_000)))
    await asyncio.wait([writing], timeout=0.05)
    assert not writing.done()
    await process.signal(signal.SIGKILL)
    with pytest.raises(KagedError, match=r"does not read|has ended"):
        await writing


async def test_the_same_id_is_started_once(client: KeeperClient, short_tmp: Path) -> None:
    script = ["sh", "-c", "echo x >> count; cat"]
    both = await asyncio.gather(*(client.run("c", "same", script, stdin=True) for _ in range(3)))
    assert both[0] is both[1] is both[2]
    assert await client.attach("same") is both[0]
    await both[0].close_stdin()
    await both[0].wait()
    again = await client.run("c", "same", script)
    assert again is both[0]
    assert (short_tmp / "project" / "count").read_text() == "x\n"


async def test_what_a_command_leaves_behind_lives_on_and_keeps_writing(client: KeeperClient, short_tmp: Path) -> None:
    name = mark()
    for fifo in ("fifo", "second"):  # one each: whoever writes may be slower to close it than who reads is
        os.mkfifo(short_tmp / "project" / fifo)
    script = f"(read x < fifo; echo late; read x < second; yes | head -c 300000; exec sleep {name}) & echo main"
    process = await client.run("c", "server", ["sh", "-c", script])
    assert (await process.wait()).code == 0
    assert process.stream.read(0, 100)[1] == b"main\n"
    assert not process.stream.ended
    await sh(client, "echo go > fifo")
    assert await process.stream.wait_past(5)
    assert process.stream.read(0, 100)[1] == b"main\nlate\n"
    await client.forget("server")
    await sh(client, "echo go > second")
    # It writes more than a pipe holds; if nobody read that, or reading had ended, it would not get here.
    await until(lambda: bool(marked(f"sleep\0{name}")))
    await client.drop_cage("c")
    assert not marked(name)


async def test_forget_wants_an_ended_process(client: KeeperClient) -> None:
    process = await client.run("c", "one", ["sleep", "100"])
    await refused("conflict", "still runs", client.forget("one"))
    await process.signal(signal.SIGKILL)
    await process.wait()
    await client.forget("one")
    await client.forget("one")
    await refused("not_found", "knows no process one", client.attach("one"))
    with pytest.raises(KagedError, match="not kept"):
        process.stream.read(0, 1)


async def test_requests_run_side_by_side(client: KeeperClient) -> None:
    slow = await client.run("c", "slow", ["cat"], stdin=True)
    results = await asyncio.gather(*(sh(client, f"echo {n}") for n in range(30)))
    assert [text for _, text in results] == [f"{n}\n" for n in range(30)]
    assert slow.running
    await slow.close_stdin()
    assert (await slow.wait()).code == 0


async def test_a_cancelled_start_leaves_a_process_that_can_be_attached(client: KeeperClient) -> None:
    starting = asyncio.ensure_future(client.run("c", "late", ["sh", "-c", "echo hello"]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await client.state()
    process = await client.attach("late")
    assert await output(process) == (Exit(0, None, "exited"), "hello\n")


async def test_state_names_what_there_is(client: KeeperClient) -> None:
    process = await client.run("c", "one", ["sleep", "100"])
    await sh(client, "exit 3")
    state = await client.state()
    assert [cage.id for cage in state.cages] == ["c"]
    assert next((p.id, p.cage, p.argv, p.running) for p in state.processes) == ("one", "c", ("sleep", "100"), True)
    assert [p.exit for p in state.processes][1] == Exit(3, None, "exited")
    assert state.pid == client.pid
    await process.signal(signal.SIGKILL)
    assert await process.wait() == Exit(None, signal.SIGKILL, "killed")


async def test_no_cage_of_that_name(client: KeeperClient) -> None:
    await refused("not_found", "no cage other", client.run("other", "x", ["true"]))
    await refused("not_found", "no cage other", client.read_file("other", "x", max_bytes=1))
    await client.drop_cage("other")


# ---- signals and trees -------------------------------------------------------------------------------


async def test_a_tree_signal_finds_even_what_ran_away(client: KeeperClient) -> None:
    name, other = mark(), mark()
    keep = await client.run("c", "keep", ["sleep", other])
    script = (
        f"(setsid nohup sh -c 'trap \"\" TERM; sleep {name}; sleep {name}' >/dev/null 2>&1 </dev/null &); "
        f"(setsid sleep {name} &); sleep {name}"
    )
    process = await client.run("c", "tree", ["sh", "-c", script])
    await until(lambda: len(marked(name)) >= 4)
    await process.signal(signal.SIGKILL, tree=True)
    assert await process.wait() == Exit(None, signal.SIGKILL, "killed")
    await until(lambda: not marked(name))
    assert marked(other)
    assert keep.running


async def test_a_group_signal_leaves_other_groups_alone(client: KeeperClient) -> None:
    name = mark()
    process = await client.run("c", "group", ["sh", "-c", f"setsid sleep {name} & echo up; sleep {name}"])
    await until(lambda: len({os.getpgid(pid) for pid in marked(name)}) == 2)
    await process.signal(signal.SIGTERM, tree=False)
    assert await process.wait() == Exit(None, signal.SIGTERM, "killed")
    assert marked(name)
    await process.signal(signal.SIGTERM, tree=True)
    await until(lambda: not marked(name))


async def test_a_handled_signal_is_an_ordinary_exit(client: KeeperClient) -> None:
    process = await client.run("c", "trap", ["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"])
    assert await process.stream.wait_past(2)
    await process.signal(signal.SIGTERM, tree=False)
    assert await process.wait() == Exit(5, None, "exited")
    await refused("bad_request", "no signal 99", process.signal(99))


# ---- files -------------------------------------------------------------------------------------------


async def test_bytes_come_back_as_they_were_written(client: KeeperClient, short_tmp: Path) -> None:
    data = bytes(range(256)) * 3000
    written = await client.write_file("c", "deep/er/file.bin", data, expect_sha256=None, make_parents=True)
    digest = hashlib.sha256(data).hexdigest()
    assert (written.sha256, written.size, written.created) == (digest, len(data), True)
    assert (short_tmp / "project/deep/er/file.bin").read_bytes() == data
    read = await client.read_file("c", f"{short_tmp}/project/deep/er/file.bin", max_bytes=1000)
    assert (read.data, read.size, read.sha256, read.kind) == (data[:1000], len(data), digest, "file")
    await refused("not_found", "does not exist", client.write_file("c", "no/such/dir", b""))


async def test_writing_compares_and_swaps(client: KeeperClient, short_tmp: Path) -> None:
    path = short_tmp / "project" / "f"
    path.write_bytes(b"one")
    path.chmod(0o751)
    inode = path.stat().st_ino
    seen = await client.read_file("c", "f", max_bytes=10)
    await refused("conflict", "exists already", client.write_file("c", "f", b"x", expect_sha256=None))
    path.write_bytes(b"two")
    path.chmod(0o751)
    await refused("conflict", "changed since", client.write_file("c", "f", b"x", expect_sha256=seen.sha256))
    assert path.read_bytes() == b"two"
    seen = await client.read_file("c", "f", max_bytes=10)
    written = await client.write_file("c", "f", b"three", expect_sha256=seen.sha256)
    assert (written.created, path.read_bytes(), path.stat().st_mode & 0o777) == (False, b"three", 0o751)
    assert path.stat().st_ino != inode, "replaced in one step, not written over"
    await client.write_file("c", "f", b"four", expect_sha256=ANY)
    path.unlink()
    await refused("conflict", "does not exist any more", client.write_file("c", "f", b"x", expect_sha256=seen.sha256))
    assert sorted(p.name for p in path.parent.iterdir()) == []


async def test_links_are_followed_and_stay_links(client: KeeperClient, short_tmp: Path) -> None:
    root = short_tmp / "project"
    (root / "real").write_text("old")
    (root / "link").symlink_to("real")
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to("/etc/shadow")
    await client.write_file("c", "link", b"new")
    assert (root / "link").is_symlink()
    assert (root / "real").read_text() == "new"
    assert (await client.read_file("c", "link", max_bytes=9)).data == b"new"
    assert (await client.read_file("c", "out", max_bytes=9)).kind == "missing"
    await refused("bad_request", "symbolic links", client.read_file("c", "loop", max_bytes=9))
    listed = {entry.name: entry.kind for entry in await client.list_dir("c", ".", 100)}
    assert listed == {"link": "link", "loop": "link", "out": "link", "real": "file"}


async def test_what_is_no_file_is_never_opened(client: KeeperClient, short_tmp: Path) -> None:
    os.mkfifo(short_tmp / "project" / "fifo")
    (short_tmp / "project" / "dir").mkdir()
    async with asyncio.timeout(10):
        assert (await client.read_file("c", "fifo", max_bytes=10)).kind == "other"
        assert (await client.read_file("c", "/dev/null", max_bytes=10)).kind == "other"
        assert (await client.read_file("c", "dir", max_bytes=10)).kind == "dir"
        assert (await client.read_file("c", "none", max_bytes=10)).kind == "missing"
        assert (await client.read_file("c", "dir/none/x", max_bytes=10)).kind == "missing"
        await refused("bad_request", "not a regular file", client.write_file("c", "fifo", b"x"))
        await refused("bad_request", "not a regular file", client.write_file("c", "dir", b"x"))
        await refused("not_found", "not a directory", client.list_dir("c", "fifo", 5))
    await refused("bad_request", "null byte", client.read_file("c", "a\0b", max_bytes=1))


async def test_the_cage_bounds_what_can_be_written(client: KeeperClient, short_tmp: Path) -> None:
    await refused("forbidden", "read-only", client.write_file("c", "/usr/x", b""))
    await refused("forbidden", "read-only", client.write_file("c", "/etc/passwd", b""))
    await client.write_file("c", f"{short_tmp}/outside", b"")  # in the cage's own /tmp
    assert not (short_tmp / "outside").exists()


async def test_a_full_disk_is_said_and_loses_nothing(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(project(short_tmp))
    plan.mounts = ["--size", "65536", "--perms", "0755", "--tmpfs", f"{short_tmp}/project/small"]
    await client.ensure_cage("small", plan)
    await client.write_file("small", "small/f", b"keep")
    error = await refused("unavailable", "full", client.write_file("small", "small/f", bytes(1_000_000)))
    assert "small/f" in error.message
    assert (await client.read_file("small", "small/f", max_bytes=9)).data == b"keep"
    assert [e.name for e in await client.list_dir("small", "small", 9)] == ["f"]


async def test_large_files_are_read_in_part_and_not_edited(client: KeeperClient, short_tmp: Path) -> None:
    with (short_tmp / "project" / "big").open("wb") as file:
        file.truncate((32 << 20) + 1)
    read = await client.read_file("c", "big", max_bytes=5)
    assert (read.data, read.size, read.sha256) == (bytes(5), (32 << 20) + 1, "")
    await refused(
        "payload_too_large", "change it with a command", client.write_file("c", "big", b"", expect_sha256="00")
    )
    await refused("payload_too_large", "bytes in one request", client.write_file("c", "b", bytes((32 << 20) + 1)))


async def test_listing_is_sorted_and_bounded_and_takes_any_name(client: KeeperClient, short_tmp: Path) -> None:
    root = os.fsencode(short_tmp / "project")
    for name in (b"b", b"a", b"c\xff", b"d\n"):
        Path(os.fsdecode(root + b"/" + name)).write_bytes(b"12")
    entries = await client.list_dir("c", ".", 3)
    assert [(os.fsencode(e.name), e.kind, e.size) for e in entries] == [
        (b"a", "file", 2),
        (b"b", "file", 2),
        (b"c\xff", "file", 2),
    ]
    assert (await client.read_file("c", os.fsdecode(b"c\xff"), max_bytes=9)).data == b"12"


async def test_a_refused_connection_says_why(short_tmp: Path) -> None:
    await refused("unavailable", "no keeper listens", connect(short_tmp, start=False))
