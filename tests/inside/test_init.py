"""The cage's init as a module: what needs no cage to be tried."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.inside import init
from real_keeper import INIT, mark, marked, until


def test_it_is_one_file_that_python_3_9_reads() -> None:
    source = INIT.read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported <= sys.stdlib_module_names
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


def test_a_swap_loses_against_a_change_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    facts, _ = init.read_file(str(path), 10)
    real = init._before

    def meddle(target: str, name: str, expect: object) -> os.stat_result | None:
        found = real(target, name, expect)
        path.write_text("somebody else")
        return found

    monkeypatch.setattr(init, "_before", meddle)
    with pytest.raises(init.Refused, match="changed since") as caught:
        init.write_file(str(path), b"mine", facts["sha256"], False)
    assert caught.value.code == "conflict"
    assert path.read_text() == "somebody else"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_new_file_loses_against_one_that_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    monkeypatch.setattr(init, "_before", lambda *_: path.write_text("first") and None)
    with pytest.raises(init.Refused, match="exists already") as caught:
        init.write_file(str(path), b"mine", None, False)
    assert caught.value.code == "conflict"
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_set_user_id_is_not_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    path.chmod(0o6755)
    init.write_file(str(path), b"y", "any", False)
    assert path.stat().st_mode & 0o7777 == 0o755


def test_reading_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = time.monotonic()
    assert init.read_file(str(tmp_path / "fifo"), 5)[0]["kind"] == "other"
    assert time.monotonic() - before < 60  # it would be for ever


def test_limits_never_ask_for_more_than_there_is() -> None:
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); import init\n"
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
