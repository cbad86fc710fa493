"""Starts that must not be: one message that says where and what to do, the documented exit code, and
nothing half-started."""

import json
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from e2e.harness import Daemon, daemon, until

pytestmark = pytest.mark.cage

CONFIG, GATE = 78, 69

CONFIGS = {
    "wrong type": ("[daemon]\nbind = 7777\n", ["config.toml:2: daemon.bind: 7777", "text in quotes"]),
    "unknown key": ('[daemon]\nbnid = "127.0.0.1:1"\n', ["config.toml:2: daemon.bnid", "bind"]),
    "unknown section": ('[deamon]\nbind = "127.0.0.1:1"\n', ["config.toml:1: deamon", "daemon"]),
    "bad bind": ('[daemon]\nbind = "here:there"\n', ["config.toml:2: daemon.bind"]),
    "remote bind": ('[daemon]\nbind = "0.0.0.0:7777"\n', ["config.toml:2: daemon.bind", "--allow-remote-bind"]),
    "not TOML": ('[daemon]\nbind = "127.0.0.1:1\n', ["config.toml:2: is not valid TOML"]),
    "relative home": ('[daemon]\nhome = "here"\n', ["config.toml:2: daemon.home", "absolute"]),
    "plugins": ('[plugins]\n\nenabled = ["a"]\n', ["config.toml:3: plugins.enabled", "not supported"]),
    "level": ('[logging]\nlevel = "loud"\n', ["config.toml:2: logging.level", "'info'"]),
    "later mode": ('[sandbox]\nmode = "disabled"\n', ["config.toml:2: sandbox.mode", "not supported"]),
    "postgres": ('[storage]\nurl = "postgresql://x/y"\n', ["config.toml:2: storage.url", "sqlite"]),
    "two at once": (
        '[daemon]\nbind = 1\n[ui]\nserve = "yes"\n',
        ["config.toml:2: daemon.bind", "config.toml:4: ui.serve", "true or false"],
    ),
}


def write_config(home: Daemon, text: str) -> None:
    assert home.env
    home.config_dir.mkdir()
    (home.config_dir / "config.toml").write_text(text, encoding="utf-8")


def check_sentence(text: str) -> None:
    assert "Traceback" not in text
    assert text.strip().splitlines()[0].startswith(("kaged: ", "kaged cannot start."))


def check_nothing_started(home: Daemon) -> None:
    until(lambda: not home.processes(), "the end of everything: no keeper, no cage")
    assert not (home.runtime / "control.sock").exists()
    assert not (home.runtime / "keeper.sock").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_malformed_configuration(home: Daemon, name: str) -> None:
    text, words = CONFIGS[name]
    write_config(home, text)
    code, said = home.refused()
    assert code == CONFIG
    check_sentence(said)
    for word in words:
        assert word in said
    assert list((home.base / "d").iterdir()) == [], "not even the home was made"
    check_nothing_started(home)


def test_a_configuration_that_is_not_there(home: Daemon) -> None:
    code, said = home.refused("--config", str(home.base / "no" / "config.toml"))
    assert code == CONFIG
    check_sentence(said)
    assert str(home.base / "no" / "config.toml") in said
    check_nothing_started(home)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("daemon.home", '[daemon]\nhome = "{file}/home"\n'),
        ("storage.url", '[storage]\nurl = "sqlite://{file}/kaged.db"\n'),
        ("logging.audit", '[logging]\naudit = "file:{file}/more/audit.log"\n'),
        ("logging.operational", '[logging]\noperational = "file:{file}/kaged.log"\n'),
        ("daemon.bind", '[daemon]\nbind = "unix:{file}/sock"\n'),
    ],
)
def test_a_folder_that_cannot_be(home: Daemon, key: str, line: str) -> None:
    file = home.base / "file"
    file.touch()
    write_config(home, line.format(file=file))
    code, said = home.refused()
    assert code == CONFIG
    check_sentence(said)
    assert f"config.toml:2: {key}: {file} is not a folder" in said
    check_nothing_started(home)


def test_a_database_folder_that_is_missing(home: Daemon) -> None:
    write_config(home, f'[storage]\nurl = "sqlite://{home.base}/missing/kaged.db"\n')
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert f"{home.base}/missing" in said
    check_nothing_started(home)


@pytest.mark.parametrize("there", ["a file", "somebody's socket"])
def test_a_socket_path_that_is_taken(home: Daemon, there: str) -> None:
    path = home.base / "http.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if there == "a file":
            path.write_text("precious", encoding="ascii")
        else:
            other.bind(str(path))
            other.listen()
        code, said = home.refused(f"--bind=unix:{path}")
    assert code == GATE
    check_sentence(said)
    assert str(path) in said
    assert path.is_socket() or path.read_text(encoding="ascii") == "precious"
    check_nothing_started(home)


