"""Terminals as the benchmark drives them: one interface over kaged, ttyd, and a PTY without any server.

`python ttys.py flood` is a client in a process of its own: it reads from its standard input which terminal to
take, floods it with `yes`, says so, and reads until it is ended.
"""

import contextlib
import os
import pty
import select
import shutil
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

import common  # noqa: F401 - makes the tests' clients importable
import msgspec
from wsclient import WebSocket

from e2e.clients import Browser

ACK_EVERY = 64 * 1024
SHELL = ["/bin/bash", "--norc", "--noprofile"]
TTYD = shutil.which("ttyd")


class Terminal(Protocol):
    """A shell in a terminal, and one client of it."""

    pids: tuple[int, ...]
    """The processes whose CPU is counted; empty: this one."""

    def write(self, data: bytes) -> None:
        """Type."""

    def read(self, most: int = 262144) -> bytes:
        """Wait for output and take it; on a socket, at most so many bytes of the wire."""

    def ready(self, seconds: float) -> bool:
        """Whether output comes within that time."""

    def close(self) -> None:
        """Leave."""


class Raw:
    """A PTY, read without any server."""

    def __init__(self) -> None:
        self.pids: tuple[int, ...] = ()
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.execve(SHELL[0], SHELL, {"PATH": "/usr/bin:/bin", "TERM": "xterm", "PS1": "$ "})
        termios.tcsetwinsize(self._master, (24, 80))

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self._master, data)

    def read(self, most: int = 262144) -> bytes:
        """Take what is there."""
        return os.read(self._master, most)

    def ready(self, seconds: float) -> bool:
        """Whether something is there."""
        return bool(select.select([self._master], [], [], seconds)[0])

    def close(self) -> None:
        """Hang up."""
        os.close(self._master)
        os.waitpid(self._pid, 0)


@dataclass(frozen=True)
class Address:
    """How to reach a server's terminal, for another process too."""

    kind: str
    origin: str
    cookie: str = ""
    key: str = ""
    path: str = "/ws"
    pids: tuple[int, ...] = ()

    def connect(self, receive_buffer: int = 0) -> "Served":
        """A client of it."""
        return Served(self, receive_buffer)


class Served:
    """A terminal over a WebSocket: `kaged.tty.v1`, or ttyd's `tty`, which has no acknowledgements."""

    def __init__(self, address: Address, receive_buffer: int) -> None:
        self.pids = address.pids
        self._kaged = address.kind == "kaged"
        browser = Browser(address.origin, address.cookie, address.key)
        protocol = "kaged.tty.v1" if self._kaged else "tty"
        self.socket = WebSocket(browser, address.path, protocol, receive_buffer=receive_buffer)
        self._output = b"\x00" if self._kaged else b"0"
        self._offset = self._acked = 0
        if self._kaged:
            self.socket.send(struct.pack("!BHH", 1, 80, 24))
        else:
            self.socket.send(b'{"AuthToken":"","columns":80,"rows":24}')

    def write(self, data: bytes) -> None:
        """Type."""
        self.socket.send(self._output + data)

    def read(self, most: int = 262144) -> bytes:
        """Wait for output; every 64 KiB of it are acknowledged, as the console does."""
        out = []
        for message in self.socket.receive(most):
            if message[:1] == self._output:
                out.append(message[1:])
            elif self._kaged and b"start" in message:
                self._offset = self._acked = int(msgspec.json.decode(message[1:])["start"])
        data = b"".join(out)
        self._offset += len(data)
        if self._kaged and self._offset - self._acked >= ACK_EVERY:
            self._acked = self._offset
            self.socket.send(b'\x02{"ack":%d}' % self._acked)
        return data

    def ready(self, seconds: float) -> bool:
        """Whether bytes are there."""
        return bool(select.select([self.socket.sock], [], [], seconds)[0])

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def until(terminal: Terminal, mark: bytes, *, at_most: int = 262144) -> int:
    """Read until `mark` has come; how many bytes that were."""
    count, tail = 0, b""
    while True:
        data = terminal.read(at_most)
        count += len(data)
        tail = tail[-len(mark) :] + data
        if mark in tail:
            return count


def prompt(terminal: Terminal) -> None:
    """A plain shell with nothing left to say."""
    terminal.write(b"printf 'he%s\\n' llo; exec env PS1='' /bin/bash --norc --noprofile --noediting\r")
    until(terminal, b"hello")
    terminal.write(b"stty -echo; printf 'begin%s\\n' ning\r")
    until(terminal, b"beginning")
    while terminal.ready(0.1):
        terminal.read()


@contextlib.contextmanager
def ttyd() -> Iterator[Address]:
    """ttyd with a shell for each client."""
    assert TTYD is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [TTYD, "-W", "-P", "300", "-i", "127.0.0.1", "-p", str(port), *SHELL]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.02)
        yield Address("ttyd", f"http://127.0.0.1:{port}", pids=(server.pid,))
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def flooded(address: Address | None) -> Iterator[None]:
    """Another terminal floods meanwhile, its client in a process of its own; None: a PTY without a server."""
    given = msgspec.json.encode(asdict(address) if address else None).decode()
    with subprocess.Popen(
        [sys.executable, __file__, "flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(given + "\n")
        client.stdin.flush()
        try:
            if client.stdout.readline() != "flooding\n":
                raise AssertionError("the flood's client did not start")
            yield
        finally:
            client.terminate()


def flood() -> None:
    """Be the flood's client."""
    given = msgspec.json.decode(sys.stdin.readline())
    terminal: Terminal = Raw() if given is None else msgspec.convert(given, Address).connect()
    prompt(terminal)
    terminal.write(b"yes 'another line of a flood that somebody left running'\r")
    until(terminal, b"flood that")
    print("flooding", flush=True)
    while True:
        terminal.read()


if __name__ == "__main__":
    flood()
