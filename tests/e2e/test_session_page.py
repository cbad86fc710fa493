"""The session page in the real browser: what an answer may hold, the composer, the inspector, links to a row, focus."""

import asyncio
import base64
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, daemon, events, until, wait_event
from e2e.test_story import LAPTOP, PHONE, browser, open_console, sample_session, say, shot
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(180)]

ANSWER = r"""# Everything

Inline $e^{i\pi}+1=0$, money $5 and $6, and:

$$\int_0^1 x^2\,dx = \frac{1}{3}$$

$\href{javascript:alert(1)}{x}$ and $\badmacro{$

| a | b |
|---|--:|
| 1 | 2 |

```python
print("hello")
```

```mermaid
%%{init: {"securityLevel": "loose", "themeCSS": "* { background: red }"}}%%
graph TD
  A["<img src=x onerror=alert(1)>Start"] --> B
  click A call alert("clicked")
```

```mermaid
graph TD
  A[Start --> B
```

<script>alert(1)</script>
"""


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


def done(page: Page) -> None:
    expect(page.get_by_test_id("run-state")).to_have_attribute("data-state", "success", timeout=60_000)


def holds(page: Page, what: str) -> None:
    """Wait until it does; `wait_for_function` needs `eval`, which the page's policy forbids."""
    until(lambda: page.evaluate(what), what)


def route(it: Daemon, search: str = "") -> str:
    with it.api() as api:
        return f"{it.url}/projects/sample/sessions/{sample_session(api)}{search}"


def answered(it: Daemon, text: str) -> None:
    """An answer as a model gives it, in the daemon's own journal."""

    async def put(session: str) -> None:
        db = await Database.open(it.home / "kaged.db")
        run: dict[str, Any] = {"run_id": "R", "message_id": "M"}
        about = {"agent": "primary", "model": "offline", "provider": "offline", "cage": "reaches nothing"}
        ended = {"parts": [{"kind": "text", "text": text}], "stop_reason": "end", "interrupted": False}
        try:
            await Journal(db).append(session, [
                NewEvent("message.user", {"message_id": "U", "text": "Show me", "actor": "local"}),
                NewEvent("run.started", run | about),
                NewEvent("message.end", run | ended),
                NewEvent("run.ended", {"run_id": "R", "outcome": "success", "reason": ""}),
            ])  # fmt: skip
        finally:
            await db.close()

    with it.api() as api:
        session = sample_session(api)
    # The browser's driver has this thread's event loop.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, put(session)).result()


