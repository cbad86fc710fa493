"""auth: launch URLs, admins, the sidecar's nonce, the test of what is in front of kaged."""

import os
from dataclasses import asdict
from typing import Any

import click
from click import argument, option

from kaged.cli import output, spoof
from kaged.cli.client import NotRunning, Target
from kaged.core import ids
from kaged.core.errors import KagedError
from kaged.settings import sidecars
from kaged.settings.nonces import CURRENT, Nonces, Stored, fingerprint


@output.group("kaged auth open")
def auth() -> None:
    """Sign a browser in; make admins; rotate and test what a sidecar sends.

    In user mode a browser signs in with a launch URL: it works once, for ten minutes. In system mode people come
    through a sidecar, and have no rights until one is given to them."""


@output.command(auth, "kaged auth open", name="open")
def open_page(target: Target) -> None:
    """Print a fresh launch URL and open it in a browser if there is one."""
    ticket = target.api().post("/auth/launch", {})
    output.line(ticket["url"])
    output.line(f"works once, until {ticket['expires_at']}", err=True)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import webbrowser

        webbrowser.open(ticket["url"])


@output.command(auth, "ssh server.example.com kaged auth launch-url", name="launch-url", json=True)
def launch_url(target: Target, as_json: bool) -> None:
    """Print a fresh launch URL and nothing else."""
    ticket = target.api().post("/auth/launch", {})
    output.show(ticket, as_json, [ticket["url"]])


@output.command(auth, "kaged auth claim", "kaged auth claim alice@example.com", json=True)
@argument("user", required=False, metavar="[ID]")
@option("--remove", is_flag=True, help="Make the admin ID a member again.")
def claim(target: Target, user: str | None, remove: bool, as_json: bool) -> None:
    """Make the user ID an admin; without ID, list the users that were seen.

    People appear when they open kaged for the first time; the page then shows them their ID. What a role allows counts
    from this moment on, in what they have open too."""
    api = target.api()
    if user is not None:
        api.put("/users", {"id": user, "role": "member" if remove else "admin"})
    users = api.items("/users")
    if user is not None:
        found = next(each for each in users if each["id"] == user)
        output.show(found, as_json, [f"{user} is {'a member' if remove else 'an admin'} now"])
        return
    rows = [
        (u["id"], "admin" if u["admin"] else "member", _projects(u), u["last_seen_at"], u["name"] or u["email"])
        for u in users
    ]
    output.table(users, as_json, ("ID", "ROLE", "PROJECTS", "LAST SEEN", "NAME"), rows)
    if not as_json:
        output.line("make one an admin with: kaged auth claim ID", err=True)


def _projects(user: dict[str, Any]) -> str | None:
    return ", ".join(f"{slug}: {role}" for slug, role in user["projects"].items()) or None


@output.command(
    auth, "sudo kaged auth rotate-nonce", "sudo kaged auth rotate-nonce --finish", name="rotate-nonce", json=True
)
@option("--finish", is_flag=True, help="The sidecar sends the new nonce: stop accepting the previous one.")
@option("--now", is_flag=True, help="Refuse the old nonce at once, whoever still sends it.")
@option("--show", is_flag=True, help="Print the nonce itself.")
def rotate_nonce(target: Target, finish: bool, now: bool, show: bool, as_json: bool) -> None:
    """Replace the sidecar's nonce without an outage.

    Writes a new nonce beside the old one and has the daemon accept both; agents and terminals notice nothing. Give the
    sidecar the new one and restart it, then run this again with --finish. Run it as root, or as the owner of the file;
    it works without the daemon, too. After a theft add --now: the old nonce is refused from this moment."""
    api, env_file = target.api(), target.place()[1].parent / "env"
    try:
        known = api.get("/auth/nonces")
    except NotRunning:
        known = {"source": "", "items": []}
    stored = Stored.find(known["source"], env_file, os.environ)
    before, running = stored.read(), bool(known["source"])
    if problem := _obstacle(before, known["items"], finish, now):
        raise KagedError("conflict", f"{stored.path}: {problem}")
    current = before.current if finish else ids.secret_token()
    held = [it for it in sidecars.copies(env_file) if not it.values or before.current in it.values]
    stored.write(Nonces(current, None if finish or now else before.current))
    if running:
        try:
            known = api.post("/system/reload", {})
        except KagedError:
            stored.write(before)
            raise
    told = {"file": str(stored.path), "running": running, **known, **({"nonce": current} if show else {})}
    told["sidecars"] = [{"file": str(it.path), "service": it.service or None} for it in held]
    output.show(told, as_json, _steps(told, finish, now))


