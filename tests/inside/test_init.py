"""The cage's init as a module: what needs no cage to be tried."""

import ast
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.inside import init
from real_keeper import INIT, mark, marked, until


@pytest.mark.parametrize("file", [INIT, INIT.with_name("files.py")])
def test_python_3_9_reads_it_and_has_what_it_imports(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported - {"files", "kaged"} <= sys.stdlib_module_names


def test_it_starts_alone() -> None:
    compiled = subprocess.run(
        [sys.executable, "-I", "-S", str(INIT)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert "IndexError" in compiled.stderr  # it got as far as its missing argument: all imports are there


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_label_finds_what_left_the_tree(number: int) -> None:
    name, tag = mark(), 4_000_000 + os.getpid()
    read, write = os.pipe()
    script = f"setsid sleep {name} >/dev/null 2>&1 & sleep {name} & exit 0"
    here = Path.cwd()
    before = init.resource.getrlimit(init.RLIMIT_LOCKS)
    try:
        pid, master = init.spawn(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, "/", tag, [write], None)
        assert Path.cwd() == Path("/")
    finally:
        os.chdir(here)
    assert master is None
    os.close(write)
    await until(lambda: (pid, 0, None) in init.reap())
    await until(lambda: len(marked(name)) == 2)
    assert init.resource.getrlimit(init.RLIMIT_LOCKS) == before
    assert init.tree(None, tag) == set(marked(name))
    assert init.tree(None, tag + 1) == set()
    assert init.signal_tree(lambda: init.tree(None, tag), number) == 2
    await until(lambda: not marked(name))
    assert init.label(pid) is None
    os.close(read)


@contextlib.contextmanager
def starts(argv: list[str]) -> Iterator[tuple[init.Init, init.Channel, int]]:
    """An init that was asked to start a command and has not said anything yet; the other end; the command's pid."""
    ours, theirs = socket.socketpair()
    here, (read, write) = Path.cwd(), os.pipe()
    one = init.Init(init.Channel(theirs))  # type: ignore[arg-type]
    request = {"n": 1, "op": "spawn", "argv": argv, "env": {}, "cwd": "/", "tag": 1, "pty": None}
    try:
        one.handle(request, b"", [write])
    finally:
        os.chdir(here)
        os.close(read)
    [pid] = one._held
    with ours, theirs:
        yield one, init.Channel(ours), pid  # type: ignore[arg-type]


def test_a_command_that_ends_at_once_is_one_message() -> None:
    with starts(["/bin/sh", "-c", "exit 3"]) as (one, keeper, pid):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        one.reap()
        [(header, _, _)] = keeper.receive()
        assert header == {"n": 1, "ok": {"pid": pid, "code": 3, "signal": None}}
        assert one.pause() is None


@pytest.mark.parametrize("by", ["time", "another request"])
def test_a_command_that_goes_on_is_told_soon(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with starts(["/bin/sleep", "100"]) as (one, keeper, pid):
        try:
            assert 0 < (one.pause() or init._HOLD_S) <= init._HOLD_S * 1000
            if by == "time":
                monkeypatch.setattr(init.time, "monotonic", lambda: float("inf"))
                assert one.pause() is None
            else:
                one.handle({"n": 2, "op": "list", "path": "/nowhere", "limit": 1}, b"", [])
            header, _, _ = next(keeper.receive())
            assert header == {"n": 1, "ok": {"pid": pid}}
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        one.reap()
        assert {"ev": "exit", "tag": 1, "code": None, "signal": 9} in [header for header, _, _ in keeper.receive()]


def test_a_tree_is_frozen_before_it_is_killed() -> None:
    """Every look finds a new member, as with something that forks while it is being killed."""
    children = [subprocess.Popen(["sleep", "100"]) for _ in range(3)]
    looks = iter([{0}, {0}, {0, 1}, {0, 1, 2}, {0, 1, 2}])
    sent = init.signal_tree(lambda: {children[n].pid for n in next(looks)}, signal.SIGKILL)
    assert sent == 3
    assert [child.wait() for child in children] == [-signal.SIGKILL] * 3


def test_signalling_nobody_is_no_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert not init.send_signal(child.pid, signal.SIGTERM)
    assert not init.send_signal(child.pid, signal.SIGTERM, group=True)


def test_limits_never_ask_for_more_than_there_is() -> None:
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); sys.argv[0] = sys.argv[1] + '/init.py'; import init\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))\n"
        "init.set_limits({'nofile': 500, 'memory_bytes': None})\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(INIT.parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(100, 100) (0, 0)\n"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(0, 1e9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    )
)
def test_its_json_is_json(value: Any) -> None:
    assert json.loads(init._dumps(value)) == value
    assert init._loads(json.dumps(value)) == value
