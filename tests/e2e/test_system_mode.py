"""System mode with the guide's own config.toml, as an account `kaged`, at the guide's own paths."""

import json
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from e2e.harness import Daemon, until
from e2e.system import GUIDE, ORIGIN, Host, host, why_not
from e2e.talk import check_error

pytestmark = [pytest.mark.cage, pytest.mark.timeout(240)]
NONCE = secrets.token_hex(32)
SAME = {"Sec-Fetch-Site": "same-origin"}
ADMIN, MEMBER = "alice@example.com", "bob|1234"


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    if (problem := why_not()) is not None:
        pytest.skip(f"system mode cannot be set up here: {problem}")
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with host(Path(name)) as it:
            yield it


@pytest.fixture(scope="module")
def guide(machine: Host) -> Iterator[Daemon]:
    """The daemon with the guide's file, byte for byte."""
    yield from serving(machine, GUIDE)


@pytest.fixture(scope="module")
def staffed(machine: Host, guide: Daemon) -> Iterator[Daemon]:
    """The same home with an admin named; the daemon before it is stopped as systemd would."""
    guide.stop(signal.SIGTERM)
    text = GUIDE.replace('mode = "secure"\n', f'mode = "secure"\nadmins = ["{ADMIN}"]\n')
    yield from serving(machine, text)


def serving(machine: Host, config: str) -> Iterator[Daemon]:
    machine.write("/etc/kaged/config.toml", config)
    it = machine.daemon(NONCE)
    it.start(port=None)
    yield it
    if it.process is not None:
        assert it.stop(signal.SIGTERM) == 0
    assert NONCE not in "".join(it.output)


def headers(user: str | None, nonce: str | None = NONCE, **more: str) -> list[tuple[str, str]]:
    named = [("X-Kaged-Auth-Nonce", nonce), ("X-Kaged-User-Id", user)]
    given = [(name, value) for name, value in named if value is not None]
    return [*given, *(("-".join(name.split("_")), value) for name, value in more.items())]


def asked(machine: Host, method: str, path: str, user: str | None = ADMIN, **options: Any) -> httpx2.Response:
    return machine.http(method, path, headers=[*headers(user), *SAME.items()], **options)


@pytest.mark.parametrize(
    ("nonce", "words"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("short", "at least 32"),
        ("$(openssl rand -hex 32)xxxxxxxxxxxxxxxxx", "example"),
        ("0" * 64, "guessed"),
        ("a1b2c3d4 e5f60718293a4b5c6d7e8f9001122334455667788", "white space"),
    ],
)
def test_no_start_without_a_good_nonce(machine: Host, nonce: str | None, words: str) -> None:
    code, said = machine.daemon(nonce).refused()
    assert code == 78, said
    assert "KAGED_AUTH_SIDECAR_NONCE" in said
    assert words in said
    assert "openssl rand -hex 32" in said
    assert "Traceback" not in said
    assert not nonce or nonce not in said
    assert machine.daemon(nonce).processes() == []


def test_the_guides_check(machine: Host, guide: Daemon) -> None:
    """`curl http://127.0.0.1:7777/healthz`, the same answer with, without and with a wrong nonce."""
    answers = [
        machine.http("GET", "/healthz", headers=given)
        for given in ([], headers(None), headers(ADMIN), headers(ADMIN, "wrong"), [("X_Kaged_User_Id", "x")])
    ]
    told = {(a.status_code, a.text, tuple((k, v) for k, v in a.headers.items() if k != "date")) for a in answers}
    assert len(told) == 1, told
    assert (answers[0].status_code, answers[0].text) == (200, "ok")


