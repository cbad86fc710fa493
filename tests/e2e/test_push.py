"""Web push in a whole installation: from a question to a notification, and from that to exactly this question.

Everything is real but two things that a machine without the internet has not: the browser maker's push service, in
whose place one of ours stands, and the way from there into the browser, which the debugging protocol takes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.chromium import ARGUMENTS, WHOLE, chromium
from e2e.harness import Daemon, daemon, until
from e2e.test_approvals import ask, session, shop
from e2e.test_inbox import answer, waiting
from e2e.test_story import LAPTOP, PHONE, TABLET, shot
from fakes.push import Browser as Keys
from fakes.push import PushService, b64, push_service

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
NOTES = """navigator.serviceWorker.ready.then((r) => r.getNotifications())
    .then((all) => all.map((n) => ({title: n.title, body: n.body, tag: n.tag, url: n.data.url, silent: n.silent})))"""
# The push service's half of `PushManager`: a subscription that leads to ours.
MANAGER = """((it) => {
    const held = () => localStorage.getItem('test.push');
    const made = (key) => ({
        endpoint: it.endpoint,
        options: {applicationServerKey: Uint8Array.from(
            atob(key.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)).buffer},
        toJSON: () => ({endpoint: it.endpoint, keys: {p256dh: it.p256dh, auth: it.auth}}),
        unsubscribe: async () => { localStorage.removeItem('test.push'); return true; },
    });
    PushManager.prototype.subscribe = async ({applicationServerKey}) => {
        if (localStorage.getItem('test.refuse')) throw new DOMException('Registration failed', 'AbortError');
        localStorage.setItem('test.push', applicationServerKey);
        return made(applicationServerKey);
    };
    PushManager.prototype.getSubscription = async () => (held() ? made(held()) : null);
})"""


@pytest.fixture
def service(short_tmp: Path) -> Iterator[PushService]:
    with push_service(short_tmp) as it:
        yield it


@pytest.fixture
def kaged(short_tmp: Path, service: PushService) -> Iterator[Daemon]:
    with daemon(short_tmp, extra={"SSL_CERT_FILE": str(service.ca)}) as it:
        it.stop()
        file = it.config_dir / "config.toml"
        file.write_text(file.read_text().replace("#private_hosts = []", f'private_hosts = ["{service.host}"]'))
        yield it.start()


def device(
    browser: Browser, it: Daemon, service: PushService, name: str, size: dict[str, int] = LAPTOP, scheme: str = "dark",
    path: str = "/approvals",
) -> Page:  # fmt: skip
    """A browser that may show notifications, signed in, its worker at work."""
    context = browser.new_context(viewport=size, reduced_motion="reduce", color_scheme=scheme)
    context.grant_permissions(["notifications"], origin=it.origin)
    keys = Keys()
    about = {"endpoint": service.endpoint(name, keys), "p256dh": b64(keys.point), "auth": b64(keys.auth)}
    context.add_init_script(f"{MANAGER}({json.dumps(about)})")
    page = context.new_page()
    page.goto(it.outside(it.cli("auth", "launch-url").stdout.strip().split()[-1]))
    expect(page.get_by_role("main")).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.goto(f"{it.url}{path}")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The whole Chromium: the one without windows has no notifications."""
    with chromium(WHOLE) as it:
        yield it


@contextmanager
def line(page: Page, it: Daemon) -> Iterator[Any]:
    """The way from the push service into the browser: a function that delivers a message."""
    found: list[dict[str, Any]] = []
    cdp = page.context.new_cdp_session(page)
    cdp.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
    cdp.send("ServiceWorker.enable")
    until(lambda: page.evaluate("1") and found, "the worker's registration")

    def deliver(says: dict[str, Any]) -> None:
        to = {"origin": it.origin, "registrationId": found[-1]["registrationId"], "data": json.dumps(says)}
        cdp.send("ServiceWorker.deliverPushMessage", to)

    yield deliver


def turn_on(page: Page) -> None:
    expect(page.get_by_test_id("push-settings")).to_have_attribute("data-state", "off")
    page.get_by_test_id("push-switch").click()
    expect(page.get_by_test_id("push-settings")).to_have_attribute("data-state", "on")


