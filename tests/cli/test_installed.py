"""What doctor says of an installed kaged: each check by its facts, and the facts of a made-up root."""

import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kaged.cli import installed
from kaged.cli.installed import Check, Facts
from kaged.settings.config import Flags, Loaded, load
from kaged.settings.nonces import CURRENT, PREVIOUS, fingerprint
from kaged.settings.sidecars import Copy

NONCE = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"
UNIT = """\
[Service]
Type=notify
User=kaged
EnvironmentFile=/etc/kaged/env
ExecStart=/bin/sh start
ExecReload=/bin/kill -HUP $MAINPID
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    file = tmp_path / "etc" / "kaged" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[auth]\nsidecar_peers = ["uid:0", "uid:nobody-of-that-name", "10.0.0.5"]\n')
    return load(flags=Flags(mode="system", config=file), environ={"HOME": str(tmp_path)}, root=tmp_path)


@pytest.fixture
def facts(loaded: Loaded) -> Facts:
    """A host where nothing is wrong."""
    paths = loaded.paths
    files = {paths.config_file: ("root", 0o644), paths.env_file: ("kaged", 0o600), paths.home: ("kaged", 0o700)}
    return Facts(
        loaded, files, UNIT, True, {CURRENT: NONCE}, [fingerprint(NONCE)], [Copy(Path("/s.env"), "nginx", (NONCE,))],
        [], free=installed.ROOM, now=1e9, hardware=1e9 + 10, newest=1e9 + 10,
    )  # fmt: skip


def found(facts: Facts, **changes: Any) -> list[Check]:
    """What is not simply fine."""
    return [it for it in installed.examine(replace(facts, **changes)) if not it.ok or it.warning]


def test_nothing_is_wrong(facts: Facts) -> None:
    assert found(facts) == []
    assert len({it.name for it in installed.examine(facts)}) == len(installed.examine(facts)) >= 9


def of(facts: Facts, **files: tuple[str, int]) -> dict[Path, tuple[str, int]]:
    return {**facts.files, **{getattr(facts.loaded.paths, name): value for name, value in files.items()}}


@pytest.mark.parametrize(
    ("name", "changes", "fix"),
    [
        ("config.toml", lambda f: {"files": of(f, config_file=("root", 0o666))}, "chmod 644"),
        ("config.toml", lambda f: {"files": of(f, config_file=("mallory", 0o644))}, "chown root:"),
        ("env", lambda f: {"files": of(f, env_file=("kaged", 0o640))}, "chmod 600"),
        ("env", lambda f: {"files": of(f, env_file=("root", 0o600))}, "chown kaged:"),
        ("kaged", lambda f: {"files": of(f, home=("kaged", 0o750))}, "chmod 700"),
        ("kaged", lambda f: {"files": of(f, home=("root", 0o700)), "unit": UNIT.replace("User=kaged", "User=door")},
         "chown door:"),
        ("kaged.service", lambda f: {"unit": None}, "daemon-reload"),
        ("kaged.service", lambda f: {"unit": UNIT.replace("/bin/sh", "/nowhere/kaged")}, "ExecStart="),
        ("kaged.service", lambda f: {"unit": UNIT.replace("sh start", "sh")}, "ExecStart="),
        ("at boot", lambda f: {"wanted": False}, "sudo systemctl enable kaged"),
        ("systemctl reload", lambda f: {"unit": UNIT.replace("ExecReload", "X")}, "ExecReload=/bin/kill -HUP"),
        ("nonce", lambda f: {"accepted": ["0" * 8]}, "sudo systemctl reload kaged"),
        ("nonce", lambda f: {"env": {CURRENT: NONCE, PREVIOUS: NONCE[::-1]}}, "sudo systemctl reload kaged"),
        ("s.env", lambda f: {"copies": [Copy(Path("/s.env"), "nginx", (NONCE[::-1],))]}, "systemctl restart nginx"),
        ("sidecar peers", lambda f: {"missing": ["door"]}, "sudo useradd --system door"),
        ("clock", lambda f: {"now": 1e9 - 400}, "timedatectl"),
        ("clock", lambda f: {"now": 1e9 + 400}, "timedatectl"),
        ("room", lambda f: {"free": installed.ROOM - 1}, "free 1 GiB"),
    ],
)  # fmt: skip
def test_one_thing_is_wrong_and_has_one_fix(facts: Facts, name: str, changes: Any, fix: str) -> None:
    wrong = [it for it in found(facts, **changes(facts)) if Path(it.name).name == name]
    assert len(wrong) == 1
    assert not wrong[0].ok and fix in wrong[0].fix
    assert NONCE not in repr(wrong)


def test_other_keys_are_a_warning_about_tee(facts: Facts) -> None:
    (warning,) = found(facts, env={CURRENT: NONCE, "ANTHROPIC_API_KEY": "sk-1234567890"})
    assert warning.ok and warning.warning
    assert "ANTHROPIC_API_KEY" in warning.detail and "tee" in warning.detail
    assert warning.fix.endswith("kaged auth rotate-nonce") and "sk-1" not in repr(warning)


def test_a_rotation_under_way_is_fine(facts: Facts) -> None:
    env = {CURRENT: NONCE[::-1], PREVIOUS: NONCE}
    assert found(facts, env=env, accepted=[fingerprint(NONCE[::-1]), fingerprint(NONCE)]) == []


def test_what_cannot_be_seen_is_not_judged(facts: Facts) -> None:
    assert found(facts, env=None, files={}, accepted=[], copies=[], hardware=None, newest=0.0) == []


def test_the_facts_of_a_root(loaded: Loaded, tmp_path: Path) -> None:
    paths, me = loaded.paths, pwd.getpwuid(os.geteuid()).pw_name
    assert installed.gather(loaded, [], tmp_path).unit is None
    paths.env_file.write_text(f"{CURRENT}={NONCE}\n")
    paths.env_file.chmod(0o600)
    units = tmp_path / "etc" / "systemd" / "system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "kaged.service").write_text(UNIT)
    (units / "multi-user.target.wants" / "kaged.service").symlink_to(units / "kaged.service")
    clock = tmp_path / "sys" / "class" / "rtc" / "rtc0" / "since_epoch"
    clock.parent.mkdir(parents=True)
    clock.write_text("1000000000\n")
    facts = installed.gather(loaded, ["0" * 8], tmp_path)
    assert facts.files[paths.env_file] == (me, 0o600)
    assert (facts.unit, facts.wanted, facts.env, facts.hardware) == (UNIT, True, {CURRENT: NONCE}, 1e9)
    assert facts.missing == ["nobody-of-that-name"]
    assert facts.free > 0 and abs(facts.newest - facts.now) < 600
    assert facts.setting("User") == "kaged" and facts.setting("Nothing") == ""
    assert NONCE not in repr(facts)
    paths.env_file.write_text("A=b\\\n")
    assert installed.gather(loaded, [], tmp_path).env is None
