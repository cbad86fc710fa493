"""New nonces on an installed host: the command, systemctl reload, and the guide's own way; nobody's work is lost."""

import contextlib
import json
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from e2e.harness import Daemon, end_keeper, until
from e2e.system import GUIDE, ORIGIN, Host, host, why_not

pytestmark = [pytest.mark.cage, pytest.mark.timeout(240)]
ADMIN = "alice"
CONFIG = GUIDE.replace('mode = "secure"\n', f'mode = "secure"\nadmins = ["{ADMIN}"]\n')
ENV = "/etc/kaged/env"
KEY = "KAGED_AUTH_SIDECAR_NONCE"


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    if (problem := why_not()) is not None:
        pytest.skip(f"system mode cannot be set up here: {problem}")
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with host(Path(name)) as it:
            it.write("/etc/kaged/config.toml", CONFIG)
            yield it


def put(machine: Host, nonce: str, more: str = "") -> None:
    """The guide's `tee`, `chmod`, `chown`."""
    machine.write(ENV, f"{KEY}={nonce}\n{more}", 0o600)


def begin(machine: Host) -> Daemon:
    """`systemctl start kaged`: the env file is the environment."""
    text = (machine.root / ENV[1:]).read_text()
    it = machine.daemon(next(line.partition("=")[2] for line in text.splitlines() if line.partition("=")[0] == KEY))
    it.start(port=None)
    return it


@pytest.fixture
def nonce(machine: Host) -> str:
    value = secrets.token_hex(32)
    put(machine, value, "ANTHROPIC_API_KEY=kept\n")
    return value


@pytest.fixture
def daemon(machine: Host, nonce: str) -> Iterator[Daemon]:
    it = begin(machine)
    yield it
    if it.process is not None:
        assert it.stop(signal.SIGTERM) == 0
    end_keeper(it)


def headers(nonce: str, user: str = ADMIN) -> dict[str, str]:
    return {"X-Kaged-Auth-Nonce": nonce, "X-Kaged-User-Id": user}


def asked(machine: Host, nonce: str, method: str, path: str, **options: Any) -> Any:
    answer = machine.http(method, path, headers={**headers(nonce), "Sec-Fetch-Site": "same-origin"}, **options)
    assert answer.status_code < 300, answer.text
    return answer.json()


def status(machine: Host, nonce: str) -> int:
    return machine.http("GET", "/api/v1/me", headers=headers(nonce)).status_code


@contextmanager
def opened(nonce: str, path: str = "/api/v1/ws", protocol: str = "kaged.v1") -> Iterator[ClientConnection]:
    """A WebSocket through the sidecar; only inside `machine.call`."""
    url = ORIGIN.replace("http", "ws") + path
    given = {"additional_headers": headers(nonce), "origin": Origin(ORIGIN), "subprotocols": [Subprotocol(protocol)]}
    with connect(url, proxy=None, max_size=None, **given) as ws:  # type: ignore[arg-type]
        yield ws


def session(machine: Host, nonce: str, name: str) -> str:
    folder = f"/var/lib/kaged/projects/{name}"
    machine.write(f"{folder}/README.md", "# Bread\n")
    machine.run("chown", "-R", "kaged:kaged", "/var/lib/kaged/projects")
    asked(machine, nonce, "POST", "/api/v1/projects/load", json={"path": folder, "create": True, "trust": True})
    made = asked(machine, nonce, "POST", f"/api/v1/projects/{name}/sessions", json={})
    return f"/api/v1/projects/{name}/sessions/{made['id']}"


def event(machine: Host, nonce: str, route: str, kind: str) -> dict[str, Any]:
    after = 0
    while True:
        page = asked(machine, nonce, "GET", f"{route}/events?after={after}&wait=20")
        for item in page["items"]:
            if item["type"] == kind:
                return dict(item["data"])
        after = page["next"]


def typed(machine: Host, nonce: str, tid: str, keys: bytes, wanted: bytes) -> bytes:
    """Type into a terminal and read, from its beginning, until `wanted` was shown."""

    def work() -> bytes:
        with opened(nonce, f"/api/v1/terminals/{tid}/ws?after=0", "kaged.tty.v1") as ws:
            ws.send(b"\0" + keys)
            shown = b""
            while wanted not in shown:
                frame = ws.recv(timeout=30)
                shown += frame[1:] if isinstance(frame, bytes) and frame[0] == 0 else b""
            return shown

    return machine.call(work)


