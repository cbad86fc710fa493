"""Bytes through the gate against a direct connection: throughput, round trip, new connections.

Usage: python benchmarks/bench_gate.py [--quick] [--json FILE]

The gate is the real process, as the keeper starts it. Everything runs in one network namespace where each
address is this machine's, so the gate's listener can have the fake address of the host. The direct peer is
the same client on the same server, in turns with the gate. Excluded: starting the gate, opening the cage.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import common
from common import Report, Target

from kaged.core import keeper_wire as wire
from real_gate import process, question

HOST = "api.example.com"
PORT = 7000
PIECE = 256 * 1024
INSIDE = "kaged-bench-inside"


def enter_namespace() -> None:
    """Go on in a network namespace where each address is this machine's."""
    if os.environ.get(INSIDE):
        for command in ("link set lo up", "route add local default dev lo"):
            subprocess.run(["ip", *command.split()], check=True)
        return
    command = ["unshare", "-Urn", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


def serve(listener: socket.socket) -> None:
    """One thread a connection: the first byte says what is wanted."""

    def one(sock: socket.socket) -> None:
        with sock:
            wanted = sock.recv(1)
            if wanted == b"d":  # as much as the next eight bytes say
                left, piece = int.from_bytes(sock.recv(8), "big"), bytes(PIECE)
                while left > 0:
                    left -= sock.send(piece[: min(left, PIECE)])
            while wanted == b"e" and (data := sock.recv(100)):
                sock.sendall(data)

    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=one, args=(sock,), daemon=True).start()


def ask(sock: socket.socket, op: str, fds: list[int] | None = None, **fields: object) -> None:
    """One request to the gate, and its answer."""
    data = wire.encode({"n": 1, "op": op, **fields}, b"", len(fds or []))
    wire.send(sock, data, fds or [])
    reader = wire.FrameReader()
    while not (frames := [it for it in reader.feed(sock.recv(65_536)) if "n" in it.header]):
        pass
    if "ok" not in frames[0].header:
        raise SystemExit(str(frames[0].header))


def drain(sock: socket.socket) -> None:
    """The gate's events go nowhere."""
    with contextlib.suppress(OSError):
        while sock.recv(65_536):
            pass


@contextmanager
def gate() -> Iterator[tuple[str, int]]:
    """The address behind which the gate leads to the server."""
    with process() as (_, sock), socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        tcp = socket.create_server(("198.18.0.1", PORT), backlog=1024)  # the first name's address
        policy = {"mode": "enforce", "hosts": {HOST: "127.0.0.1"}, "allow": [{"host": HOST, "port": PORT}]}
        fds = [udp.fileno(), tcp.fileno()]
        fields = {"policy": policy, "secrets": {}, "nft": False, "sockets": ["udp53", "tcp"]}
        ask(sock, "open", fds, cage="bench", **fields)
        threading.Thread(target=drain, args=(sock,), daemon=True).start()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(question(HOST), udp.getsockname())
            yield socket.inet_ntoa(client.recv(512)[-4:]), PORT
        tcp.close()
        sock.shutdown(socket.SHUT_RDWR)


def connected(address: tuple[str, int]) -> socket.socket:
    """A new connection."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def throughput(address: tuple[str, int], size: int) -> float:
    """MB/s of one download."""
    buffer, left = bytearray(PIECE), size
    with connected(address) as sock:
        before = time.perf_counter()
        sock.sendall(b"d" + size.to_bytes(8, "big"))
        while left:
            left -= sock.recv_into(buffer)
        return size / 1e6 / (time.perf_counter() - before)


def round_trip(address: tuple[str, int], times: int) -> float:
    """Median microseconds of a byte there and back."""
    taken = []
    with connected(address) as sock:
        sock.sendall(b"e\0")
        sock.recv(1)
        for _ in range(times):
            before = time.perf_counter()
            sock.sendall(b"!")
            sock.recv(1)
            taken.append((time.perf_counter() - before) * 1e6)
    return common.percentile(taken, 50)


def new_connection(address: tuple[str, int], times: int) -> float:
    """Median milliseconds until the first byte came back over a new connection."""

    def once() -> None:
        with connected(address) as sock:
            sock.sendall(b"e\0")
            sock.recv(1)

    return common.percentile([common.timed(once) for _ in range(times)], 50)


def main() -> None:
    """Print the table."""
    options = common.options("gate", __doc__)
    enter_namespace()
    rounds, size, times = options.pick((1, 20_000_000, 50), (5, 400_000_000, 1000), (11, 1_000_000_000, 3000))
    report = Report("gate", "the gate against a direct connection", options, "starting the gate, opening the cage")
    listener = socket.create_server(("127.0.0.1", PORT), backlog=1024)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    direct = listener.getsockname()
    measures: list[tuple[str, str, Callable[[tuple[str, int], int], float], int, Target]] = [
        ("throughput", "MB/s", throughput, size, Target(0.2, least=True)),
        ("round trip p50", "us", round_trip, times, Target(200, of="figure")),
        ("new connection p50", "ms", new_connection, times // 5, Target(2.0, of="figure")),
    ]
    with gate() as address:
        for what, unit, measure, amount, target in measures:
            ours, peer = [], []
            for _ in range(rounds):
                ours.append(measure(address, amount))
                peer.append(measure(direct, amount))
            report.add(what, unit, ours, "direct", peer, target=target)
    report.finish()


if __name__ == "__main__":
    main()
