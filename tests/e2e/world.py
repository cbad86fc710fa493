"""One daemon with a bit of everything in it, and every place of the console as a way to get there."""

import asyncio
import base64
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, daemon, events, until, wait_event
from e2e.test_inbox import NETTED, fill
from e2e.test_session_page import ANSWER, png
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
ZOOMED = {"width": 640, "height": 400}
"""What is left of 1280 x 800 at 200 %."""
WORK = r"""run: printf '\033[31mred\033[0m \033[1;32mgreen\033[0m\n'; seq 40
read: pancakes.py
search: def
edit pancakes.py: guests => people
run: false
plan: look; think; do
say: **All** of it."""
TASKS = '\ntasks:\n  hello: {run: "echo hello; exit 3", description: Says hello}\n  wait: {run: "sleep 600"}\n'


@dataclass
class World:
    """The daemon, and what its places are called."""

    daemon: Daemon
    names: dict[str, str]

    def path(self, template: str) -> str:
        return template.format(**self.names)


def _told(it: Daemon, session: str) -> None:
    """What no offline model makes: an answer with everything, thinking, a retry, a connection, runs that failed."""
    about = {"agent": "primary", "model": "m", "provider": "p", "cage": "reaches nothing"}
    host = {"agent": "primary", "host": "api.example.com", "port": 443, "via": "tls", "rule": "learn"}
    sums = {"connection": 1, "state": "closed", "up": 300, "down": 2_100_000, "ms": 900}
    picture = {"name": "grey.png", "type": "image/png", "data": base64.b64encode(png(40)).decode()}
    note = {"name": "note.txt", "type": "text/plain", "data": "The number is 42.\n"}

    def run(number: int, *between: NewEvent, outcome: str, reason: str = "", **more: Any) -> list[NewEvent]:
        one = {"run_id": f"R{number}"}
        asked = {"message_id": f"U{number}", "text": f"Part {number}", "actor": "local", "attachments": [note, picture]}
        return [
            NewEvent("message.user", asked),
            NewEvent("run.started", one | {"message_id": f"U{number}"} | about),
            *between,
            NewEvent("run.ended", one | {"outcome": outcome, "reason": reason} | more),
        ]

    said = {"run_id": "R1", "message_id": "M1", "stop_reason": "end", "interrupted": False}
    parts = [{"kind": "thinking", "text": "It may be so."}, {"kind": "text", "text": ANSWER}]
    busy = {"run_id": "R2", "code": "model_overloaded", "message": "The model is busy.", "attempt": 1, "retry_in_s": 5}
    put = [
        *run(1, NewEvent("message.end", said | {"parts": parts}), outcome="success"),
        *run(2, NewEvent("error", busy), outcome="failed", reason="The model `m` did not answer."),
        *run(3, outcome="cancelled", actor="local", stopped=["sleep 1000"]),
        NewEvent("network.allowed", host | sums),
        NewEvent("network.denied", host | {"host": "evil.example.net", "rule": "", "reason": "no rule", "count": 4}),
    ]

    async def write() -> None:
        db = await Database.open(it.home / "kaged.db")
        try:
            await Journal(db).append(session, put)
        finally:
            await db.close()

    with ThreadPoolExecutor(1) as other:  # Playwright has a loop of its own in this thread
        other.submit(asyncio.run, write()).result()