def test_a_runtime_folder_that_cannot_be_made(home: Daemon) -> None:
    file = home.base / "file"
    file.touch()
    home.extra = {"XDG_RUNTIME_DIR": str(file)}
    code, said = home.refused()
    assert code == CONFIG
    check_sentence(said)
    assert f"{file} is not a folder" in said
    check_nothing_started(home)


def test_a_taken_port_is_named_with_its_holder(home: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = home.refused(f"--bind=127.0.0.1:{port}")
    assert code == GATE
    check_sentence(said)
    assert f"port {port}" in said
    assert f"(pid {os.getpid()})" in said
    assert f"--bind 127.0.0.1:{port + 1}" in said
    check_nothing_started(home)


def test_a_second_daemon_is_told_about_the_first(kaged: Daemon) -> None:
    assert kaged.process is not None
    before = kaged.processes()
    code, said = kaged.refused("--bind=127.0.0.1:0")
    assert code == GATE
    check_sentence(said)
    assert f"another kaged (pid {kaged.process.pid})" in said
    assert str(kaged.home) in said
    with kaged.api() as api:
        assert api.get("/api/v1/me").status_code == 200, "the first one goes on"
    assert kaged.processes() == before


def test_without_bubblewrap(home: Daemon) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can hide a program from one process")
    nothing = home.base / "nothing"
    nothing.touch(mode=0o644)
    hide = "\n".join(f"mount --bind {nothing} {found} || exit 9" for found in programs("bwrap"))
    home.prefix = ("unshare", "--mount", "sh", "-c", f'{hide}\nexec "$@"', "sh")
    home.zygote = None
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert "bubblewrap" in said
    assert "apt-get install" in said
    check_nothing_started(home)


def programs(name: str) -> set[Path]:
    """Every program of this name that can be found, as the real file."""
    folders = [*os.environ["PATH"].split(":"), "/usr/bin", "/bin", "/usr/local/bin"]
    return {path.resolve() for path in (Path(folder, name) for folder in folders) if path.is_file()}


def stopped(base: Path, home: Daemon) -> Daemon:
    """A home that has been used."""
    with daemon(base, zygote=home.zygote):
        pass
    return home


def test_a_database_of_a_newer_version(short_tmp: Path, home: Daemon) -> None:
    stopped(short_tmp, home)
    with sqlite3.connect(home.home / "kaged.db") as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        assert version > 0
        db.execute(f"PRAGMA user_version = {version + 1}")
    db.close()
    content = (home.home / "kaged.db").read_bytes()
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert "newer" in said
    assert (home.home / "kaged.db").read_bytes() == content
    check_nothing_started(home)


def test_a_database_that_is_none(home: Daemon) -> None:
    assert home.env
    home.home.mkdir(mode=0o700)
    (home.home / "kaged.db").write_bytes(b"something else entirely, and long enough to look like a page" * 99)
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert str(home.home / "kaged.db") in said
    check_nothing_started(home)


@pytest.mark.parametrize("how", ["edited", "removed", "cut"])
def test_a_tampered_audit_log(short_tmp: Path, home: Daemon, how: str) -> None:
    stopped(short_tmp, home)
    log = home.home / "audit.log"
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) >= 3
    if how == "edited":
        record = json.loads(lines[1])
        record["outcome"] = "denied" if record["outcome"] != "denied" else "ok"
        lines[1] = json.dumps(record) + "\n"
    elif how == "removed":
        del lines[1]
    else:
        del lines[-1]
    log.write_text("".join(lines), encoding="utf-8")
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert "audit" in said
    assert str(log) in said
    check_nothing_started(home)


def test_the_torn_last_line_of_an_audit_log_is_moved_aside(short_tmp: Path, home: Daemon) -> None:
    stopped(short_tmp, home)
    log = home.home / "audit.log"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"seq": 999, "at": "20')
    with daemon(short_tmp, zygote=home.zygote) as it:
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        assert "audit.tail_recovered" in [record["action"] for record in records]
        assert log.read_bytes()[: len(whole)] == whole
        with it.api() as api:
            assert api.get("/api/v1/audit/verify").json()["ok"] is True
    aside = [p for p in home.home.glob("audit.log*") if p != log and b'{"seq": 999' in p.read_bytes()]
    assert aside, "the torn line is kept"


def test_somebody_elses_home(home: Daemon) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    assert home.env
    home.home.mkdir(mode=0o700)
    os.chown(home.home, 12345, 12345)
    code, said = home.refused()
    assert code == GATE
    check_sentence(said)
    assert "uid 12345" in said
    assert str(home.home) in said
    check_nothing_started(home)


def test_an_open_home_is_tightened_and_told(home: Daemon) -> None:
    assert home.env
    home.home.mkdir(mode=0o755)
    home.home.chmod(0o755)
    with daemon(home.base, zygote=home.zygote) as it:
        assert home.home.stat().st_mode & 0o777 == 0o700
        assert "mode 755" in "".join(it.output)