def png(side: int) -> bytes:
    """A grey picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes([y % 251 for _ in range(side)]) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_an_answer_with_everything_in_it_is_drawn_and_runs_nothing(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    told: list[str] = []
    page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: told.append(message.text) if "Content Security" in message.text else None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answered(kaged, ANSWER)
    page.reload()
    answer = page.get_by_test_id("message-assistant").last
    expect(answer.locator(".katex")).to_have_count(3, timeout=30_000)
    expect(answer).to_contain_text("money $5 and $6")
    expect(answer).to_contain_text(r"$\badmacro{$")
    expect(answer.locator("a")).to_have_count(0)
    diagrams = answer.get_by_test_id("diagram")
    expect(diagrams.first).to_have_attribute("data-state", "drawn", timeout=60_000)
    picture = diagrams.first.locator("img")
    assert picture.evaluate("i => i.complete && i.naturalWidth > 20 && i.naturalHeight > 20")
    assert str(picture.get_attribute("src")).startswith("data:image/svg+xml")
    assert "background%3A%20red" not in str(picture.get_attribute("src")), "a diagram does not choose its own styles"
    expect(diagrams.last).to_have_attribute("data-state", "failed", timeout=60_000)
    expect(diagrams.last).to_contain_text("A[Start --> B")
    expect(diagrams.last).to_contain_text("Parse error on line")
    diagrams.first.get_by_role("button", name="Show the source").click()
    expect(diagrams.first).to_contain_text("securityLevel")
    assert page.locator("body > [id^=ddiagram]").count() == 0, "nothing is left of the drawing"
    assert not told
    assert not [url for url in asked if not url.startswith((kaged.url, "data:"))]
    shot(page, "session-everything")


def test_files_and_images_go_along_with_a_message(browser: Browser, kaged: Daemon, tmp_path: Path) -> None:
    page = open_console(browser, kaged)
    (tmp_path / "note.txt").write_text("The number is 42.\n")
    (tmp_path / "big.png").write_bytes(png(2000))
    (tmp_path / "program").write_bytes(b"\x7fELF\0\0\0")
    files = page.get_by_test_id("attach-input")
    files.set_input_files([tmp_path / name for name in ("note.txt", "big.png", "program")])
    expect(page.get_by_test_id("attachment")).to_have_count(2)
    expect(page.get_by_text("program is neither text nor an image")).to_be_visible()
    paste = """async (element, text) => {
        const data = new DataTransfer();
        data.items.add(new File([text], 'pasted.md', {type: 'text/markdown'}));
        element.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
    }"""
    page.get_by_test_id("composer").evaluate(paste, "# pasted")
    expect(page.get_by_test_id("attachment")).to_have_count(3)
    page.get_by_role("button", name="Take pasted.md out").click()
    expect(page.get_by_test_id("attachment")).to_have_count(2)
    say(page, "say: seen")
    done(page)
    with kaged.api() as api:
        said = [e["data"] for e in events(api, "sample", sample_session(api)) if e["type"] == "message.user"]
    note, image = said[-1]["attachments"]
    assert note == {"name": "note.txt", "type": "text/plain", "data": "The number is 42.\n"}
    assert image["type"] == "image/jpeg" and base64.b64decode(image["data"])[:2] == b"\xff\xd8", "made smaller"
    page.reload()
    message = page.get_by_test_id("message-user").last
    message.get_by_role("button", name="note.txt").click()
    expect(page.get_by_role("dialog")).to_contain_text("The number is 42.")
    page.keyboard.press("Escape")
    message.get_by_role("button", name="big.png").click()
    assert page.get_by_role("dialog").locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 1568
    shot(page, "session-attached")


def test_commands_history_and_a_draft_that_stays(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    composer = page.get_by_test_id("composer")
    for text in ("say: first", "say: second"):
        say(page, text)
        expect(page.get_by_test_id("message-user").filter(has_text=text)).to_be_visible()
        done(page)
    composer.press("ArrowUp")
    expect(composer).to_have_value("say: second")
    composer.press("ArrowUp")
    expect(composer).to_have_value("say: first")
    composer.press("ArrowDown")
    composer.press("ArrowDown")
    expect(composer).to_have_value("")
    composer.press_sequentially("/ren")
    expect(page.get_by_test_id("suggestions").get_by_role("option")).to_have_count(1)
    shot(page, "session-commands")
    composer.press("Tab")
    composer.press_sequentially("A better name")
    composer.press("Enter")
    expect(page.get_by_role("heading", name="A better name")).to_be_visible()
    expect(composer).to_have_value("")
    composer.press_sequentially("/help")
    composer.press("Escape")
    expect(page.get_by_test_id("suggestions")).to_be_hidden()
    composer.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    composer.fill("/etc/hosts is a path\nand this is a draft")
    page.reload()
    expect(composer).to_have_value("/etc/hosts is a path\nand this is a draft")
    expect(page.get_by_test_id("message-user")).to_have_count(2)  # no command was sent as a message


def test_files_of_the_project_are_named_by_at(browser: Browser, kaged: Daemon) -> None:
    with kaged.api() as api:
        if api.get("/api/v1/projects/sample/files", params={"find": "panc", "limit": 5}).status_code == 404:
            pytest.skip("there is no GET /api/v1/projects/{slug}/files in this version")
    page = open_console(browser, kaged)
    composer = page.get_by_test_id("composer")
    composer.fill("")
    composer.press_sequentially("look at @panc")
    option = page.get_by_test_id("suggestions").get_by_role("option").filter(has_text=re.compile(r"^pancakes\.py"))
    expect(option).to_be_visible()
    option.click()
    expect(composer).to_have_value("look at @pancakes.py ")


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_inspector_and_two_checkpoints_compared(browser: Browser, kaged: Daemon, size: dict[str, int]) -> None:
    page = open_console(browser, kaged, size)
    page.get_by_test_id("offer-fix").click()
    done(page)
    expect(page.get_by_test_id("inspector")).to_be_hidden()
    page.locator(".glance").click()
    panel = page.get_by_test_id("inspector")
    expect(panel).to_contain_text("Tokens in")
    expect(panel.get_by_test_id("mark")).to_have_count(2)
    shot(page, f"session-inspector-{size['width']}")
    panel.get_by_test_id("touched").click()
    focused = "document.activeElement.closest('[data-key]')?.textContent.includes('pancakes.py')"
    holds(page, focused)
    if size is PHONE:
        expect(panel).to_be_hidden()
        page.locator(".glance").click()
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
        page.locator(".glance").click()
    panel.get_by_role("button", name="Compare two").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_test_id("checkpoint").last.click()
    dialog.get_by_test_id("checkpoint-now").click()
    expect(dialog.get_by_test_id("between")).to_contain_text("1 file differs")
    expect(dialog.get_by_test_id("between")).to_contain_text("pancakes.py")
    shot(page, f"session-compare-{size['width']}")


def test_changes_side_by_side_are_remembered(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.get_by_test_id("offer-fix").click()
    done(page)
    edit = page.locator('[data-testid=tool-card][data-tool="file.edit"]')
    expect(edit.locator(".changes-split")).to_have_count(0)
    edit.get_by_role("button", name="Show side by side").click()
    expect(edit.locator(".changes-split")).to_be_visible()
    page.reload()
    expect(edit.locator(".changes-split")).to_be_visible()
    sides = edit.locator(".diff-pair").filter(has_text="guests // serves").locator(".diff-text")
    expect(sides.first).to_contain_text("guests // serves")
    expect(sides.last).to_contain_text("guests / serves")
    page.set_viewport_size(PHONE)
    expect(edit.locator(".changes-split")).to_be_hidden()
    expect(edit.locator(".changes-inline")).to_be_visible()


def test_a_link_leads_to_its_row_and_an_answer_keeps_the_focus(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    say(page, "\n".join(f"run: seq {n} {n + 40}" for n in range(12)))
    done(page)
    say(page, "ask: Which way?")
    expect(page.get_by_test_id("ask")).to_be_visible(timeout=30_000)
    with kaged.api() as api:
        session = sample_session(api)
        seen = events(api, "sample", session)
        attention = next(e["data"]["attention_id"] for e in seen if e["type"] == "attention.required")
        third = [e["seq"] for e in seen if e["type"] == "tool.call"][2]
    page.goto(route(kaged, f"?seq={third}"))
    holds(page, "document.activeElement?.textContent.includes('seq 2 42')")
    expect(page.locator("[data-key]:focus")).to_be_in_viewport()
    page.goto(route(kaged, f"?attention={attention}"))
    holds(page, "document.activeElement?.textContent.includes('Which way?')")
    expect(page.get_by_test_id("ask")).to_be_in_viewport()
    page.get_by_test_id("ask-text").press_sequentially("left")
    page.get_by_test_id("ask-text").press("Enter")
    expect(page.get_by_test_id("ask")).to_contain_text("you answered")
    holds(page, "document.activeElement?.closest('[data-key]')?.textContent.includes('Which way?')")


def test_a_screen_reader_hears_sentences_and_no_flood(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.evaluate("""() => {
        window.told = [];
        const at = document.querySelector('[data-testid=spoken]');
        new MutationObserver(() => window.told.push([performance.now(), at.textContent])).observe(
            at, {childList: true, characterData: true, subtree: true});
    }""")
    say(page, "say: " + " ".join(f"This is sentence {n}." for n in range(500)))
    done(page)
    holds(page, "window.told.some(([, words]) => words.includes('Done'))")
    told = page.evaluate("window.told")
    assert len(told) >= 2
    gaps = [after[0] - before[0] for before, after in pairwise(told)]
    assert min(gaps) > 3_000, "no more often than every few seconds"
    assert all(len(words) < 400 for _, words in told), "nothing that takes minutes to hear"
    assert "sentence 499" in told[-1][1], "and the end is said"


def test_a_lost_connection_says_so_and_keeps_what_was_typed(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.get_by_test_id("composer").fill("say: typed before it broke")
    port = kaged.port
    kaged.kill()
    expect(page.get_by_test_id("offline")).to_contain_text("stays here until it can be sent", timeout=30_000)
    expect(page.get_by_test_id("send")).to_be_disabled()
    shot(page, "session-offline")
    kaged.start(port=port)
    expect(page.get_by_test_id("offline")).to_be_hidden(timeout=60_000)
    expect(page.get_by_test_id("composer")).to_have_value("say: typed before it broke")
    page.get_by_test_id("send").click()
    with kaged.api() as api:
        wait_event(api, "sample", sample_session(api), "run.ended")


def test_interrupt_is_in_reach_on_a_phone_with_its_keyboard_open(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged, PHONE)
    say(page, "run: echo started; sleep 1000")
    expect(page.get_by_test_id("tool-card").last.locator(".output")).to_contain_text("started", timeout=30_000)
    page.get_by_test_id("composer").focus()
    page.set_viewport_size({"width": 390, "height": 500})  # a keyboard that makes the page smaller
    expect(page.get_by_test_id("interrupt")).to_be_in_viewport(ratio=1)
    expect(page.get_by_test_id("composer")).to_be_in_viewport(ratio=1)
    shot(page, "session-phone-keyboard")
    page.set_viewport_size(PHONE)
    page.evaluate("""() => {  // and one that lies over it
        Object.defineProperty(window.visualViewport, 'height', {value: 500, configurable: true});
        window.visualViewport.dispatchEvent(new Event('resize'));
    }""")
    holds(page, "document.querySelector('[data-testid=send]').getBoundingClientRect().bottom <= 500")
    box = page.get_by_test_id("interrupt").bounding_box()
    assert box is not None and 0 < box["y"] < 500 - box["height"]
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("interrupt")).to_be_hidden()
    page.get_by_test_id("terminal-tab").click()
    expect(page.get_by_test_id("now")).to_be_hidden()


def test_the_page_in_german(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged, locale="de-DE")
    page.get_by_test_id("offer-fix").click()
    done(page)
    expect(page.get_by_test_id("run-state")).to_have_text("Fertig")
    expect(page.get_by_test_id("composer")).to_have_attribute("placeholder", "Nachricht an den Agenten")
    expect(page.get_by_test_id("run-end").last).to_contain_text("Tokens ein")
    page.locator(".glance").click()
    expect(page.get_by_test_id("inspector")).to_contain_text("Geänderte Dateien")
    shot(page, "session-german")