def _project(it: Daemon, api: httpx2.Client, name: str, more: str, *, trust: bool) -> Path:
    folder = it.base / name
    (folder / ".kaged").mkdir(parents=True)
    text = f"version: 1\nproject: {name}\nprimary:\n  model: offline\n  system_prompt: project:/prompt.md\n{more}"
    (folder / ".kaged" / "project.yaml").write_text(text)
    (folder / "prompt.md").write_text("Be *useful*.\n")
    api.post("/api/v1/projects/load", json={"path": str(folder), "trust": trust}).raise_for_status()
    return folder


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A started daemon: a session with every kind of row, an open question of each kind, terminals, changes, usage."""
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as base, daemon(Path(base)) as it, it.api() as api:
        sample = it.home / "projects" / "sample"
        file = sample / ".kaged" / "project.yaml"
        file.write_text(file.read_text() + TASKS)
        (sample / "docs").mkdir()
        (sample / "docs" / "guide.md").write_text("# Guide\n\nSome *words*, a [link](https://example.com).\n")
        (sample / "odd.bin").write_bytes(b"\0\1")
        api.post("/api/v1/projects/load", json={"path": str(sample), "trust": True}).raise_for_status()
        session = str(api.get("/api/v1/projects/sample/sessions").json()["items"][0]["id"])
        api.post(f"/api/v1/projects/sample/sessions/{session}/messages", json={"text": WORK}).raise_for_status()
        wait_event(api, "sample", session, "run.ended")
        run = next(e["data"]["run_id"] for e in events(api, "sample", session) if e["type"] == "run.started")
        _told(it, session)
        body = {"kind": "cage", "project": "sample", "session": session, "cols": 80, "rows": 24}
        terminal = api.post("/api/v1/terminals", json=body).raise_for_status().json()["id"]
        inbox = fill(it, NETTED.replace("mode: ask", "mode: ask, ask_timeout: 20m"))
        _project(it, api, "empty", "", trust=True)
        _project(it, api, "strange", "", trust=False)
        changed = _project(it, api, "altered", "", trust=True)
        (changed / "prompt.md").write_text("Be *very* useful.\n")
        (it.base / "plain").mkdir()
        fresh = api.post("/api/v1/projects/empty/sessions", json={"title": "Nothing said"}).json()["id"]
        names = {"session": session, "run": run, "terminal": terminal, "fresh": fresh, "folder": str(it.base / "plain")}
        yield World(it, names | inbox)


def sign_in(browser: Browser, it: World, size: dict[str, int] = DESK, **options: Any) -> Page:
    """A browser of its own at Home."""
    context = browser.new_context(viewport=size, service_workers="block", **options)
    page = context.new_page()
    page.goto(it.daemon.outside(it.daemon.cli("auth", "launch-url").stdout.strip().split()[-1]))
    expect(page.locator("#main")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def it() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture(scope="module")
def desk(browser: Browser, it: World) -> Iterator[Page]:
    page = sign_in(browser, it, reduced_motion="reduce", color_scheme="dark", locale="en-GB")
    yield page
    page.context.close()


def visit(page: Page, it: World, template: str) -> None:
    """Go to a place as a link does, without loading the console anew."""
    base = it.daemon.url.removeprefix(it.daemon.origin)
    page.evaluate(
        """path => { if (location.pathname + location.search === path) return;
            history.pushState({entry: 0}, '', path);
            dispatchEvent(new PopStateEvent('popstate', {state: {entry: 0}})); }""",
        base + it.path(template),
    )


def settled(page: Page) -> None:
    """Nothing is loading any more, and what moved stands still."""
    idle = "!document.querySelector('.skeleton, [aria-busy=true]:not([data-testid=message-assistant])')"
    until(lambda: page.evaluate(idle), "the page to be done loading", seconds=15)
    page.evaluate(STILL)


STILL = """async () => {
    for (let frame = 0; frame < 4; frame += 1) await new Promise(requestAnimationFrame);
    const ends = document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations !== Infinity);
    await Promise.all(ends.map((one) => one.finished.catch(() => 0)));
}"""


def theme(page: Page, scheme: Literal["dark", "light"]) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.locator(f"html[data-theme={scheme}]")).to_be_attached()
    page.evaluate(STILL)


Act = Callable[[Page], None]


@dataclass(frozen=True)
class Place:
    """An address, what is done there, and what is then to be seen."""

    path: str
    shows: str
    act: Act | None = None
    undo: Act | None = None
    within: str = "html"
    """What is new there: the rest was judged at another place."""


def more(page: Page) -> None:
    """The page's menu, whatever its language."""
    page.locator("#main [aria-haspopup=menu]").last.click()


def press(*keys: str) -> Act:
    def act(page: Page) -> None:
        page.locator("#main").focus()
        for key in keys:
            page.keyboard.press(key)

    return act


def escape(page: Page) -> None:
    page.keyboard.press("Escape")


def by(testid: str) -> Act:
    return lambda page: page.get_by_test_id(testid).first.click()


def checkpoints(page: Page) -> None:
    more(page)
    by("checkpoints")(page)


def load_plain(page: Page) -> None:
    press("o", "f")(page)
    folder = str(page.evaluate("sessionStorage.getItem('folder')"))
    page.get_by_role("dialog").get_by_role("textbox").fill(folder)
    page.keyboard.press("Enter")


def refuse(page: Page) -> None:
    press("o", "m")(page)
    page.get_by_role("dialog").get_by_role("textbox").first.fill("http://127.0.0.1:9/v1")
    page.get_by_role("dialog").locator("summary").click()
    page.keyboard.press("Tab")
    page.get_by_role("dialog").locator("[type=submit]").click()


def mistake(page: Page) -> None:
    page.locator(".policy-file .cm-content").focus()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("nonsense")


def undo(page: Page) -> None:
    page.locator(".policy-file button").first.click()


