"""Gates: refusals are sentences, and a refused start leaves no keeper behind that holds nothing."""

import errno
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import kaged
from kaged.cage.client import KeeperClient
from kaged.core.errors import GateError, KagedError
from kaged.daemon import gates
from kaged.settings.config import Flags, Loaded, load

REFUSED = GateError("bind", "the port is taken", "choose another")


def loaded(base: Path, **environ: str) -> Loaded:
    given = {"HOME": str(base), "XDG_CONFIG_HOME": str(base / "c"), "XDG_DATA_HOME": str(base / "d")}
    return load(flags=Flags(mode="user"), environ={**given, "XDG_RUNTIME_DIR": str(base / "r"), **environ})


@pytest.fixture
async def keeper(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    client = await KeeperClient.connect(short_tmp / "keeper.sock", short_tmp, grace_s=30)
    yield client
    if not client.closed.is_set():
        await client.shutdown()
        client.close()


async def again(short_tmp: Path) -> KeeperClient:
    """A connection to the keeper that is there already."""
    return await KeeperClient.connect(short_tmp / "keeper.sock", short_tmp, grace_s=30, start=False)


async def leave(client: KeeperClient, error: BaseException | None) -> None:
    await gates.leave_keeper(client, type(error) if error else None, error, None)


async def test_a_refused_start_ends_a_keeper_that_holds_nothing(keeper: KeeperClient, short_tmp: Path) -> None:
    await leave(keeper, REFUSED)
    assert keeper.closed.is_set()
    with pytest.raises(KagedError):
        await again(short_tmp)


@pytest.mark.parametrize("error", [None, RuntimeError("a bug")])
async def test_any_other_end_leaves_it(keeper: KeeperClient, short_tmp: Path, error: BaseException | None) -> None:
    await leave(keeper, error)
    client = await again(short_tmp)
    await client.shutdown()
    client.close()


async def test_a_keeper_that_holds_something_is_left(keeper: KeeperClient, short_tmp: Path) -> None:
    argv = ["sleep", "1000"]
    await keeper.run_host("p1", argv, cwd="/", env={"PATH": "/usr/bin:/bin"}, pty=(80, 24))
    await leave(keeper, REFUSED)
    client = await again(short_tmp)
    assert [process.id for process in (await client.state()).processes] == ["p1"]
    await client.shutdown()
    client.close()


async def test_a_keeper_that_is_gone_is_no_trouble(keeper: KeeperClient) -> None:
    await keeper.shutdown()
    await leave(keeper, REFUSED)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KagedError("unavailable", "the disk that holds /x is full"), "the disk that holds /x is full"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/lock"), "/x/lock: No space left on device"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (REFUSED, "the port is taken"),
    ],
)
def test_what_goes_wrong_on_the_way_is_a_sentence(short_tmp: Path, error: Exception, words: str) -> None:
    with pytest.raises(GateError) as refused, gates.sentences(loaded(short_tmp)):
        raise error
    assert words in refused.value.problem
    assert refused.value.fix


def test_a_bug_is_not_hidden(short_tmp: Path) -> None:
    with pytest.raises(ZeroDivisionError), gates.sentences(loaded(short_tmp)):
        raise ZeroDivisionError


def test_the_folders(short_tmp: Path) -> None:
    config = loaded(short_tmp)
    gates.folders(config)
    for folder in (config.paths.home, config.paths.runtime, config.paths.projects_dir):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (config.paths.home / "plugins").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_plugins_elsewhere_is_left_to_its_owner(short_tmp: Path) -> None:
    file = short_tmp / "config.toml"
    file.write_text(f'[plugins]\ndir = "{short_tmp}/elsewhere"\n')
    environ = {"HOME": str(short_tmp), "XDG_RUNTIME_DIR": str(short_tmp / "r")}
    gates.folders(load(flags=Flags(config=file, mode="user"), environ=environ))
    assert not (short_tmp / "elsewhere").exists()


async def test_a_database_that_is_none(short_tmp: Path) -> None:
    config = loaded(short_tmp)
    gates.folders(config)
    config.paths.database.write_bytes(b"no database" * 1000)
    with pytest.raises(GateError, match="database") as refused:
        await gates.database(config)
    assert str(config.paths.database) in refused.value.problem


def test_a_chosen_port_is_exact_and_a_default_one_gives_way(short_tmp: Path, free_port: int) -> None:
    chosen = load(
        flags=Flags(mode="user", bind=f"127.0.0.1:{free_port}"),
        environ={"HOME": str(short_tmp), "XDG_RUNTIME_DIR": str(short_tmp / "r")},
    )
    first = gates.listener(chosen)
    with first.socket:
        assert first.address == f"http://127.0.0.1:{free_port}"
        with pytest.raises(GateError, match=str(free_port)):
            gates.listener(chosen)
        usual = loaded(short_tmp)
        gates.folders(usual)
        with gates.listener(usual).socket as one, gates.listener(usual).socket as two:
            assert one.getsockname() != two.getsockname()


def test_a_unix_socket(short_tmp: Path) -> None:
    listening = gates.listener(
        load(
            flags=Flags(mode="user", bind=f"unix:{short_tmp}/http.sock"),
            environ={"HOME": str(short_tmp), "XDG_RUNTIME_DIR": str(short_tmp / "r")},
        )
    )
    with listening.socket:
        assert (listening.address, listening.bound) == (f"unix:{short_tmp}/http.sock", None)


@pytest.mark.parametrize("holds", [False, True])
async def test_a_keeper_of_another_installation_goes_once_it_holds_nothing(short_tmp: Path, holds: bool) -> None:
    """As after an upgrade: what it repairs in cages and gate comes into force with the next start."""
    it = loaded(short_tmp)
    it.paths.runtime.mkdir(parents=True)
    other = short_tmp / "other" / "kaged"
    for room in ("keeper", "core", "gate", "inside"):
        shutil.copytree(Path(kaged.__file__).parent / room, other / room)
    start = [sys.executable, "-I", "-S", str(other / "keeper" / "main.py"), "--grace=30"]
    subprocess.run([*start, f"--socket={it.paths.keeper_socket}"], check=True, stdout=subprocess.PIPE)
    before = await KeeperClient.connect(it.paths.keeper_socket, it.paths.runtime, start=False)
    if holds:
        await before.run_host("p1", ["sleep", "1000"], cwd="/", env={"PATH": "/usr/bin:/bin"}, pty=(80, 24))
    before.close()
    client = await gates.keeper(it)
    try:
        assert (client.pid == before.pid) is holds
        assert ((await client.state()).program == str(other / "keeper")) is holds
    finally:
        await client.shutdown()
        client.close()
