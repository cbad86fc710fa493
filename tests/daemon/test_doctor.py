"""`kaged doctor` without a daemon: what is missing is named with the one thing to do."""

import json
from pathlib import Path

import pytest

from kaged.daemon import doctor
from kaged.settings.config import Flags, Loaded, load

CONFIG = '[auth]\nadmins = ["alice"]\n'


def system(root: Path, text: str = CONFIG) -> Loaded:
    file = root / "etc" / "kaged" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return load(flags=Flags(mode="system", config=file), environ={"HOME": str(root)}, root=root)


def user(root: Path) -> Loaded:
    environ = {"HOME": str(root), "XDG_RUNTIME_DIR": str(root / "r")}
    return load(flags=Flags(mode="user"), environ=environ)


@pytest.mark.cage
async def test_everything_is_fine(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await doctor.examine(user(short_tmp), attacks=False, as_json=True) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["name"] for check in checks} >= {"program bwrap", "program rg", "configuration"}
    assert all(check["ok"] for check in checks)


@pytest.mark.cage
async def test_system_mode_warns_of_what_is_open(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await doctor.examine(system(short_tmp), attacks=False, as_json=False) == 1
    text = capsys.readouterr().out
    assert "FAIL  public address" in text
    assert "fix: set [daemon] public_url" in text
    assert "FAIL  sidecar peers" in text
    told = CONFIG + 'sidecar_peers = ["uid:0"]\n[daemon]\npublic_url = "https://kaged.example.com"\n'
    assert await doctor.examine(system(short_tmp, told), attacks=False, as_json=False) == 0


@pytest.mark.cage
async def test_a_program_that_is_missing(
    short_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.PROGRAMS, "kaged-nosuch", ("nosuch", "nothing works without it"))
    assert await doctor.examine(user(short_tmp), attacks=False, as_json=False) == 1
    text = capsys.readouterr().out
    assert "FAIL  program kaged-nosuch: not installed; nothing works without it" in text
    assert "fix: sudo apt-get install -y nosuch" in text
