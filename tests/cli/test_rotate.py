"""auth rotate-nonce: the file, the daemon, and what is left to do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kaged.settings.nonces import CURRENT, PREVIOUS, Stored, fingerprint

OLD = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"


@pytest.fixture
def env(environ: Path) -> Path:
    file = environ / "cfg" / "kaged" / "env"
    file.parent.mkdir(parents=True)
    file.write_text(f"# keep\n{CURRENT}={OLD}\nANTHROPIC_API_KEY=sk\n")
    file.chmod(0o600)
    return file


def uses(*nonces: tuple[str, int, str | None]) -> dict[str, Any]:
    slots = zip(("current", "previous"), nonces, strict=False)
    items = [
        {"slot": slot, "fingerprint": fingerprint(nonce), "requests": count, "last_used_at": last, "sockets": 0}
        for slot, (nonce, count, last) in slots
    ]
    return {"source": "environment", "items": items}


def test_without_a_daemon(run: Any, env: Path) -> None:
    first = run("auth", "rotate-nonce")
    assert (first.code, first.err) == (0, "")
    found = Stored(env, plain=False).read()
    assert found.previous == OLD and found.current not in (OLD, None)
    assert "kaged is not running and takes it at its start" in first.out
    assert "systemctl restart <the sidecar>" in first.out and "--finish" in first.out
    assert OLD not in first.out and found.current not in first.out, "no value without --show"
    text = env.read_text()
    assert text[:7] == "# keep\n" and "ANTHROPIC_API_KEY=sk\n" in text and env.stat().st_mode & 0o777 == 0o600
    again = run("auth", "rotate-nonce")
    assert again.code == 1 and "under way" in again.err and env.read_text() == text
    shown = json.loads(run("auth", "rotate-nonce", "--finish", "--show", "--json").out)
    assert (shown["nonce"], shown["running"]) == (found.current, False)
    assert Stored(env, plain=False).read().accepted == (found.current,)
    assert "no rotation is under way" in run("auth", "rotate-nonce", "--finish").err


def test_at_once(run: Any, env: Path) -> None:
    run("auth", "rotate-nonce")
    result = run("auth", "rotate-nonce", "--now")
    assert result.code == 0 and "refused" in result.out and "--finish" not in result.out
    found = Stored(env, plain=False).read()
    assert found.previous is None and found.current not in (OLD, None)


def test_the_running_daemon_takes_it_and_the_sidecar_is_named(run: Any, daemon: Any, env: Path) -> None:
    (env.parent / "oauth2-proxy.env").write_text(f"{CURRENT}={OLD}\n")
    daemon.routes["GET /auth/nonces"] = uses((OLD, 5, "2026-11-23T22:38:06.123Z"))
    daemon.routes["POST /system/reload"] = uses((OLD, 5, None), (OLD, 5, None))
    result = run("auth", "rotate-nonce")
    assert (result.code, result.err) == (0, ""), result
    assert daemon.asked[-1] == ("POST /system/reload", {})
    assert f"{env}: a new nonce; the old one is accepted; in force" in result.out
    assert f"{env.parent / 'oauth2-proxy.env'} has the old one" in result.out
    assert "sudo systemctl restart oauth2-proxy" in result.out


def test_what_the_daemon_refuses_is_taken_back(run: Any, daemon: Any, env: Path, refusal: Any) -> None:
    before = env.read_text()
    daemon.routes["GET /auth/nonces"] = uses((OLD, 5, None))
    daemon.routes["POST /system/reload"] = refusal(409, "conflict", "The nonces stay as they were: no")
    result = run("auth", "rotate-nonce")
    assert (result.code, result.err) == (1, "kaged: The nonces stay as they were: no\n")
    assert env.read_text() == before
    daemon.routes["GET /auth/nonces"] = uses(("x" * 64, 5, None))
    assert "another nonce than this file has" in run("auth", "rotate-nonce").err
    assert env.read_text() == before


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        ((0, None), (9, "2026-11-23T22:38:06.123Z"), "no request came with the new nonce yet"),
        ((0, None), (0, None), "no request came with the new nonce yet"),
        ((3, "2026-11-23T22:38:06.123Z"), (9, "2026-11-23T22:38:06.124Z"), "something still sends the previous nonce"),
        ((3, "2026-11-23T22:38:06.123Z"), (9, "2026-11-23T22:38:06.122Z"), ""),
        ((3, "2026-11-23T22:38:06.123Z"), (0, None), ""),
    ],
)
def test_the_end_waits_for_the_sidecar(run: Any, daemon: Any, env: Path, new: Any, old: Any, said: str) -> None:
    text = f"{CURRENT}={OLD[::-1]}\n{PREVIOUS}={OLD}\n"
    env.write_text(text)
    daemon.routes["GET /auth/nonces"] = uses((OLD[::-1], *new), (OLD, *old))
    daemon.routes["POST /system/reload"] = uses((OLD[::-1], *new))
    result = run("auth", "rotate-nonce", "--finish")
    assert (result.code, said in result.err) == (int(bool(said)), True)
    assert (env.read_text() == text) is bool(said)
    if said:
        assert run("auth", "rotate-nonce", "--finish", "--now").code == 0
        assert env.read_text() == f"{CURRENT}={OLD[::-1]}\n"


def test_other_sources(run: Any, daemon: Any, env: Path) -> None:
    file = env.parent / "nonce"
    file.write_text(f"{OLD}\n")
    daemon.routes["GET /auth/nonces"] = {**uses((OLD, 1, None)), "source": f"file {file}"}
    daemon.routes["POST /system/reload"] = uses((OLD, 1, None))
    assert run("auth", "rotate-nonce").code == 0
    assert file.read_text().splitlines()[1] == OLD and len(file.read_text().splitlines()) == 2
    daemon.routes["GET /auth/nonces"] = {**uses((OLD, 1, None)), "source": "credential"}
    result = run("auth", "rotate-nonce")
    assert result.code == 78 and "LoadCredential=" in result.err and "systemctl restart kaged" in result.err


def test_no_nonce_and_no_right_to_write(run: Any, env: Path) -> None:
    env.write_text("A=b\n")
    result = run("auth", "rotate-nonce")
    assert result.code == 78 and "is not set" in result.err and str(env) in result.err
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    env.write_text(f"{CURRENT}={OLD}\n")
    env.parent.chmod(0o500)
    result = run("auth", "rotate-nonce")
    env.parent.chmod(0o700)
    assert result.code == 78 and "run this as root" in result.err