def notes(page: Page) -> list[dict[str, Any]]:
    return list(page.evaluate(NOTES))


def click(context: BrowserContext) -> str:
    """A press on the one notification there is; the address of a window that it opens, if it opens one. Nobody but a
    person may bring a window to the front, so that part is only asked for."""
    return str(
        context.service_workers[0].evaluate(
            """async () => {
                let work = null; let opened = '';
                ExtendableEvent.prototype.waitUntil = (it) => { work = it; };
                clients.openWindow = async (url) => { opened = url; };
                const [note] = await registration.getNotifications();
                dispatchEvent(new NotificationEvent('notificationclick', {notification: note}));
                await Promise.resolve(work).catch(() => {});
                return opened;
            }"""
        )
    )


def test_a_question_reaches_a_phone_and_opens_exactly_there(
    browser: Browser, kaged: Daemon, service: PushService
) -> None:
    shop(kaged)
    sid = session(kaged)
    page = device(browser, kaged, service, "phone", PHONE)
    turn_on(page)
    page.get_by_test_id("push-test").click()
    assert service.wait(1)[0].says == {"kind": "test", "id": "test"}
    ask(kaged, sid, "run: sh deploy.sh  # a secret in a command")
    (item,) = waiting(kaged)
    came = service.wait(2)[1]
    url = f"projects/shop/sessions/{sid}?attention={item['id']}"
    title = {"kind": "approval_gate", "id": item["id"], "project": "shop", "title": "Ship it"}
    assert came.says == title | {"url": url}
    assert "secret" not in json.dumps(came.says) and "deploy" not in json.dumps(came.says)
    assert (came.headers["urgency"], came.headers["topic"]) == ("high", item["id"])
    with line(page, kaged) as deliver:
        deliver(came.says)
        until(lambda: notes(page), "the notification")
        assert notes(page) == [
            {
                "title": "A call waits to be approved",
                "body": "Ship it · shop",
                "tag": item["id"],
                "url": url,
                "silent": False,
            }
        ]
        page.goto(f"{kaged.url}/projects/shop/sessions/{session(kaged, 'Another')}")
        page.get_by_test_id("composer").fill("half a thought")
        assert click(page.context) == "", "the open window takes it"
        expect(page).to_have_url(f"{kaged.url}/{url}")
        expect(page.locator(f'[data-attention="{item["id"]}"]')).to_be_focused()
        shot(page, "30-pushed-phone")
        page.go_back()
        expect(page.get_by_test_id("composer")).to_have_value("half a thought")
        deliver(came.says)
        until(lambda: notes(page), "the notification")
        other = page.context.new_page()
        page.close()
        assert click(other.context) == f"{kaged.url}/{url}", "without a window a new one is opened"
        other.goto(f"{kaged.url}/{url}")
        expect(other.locator(f'[data-attention="{item["id"]}"]')).to_be_focused()


def test_answered_meanwhile_it_is_taken_back(browser: Browser, kaged: Daemon, service: PushService) -> None:
    shop(kaged)
    page = device(browser, kaged, service, "phone", PHONE)
    turn_on(page)
    ask(kaged, session(kaged), "run: sh deploy.sh")
    with line(page, kaged) as deliver:
        deliver(service.wait(1)[0].says)
        until(lambda: notes(page), "the notification")
        answer(kaged, waiting(kaged)[0], "deny")
        closed = service.wait(2)[1]
        assert (closed.says["kind"], closed.headers["topic"]) == ("closed", service.came[0].headers["topic"])
        deliver(closed.says)
        until(lambda: not notes(page), "its end, in sight of the page")
        deliver(service.came[0].says)
        until(lambda: notes(page), "the notification")
        worker = page.context.service_workers[0]
        page.context.new_page()
        page.close()
        # A browser that shows nothing would take the permission away: what stands asks nobody any more.
        says = """(says) => dispatchEvent(Object.assign(new Event('push'), {
            data: {json: () => says}, waitUntil: (it) => it}))"""
        worker.evaluate(says, closed.says)
        look = "registration.getNotifications().then((all) => all.map((it) => [it.title, it.silent]))"
        until(lambda: worker.evaluate(look) == [["Answered meanwhile", True]], "the quiet line")


