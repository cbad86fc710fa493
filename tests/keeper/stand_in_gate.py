"""A gate for tests: it speaks the keeper's wire, answers DNS, and tells over HTTP what it would let through.

`--site` is the folder where it writes down every request it gets (`gate.log`, a JSON object a line).
Besides the policy it knows two hosts: `ask.example.com` asks first, `hang.example.com` makes it hang.
"""

import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))

from kaged.core import keeper_wire as wire
from kaged.core.gate_wire import GATE_VERSION

SO_ORIGINAL_DST = 80


class Cage:
    """What is open for one cage."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.id = request["cage"]
        self.policy = request["policy"]
        self.nft = request["nft"]
        self.names: dict[str, str] = {}
        self.sockets: list[socket.socket] = []

    def allows(self, host: str, port: int | None = None) -> bool:
        if host in ("ask.example.com", "hang.example.com"):
            return True
        return any(rule["host"] == host and port in (None, rule["port"]) for rule in self.policy["allow"])

    def address(self, name: str) -> str:
        return self.names.setdefault(name, f"198.18.0.{len(self.names) + 1}")

    def host(self, address: str) -> str:
        return next((name for name, fake in self.names.items() if fake == address), address)


class Gate:
    """Everything; one thread for each socket, so that it stays short."""

    def __init__(self, sock: socket.socket, folder: Path) -> None:
        self.sock = sock
        self.folder = folder
        self.cages: dict[str, Cage] = {}
        self.asks: dict[int, threading.Event] = {}
        self.verdicts: dict[int, str] = {}
        self.hangs = False
        self.lock = threading.Lock()

    def send(self, header: dict[str, Any]) -> None:
        with self.lock:
            self.sock.sendall(wire.encode(header))

    def serve(self) -> None:
        reader = wire.FrameReader()
        while True:
            data, fds = wire.receive(self.sock)
            if not data:
                os._exit(0)
            for frame in reader.feed(data, fds):
                with (self.folder / "gate.log").open("a") as file:
                    file.write(json.dumps(frame.header) + "\n")
                while self.hangs:
                    time.sleep(1000)
                self.send({"n": frame.header["n"], **self.do(frame)})

    def do(self, frame: wire.Frame) -> dict[str, Any]:
        request = frame.header
        op = request["op"]
        if op == "authority":
            pem = base64.b64encode(f"authority of {request['cage']}".encode()).decode()
            return {"ok": {"files": dict.fromkeys(("ca", "ca-bundle", "ca-truststore"), pem)}}
        if op == "open":
            if "refused.example.com" in json.dumps(request["policy"]):
                return {"error": {"code": "bad_request", "message": "these rules are refused", "details": None}}
            self.open(Cage(request), request["sockets"], frame.fds)
        elif op == "policy":
            self.cages[request["cage"]].policy = request["policy"]
        elif op == "close" and request["cage"] in self.cages:
            for sock in self.cages.pop(request["cage"]).sockets:
                sock.close()
        elif op == "answer":
            self.verdicts[request["ask"]] = request["verdict"]
            self.asks[request["ask"]].set()
        return {"ok": {}}

    def open(self, cage: Cage, kinds: list[str], fds: tuple[int, ...]) -> None:
        self.cages[cage.id] = cage
        serve = {"udp53": self.udp53, "tcp53": self.tcp53, "tcp": self.tcp}
        for kind, fd in zip(kinds, fds, strict=True):
            sock = socket.socket(fileno=fd)
            sock.setblocking(True)
            cage.sockets.append(sock)
            threading.Thread(target=serve[kind], args=(cage, sock), daemon=True).start()

    def udp53(self, cage: Cage, sock: socket.socket) -> None:
        while True:
            data, extra, _, client = sock.recvmsg(4096, 256)
            asked = [(level, kind, raw) for level, kind, raw in extra if level == socket.IPPROTO_IP and kind == 8]
            # The answer leaves with the address that was asked, whose ever it is.
            source = [(level, kind, struct.pack("I", 0) + raw[8:12] + raw[8:12]) for level, kind, raw in asked]
            sock.sendmsg([answer(cage, data)], source, 0, client)

    def tcp53(self, cage: Cage, sock: socket.socket) -> None:
        while True:
            with sock.accept()[0] as connection:
                data = connection.recv(4096)
                reply = answer(cage, data[2:])
                connection.sendall(struct.pack("!H", len(reply)) + reply)

    def tcp(self, cage: Cage, sock: socket.socket) -> None:
        while True:
            connection, _ = sock.accept()
            threading.Thread(target=self.connection, args=(cage, connection), daemon=True).start()

    def connection(self, cage: Cage, sock: socket.socket) -> None:
        address, port = sock.getsockname()[:2]
        try:
            if cage.nft and sock.family == socket.AF_INET:
                raw = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
                port, address = struct.unpack_from("!H", raw, 2)[0], socket.inet_ntoa(raw[4:8])
            elif cage.nft:
                raw = sock.getsockopt(41, SO_ORIGINAL_DST, 28)
                port, address = (struct.unpack_from("!H", raw, 2)[0], socket.inet_ntop(socket.AF_INET6, raw[8:24]))
        except OSError:  # it connected to the listener itself
            pass
        host = cage.host(address)
        allowed = cage.allows(host, port)
        if host == "hang.example.com":
            self.hangs = True
        if host == "ask.example.com":
            allowed = self.ask(cage, host, port)
        if allowed:
            sock.settimeout(10)
            sock.recv(4096)
            body = f"served {host}:{port}".encode()
            sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        verdict = "allowed" if allowed else "denied"
        self.send({"ev": "network", "cage": cage.id, "verdict": verdict, "host": host, "port": port, "via": "tcp"})

    def ask(self, cage: Cage, host: str, port: int) -> bool:
        number = len(self.asks) + 1
        self.asks[number] = threading.Event()
        self.send({"ev": "ask", "ask": number, "cage": cage.id, "host": host, "port": port, "via": "tcp"})
        self.asks[number].wait(30)
        verdict = self.verdicts.get(number, "deny")
        self.send({"ev": "ask_done", "ask": number, "cage": cage.id, "verdict": verdict, "by": "operator"})
        return verdict != "deny"


def answer(cage: Cage, query: bytes) -> bytes:
    """The reply to a DNS query: a false address for what is allowed, no such name otherwise."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    question = query[12 : at + 5]
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    name = ".".join(labels).lower()
    found = cage.allows(name)
    head = query[:2] + struct.pack("!HHHHH", 0x8180 if found else 0x8183, 1, int(found and kind == 1), 0, 0)
    if not found or kind != 1:
        return head + question
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(cage.address(name))
    return head + question + record


if __name__ == "__main__":
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    if options["--wire"] != str(GATE_VERSION):
        sys.exit(3)
    folder = Path(options["--site"])
    if (folder / "gate-refuses").exists():
        sys.stderr.write("the gate does not want to\n")
        sys.exit(3)
    Gate(socket.socket(fileno=int(options["--fd"])), folder).serve()
