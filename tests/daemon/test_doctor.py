"""`kaged doctor` without a daemon: what is missing is named with the one thing to do."""

import json
from pathlib import Path

import pytest

from kaged.cage.probe import Outcome, ProbeReport
from kaged.core.checks import Check
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


OUTCOMES = (
    Outcome("Files", "read it", "denied", "not there", "worked outside (/x)"),
    Outcome("Files", "write it", "got through", "/x"),
    Outcome("Kernel", "load it", "denied", "not permitted", "not shown here: no rights"),
    Outcome("Kernel", "call it", "not tried", "this processor has none"),
)


@pytest.mark.parametrize("outcomes", [OUTCOMES, OUTCOMES[:1]])
async def test_attacks_are_a_table_with_a_sum(
    outcomes: tuple[Outcome, ...], short_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ok = all(outcome.ok for outcome in outcomes)

    async def probe(client: object, *, attacks: bool) -> ProbeReport:
        return ProbeReport((Check("Files", ok, "words", "do this"),), outcomes)

    monkeypatch.setattr(doctor, "probe", probe)
    assert await doctor.examine(user(short_tmp), attacks=True, as_json=False) == int(not ok)
    text = capsys.readouterr().out
    assert ("FAIL  Files: words\n      fix: do this" in text) is not ok
    if not ok:
        assert text.partition("\n\n")[2].splitlines() == [
            "Files",
            "  ok    read it   denied: not there                   worked outside",
            "  FAIL  write it  got through: /x",
            "",
            "Kernel",
            "  ok    load it   denied: not permitted               not shown here: no rights",
            "  ok    call it   not tried: this processor has none",
            "",
            "3 attacks, 2 denied, 1 shown to work elsewhere",
        ]
    assert await doctor.examine(user(short_tmp), attacks=True, as_json=True) == int(not ok)
    found = json.loads(capsys.readouterr().out)
    assert [attack["verdict"] for attack in found["attacks"]] == [outcome.verdict for outcome in outcomes]
    assert await doctor.examine(user(short_tmp), attacks=False, as_json=True) == int(not ok)
    assert "attacks" not in json.loads(capsys.readouterr().out)