class Traffic:
    """Somebody who uses kaged all the time, through a sidecar that sends `nonce`."""

    def __init__(self, machine: Host, nonce: str) -> None:
        self._machine, self.nonce = machine, nonce
        self.seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            self.seen.append(status(self._machine, self.nonce))

    def more(self) -> None:
        count = len(self.seen)
        until(lambda: len(self.seen) > count + 2, "more requests")

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_the_command_replaces_a_nonce_without_an_outage(machine: Host, daemon: Daemon, nonce: str) -> None:
    file = machine.root / ENV[1:]
    before = file.stat()
    holding, ended = threading.Event(), list[int]()

    def hold() -> None:
        with opened(nonce) as ws:
            ws.send('{"op":"ping"}')
            assert json.loads(ws.recv()) == {"op": "pong"}
            holding.set()
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=60)
            assert closed.value.rcvd is not None
            ended.append(closed.value.rcvd.code)

    held = threading.Thread(target=machine.call, args=[hold])
    held.start()
    assert holding.wait(30)
    with Traffic(machine, nonce) as sidecar:
        sidecar.more()
        told = json.loads(machine.cli("auth", "rotate-nonce", "--json", "--show").stdout)
        new = told["nonce"]
        assert told["running"] and [it["slot"] for it in told["items"]] == ["current", "previous"]
        sidecar.more()  # it still sends the old one
        refused = machine.cli("auth", "rotate-nonce", "--finish")
        assert refused.returncode == 1 and "no request came with the new nonce yet" in refused.stderr
        sidecar.nonce = new  # `systemctl restart oauth2-proxy`
        sidecar.more()
        shown = machine.cli("status").stdout
        assert "nonce     current: " in shown and "nonce     previous: " in shown
        assert not ended
        done = machine.cli("auth", "rotate-nonce", "--finish")
        assert (done.returncode, done.stderr) == (0, ""), done
        held.join(10)
        sidecar.more()
        assert set(sidecar.seen) == {200}
    assert ended == [4000], "the socket that came with the old nonce was sent to reconnect"
    assert (status(machine, nonce), status(machine, new)) == (401, 200)
    assert file.read_text() == f"{KEY}={new}\nANTHROPIC_API_KEY=kept\n"
    after = file.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    records = asked(machine, new, "GET", "/api/v1/audit?limit=100")["items"]
    rotated = [it for it in records if it["action"] == "auth.nonce_rotated"]
    assert [(it["actor"]["id"], it["outcome"], it["details"]["sockets"]) for it in rotated] == [
        ("local:root", "ok", 1), ("local:root", "ok", 0)
    ]  # fmt: skip
    for path in ("var/lib/kaged/audit.log", "var/lib/kaged/kaged.db"):
        data = (machine.root / path).read_bytes()
        assert nonce.encode() not in data and new.encode() not in data
    assert new not in done.stdout + shown + "".join(daemon.output)


def test_a_reload_that_cannot_be_used_changes_nothing(machine: Host, daemon: Daemon, nonce: str) -> None:
    assert daemon.process is not None
    failed = 0
    for text in ("", f"{KEY}=short\n", f"{KEY}={'0' * 64}\n", f"{KEY}={nonce} x\n"):
        machine.write(ENV, text, 0o600)
        daemon.process.send_signal(signal.SIGHUP)
        failed += 1

        def recorded(count: int = failed) -> bool:
            found = asked(machine, nonce, "GET", "/api/v1/audit?limit=50")["items"]
            return [it["outcome"] for it in found if it["action"] == "auth.nonce_rotated"].count("failed") == count

        until(recorded, "the record of the refused reload")
    new = secrets.token_hex(32)
    put(machine, new)
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: status(machine, new) == 200, "the new nonce")
    assert status(machine, nonce) == 401
    assert daemon.stop(signal.SIGTERM) == 0
    said = "".join(daemon.output)
    assert said.count("the nonces stay as they were") == failed
    assert nonce not in said and new not in said


def test_systemd_is_told_of_a_reload(machine: Host, nonce: str) -> None:
    path = machine.root / "run" / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(30)
        manager.bind(str(path))
        path.chmod(0o666)
        it = machine.daemon(nonce)
        it.only = {**(it.only or {}), "NOTIFY_SOCKET": "/run/notify"}
        it.start(port=None)
        try:
            assert it.process is not None and manager.recv(500)[:7] == b"READY=1"
            it.process.send_signal(signal.SIGHUP)
            assert manager.recv(500).split(b"\n")[0] == b"RELOADING=1"
            assert manager.recv(500) == b"READY=1"
        finally:
            it.stop(signal.SIGTERM)
            end_keeper(it)
            path.unlink()


