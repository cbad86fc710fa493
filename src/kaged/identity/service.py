"""The room's one service: composed once by the daemon, asked by the middleware and a few routes."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaged.audit.log import Audit
from kaged.core import clock
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.identity.browser import Request, Site
from kaged.identity.gate import LOCAL, Admission, Gate
from kaged.identity.headers import USER_EMAIL, USER_ID, USER_NAME, NonceSet, Refusal, title
from kaged.identity.loopback import Browser, Browsers, Launch, LaunchTokens, cookie_name, set_cookie
from kaged.identity.peers import Peers
from kaged.identity.people import SIDECAR, People
from kaged.identity.sockets import RETIRED, Sockets
from kaged.notify.subscriptions import Subscription
from kaged.settings.config import Loaded
from kaged.storage.database import Database

log = logging.getLogger(__name__)

CAPACITY = 10  # Refusals of one rule written down in a row
REFILL_S = 60.0  # Seconds until one more may be
_KNOWN_USERS = 1000
_KNOWN_NAMES = 100
_OBJECT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Grant:
    """What a launch token gives: the `Set-Cookie` value, the browser's key, the browser."""

    set_cookie: str
    key: str
    browser: Browser


class FloodGate:
    """A token bucket for each rule (a fixed, small set): a flood of refusals cannot fill the disk with records."""

    def __init__(self, *, capacity: int = CAPACITY, refill_s: float = REFILL_S) -> None:
        self._capacity, self._refill_s = capacity, refill_s
        self._buckets: dict[str, tuple[float, float, int]] = {}

    def admit(self, rule: str, now: float) -> int | None:
        """None to hold this one back, else how many were since the last written; `now` is monotonic seconds."""
        tokens, at, held_back = self._buckets.get(rule, (self._capacity, now, 0))
        tokens = min(self._capacity, tokens + (now - at) / self._refill_s)
        if tokens < 1:
            self._buckets[rule] = (tokens, now, held_back + 1)
            return None
        self._buckets[rule] = (tokens - 1, now, 0)
        return held_back


