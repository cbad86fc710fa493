"""config show, check and path, without a daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

NONCE = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"


def test_show_has_every_key_with_its_source_and_no_secret(
    run: Any, environ: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = environ / "my.toml"
    file.write_text('[auth]\nadmins = ["ada"]\n')
    monkeypatch.setenv("KAGED_AUTH_SIDECAR_NONCE", NONCE)
    monkeypatch.setenv("KAGED_LOG_LEVEL", "debug")
    result = run("--config", str(file), "config", "show")
    rows = {line.split()[0]: line for line in result.out.splitlines()}
    assert rows["auth.admins"].split() == ["auth.admins", '["ada"]', "my.toml:2"]
    assert rows["logging.level"].split(maxsplit=2)[2] == "env KAGED_LOG_LEVEL"
    assert rows["limits.keeper_grace_s"].split() == ["limits.keeper_grace_s", "600", "default"]
    assert "set (64 characters)" in result.out
    assert NONCE not in result.out
    data = json.loads(run("--config", str(file), "config", "show", "--json").out)
    assert {"key": "auth.admins", "value": ["ada"], "source": "my.toml:2"} in data
    assert not (environ / "cfg").exists()


def test_check_finds_the_mistakes_of_all_files(run: Any, environ: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = environ / "cfg" / "kaged"
    result = run("config", "check")
    assert result.code == 0
    assert result.out.count("absent; the defaults hold") == 2
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[daemon]\nbnd = 1\n[x]\n")
    result = run("config", "check")
    assert result.code == 78
    assert "config.toml:2: daemon.bnd" in result.err
    assert "config.toml:3: x:" in result.err
    (folder / "config.toml").write_text("")
    (folder / "local.toml").write_text("[alias]\n")
    monkeypatch.setenv("KAGED_AUTH_SIDECAR_NONCE", "short")
    result = run("config", "check")
    assert result.code == 78
    assert 'local.toml:1: alias: is not a key that kaged knows; did you mean "aliases"?' in result.err
    assert "KAGED_AUTH_SIDECAR_NONCE: is 5 characters long" in result.err


def test_path(run: Any, environ: Path) -> None:
    data = json.loads(run("config", "path", "--json").out)
    assert data["config"] == str(environ / "cfg/kaged/config.toml")
    assert data["control"] == str(environ / "rt/kaged/control.sock")
    assert [line.split(maxsplit=1) for line in run("config", "path").out.splitlines()] == [
        list(item) for item in data.items()
    ]