def test_the_guides_own_way_loses_no_work(machine: Host, daemon: Daemon, nonce: str) -> None:
    """`tee` a new nonce and restart both services, with a command of an agent and an editor under way."""
    route = session(machine, nonce, "bread")
    wait = "run: echo up; while [ ! -s go ]; do sleep 0.05; done; cat go; echo finished"
    asked(machine, nonce, "POST", f"{route}/messages", json={"text": wait})
    event(machine, nonce, route, "tool.output")
    body = {"kind": "cage", "project": "bread", "session": route.rpartition("/")[2]}
    tid = asked(machine, nonce, "POST", "/api/v1/terminals", json=body)["id"]
    editor, screen, keys = "vim -u NONE -N -n go", b'"go" [New', b"iwritten after the restart\x1b:wq\r"
    if shutil.which("vim") is None:
        line = r"""python3 -c 'open("go","w").write(input("edit> "))'"""
        editor, screen, keys = line, b"\nedit> ", b"written after the restart\r"
    typed(machine, nonce, tid, f"{editor}; echo the editor en''ded\r".encode(), screen)

    new = secrets.token_hex(32)
    put(machine, new)
    assert daemon.stop(signal.SIGTERM) == 0
    again = begin(machine)
    try:
        assert (status(machine, nonce), status(machine, new)) == (401, 200)
        typed(machine, new, tid, keys, b"the editor ended")
        result = event(machine, new, route, "tool.result")
        assert result["output"] == "up\nwritten after the restart\nfinished\n[Exit status 0.]", result
        assert event(machine, new, route, "run.ended")["outcome"] == "success"
    finally:
        assert again.stop(signal.SIGTERM) == 0