def _obstacle(stored: Nonces, uses: list[dict[str, Any]], finish: bool, now: bool) -> str | None:
    """Why a rotation cannot begin, or end, now."""
    if uses and uses[0]["fingerprint"] != fingerprint(stored.current or ""):
        return "kaged runs with another nonce than this file has; first: sudo systemctl reload kaged"
    if not finish:
        under_way = "a rotation is under way; end it with --finish, or add --now to refuse both nonces of before"
        return under_way if stored.previous and not now else None
    if stored.previous is None:
        return "has no previous nonce: no rotation is under way"
    if now or len(uses) < 2:
        return None
    if not uses[0]["requests"]:
        return "no request came with the new nonce yet; restart the sidecar and open kaged through it, or add --now"
    if (uses[1]["last_used_at"] or "") > uses[0]["last_used_at"]:
        return f"something still sends the previous nonce ({uses[1]['last_used_at']}); --now refuses it all the same"
    return None


def _steps(told: dict[str, Any], finish: bool, now: bool) -> list[str]:
    """What was done, and what is left to do."""
    force = "in force" if told["running"] else "kaged is not running and takes it at its start"
    done = "the previous nonce is gone" if finish else f"a new nonce; the old one is {'refused' if now else 'accepted'}"
    lines = [f"{told['file']}: {done}; {force}", *([told["nonce"]] if "nonce" in told else [])]
    if finish:
        return lines
    lines.append(f"1. give the sidecar the new nonce: {CURRENT} of that file (--show prints it)")
    lines += [f"   {it['file']} has the old one" for it in told["sidecars"] if it["file"] != told["file"]]
    services = dict.fromkeys(it["service"] for it in told["sidecars"] if it["service"])
    lines.append(f"2. sudo systemctl restart {' '.join(services) or '<the sidecar>'}")
    last = "3. when `kaged status` shows that the previous one is not used any more: kaged auth rotate-nonce --finish"
    return lines if now else [*lines, last]


@output.command(auth, "kaged auth test --url https://kaged.example.com --cookie 'NAME=VALUE'", json=True)
@option("--url", required=True, metavar="URL", help="The address people type, or http://127.0.0.1:7777.")
@option("--cookie", metavar="TEXT", help="The Cookie header of a signed-in browser: attacks are tried with it, too.")
@option("--header", "headers", multiple=True, metavar="LINE", help="A header that a session needs; may be repeated.")
@option("--ca", metavar="FILE", type=click.Path(exists=True), help="Trust the certificates of this authority.")
def test(target: Target, url: str, cookie: str | None, headers: tuple[str, ...], ca: str | None, as_json: bool) -> int:
    """Attack this kaged as a stranger would, through its public address.

    Sends made-up identities in every way that a sidecar has to stop: spellings, duplicates, hop-by-hop names, odd
    paths, foreign origins and hosts. Nobody may be let in by it, and with a session the user must stay the same. Each
    failure names one fix. Exit code 0 when all attacks failed, 1 otherwise."""
    session = [f"Cookie: {cookie}"] * bool(cookie) + list(headers)
    found: list[spoof.Verdict] = []
    for verdict in spoof.run(spoof.Door(url, ca), f"spoof-{ids.new_ulid().lower()}", session):
        found.append(verdict)
        mark, fix = "ok  " if verdict.ok else "FAIL", f"\n      fix: {verdict.fix}" if verdict.fix else ""
        output.show({}, False, () if as_json else [f"{mark}  {verdict.name}: {verdict.detail}{fix}"])
    bad = sum(not verdict.ok for verdict in found)
    more = "" if session else "; give --cookie to try them with a session, too"
    output.show([asdict(it) for it in found], as_json, [f"{len(found)} tried, {bad} got through{more}"])
    return int(bad > 0)
