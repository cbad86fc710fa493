"""The design system, looked at: the living page `/_design` against accepted pictures, by axe and by the keyboard."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, expect

from e2e import axe
from e2e.chromium import WHOLE, chromium
from e2e.harness import Daemon, wait_event
from kaged.identity.browser import CONTENT_SECURITY_POLICY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(__file__).parent / "reference"
ARTIFACTS = ROOT / "artifacts" / "design"
SIZES = {"desk": (1440, 900), "laptop": (1024, 768), "phone": (390, 844)}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--font-render-hinting=none",
]
APART = 24
"""Difference of one channel of 255 that counts; below it are a reference's reduced colours (10 at most)."""
PIXELS = 60
"""So many may be that far apart: a few edges of letters, and no icon."""


class _Console(SimpleHTTPRequestHandler):
    """The built console as the daemon serves it: the shell at every address, with the content policy."""

    def translate_path(self, path: str) -> str:
        found = Path(super().translate_path(path))
        return str(found if found.is_file() else Path(self.directory) / "index.html")

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        super().end_headers()

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with the page of the design system."""
    # Where the machine has no Node.js, that of `make test` lies in the checkout.
    path = os.pathsep.join((os.environ["PATH"], str(ROOT / ".cache" / "tools" / "bin")))
    npx, out = shutil.which("npx", path=path), tmp_path_factory.mktemp("design") / "web"
    assert npx is not None, "the console is built with Node.js: `make test` installs it"
    env = {**os.environ, "PATH": path, "KAGED_UI_DESIGN": "1", "KAGED_UI_OUT": str(out)}
    done = subprocess.run([npx, "vite", "build"], cwd=ROOT / "ui", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Console, directory=str(built))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/_design"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(arguments=ARGUMENTS) as it:
        yield it


@pytest.fixture(scope="module")
def painter(browser: Browser) -> Iterator[Browser]:
    """The whole Chromium, on every machine: the other one smooths letters in another way."""
    it = browser.browser_type.launch(executable_path=WHOLE, args=ARGUMENTS)
    yield it
    it.close()


def page_of(browser: Browser, url: str, size: str = "desk", theme: str = "dark") -> Page:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", locale="en-GB",
        service_workers="block",
    )  # fmt: skip
    page = context.new_page()
    page.goto(url)
    return page


def design(browser: Browser, url: str, size: str = "desk", theme: str = "dark") -> Page:
    page = page_of(browser, url, size, theme)
    expect(page.locator(".hljs-keyword, [class*=hljs]").first).to_be_visible()  # colours of code come last
    page.evaluate("document.fonts.ready")
    return page


def apart(seen: Image.Image, wanted: Image.Image) -> tuple[int, Image.Image]:
    """How many pixels differ to the eye, and a picture of where: red on what was seen."""
    if seen.size != wanted.size:
        grown = Image.new("RGB", seen.size, "red")
        grown.paste(wanted, (0, 0))
        wanted = grown
    difference = ImageChops.difference(seen, wanted)
    channels = [channel.point(lambda value: 255 if value > APART else 0) for channel in difference.split()]
    mask = ImageChops.lighter(ImageChops.lighter(channels[0], channels[1]), channels[2])
    shown = Image.blend(seen, Image.new("RGB", seen.size, "white"), 0.6)
    shown.paste((220, 0, 0), mask=mask)
    return mask.histogram()[255], shown


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_the_design_looks_as_it_was_accepted(painter: Browser, address: str, size: str, theme: str) -> None:
    page = design(painter, address, size, theme)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, "nothing scrolls sideways"
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    name = f"{size}-{theme}.png"
    page.screenshot(path=ARTIFACTS / name, full_page=True)
    seen = Image.open(ARTIFACTS / name).convert("RGB")
    reference = REFERENCE / name
    if os.environ.get("KAGED_ACCEPT_DESIGN") == "1":
        REFERENCE.mkdir(exist_ok=True)
        seen.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(reference, optimize=True)
    how = "If it is right: KAGED_ACCEPT_DESIGN=1 pytest tests/e2e/test_design.py, and commit tests/e2e/reference"
    assert reference.exists(), f"nothing was accepted yet for {name}. {how}"
    wanted = Image.open(reference).convert("RGB")
    pixels, shown = apart(seen, wanted)
    if pixels > PIXELS or seen.size != wanted.size:
        shown.save(ARTIFACTS / f"diff-{name}")
    assert seen.size == wanted.size, f"{seen.size} instead of {wanted.size}: see artifacts/design/diff-{name}. {how}"
    assert pixels <= PIXELS, f"{pixels} pixels differ: see artifacts/design/diff-{name}. {how}"


def test_a_changed_pixel_is_seen_and_a_reduced_colour_is_not() -> None:
    base = Image.new("RGB", (100, 100), (22, 23, 26))
    faint, moved = base.copy(), base.copy()
    faint.paste((32, 33, 36), (0, 0, 100, 100))
    moved.paste((240, 170, 62), (10, 10, 13, 13))
    assert apart(faint, base)[0] == 0
    assert apart(moved, base)[0] == 9


def test_the_references_stay_small() -> None:
    held = sorted(REFERENCE.glob("*.png"))
    assert [path.name for path in held] == sorted(
        f"{size}-{theme}.png" for size in SIZES for theme in ("dark", "light")
    )
    assert sum(path.stat().st_size for path in held) < 1_500_000


def test_a_normal_build_holds_nothing_of_the_page(built: Path) -> None:
    def marked(web: Path) -> set[str]:
        marks = ("/_design", "demo-focus", "Graphite carries", "KAGED_UI_DESIGN")
        files = [path for path in web.rglob("*") if path.suffix in (".js", ".css", ".html")]
        assert files, f"{web} holds a built console"
        return {mark for mark in marks for path in files if mark in path.read_text(encoding="utf-8")}

    assert marked(built) == {"/_design", "demo-focus", "Graphite carries"}
    assert marked(ROOT / "src" / "kaged" / "web") == set()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_axe_finds_nothing_on_the_design_page(browser: Browser, address: str, size: str, theme: str) -> None:
    page = design(browser, address, size, theme)
    axe.check(page, f"/_design, {size}, {theme}")
    page.get_by_role("button", name="Open a menu").click()
    expect(page.get_by_role("menu", name="Acts")).to_be_visible()
    axe.check(page, "an open menu", within=".popover-anchor")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="With an act").click()
    expect(page.get_by_role("status").filter(has_text="archived")).to_be_visible()
    page.get_by_role("button", name="Open a dialog").click()
    axe.check(page, "an open dialog", within="dialog")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement?.textContent?.trim() ?? ''"))


def test_menu_by_keyboard(browser: Browser, address: str) -> None:
    page = design(browser, address)
    opener = page.get_by_role("button", name="Open a menu")
    opener.focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("menu", name="Acts")
    expect(menu.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert focused(page) == "Remove", "what cannot be done is passed over"
    page.keyboard.press("ArrowDown")
    assert focused(page) == "RenameR", "and round it goes"
    page.keyboard.press("r")
    assert focused(page) == "Remove", "letters jump"
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    menu.get_by_role("menuitem", name="Remove").press("Enter")
    expect(menu).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    expect(menu).to_be_visible()
    page.get_by_role("heading", name="Design").click()
    expect(menu).to_be_hidden()


def test_menu_lies_within_the_window(browser: Browser, address: str) -> None:
    for size in ("desk", "phone"):
        page = design(browser, address, size)
        opener = page.get_by_role("button", name="Open a menu")
        # At the lower edge there is no room below.
        opener.evaluate("element => scrollBy(0, element.getBoundingClientRect().bottom - innerHeight + 2)")
        opener.click()
        expect(page.get_by_role("menu", name="Acts").get_by_role("menuitem").first).to_be_focused()
        box = page.get_by_role("menu", name="Acts").bounding_box()
        width, height = SIZES[size]
        assert box is not None and box["y"] >= 0 and box["x"] >= 0
        assert box["y"] + box["height"] <= height and box["x"] + box["width"] <= width, (size, box)


def test_segments_and_strip_by_keyboard(browser: Browser, address: str) -> None:
    page = design(browser, address)
    strip = page.get_by_role("navigation", name="Parts of a project")
    expect(strip.get_by_role("link", name="Files")).to_have_attribute("aria-current", "page")
    strip.get_by_role("link", name="Policy").focus()
    form = page.get_by_role("group", name="Form of the diff")
    page.keyboard.press("Tab")
    expect(form.get_by_role("button", name="Side by side")).to_be_focused()
    expect(form.get_by_role("button", name="Side by side")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(form.get_by_role("button", name="Inline")).to_have_attribute("aria-pressed", "true")
    expect(form.get_by_role("button", name="Side by side")).to_have_attribute("aria-pressed", "false")


def test_tree_by_keyboard(browser: Browser, address: str) -> None:
    page = design(browser, address)
    tree = page.get_by_role("tree", name="Files")

    def row(name: str) -> Any:
        return tree.get_by_role("treeitem", name=name)

    row("main.py").focus()
    page.keyboard.press("ArrowLeft")
    expect(row("src")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(row("src")).to_have_attribute("aria-expanded", "false")
    expect(row("main.py")).to_have_count(0)
    page.keyboard.press("ArrowUp")
    expect(row("src")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(row("main.py")).to_be_focused()
    page.keyboard.press("End")
    expect(row("README.md")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row("README.md")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("t")
    expect(row("tests")).to_be_focused()


def test_split_pane_by_keyboard_and_pointer_and_after_a_reload(browser: Browser, address: str) -> None:
    page = design(browser, address)
    handle = page.get_by_role("separator", name="Width of the tree")
    expect(handle).to_have_attribute("aria-valuenow", "240")
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuenow", "256")
    page.keyboard.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "160")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 30)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])
    expect(handle).to_have_attribute("aria-valuenow", "260")
    page.reload()
    expect(handle).to_have_attribute("aria-valuenow", "260")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(handle).to_be_hidden()
    expect(page.get_by_role("tree", name="Files")).to_be_visible()
    expect(page.get_by_text("The handle moves")).to_be_hidden()


def test_toast_stays_while_the_pointer_is_on_it(browser: Browser, address: str) -> None:
    page = page_of(browser, "about:blank")
    page.clock.install()
    page.goto(address)
    page.get_by_role("button", name="It worked").click()
    toast = page.locator(".toast", has_text="Saved.")
    expect(toast).to_be_visible()
    toast.hover()
    page.clock.run_for(60_000)
    expect(toast).to_be_visible()
    page.mouse.move(5, 5)
    page.clock.run_for(6_000)
    expect(toast).to_have_count(0)


@pytest.mark.cage
def test_home_tells_what_needs_me_what_runs_and_what_ended(browser: Browser, kaged: Daemon) -> None:
    with kaged.api() as api:
        for title, text, event in (
            ("Tidy up", "say: done", "run.ended"),
            ("Long work", "run: sleep 600", "tool.call"),
            ("Which tone?", "ask: For users or for developers?", "attention.required"),
        ):
            made = api.post("/api/v1/projects/sample/sessions", json={"title": title}).json()["id"]
            api.post(f"/api/v1/projects/sample/sessions/{made}/messages", json={"text": text})
            wait_event(api, "sample", made, event)
    for size, theme in (("desk", "dark"), ("desk", "light"), ("laptop", "dark"), ("phone", "dark"), ("phone", "light")):
        page = page_of(browser, kaged.cli("auth", "launch-url").stdout.strip().split()[-1], size, theme)
        expect(page.get_by_test_id("needs")).to_contain_text("For users or for developers?")
        expect(page.get_by_role("list", name="Runs now").get_by_test_id("work")).to_contain_text("Long work")
        expect(page.get_by_role("list", name="Ended").get_by_test_id("work")).to_contain_text("Tidy up")
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "nothing scrolls sideways"
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"home-{size}-{theme}.png")
        axe.check(page, f"Home, {size}, {theme}")
    bar = page.get_by_role("navigation", name="Places")
    expect(bar.get_by_role("link", name="Waiting for you")).to_contain_text("1")
    bar.get_by_role("button", name="Menu").click()
    page.get_by_role("searchbox", name="Find a session").fill("tidy")
    expect(page.get_by_test_id("session-item")).to_have_count(1)
    axe.check(page, "the rail as a drawer, searching", within=".rail")
    page.get_by_test_id("session-item").click()
    expect(page.get_by_test_id("composer")).to_be_visible()
    expect(bar).to_be_hidden()


def test_home_of_the_first_day_leads(browser: Browser, kaged: Daemon) -> None:
    with kaged.api() as api:
        assert api.delete("/api/v1/projects/sample").status_code == 204
    page = page_of(browser, kaged.launch_url)
    steps = page.get_by_test_id("first-steps").get_by_role("listitem")
    expect(steps).to_have_count(3)
    expect(steps.nth(0)).to_contain_text("Connect a model")
    steps.nth(1).get_by_role("button", name="Load a folder").click()
    expect(page.get_by_role("dialog", name="Load a folder or a repository")).to_be_visible()
    page.keyboard.press("Escape")
    axe.check(page, "Home of the first day")


def test_a_page_says_what_is_wrong_keeps_what_it_had_and_comes_back(browser: Browser, kaged: Daemon) -> None:
    page = page_of(browser, kaged.launch_url)
    expect(page.get_by_role("main")).to_be_visible()
    trouble, asked = page.get_by_test_id("trouble"), "**/api/v1/system"
    refusal = '{"error": {"code": "forbidden", "message": "This is for admins."}}'
    page.route(asked, lambda route: route.fulfill(status=403, content_type="application/json", body=refusal))
    page.goto(f"{kaged.url}/system")
    expect(trouble).to_have_attribute("data-kind", "forbidden")
    expect(trouble).to_contain_text("This is for admins.")
    axe.check(page, "a page without permission")
    page.unroute(asked)
    page.route(asked, lambda route: route.abort())
    trouble.get_by_role("button", name="Try again").click()
    expect(trouble).to_have_attribute("data-kind", "offline")
    axe.check(page, "a page without its daemon")
    page.unroute(asked)
    expect(page.get_by_role("heading", name="Checks")).to_be_visible()  # by itself
    page.route(asked, lambda route: route.abort())
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("What stands here is from before.")).to_be_visible()
    expect(page.get_by_role("heading", name="Checks")).to_be_visible()
    page.unroute(asked)
    expect(page.get_by_text("What stands here is from before.")).to_have_count(0)