def test_the_nonce_stays_in_over_a_rotation_and_the_loss_of_the_keeper(
    machine: Host, daemon: Daemon, nonce: str
) -> None:
    """Looked for from a caged tool, a caged terminal, the daemon's own account and another one."""
    new = json.loads(machine.cli("auth", "rotate-nonce", "--now", "--json", "--show").stdout)["nonce"]
    assert daemon.process is not None
    pid = daemon.process.pid
    for line in daemon.processes():
        if "keeper" in line:
            machine.run("kill", "-9", line.split()[0])
    daemon.wait_ready()
    assert daemon.process.pid == pid, "the same process, started anew"
    assert (status(machine, nonce), status(machine, new)) == (401, 200), "with the nonce that holds now"
    route = session(machine, new, "quiet")
    look = f"env; cat /proc/*/environ /proc/*/cmdline /etc/kaged/* | tr '\\0' '\\n'; grep -rs {new[:20]} /run /tmp /etc"
    asked(machine, new, "POST", f"{route}/messages", json={"text": f"run: {look}; echo lo''oked"})
    result = event(machine, new, route, "tool.result")
    assert "looked" in result["output"], result
    body = {"kind": "cage", "project": "quiet", "session": route.rpartition("/")[2]}
    tid = asked(machine, new, "POST", "/api/v1/terminals", json=body)["id"]
    shown = typed(machine, new, tid, f"stty -echo; {look}; echo lo''oked\r".encode(), b"looked\r\n")
    for value in (nonce, new):
        assert value not in result["output"]
        assert value.encode() not in shown.replace(new[:20].encode(), b"")
    seen = 0
    for other in (int(line.split()[0]) for line in daemon.processes() if int(line.split()[0]) != pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            data = b"".join(Path("/proc", str(other), file).read_bytes() for file in ("environ", "cmdline"))
            seen += 1
            assert new.encode() not in data and nonce.encode() not in data and KEY.encode() not in data, other
    assert seen >= 3, "keeper, cage, shell"
    assert new.encode() not in Path("/proc", str(pid), "cmdline").read_bytes()
    machine.run("useradd", "--system", "stranger")
    for account in ("kaged", "stranger"):
        for file in ("environ", "mem", "maps", "stack", "fd/0", f"task/{pid}/environ"):
            tried = machine.run("head", "-c", "1", f"/proc/{pid}/{file}", account=account)
            assert tried.returncode != 0 and "ermission denied" in tried.stderr, (account, file, tried)
        tried = machine.run("ls", f"/proc/{pid}/fd", account=account)
        assert tried.returncode != 0, "its descriptors"
    tried = machine.run("cat", ENV, account="stranger")
    assert tried.returncode != 0 and new not in tried.stdout


RAW = """
import socket, sys
with socket.socket(socket.AF_UNIX) as it:
    it.settimeout(20)
    it.connect(sys.argv[1])
    it.sendall(sys.stdin.buffer.read())
    data = b""
    while data[9:12] != b"101" and (part := it.recv(65536)):
        data += part
    print(data.decode())
"""


def test_a_unix_socket_is_for_the_sidecars_account_alone(machine: Host, nonce: str) -> None:
    machine.run("useradd", "--system", "--groups", "kaged", "door")
    machine.run("useradd", "--system", "--groups", "kaged", "other")
    machine.run("useradd", "--system", "outside")
    unix = 'unix:/run/kaged/kaged.sock"\npublic_url = "https://kaged.example.com'
    text = CONFIG.replace("127.0.0.1:7777", unix).replace("admins", 'sidecar_peers = ["uid:door"]\nadmins')
    machine.write("/etc/kaged/config.toml", text)
    it = begin(machine)
    try:
        seen = machine.run("stat", "-c", "%U %G %a", "/run/kaged/kaged.sock", "/run/kaged").stdout
        assert seen == "kaged kaged 660\nkaged kaged 710\n"

        def call(account: str, value: str, *lines: str, where: str = "/api/v1/me", to: str = "kaged.sock") -> Any:
            given = [f"GET {where} HTTP/1.1", "Host: kaged.example.com", f"X-Kaged-Auth-Nonce: {value}",
                     "X-Kaged-User-Id: alice", *(lines or ["Connection: close"])]  # fmt: skip
            return machine.run(
                "python3", "-c", RAW, f"/run/kaged/{to}", account=account, input="\r\n".join([*given, "", ""])
            )

        mine = call("door", nonce)
        assert mine.stdout[:12] == "HTTP/1.1 200" and '"source":"sidecar"' in mine.stdout, mine
        assert call("door", "x" * 64).stdout[:12] == "HTTP/1.1 401"
        for account in ("other", "kaged"):
            assert call(account, nonce).stdout[:12] == "HTTP/1.1 401", "it may connect, and is not the sidecar"
            assert call(account, nonce, where="/healthz").stdout[:12] == "HTTP/1.1 200"
        assert "PermissionError" in call("outside", nonce).stderr
        for private in ("control.sock", "keeper.sock"):
            assert "PermissionError" in call("door", nonce, to=private).stderr
        assert machine.run("ls", "/run/kaged", account="door").returncode != 0
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: kaged.v1"]  # fmt: skip
        own = [*upgrade, "Origin: https://kaged.example.com"]
        assert call("door", nonce, *own, where="/api/v1/ws").stdout[:12] == "HTTP/1.1 101"
        assert call("other", nonce, *own, where="/api/v1/ws").stdout[:12] == "HTTP/1.1 401"
        foreign = [*upgrade, "Origin: https://evil.example.com"]
        assert call("door", nonce, *foreign, where="/api/v1/ws").stdout[:12] == "HTTP/1.1 403"
        assert machine.cli("status").returncode == 0
    finally:
        assert it.stop(signal.SIGTERM) == 0
        end_keeper(it)
        machine.write("/etc/kaged/config.toml", CONFIG)


def test_doctor_and_the_attack_from_outside(machine: Host, daemon: Daemon, nonce: str) -> None:
    tried = machine.cli("auth", "test", "--url", ORIGIN, "--json")
    found = json.loads(tried.stdout)
    assert tried.returncode == 0 and len(found) > 30 and all(it["ok"] for it in found), found
    session = [arg for name, value in headers(nonce).items() for arg in ("--header", f"{name}: {value}")]
    tried = machine.cli("auth", "test", "--url", ORIGIN, "--json", *session)
    found = json.loads(tried.stdout)
    assert (found[0]["detail"], found[1]["detail"]) == ("alice (sidecar)", "101")
    assert [it["name"] for it in found if not it["ok"]] == [], "kaged refuses a doubled header by itself"
    machine.write("/etc/kaged/oauth2-proxy.env", f"{KEY}={'ab12' * 3}{nonce[12:]}\n", 0o600)
    doctor = machine.cli("doctor")
    assert doctor.returncode == 1
    for line in (
        f"ok    {ENV}: kaged, 600",
        "warn  env file: also has ANTHROPIC_API_KEY",
        "ok    /var/lib/kaged: kaged, 700",
        "FAIL  kaged.service: not installed",
        "ok    nonce: file and daemon agree",
        "FAIL  /etc/kaged/oauth2-proxy.env: has another nonce than kaged",
        "sudo systemctl restart oauth2-proxy",
        "ok    clock: plausible",
    ):
        assert line in doctor.stdout, (line, doctor.stdout)
    assert nonce not in doctor.stdout
    put(machine, secrets.token_hex(32))
    machine.run("chmod", "644", ENV)
    text = json.loads(machine.cli("doctor", "--json").stdout)["checks"]
    wrong = {it["name"]: it["fix"] for it in text if not it["ok"]}
    assert wrong["nonce"] == "sudo systemctl reload kaged"
    assert wrong[ENV] == f"sudo chown kaged: {ENV} && sudo chmod 600 {ENV}"
    assert daemon.stop(signal.SIGTERM) == 0
    end_keeper(daemon)
    idle = machine.run(sys.executable, "-m", "kaged.cli", "doctor", "--json", timeout=100)
    named = {it["name"] for it in json.loads(idle.stdout)["checks"]}
    assert idle.returncode == 1 and named >= {"program bwrap", "kaged.service", ENV}, "root means the host's daemon"