def test_it_ends_with_the_sign_in_and_with_the_switch(browser: Browser, kaged: Daemon, service: PushService) -> None:
    shop(kaged)
    for name in ("desk", "phone"):
        page = device(browser, kaged, service, name)
        turn_on(page)
    page.get_by_test_id("push-switch").click()
    expect(page.get_by_test_id("push-settings")).to_have_attribute("data-state", "off")
    ask(kaged, session(kaged), "run: sh deploy.sh")
    assert [it.path for it in service.wait(1)] == ["/desk"]
    with kaged.api() as api:
        for each in api.get("/api/v1/me/browsers").json()["items"]:
            assert api.delete(f"/api/v1/me/browsers/{each['id']}").status_code == 204
    ask(kaged, session(kaged), "run: rm x")
    answer(kaged, waiting(kaged)[0], "deny")
    kaged.stop()
    assert [it.path for it in service.came] == ["/desk"]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_switch_says_why_not(browser: Browser, kaged: Daemon, service: PushService, scheme: str) -> None:
    page = device(browser, kaged, service, "phone", TABLET, scheme)
    expect(page.get_by_test_id("push-state")).to_have_text("Off.")
    page.evaluate("localStorage.setItem('test.refuse', '1')")
    page.get_by_test_id("push-switch").click()
    expect(page.get_by_text("push service did not answer: Registration failed")).to_be_visible()
    shot(page, f"31-push-refused-{scheme}")
    page.evaluate("localStorage.removeItem('test.refuse')")
    turn_on(page)
    shot(page, f"31-push-on-{scheme}")
    page.reload()
    expect(page.get_by_test_id("push-settings")).to_have_attribute("data-state", "on")
    blocked = browser.new_context(viewport=PHONE, color_scheme=scheme, service_workers="block")
    blocked.add_init_script("delete window.PushManager")
    plain = blocked.new_page()
    plain.goto(kaged.outside(kaged.cli("auth", "launch-url").stdout.strip().split()[-1]))
    expect(plain.get_by_role("main")).to_be_visible()
    plain.goto(f"{kaged.url}/approvals")
    expect(plain.get_by_test_id("push-settings")).to_have_attribute("data-state", "unsupported")
    expect(plain.get_by_test_id("push-switch")).to_be_disabled()
    shot(plain, f"32-push-unsupported-{scheme}")


@pytest.mark.central
def test_the_console_can_be_installed(browser: Browser, kaged: Daemon, short_tmp: Path) -> None:
    # Not as other tests have it: what is installed needs a profile that stays.
    profile = short_tmp / "profile"
    context = browser.browser_type.launch_persistent_context(str(profile), executable_path=WHOLE, args=ARGUMENTS)
    page = context.pages[0]
    page.goto(kaged.launch_url)
    expect(page.get_by_test_id("composer")).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    cdp = page.context.new_cdp_session(page)
    manifest = cdp.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert manifest["url"] == f"{kaged.url}/manifest.webmanifest"
    assert json.loads(manifest["data"])["name"] == "kaged"
    assert [it["errorId"] for it in cdp.send("Page.getInstallabilityErrors")["installabilityErrors"]] == []
    for icon in json.loads(manifest["data"])["icons"]:
        got = page.request.get(f"{kaged.url}/{icon['src']}")
        assert (got.status, got.headers["content-type"]) == (200, "image/png")
    worker = page.request.get(f"{kaged.url}/sw.js")
    assert "javascript" in worker.headers["content-type"]
    assert worker.headers["cache-control"] == "no-cache"
    scope = page.evaluate("navigator.serviceWorker.getRegistration().then((it) => it.scope)")
    assert scope == f"{kaged.url}/"
    kept = page.evaluate(
        """caches.keys().then((all) => Promise.all(all.map(async (n) =>
        (await (await caches.open(n)).keys()).map((r) => r.url)))).then((it) => it.flat())"""
    )
    assert not [url for url in kept if "/api/" in url or "/launch" in url]
    assert f"{kaged.url}/" in kept and len(kept) > 10
    context.close()
