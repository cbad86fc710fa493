"""Launch tokens and signed-in browsers, on a real database."""

import stat
from contextlib import asynccontextmanager

import pytest

from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.identity.loopback import (
    BROWSER_S,
    LAUNCH_S,
    SEEN_EVERY_S,
    Browsers,
    LaunchTokens,
    cookie_name,
    cookie_values,
    set_cookie,
)
from kaged.storage.database import Database

BASE = "http://127.0.0.1:7777"


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time():
    moved = Time()
    with clock.frozen(moved):
        yield moved


@pytest.fixture
def tokens(tmp_path) -> LaunchTokens:
    return LaunchTokens(BASE, tmp_path / "auth-cookie", tmp_path / "launch-url")


def token_of(url: str) -> str:
    return url.partition("token=")[2]


def test_a_launch_url_is_in_two_private_files(tokens: LaunchTokens, tmp_path, time: Time) -> None:
    launch = tokens.issue()
    assert launch.expires_at == clock.iso(time.now + LAUNCH_S)
    assert launch.url.startswith(f"{BASE}/launch?token=") and len(token_of(launch.url)) >= 43
    files = {tmp_path / "auth-cookie": token_of(launch.url), tmp_path / "launch-url": launch.url}
    for path, text in files.items():
        assert path.read_text(encoding="ascii") == text + "\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["auth-cookie", "launch-url"]
    assert tokens.redeem(token_of(launch.url))
    assert list(tmp_path.iterdir()) == [], "what is used up is not left lying about"


def test_a_planted_link_is_replaced_not_followed(tokens: LaunchTokens, tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="ascii")
    (tmp_path / "auth-cookie").symlink_to(victim)
    tokens.issue()
    assert victim.read_text(encoding="ascii") == "mine"
    assert not (tmp_path / "auth-cookie").is_symlink()


def test_a_folder_that_is_gone_is_an_error(tmp_path) -> None:
    with pytest.raises(KagedError, match=r"gone/a cannot be written \(No such file"):
        LaunchTokens(BASE, tmp_path / "gone" / "a", tmp_path / "gone" / "b").issue()


def test_a_token_works_once_for_ten_minutes(tokens: LaunchTokens, time: Time) -> None:
    first, second = (token_of(tokens.issue().url) for _ in range(2))
    assert not tokens.redeem(first[:-1]) and not tokens.redeem("") and not tokens.redeem("\udc80")
    assert tokens.redeem(first) and not tokens.redeem(first)
    time.now += LAUNCH_S - 0.001
    assert tokens.redeem(second)
    third = token_of(tokens.issue().url)
    time.now += LAUNCH_S
    assert not tokens.redeem(third)


def test_only_the_newest_tokens_live(tokens: LaunchTokens, tmp_path) -> None:
    issued = [token_of(tokens.issue().url) for _ in range(9)]
    assert not tokens.redeem(issued[0])
    assert tokens.redeem(issued[1])
    assert (tmp_path / "auth-cookie").exists(), "the newest is still good"
    assert tokens.redeem(issued[-1])


def test_cookies() -> None:
    assert cookie_name(7777) == "kaged_session"
    assert cookie_name(7801) == "kaged_session_7801"
    assert set_cookie("kaged_session", "x") == ("kaged_session=x; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict")
    headers = [b"a=1; kaged_session=one;kaged_session_7801=no; Kaged_Session=no", b"kaged_session=two=2"]
    assert cookie_values(headers, "kaged_session") == ["one", "two=2"]
    assert cookie_values([b"kaged_session=1;" * 99], "kaged_session") == ["1"] * 4
    assert cookie_values([b"", b"kaged_session", b"xkaged_session=1"], "kaged_session") == [""]


@asynccontextmanager
async def opened(path):
    database = await Database.open(path)
    try:
        yield database, await Browsers.open(database)
    finally:
        await database.close()


async def test_both_secrets_are_needed_and_belong_together(tmp_path) -> None:
    async with opened(tmp_path / "db") as (_, browsers):
        (one, own), browser = await browsers.add()
        (two, other), _ = await browsers.add()
        assert len({one, own, two, other}) == 4
        assert await browsers.match([one], own) == browser
        assert await browsers.match(["x", two, one], own) == browser
        for cookies, key in (([one], other), ([two], own), ([one], None), ([], own), ([own], one), ([one], "")):
            assert await browsers.match(cookies, key) is None


async def test_the_database_has_only_hashes(tmp_path) -> None:
    async with opened(tmp_path / "db") as (database, browsers):
        (cookie, key), _ = await browsers.add()
        rows = await database.read(lambda c: list(c.execute("SELECT * FROM browser_sessions")))
        assert len(rows) == 1
        assert cookie not in repr(rows) and key not in repr(rows)
    for path in tmp_path.iterdir():
        assert cookie.encode() not in path.read_bytes() and key.encode() not in path.read_bytes()


async def test_browsers_survive_a_restart_for_thirty_days(tmp_path, time: Time) -> None:
    async with opened(tmp_path / "db") as (_, browsers):
        (cookie, key), browser = await browsers.add()
    time.now += BROWSER_S - 1
    async with opened(tmp_path / "db") as (_, browsers):
        assert browsers.list() == [browser]
        assert await browsers.match([cookie], key) is not None
        time.now += 1
        assert await browsers.match([cookie], key) is None
        assert browsers.list() == []
    async with opened(tmp_path / "db") as (database, browsers):
        assert await database.read(lambda c: list(c.execute("SELECT id FROM browser_sessions"))) == []


async def test_a_revoked_browser_stays_out(tmp_path) -> None:
    async with opened(tmp_path / "db") as (_, browsers):
        (cookie, key), browser = await browsers.add()
        (kept, kept_key), _ = await browsers.add()
        assert await browsers.revoke(browser.id)
        assert not await browsers.revoke(browser.id)
        assert not await browsers.revoke("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        assert await browsers.match([cookie], key) is None
        assert len(browsers.list()) == 1
    async with opened(tmp_path / "db") as (_, browsers):
        assert await browsers.match([cookie], key) is None
        assert await browsers.match([kept], kept_key) is not None


async def test_last_seen_is_written_now_and_then(tmp_path, time: Time) -> None:
    async with opened(tmp_path / "db") as (_, browsers):
        (cookie, key), browser = await browsers.add()
        time.now += SEEN_EVERY_S - 1
        await browsers.match([cookie], key)
        assert browsers.list()[0].last_seen_at == browser.last_seen_at
        time.now += 1
        await browsers.match([cookie], key)
        seen = clock.iso(time.now)
        assert browsers.list()[0].last_seen_at == seen
    async with opened(tmp_path / "db") as (_, browsers):
        assert browsers.list()[0].last_seen_at == seen


async def test_a_full_disk_signs_nobody_out(tmp_path, time: Time, monkeypatch, caplog) -> None:
    async with opened(tmp_path / "db") as (database, browsers):
        (cookie, key), browser = await browsers.add()
        time.now += SEEN_EVERY_S

        async def full(work):
            raise KagedError("unavailable", "the disk is full")

        monkeypatch.setattr(database, "write", full)
        found = await browsers.match([cookie], key)
        assert found is not None and found.id == browser.id
        assert "the disk is full" in caplog.text
