"""Reading the nonces again: in force at once, or refused with the reason; told to systemd, logged, audited."""

from pathlib import Path
from typing import Any

import pytest

from identity.front import NONCE, OLD_NONCE, Front, front, sidecar
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.daemon.reload import Reload
from kaged.settings.nonces import CURRENT, PREVIOUS, Source

ROOT = Actor(id="local:root", source="control")


def reload_of(door: Front, env: Path, told: list[str], audit: Any = None) -> Reload:
    source = Source({CURRENT: OLD_NONCE}, env, required=True)
    source.read()
    return Reload(source, door.identity, audit or door.audit, told.append)


async def test_a_rotation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    env, told = tmp_path / "env", list[str]()
    caplog.set_level("INFO")
    async with front(tmp_path, nonces=(OLD_NONCE,)) as door:
        reload = reload_of(door, env, told)
        env.write_text(f"{CURRENT}={NONCE}\n{PREVIOUS}={OLD_NONCE}\n")
        shown = await reload(ROOT)
        assert shown["source"] == "environment"
        assert [it["slot"] for it in shown["items"]] == ["current", "previous"]
        for nonce in (NONCE, OLD_NONCE):
            assert (await door.get("/api/v1/me", *sidecar(nonce=nonce))).actor == "alice"
        env.write_text(f"{CURRENT}={NONCE}\n")
        await reload(ROOT)
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).status == 401
        records = [it for it in door.audit.records if it[1] == "auth.nonce_rotated"]
        assert [(who, outcome, more["accepted"]) for who, _, _, outcome, more in records] == [
            ("local:root", "ok", 2), ("local:root", "ok", 1)
        ]  # fmt: skip
        await reload(ROOT)
        assert len([it for it in door.audit.records if it[1] == "auth.nonce_rotated"]) == 2, "nothing was changed"
        everything = caplog.text + repr(door.audit.records) + repr(shown) + repr(reload)
        assert NONCE not in everything and OLD_NONCE not in everything
    assert [line.partition("\n")[0] for line in told] == ["RELOADING=1", "READY=1"] * 3
    assert told[0].partition("MONOTONIC_USEC=")[2].isdigit()


@pytest.mark.parametrize("text", ["", f"{CURRENT}=short\n", f"{CURRENT}=$(openssl rand -hex 32)0000000000000\n"])
async def test_what_cannot_be_used_changes_nothing(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    env, told = tmp_path / "env", list[str]()
    env.write_text(text)
    async with front(tmp_path, nonces=(OLD_NONCE,)) as door:
        reload = reload_of(door, env, told)
        with pytest.raises(KagedError, match="stay as they were") as refused:
            await reload(ROOT)
        assert refused.value.code == "conflict"
        assert "stay as they were" in caplog.text
        assert door.audit.records[-1][1:4] == ("auth.nonce_rotated", "nonce", "failed")
        assert door.audit.records[-1][4]["reason"] in refused.value.message
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).actor == "alice"
    assert told[-1] == "READY=1"


async def test_a_full_disk_does_not_bring_the_old_nonce_back(tmp_path: Path) -> None:
    class Full:
        async def record(self, *_: Any) -> None:
            raise KagedError("unavailable", "the disk is full")

    env = tmp_path / "env"
    env.write_text(f"{CURRENT}={NONCE}\n")
    async with front(tmp_path, nonces=(OLD_NONCE,)) as door:
        await reload_of(door, env, [], Full())(ROOT)
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).status == 401