class Identity:
    """Who calls. One instance a daemon; belongs to its event loop."""

    def __init__(
        self, loaded: Loaded, bound: tuple[str, int] | None, nonces: NonceSet, audit: Audit,
        browsers: Browsers | None, sockets: Sockets, people: People,
    ) -> None:  # fmt: skip
        insecure, public_url, paths = loaded.config.insecure, loaded.config.daemon.public_url, loaded.paths
        self.site = site = Site.of(public_url, bound)
        self._bound, self._audit, self._browsers = bound, audit, browsers
        self._cookie = cookie_name(bound[1] if bound else 0)
        self._tokens = LaunchTokens(site.bound[0] if site.bound else "", paths.auth_cookie, paths.launch_url)
        self._flood = FloodGate()
        self._seen_users, self._seen_names = set[str](), set[str]()
        self._gate = Gate(
            site, nonces, Peers.parse(loaded.config.auth.sidecar_peers), people.admins, insecure=insecure,
            daemon_uid=os.geteuid(), browsers=browsers, cookie=self._cookie,
        )  # fmt: skip
        self.people = people
        self.sockets = sockets  # Open WebSockets (the middleware holds each)
        self.warnings = ("insecure",) if insecure else ()  # For `X-Kaged-Warning`, on every answer
        if nonces:
            names = ", ".join(map(title, (USER_ID, USER_EMAIL, USER_NAME)))
            public = public_url or "any that the sidecar has"
            log.info("a sidecar says who calls: %s; nonces: %d; public URL: %s", names, len(nonces), public)
        if nonces and not public_url:
            log.warning("daemon.public_url is not set: any name under which browsers reach the sidecar goes")

    @classmethod
    async def open(
        cls, loaded: Loaded, bound: tuple[str, int] | None, *, nonces: NonceSet, db: Database, audit: Audit,
        sockets: Sockets | None = None,
    ) -> "Identity":  # fmt: skip
        """Compose it, with everybody's rights and, in user mode, the browsers signed in earlier. `bound` is the TCP
        address really listened on, None for a unix socket. ConfigError for an unknown peer."""
        browsers = await Browsers.open(db) if loaded.mode == "user" and not loaded.config.insecure else None
        people = await People.open(db, audit, loaded.config.auth.admins)
        return cls(loaded, bound, nonces, audit, browsers, sockets or Sockets(), people)

    async def judge(self, request: Request) -> Admission:
        """Decide, and write it down where it matters. Raises `Refusal`, or why a sign-in is not recorded."""
        try:
            admission = await self._gate.judge(request)
            self._note_ignored(admission.ignored)
            if admission.actor is not None and admission.actor.source == "sidecar":
                await self._signed_in(admission.actor)
        except Refusal as refusal:
            what = f"{request.kind} {request.method} {request.path}"[:_OBJECT_CHARS]
            client = request.connection.client
            await self._deny(refusal.rule, what, {"peer": client[0] if client else ""})
            raise
        except KagedError as error:
            log.error("a request could not be judged: %s", error.message)
            raise
        return admission

    async def issue_launch(self, actor: Actor) -> Launch:
        """A fresh launch URL, also in the two files; `conflict` where nobody signs in with one."""
        self._loopback()
        if self._bound is None:
            raise KagedError("conflict", "kaged listens on a unix socket, which no browser can open; set daemon.bind.")
        launch = self._tokens.issue()
        await self._audit.record(actor, "auth.launch_issued", "launch", "ok", {"expires_at": launch.expires_at})
        return launch

    async def redeem(self, token: str) -> Grant:
        """A signed-in browser for a launch token; one that is wrong, used or too old is `unauthenticated`."""
        browsers = self._loopback()
        if not self._tokens.redeem(token):
            await self._deny("bad_launch_token", "GET /launch", {})
            text = "This launch URL was used already, or is older than ten minutes."
            raise KagedError("unauthenticated", f"{text} Run `kaged auth open` for a fresh one.")
        (cookie, key), browser = await browsers.add()
        await self._audit.record(LOCAL, "auth.signed_in", f"browser:{browser.id}", "allowed", {})
        return Grant(set_cookie(self._cookie, cookie), key, browser)

    async def browsers(self, actor: Actor) -> list[Browser]:
        """The signed-in browsers, for an admin; nobody else has any."""
        return self._browsers.list() if self._browsers is not None and actor.is_admin else []

    async def revoke(self, browser_id: str, actor: Actor) -> None:
        """Sign a browser out, its sockets too; `not_found` for an unknown id and for all but admins."""
        if not (self._browsers is not None and actor.is_admin and await self._browsers.revoke(browser_id)):
            raise KagedError("not_found", "There is no such browser.")
        details = {"sockets": self.sockets.revoke(browser_id)}
        await self._audit.record(actor, "auth.signed_out", f"browser:{browser_id}", "ok", details)

    def stands(self, to: Subscription, project: str | None) -> bool:
        """Whether a browser may still be told (of questions of `project`): one with a sign-in while that holds."""
        known = bool(self._gate.nonces) if to.source == SIDECAR else self._gate.insecure and to.source == "insecure"
        if to.browser is not None and self._browsers is not None:
            known = to.browser in (each.id for each in self._browsers.list())
        actor = Actor(to.user, to.source, Role.ADMIN)
        return known and self.people.allows(actor, "session.answer" if project else "notifications", project)

    def nonce_uses(self) -> list[dict[str, Any]]:
        """For each accepted nonce, the current one first: requests that came with it, the last time, open sockets."""
        found = []
        for slot, digest in zip(("current", "previous"), self._gate.nonces.digests, strict=False):
            count, last = self._gate.uses.get(digest.hex(), (0, 0.0))
            open_sockets = self.sockets.count(digest.hex())
            shown = {"requests": count, "last_used_at": clock.iso(last) if count else None, "sockets": open_sockets}
            found.append({"slot": slot, "fingerprint": digest.hex()[:8], **shown})
        return found

    def accept_nonces(self, nonces: NonceSet) -> int:
        """From now on accept these only; the sockets of those retired end. Tells how many."""
        before, self._gate.nonces = self._gate.nonces, nonces
        retired = [digest.hex() for digest in before.digests if digest not in nonces.digests]
        for digest in nonces.digests:
            self.sockets.accept(digest.hex())
        for name in retired:
            self._gate.uses.pop(name, None)
        return sum(self.sockets.revoke(name, RETIRED) for name in retired)

    def close(self) -> None:
        """Remove the launch files; their token ends with this process."""
        self._tokens.withdraw_files()

    def _loopback(self) -> Browsers:
        if self._browsers is None:
            raise KagedError("conflict", "There is no launch URL here: users sign in through the sidecar.")
        return self._browsers

    async def _signed_in(self, actor: Actor) -> None:
        await self.people.seen(actor)
        if actor.id in self._seen_users:
            return
        details = {"email": actor.email, "role": actor.role.value}
        await self._audit.record(actor, "auth.signed_in", f"user:{actor.id}", "allowed", details)
        if len(self._seen_users) >= _KNOWN_USERS:
            self._seen_users.clear()
        self._seen_users.add(actor.id)

    async def _deny(self, rule: str, what: str, details: Mapping[str, Any]) -> None:
        held_back = self._flood.admit(rule, clock.monotonic())
        if held_back is None:
            return
        log.warning("refused %r: %s", what, rule)
        nobody = Actor(id="anonymous", source="none")
        full = {"rule": rule, **details} | ({"held_back": held_back} if held_back else {})
        try:
            await self._audit.record(nobody, "auth.refused", what, "denied", full)
        except KagedError as error:
            # The refusal stands without its record: a full disk must not turn it into something else.
            log.error("a refusal could not be recorded: %s", error.message)

    def _note_ignored(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._seen_names and len(self._seen_names) < _KNOWN_NAMES:
                self._seen_names.add(name)
                log.warning("the header %r means nothing to kaged and is ignored", name[:_OBJECT_CHARS])
