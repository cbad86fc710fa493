"""The browser story: a new user's first minutes, with a crash in the middle."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.chromium import chromium
from e2e.harness import Daemon, daemon, events, until, wait_event
from e2e.recording import Film
from kaged.core import clock, ids
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.sessions import rows
from kaged.sessions.network import OPTIONS
from kaged.sessions.types import Attention
from kaged.storage.database import Database

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
SHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"
PHONE = {"width": 390, "height": 844}
TABLET = {"width": 1024, "height": 768}
LAPTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as it:
        yield it


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


def open_console(browser: Browser, it: Daemon, size: dict[str, int] = LAPTOP, **options: str) -> Page:
    context = browser.new_context(viewport=size, service_workers="block", reduced_motion="reduce", **options)
    page = context.new_page()
    page.goto(it.launch_url)
    expect(page.get_by_test_id("composer")).to_be_visible()
    return page


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def looks(page: Page, name: str) -> None:
    """Pictures of a page on each screen, both themes among them; nothing scrolls sideways. It ends as on a laptop."""
    for size, theme in ((PHONE, "light"), (PHONE, "dark"), (TABLET, "dark"), (LAPTOP, "light"), (LAPTOP, "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=theme)
        expect(page.locator(f"html[data-theme={theme}]")).to_have_count(1)
        assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"), size
        shot(page, f"{name}-{size['width']}-{theme}")


def say(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    expect(page.get_by_test_id("composer")).to_have_value(text)
    page.get_by_test_id("send").click()


def sample_session(api: httpx2.Client) -> str:
    sessions = api.get("/api/v1/projects/sample/sessions").json()["items"]
    return str(sessions[0]["id"])


@pytest.mark.central
def test_fix_the_failing_test_to_green(browser: Browser, kaged: Daemon, film: Film) -> None:
    page = open_console(browser, kaged)
    film(page, "first-run")
    shot(page, "1-first-page")
    expect(page.get_by_test_id("cage-words")).to_contain_text("reads and writes this project; reaches nothing")
    page.get_by_test_id("offer-fix").click()
    cards = page.get_by_test_id("tool-card")
    expect(cards.first).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True, timeout=60_000)
    with kaged.api() as api:
        session = sample_session(api)
        results = [e["data"] for e in events(api, "sample", session) if e["type"] == "tool.result"]
    tests = [r for r in results if r["tool"] == "shell"]
    assert tests[0]["detail"]["exit_code"] != 0, "the sample's test fails at first"
    assert tests[-1]["detail"]["exit_code"] == 0, "and is green at the end"
    assert any(r["tool"] == "file.edit" and r["ok"] for r in results)
    expect(page.locator('[data-testid=tool-card][data-tool="file.edit"]')).to_contain_text("+")
    shot(page, "2-fixed")


def test_ten_escapes_are_denied_live(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.get_by_test_id("offer-escape").click()
    with kaged.api() as api:
        session = sample_session(api)
        wait_event(api, "sample", session, "run.ended")
        results = [e["data"] for e in events(api, "sample", session) if e["type"] == "tool.result"]
    assert len(results) >= 10
    assert all(r["detail"]["exit_code"] != 0 for r in results), "an exit status of 0 is an escape"
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True)
    expect(page.get_by_test_id("message-assistant").last).not_to_contain_text("ESCAPED")
    shot(page, "3-escapes")


@pytest.mark.central
def test_reload_in_mid_stream_loses_and_repeats_nothing(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    words = " ".join(f"word{n}" for n in range(400))
    say(page, f"say: {words}")
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("word20")
    page.reload()
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("word399", timeout=30_000)
    text = page.get_by_test_id("message-assistant").last.inner_text()
    assert [w for w in text.split() if w[:4] == "word"] == words.split()


def test_the_daemon_dies_in_mid_run_and_the_command_goes_on(browser: Browser, kaged: Daemon, film: Film) -> None:
    page = open_console(browser, kaged)
    film(page, "crash")
    ticking = "n=0; until [ -e enough ]; do n=$((n + 1)); echo tick $n; sleep 0.1; done"
    say(page, f"run: {ticking}; echo all-ticks-done")
    card = page.get_by_test_id("tool-card").last
    expect(card).to_contain_text("tick 5", timeout=30_000)
    port = kaged.port
    kaged.kill()
    keeper = [line for line in kaged.processes() if "keeper" in line]
    assert keeper, "the keeper outlives the daemon"
    kaged.start(port=port)
    expect(page.get_by_test_id("notice").last).to_contain_text("It goes on by itself.", timeout=30_000)
    expect(page.get_by_test_id("now")).to_be_visible()
    shot(page, "4-interrupted")
    with kaged.api() as api:
        session = sample_session(api)
        interrupted = [e for e in events(api, "sample", session) if e["type"] == "run.interrupted"]
        assert interrupted[-1]["data"]["running"], "the command that still runs is named"
        before = len(events(api, "sample", session))
        until(lambda: len(events(api, "sample", session)) > before, "more output of the running command")
        (kaged.home / "projects" / "sample" / "enough").touch()
        ended = wait_event(api, "sample", session, "run.ended", after=interrupted[-1]["seq"], seconds=120)
        assert ended["data"]["outcome"] == "success", ended
        seen = events(api, "sample", session)
        assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
        output = "".join(e["data"]["text"] for e in seen if e["type"] == "tool.output")
    ticks = [int(line.split()[1]) for line in output.splitlines() if line[:5] == "tick "]
    assert ticks == list(range(1, len(ticks) + 1)) and len(ticks) > 5, "every line of the command, once"
    expect(page.get_by_test_id("tool-card").last).to_contain_text("all-ticks-done")
    shot(page, "5-resumed")


def test_interrupt_stops_within_a_second_and_says_what(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    say(page, "run: echo started; sleep 1000")
    expect(page.get_by_test_id("tool-card").last.locator(".output")).to_contain_text("started", timeout=30_000)
    page.get_by_test_id("interrupt").click()
    expect(page.get_by_test_id("interrupt")).to_be_hidden()
    with kaged.api() as api:
        ended = wait_event(api, "sample", sample_session(api), "run.ended")
    assert ended["data"]["outcome"] == "cancelled"
    assert ended["data"]["stopped"]
    until(lambda: not [p for p in kaged.processes() if "sleep 1000" in p], "the command's end")


@pytest.mark.central
def test_a_terminal_in_the_cage(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.get_by_test_id("terminal-tab").click()
    page.get_by_test_id("new-terminal").first.click()
    terminal = page.get_by_test_id("terminal")
    expect(terminal).to_be_visible()
    terminal.click()
    # The screen is a canvas: what typing did is read where the cage put it, the picture is looked at.
    sample = kaged.home / "projects" / "sample"
    page.keyboard.type("hostname > typed.txt; tty >> typed.txt; stty size >> typed.txt\n")
    typed = until(lambda: (sample / "typed.txt").exists() and (sample / "typed.txt").read_text(), "the shell")
    assert typed.split()[0] == "cage"
    until(lambda: len((sample / "typed.txt").read_text().split()) == 4, "tty and stty")
    assert int((sample / "typed.txt").read_text().split()[3]) > 80, "the terminal has the page's width"
    page.keyboard.type("seq 200000; printf '\\033[1;33mflood is over\\033[0m\\n'; touch flood-is-over\n")
    until((sample / "flood-is-over").exists, "the end of the flood", seconds=60)
    shot(page, "6-terminal")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_same_page_on_a_phone(browser: Browser, kaged: Daemon, scheme: str) -> None:
    page = open_console(browser, kaged, PHONE, color_scheme=scheme)
    page.get_by_test_id("offer-fix").click()
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True, timeout=60_000)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, "no sideways scrolling at 390 pixels"
    shot(page, f"7-phone-{scheme}")


async def told(kaged: Daemon, session: str, asked: Attention, *events: NewEvent) -> None:
    """Events as the network gate's decisions and questions make them, put into the daemon's own journal."""
    db = await Database.open(kaged.home / "kaged.db")
    try:
        await Journal(db).append(session, list(events), also=lambda c: rows.insert_attention(c, asked))
    finally:
        await db.close()


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_network_of_a_cage(browser: Browser, kaged: Daemon, size: dict[str, int]) -> None:
    page = open_console(browser, kaged, size)
    with kaged.api() as api:
        session = sample_session(api)
    shared = {"agent": "primary", "port": 443, "via": "tls"}
    sums = {"connection": 1, "state": "closed", "up": 300, "down": 2_100_000, "ms": 900}
    question = {"kind": "approval_gate", "question": "May this cage connect?", "options": list(OPTIONS)}
    asked = Attention(
        id=ids.new_ulid(), session=session, project="sample", run_id="", call_id="network:1", **question,
        state="open", answer=None, created_at=clock.iso(), resolved_at=None, resolved_by=None,
    )  # fmt: skip
    network = {"host": "new.example.com", "port": 443}
    data = {"attention_id": asked.id, "run_id": "", "call_id": asked.call_id, **question, "network": network}
    refused = {**shared, "host": "evil.example.net", "rule": "", "reason": "no rule allows it", "count": 4}
    seen = [
        NewEvent("network.allowed", {**shared, "host": "api.example.com", "rule": "learn", **sums}),
        NewEvent("network.denied", refused),
        NewEvent("attention.required", data),
    ]
    # The browser's driver has this thread's event loop.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, told(kaged, session, asked, *seen)).result()
    page.reload()
    hosts = page.get_by_test_id("network-host")
    expect(hosts.first).to_contain_text("evil.example.net:443")
    expect(hosts.first).to_contain_text("denied 4 times: no rule allows it")
    expect(hosts.last).to_contain_text("1 connection · 2.1 MB down")
    hosts.last.get_by_role("button").click()
    expect(hosts.last).to_contain_text("300 B up, 2.1 MB down · 900 ms")
    gate = page.get_by_test_id("gate")
    expect(gate).to_contain_text("new.example.com:443")
    expect(page.get_by_test_id("gate-option")).to_have_text([o.capitalize() for o in OPTIONS])
    shot(page, f"8-network-{size['width']}")
    page.get_by_test_id("terminal-tab").click()
    deny = page.get_by_test_id("gate-option").last
    expect(deny).to_be_enabled()
    deny.focus()
    page.keyboard.press("Enter")
    expect(gate).to_have_count(0)
    page.go_back()
    expect(gate).to_have_attribute("data-state", "answered")
    expect(gate).to_contain_text("decided: deny")
    page.goto(f"{kaged.url}/projects/sample/policy")
    expect(page.get_by_test_id("seen")).to_contain_text("evil.example.net:443")
    expect(page.get_by_role("button", name="Allow")).to_have_count(1)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, "no sideways scrolling"
    shot(page, f"9-project-network-{size['width']}")
