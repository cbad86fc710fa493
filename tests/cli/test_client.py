"""The control socket's client: which daemon, and a sentence for each way it can fail."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from kaged.cli import client
from kaged.cli.client import Api, NotRunning, Target
from kaged.core.errors import KagedError


def test_the_users_own_daemon_is_the_default(environ: Path) -> None:
    assert Target(None, None).place()[2] == environ / "rt" / "kaged"
    assert Target(None, "system").place()[2] == Path("/run/kaged")
    assert Target(None, "user").flags() == ["--mode=user"]
    assert Target(Path("/c.toml"), None).flags() == ["--config=/c.toml"]


def test_without_an_own_daemon_the_hosts_is_taken(environ: Path, monkeypatch: pytest.MonkeyPatch, daemon: Any) -> None:
    system = environ / "run" / "kaged" / "control.sock"
    system.parent.mkdir(parents=True)
    system.touch()
    monkeypatch.setattr(client, "SYSTEM_SOCKET", system)
    assert Target(None, None).place()[2] == environ / "rt" / "kaged"
    daemon.path.unlink()
    assert Target(None, None).place()[2] == system.parent
    assert Target(None, "user").place()[2] == environ / "rt" / "kaged"
    monkeypatch.setenv("KAGED_HOME", str(environ / "other"))
    assert Target(None, None).place()[2] == environ / "rt" / "kaged"


def test_nobody_listens(environ: Path) -> None:
    with pytest.raises(NotRunning, match="start it with: kaged start"):
        Api(environ / "none.sock").get("/system")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(environ / "left.sock"))
    with pytest.raises(NotRunning):
        Api(environ / "left.sock").get("/system")


def test_a_socket_of_another_account(environ: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(KagedError, match="belongs to another account; run this as that account, or as root"):
        Api(daemon.path).get("/system")


def _raw(path: Path, answer: bytes) -> threading.Thread:
    """Answer one connection with these bytes, then hang up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "the connection to kaged broke"),
        (b"nonsense\r\n\r\n", "the connection to kaged broke"),
        (HEAD + b"50\r\n\r\n{}", "the connection to kaged broke"),
        (HEAD + b"3\r\n\r\n{]]", "not JSON"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nno", "answered with status 502"),
    ],
)
def test_broken_answers(environ: Path, answer: bytes, sentence: str) -> None:
    thread = _raw(environ / "raw.sock", answer)
    with pytest.raises(KagedError, match=sentence):
        Api(environ / "raw.sock").get("/system")
    thread.join()


def test_an_answer_that_does_not_come(environ: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(environ / "silent.sock"))
        silent.listen()
        with pytest.raises(KagedError, match="did not answer within"):
            Api(environ / "silent.sock").get("/system", timeout_s=0.05)


def test_errors_carry_code_message_and_details(daemon: Any, refusal: Any) -> None:
    daemon.routes["GET /x"] = refusal(409, "conflict", "taken", {"slug": "a"})
    with pytest.raises(KagedError) as caught:
        Api(daemon.path).get("/x")
    assert (caught.value.code, caught.value.message, caught.value.details) == ("conflict", "taken", {"slug": "a"})
    daemon.routes["GET /x"] = refusal(418, "teapot", "short and stout", ["x"])
    with pytest.raises(KagedError) as caught:
        Api(daemon.path).get("/x")
    assert (caught.value.code, caught.value.details) == ("internal", None)


def test_lists_are_read_page_by_page(daemon: Any) -> None:
    def page(query: dict[str, str], _: Any) -> dict[str, Any]:
        start = int(query.get("cursor", 0))
        end = min(start + int(query["limit"]), 1234)
        return {"items": [{"n": n} for n in range(start, end)], "next": str(end) if end < 1234 else None}

    daemon.routes["GET /things"] = page
    assert [item["n"] for item in Api(daemon.path).items("/things")] == list(range(1234))
    assert len(daemon.asked) == 3
    assert len(Api(daemon.path).items("/things", at_most=7)) == 7
