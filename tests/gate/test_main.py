"""The real process, as the keeper starts it."""

import base64
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from kaged.core.gate_wire import GATE_VERSION
from real_gate import MAIN, Peer, TestAuthority, listeners, process, query, question, rules

RULE = {"host": "api.example.com", "port": 443, "paths": ["/v1/*"]}


async def test_it_serves_a_cage_and_ends_with_its_socket(tmp_path: Path) -> None:
    world = TestAuthority(tmp_path)
    with process(SSL_CERT_FILE=str(world.file)) as (gate, sock):
        peer = Peer(sock)
        files = (await peer.ok("authority", cage="c1"))["files"]
        assert base64.b64decode(files["ca-bundle"]).startswith(b"-----BEGIN CERTIFICATE-----")
        sockets = listeners()
        fds = [it.fileno() for it in sockets.values()]
        fields = {"policy": rules(http=[RULE]), "secrets": {}, "nft": True, "sockets": list(sockets)}
        await peer.ok("open", fds, cage="c1", **fields)
        assert (await query(sockets["udp53"].getsockname(), question("api.example.com")))[7] == 1
        with socket.create_connection(sockets["tcp"].getsockname()) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")  # nobody redirected it, so it was for the listener
            event = await peer.event(verdict="denied")
            assert event["host"] == "127.0.0.1" and event["reason"] == "the address stands for no name"
        answer = await peer.ask("open", fds, cage="c1", **fields)
        assert answer["error"]["code"] == "conflict"

        gate.send_signal(signal.SIGINT)
        gate.send_signal(signal.SIGHUP)
        assert (await peer.ok("state"))["cages"]["c1"]["names"] == 1
        sock.shutdown(socket.SHUT_WR)
        await peer.task
        assert gate.wait(30) == 0 and gate.stderr.read() == b""
        for it in sockets.values():
            it.close()


async def test_a_bad_request_is_answered_with_a_sentence() -> None:
    with process() as (gate, sock):
        peer = Peer(sock)
        one = listeners()
        fds = [one["udp53"].fileno()]
        fields = {"cage": "c1", "secrets": {}, "nft": False}
        for op, code, more in (
            ("dance", "bad_request", {}),
            ("open", "bad_request", {"policy": {"mode": "off"}, "sockets": ["udp53"]}),
            ("open", "bad_request", {"policy": rules(), "sockets": ["udp53", "tcp"]}),
            ("open", "bad_request", {"policy": rules(), "sockets": ["raw"]}),
            ("policy", "not_found", {"policy": rules()}),
            ("answer", "not_found", {"ask": "x", "verdict": "deny"}),
        ):
            answer = await peer.ask(op, fds, **fields, **more)
            assert answer["error"]["code"] == code and len(answer["error"]["message"]) > 10, answer
        await peer.ok("close", cage="c1")
        assert len(list(Path(f"/proc/{gate.pid}/fd").iterdir())) < 12  # what came along was closed
        sock.shutdown(socket.SHUT_WR)
        await peer.task
        for it in one.values():
            it.close()


def test_another_version_is_refused_with_one_sentence() -> None:
    with process(GATE_VERSION + 1) as (gate, _):
        assert gate.wait(30) == 3
        words = gate.stderr.read().decode()
        assert words.count("\n") == 1 and "kaged stop" in words


def test_its_memory_is_hidden_before_it_hears_of_any_secret() -> None:
    program = """
import ctypes, socket, sys
from kaged.gate import main
main._serve = lambda sock: print("dumpable", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
ours, theirs = socket.socketpair()
main.main(["--fd", str(theirs.detach()), "--wire", sys.argv[1], "--site", "/nowhere"])
"""
    command = [sys.executable, "-c", program, str(GATE_VERSION)]
    env = {**os.environ, "PYTHONPATH": str(MAIN.parents[2]), "PYTHONWARNINGS": "ignore"}
    assert subprocess.run(command, capture_output=True, env=env, timeout=30).stdout == b"dumpable 0\n"


def test_bad_arguments_are_said() -> None:
    command = [sys.executable, "-I", "-S", str(MAIN), "--fd", "x"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"gate: bad arguments")