REFUSED: dict[str, tuple[list[tuple[str, str]], int]] = {
    "nothing": ([], 401),
    "an id alone": (headers(ADMIN, None), 401),
    "a wrong nonce": (headers(ADMIN, "x" * 64), 401),
    "a wrong last character": (headers(ADMIN, NONCE[:-1] + ("0" if NONCE[-1] != "0" else "1")), 401),
    "an empty nonce": (headers(ADMIN, ""), 401),
    "no id": (headers(None), 401),
    "an empty id": (headers(""), 401),
    "two ids": ([*headers(ADMIN), ("x-kaged-user-id", "mallory")], 400),
    "two equal ids": ([*headers(ADMIN), ("X-Kaged-User-Id", ADMIN)], 400),
    "two nonces": ([*headers(ADMIN), ("X-Kaged-Auth-Nonce", NONCE)], 400),
    "an underscore": ([*headers(ADMIN), ("X_Kaged_User_Id", "mallory")], 400),
    "a dot": ([*headers(ADMIN), ("X.Kaged.User.Id", "mallory")], 400),
    "a half underscore": ([*headers(ADMIN), ("X-Kaged_User-Email", "m@example.com")], 400),
    "a look-alike alone": ([("X_Kaged_Auth_Nonce", NONCE), ("X_Kaged_User_Id", ADMIN)], 400),
    "null": (headers("(null)"), 400),
    "a list": (headers("alice,mallory"), 400),
    "a template": (headers("{http.reverse_proxy.header.Remote-User}"), 400),
    "a variable": (headers("$user"), 400),
    "too long": (headers("a" * 256), 400),
    "forwarded names": ([("X-Forwarded-User", ADMIN), ("Remote-User", ADMIN), ("Forwarded", "for=127.0.0.1")], 401),
    "a cookie": ([("Cookie", "kaged_session=x"), ("X-Kaged-Client", "x" * 43)], 401),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_not_let_in(machine: Host, guide: Daemon, name: str) -> None:
    given, status = REFUSED[name]
    for path in ("/api/v1/me", "/api/v1/projects", "/", "/index.html", "/api/v1/openapi.json"):
        answer = machine.http("GET", path, headers=given)
        code = {400: "bad_request", 401: "unauthenticated"}[status]
        check_error(answer, status, code)
        assert "mallory" not in answer.text
        assert NONCE not in answer.text


def test_a_wrong_and_a_missing_nonce_are_answered_alike(machine: Host, guide: Daemon) -> None:
    bodies = {machine.http("GET", "/api/v1/me", headers=h).content for h in ([], headers(ADMIN, "no" * 30))}
    assert len(bodies) == 1


def test_who_is_let_in(machine: Host, guide: Daemon) -> None:
    more = {
        "X_Kaged_User_Email": "alice@example.com",
        "X_Kaged_User_Name": "=?utf-8?q?Zo=C3=AB?=",
        "X_Kaged_User_Groups": "wheel",
        "X_Kaged_Admin": "1",
        "Host": "kaged.example.com",
    }
    me = machine.http("GET", "/api/v1/me", headers=headers(ADMIN, **more)).json()
    assert (me["id"], me["name"], me["email"]) == (ADMIN, "Zoë", "alice@example.com")
    assert (me["role"], me["mode"], me["source"]) == ("member", "system", "sidecar"), "nobody is admin unless named"
    assert me["host_terminals"] is False
    page = machine.http("GET", "/", headers=headers(ADMIN))
    assert page.headers["cache-control"] == "no-store"


def test_nobody_may_do_much_until_an_admin_is_named(machine: Host, guide: Daemon) -> None:
    project(machine, "early")
    answer = asked(machine, "POST", "/api/v1/projects/load", json={"path": "/var/lib/kaged/projects/early"})
    said = check_error(answer, 403, "forbidden")
    assert f'"{ADMIN}"' in said and "[auth] admins" in said
    check_error(asked(machine, "GET", "/api/v1/projects"), 403, "forbidden")
    assert asked(machine, "GET", "/api/v1/me").json()["projects"] == {}
    assert machine.http("GET", "/api/v1/versions").status_code == 200
    assert "sidecar" in check_error(machine.http("GET", "/launch?token=x"), 409, "conflict")


def project(machine: Host, name: str) -> str:
    folder = f"/var/lib/kaged/projects/{name}"
    machine.write(f"{folder}/README.md", "# Bread\n")
    machine.run("chown", "-R", "kaged:kaged", folder)
    return folder


def test_admins_load_projects_and_run_agents_and_members_do_not(machine: Host, staffed: Daemon) -> None:
    folder = project(machine, "bread")
    body = {"path": folder, "create": True, "trust": True}
    assert "[auth] admins" in check_error(
        asked(machine, "POST", "/api/v1/projects/load", MEMBER, json=body), 403, "forbidden"
    )
    elsewhere = {"path": "/opt", "create": True}
    assert "[projects] roots" in check_error(
        asked(machine, "POST", "/api/v1/projects/load", json=elsewhere), 403, "forbidden"
    )
    loaded = asked(machine, "POST", "/api/v1/projects/load", json=body)
    assert loaded.status_code == 201, loaded.text
    sessions = "/api/v1/projects/bread/sessions"
    check_error(asked(machine, "POST", sessions, MEMBER, json={}), 404, "not_found")
    made = asked(machine, "POST", sessions, json={}).json()
    assert made["created_by"] == ADMIN
    route = f"{sessions}/{made['id']}"
    check_error(asked(machine, "POST", f"{route}/messages", MEMBER, json={"text": "say: no"}), 404, "not_found")
    assert asked(machine, "GET", route).json()["head"] == 1, "nothing of it was stored"
    text = "run: id -un; env; cat /proc/*/environ | tr '\\\\0' '\\\\n'; ls /var/lib/kaged /etc/kaged"
    assert asked(machine, "POST", f"{route}/messages", json={"text": text}).status_code == 202
    result = waited(machine, route, "tool.result")
    assert NONCE not in json.dumps(result)
    assert "KAGED_AUTH" not in result["output"]
    assert "kaged.db" not in result["output"]
    assert waited(machine, route, "run.ended")["outcome"] == "success"
    verify = asked(machine, "GET", "/api/v1/audit/verify").json()
    assert verify["ok"] is True
    records = asked(machine, "GET", "/api/v1/audit?limit=500").json()["items"]
    assert any(r["action"] == "run.start" and r["actor"]["id"] == ADMIN for r in records), records[:3]


def waited(machine: Host, route: str, kind: str) -> dict[str, Any]:
    after = 0
    while True:
        page = asked(machine, "GET", f"{route}/events?after={after}&wait=20").json()
        for item in page["items"]:
            if item["type"] == kind:
                return dict(item["data"])
        after = page["next"]


def test_a_folder_made_by_hand_wants_a_group_for_what_the_console_writes(machine: Host, staffed: Daemon) -> None:
    """`sudo mkdir -p /etc/kaged`, after which the guide's own files are readable and nothing can be added."""

    def connect_model() -> httpx2.Response:
        body = {"driver": "openai", "base_url": "http://127.0.0.1:9/v1"}
        return asked(machine, "PUT", "/api/v1/local/providers/mine", json=body)

    stat = machine.run("stat", "-c", "%U:%G %a", "/etc/kaged")
    assert stat.stdout == "root:root 755\n"
    said = check_error(connect_model(), 503, "unavailable")
    fix = said.partition("; as root: ")[2]
    assert fix.startswith("chgrp ") and fix.endswith(" /etc/kaged && chmod 1775 /etc/kaged"), said
    assert machine.run("sh", "-ec", fix).returncode == 0
    assert connect_model().status_code == 200
    assert machine.run("stat", "-c", "%U %a", "/etc/kaged/local.toml").stdout == "kaged 600\n"
    machine.run("touch", "/etc/kaged/roots")
    assert machine.run("rm", "-f", "/etc/kaged/roots", account="kaged").returncode != 0, "the sticky bit"


def test_the_nonce_stays_with_the_daemon(machine: Host, staffed: Daemon) -> None:
    project(machine, "quiet")
    body = {"path": "/var/lib/kaged/projects/quiet", "create": True, "trust": True}
    assert asked(machine, "POST", "/api/v1/projects/load", json=body).status_code == 201
    sessions = "/api/v1/projects/quiet/sessions"
    route = f"{sessions}/{asked(machine, 'POST', sessions, json={}).json()['id']}"
    asked(machine, "POST", f"{route}/messages", json={"text": "run: echo up; sleep 1000"})
    waited(machine, route, "tool.output")
    assert staffed.process is not None
    pid = staffed.process.pid
    others = [line.split()[0] for line in staffed.processes() if line.split()[0] != str(pid)]
    assert len(others) >= 3, "keeper, cage, command"
    for other in others:
        assert NONCE.encode() not in Path("/proc", other, "environ").read_bytes()
        assert NONCE.encode() not in Path("/proc", other, "cmdline").read_bytes()
    for file in ("environ", "mem", "maps"):
        tried = machine.run("head", "-c", "1", f"/proc/{pid}/{file}", account="kaged")
        assert tried.returncode != 0, f"a process of the same account reads {file}"
        assert "ermission denied" in tried.stderr
    stopped = asked(machine, "POST", f"{route}/interrupt", json={})
    assert stopped.json()["stopped"]
    asked(machine, "GET", "/api/v1/me", None)
    for folder in ("var/lib/kaged", "run/kaged"):
        for path in (machine.root / folder).rglob("*"):
            if path.is_file():
                assert NONCE.encode() not in path.read_bytes(), path


def test_terminals_of_the_host_are_off(machine: Host, staffed: Daemon) -> None:
    for user in (ADMIN, MEMBER):
        answer = asked(machine, "POST", "/api/v1/terminals", user, json={"kind": "host"})
        check_error(answer, 403, "forbidden")
    assert asked(machine, "GET", "/api/v1/me").json()["role"] == "admin"
    assert asked(machine, "GET", "/api/v1/me").json()["host_terminals"] is False


def socket_of(machine: Host, *, origin: str | None = ORIGIN, user: str = ADMIN, nonce: str = NONCE) -> str:
    def work() -> str:
        with connect(
            ORIGIN.replace("http", "ws") + "/api/v1/ws",
            additional_headers=headers(user, nonce),
            origin=None if origin is None else Origin(origin),
            subprotocols=[Subprotocol("kaged.v1")],
            proxy=None,
        ) as ws:
            ws.send('{"op":"ping"}')
            return str(ws.recv(timeout=20))

    return machine.call(work)


def test_sockets(machine: Host, staffed: Daemon) -> None:
    assert json.loads(socket_of(machine)) == {"op": "pong"}
    for given, status in (
        ({"nonce": "x" * 64}, 401),
        ({"user": ""}, 401),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": None}, 403),
        ({"origin": "http://127.0.0.1:7778"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused:
            socket_of(machine, **given)
        assert refused.value.response.status_code == status, given


def test_writes_from_elsewhere(machine: Host, staffed: Daemon) -> None:
    body = {"title": "x"}
    route = "/api/v1/projects/bread/sessions"
    foreign = [("Sec-Fetch-Site", "cross-site")], [("Origin", "https://evil.example.com")], []
    for more in foreign:
        answer = machine.http("POST", route, headers=[*headers(ADMIN), *more], json=body)
        check_error(answer, 403, "forbidden")
    text = machine.http(
        "POST", route, headers=[*headers(ADMIN), *SAME.items(), ("Content-Type", "text/plain")], content=b"{}"
    )
    assert 400 <= text.status_code < 500


def test_the_command_line_of_the_host(machine: Host, staffed: Daemon) -> None:
    assert machine.cli("status").returncode == 0
    listed = machine.cli("project", "list", "--json")
    assert isinstance(json.loads(listed.stdout), list), listed
    verify = machine.cli("audit", "verify")
    assert (verify.returncode, verify.stderr) == (0, "")
    doctor = machine.cli("doctor")
    assert doctor.returncode == 1, "the guide leaves something open"
    assert "fix: set [auth] sidecar_peers" in doctor.stdout
    assert "fix: set [daemon] public_url" in doctor.stdout
    opened = machine.cli("auth", "open")
    assert opened.returncode == 1
    assert "sidecar" in opened.stderr


def test_systemd_is_told(machine: Host, staffed: Daemon) -> None:
    """A second start of the unit: READY=1 with the pid, then the watchdog, STOPPING=1 at the end, the keeper stays."""
    staffed.stop(signal.SIGTERM)
    kept = staffed.processes()
    keeper = [line for line in kept if "keeper/main.py" in line]
    assert keeper, "the keeper stays"
    path = machine.root / "run" / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(30)
        manager.bind(str(path))
        path.chmod(0o666)
        it = machine.daemon(NONCE)
        it.only = {**(it.only or {}), "NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "20000"}
        it.start(port=None)
        assert it.process is not None
        assert manager.recv(500).decode().split("\n") == ["READY=1", f"MAINPID={it.process.pid}"]
        assert [manager.recv(500).decode() for _ in range(5)] == ["WATCHDOG=1"] * 5
        assert it.stop(signal.SIGTERM) == 0
        last = ""
        while last != "STOPPING=1":
            assert last in ("", "WATCHDOG=1")
            last = manager.recv(500).decode()
    # A start ends the cages of an earlier one's snapshots.
    until(lambda: set(keeper) <= set(it.processes()) <= set(kept), "the same keeper, and nothing new")
    staffed.process = None