SESSION = "/projects/sample/sessions/{session}"
PLACES: dict[str, Place] = {
    # First: after two minutes the command that wants to connect is ended, and nobody is asked any more.
    "session, a host waits": Place("/projects/shop/sessions/{network}", "[data-testid=gate]"),
    "waiting": Place("/approvals", "[data-testid=inbox-item] >> nth=4"),
    "home": Place("/", "[data-testid=needs]"),
    "audit": Place("/audit", ".table"),
    "audit record": Place("/audit", ".table-detail", lambda page: page.locator(".row-button").first.click()),
    "logs": Place("/logs", "[data-testid=log]"),
    "usage": Place("/usage", "[data-testid=usage-page] :is(table, .empty)"),
    "users": Place("/users", "#main .page"),
    "terminals": Place("/terminals", ".list-line, .terminal-tab"),
    "a terminal": Place("/terminals/{terminal}", "[data-testid=terminal][data-state=open]"),
    "nowhere": Place("/nowhere", "h1 >> text=/./"),
    **{
        f"settings, {name}": Place(f"/settings/{name}", "#main .page")
        for name in ("models", "appearance", "notifications", "browsers", "system", "about")
    },
    **{
        f"project, {name}": Place(f"/projects/sample/{name}", shows)
        for name, shows in {
            "sessions": "#main .list-line, #main .list a",
            "tasks": "[data-testid=tasks]",
            "terminals": "#main .list-line",
            "files": "[role=treeitem]",
            "changes": "[data-testid=change]",
            "prompts": "#main .code-block, #main .empty",
            "policy": "[data-testid=seen]",
            "members": ".empty",
        }.items()
    },
    "project, nothing in it": Place("/projects/empty", "#main .page-column"),
    "project, no tasks": Place("/projects/empty/tasks", ".empty"),
    "project, no terminals": Place("/projects/empty/terminals", ".empty"),
    "project, no repository": Place("/projects/empty/changes", ".empty"),
    "project, not trusted": Place("/projects/strange", "#main .page-column"),
    "a file": Place("/projects/sample/files/pancakes.py", ".cm-content"),
    "a text": Place("/projects/sample/files/docs/guide.md", ".md-h1 >> text=Guide"),
    "a file that is no text": Place("/projects/sample/files/odd.bin", ".empty"),
    "a change": Place("/projects/sample/changes", "[data-testid=hunk]", by("change")),
    "policy": Place("/projects/sample/policy", ".policy-file .cm-content"),
    "policy with a mistake": Place(
        "/projects/sample/policy", "[data-testid=policy-check][data-ok=false]", mistake, undo
    ),
    "session": Place(SESSION, "[data-testid=message-assistant]"),
    "session, inspector": Place(
        SESSION,
        "[data-testid=inspector]",
        lambda page: page.locator(".glance").click(),
        escape,
        "[data-testid=inspector]",
    ),
    "session, more": Place(SESSION, "[role=menu]", more, escape, "[role=menu]"),
    "session, checkpoints": Place(SESSION, "dialog [data-testid=checkpoint]", checkpoints, escape, "dialog"),
    "session, empty": Place("/projects/empty/sessions/{fresh}", "[data-testid=composer]"),
    "session, commands": Place(
        "/projects/empty/sessions/{fresh}",
        "[data-testid=suggestions]",
        lambda page: page.get_by_test_id("composer").press_sequentially("/"),
        lambda page: page.get_by_test_id("composer").fill(""),
    ),
    "session, a command waits": Place("/projects/shop/sessions/{risky}", "[data-testid=approval]"),
    "session, a diff waits": Place("/projects/shop/sessions/{diff}", "[data-testid=approval]"),
    "session, a question waits": Place("/projects/shop/sessions/{ask}", "[data-testid=ask]"),
    "session, a look waits": Place("/projects/shop/sessions/{checkpoint}", "[data-testid=ask]"),
    "session, terminal": Place(SESSION + "/terminal", "[data-testid=terminal][data-state=open]"),
    "session, not there": Place("/projects/sample/sessions/01ARZ3NDEKTSV4RRFFQ69G5FAV", ".empty"),
    "trace": Place(SESSION + "/runs/{run}", "[data-testid=trace]"),
    "palette": Place(
        "/settings/about", "[data-testid=palette]", lambda page: page.keyboard.press("Control+k"), escape, "dialog"
    ),
    "keys": Place("/settings/about", "dialog", press("?"), escape, "dialog"),
    "load a folder": Place("/settings/about", "dialog", press("o", "f"), escape, "dialog"),
    "load a plain folder": Place("/settings/about", "dialog .code-block, dialog pre", load_plain, escape, "dialog"),
    "connect a model": Place("/settings/about", "dialog", press("o", "m"), escape, "dialog"),
    "a model that is not there": Place("/settings/about", "dialog .notice", refuse, escape, "dialog"),
    "review": Place("/projects/strange", "dialog .review-file", press("p", "r"), escape, "dialog"),
    "review of a change": Place("/projects/altered", "dialog .diff", press("p", "r"), escape, "dialog"),
}


def arrive(page: Page, it: World, name: str) -> None:
    """Be at a place and see what it is about."""
    place = PLACES[name]
    visit(page, it, place.path)
    page.evaluate("folder => sessionStorage.setItem('folder', folder)", it.names["folder"])
    if place.act is not None:
        settled(page)
        place.act(page)
    expect(page.locator(place.shows).first).to_be_visible(timeout=10_000)
    settled(page)


def depart(page: Page, name: str) -> None:
    if (undo := PLACES[name].undo) is not None:
        undo(page)
