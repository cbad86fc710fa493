"""A slow road to a daemon: a network namespace of its own, reached over a link that delays and loses packets.

The far end has the daemon's ports on its own 127.0.0.1, as `ssh -L` would: what connects there goes through the
kernel's TCP over the link, then to the daemon. The link is a TUN device at either end. Its delay and loss are the
kernel's netem where there is one, else this process delays and drops the packets between the two devices itself; TCP
is the kernel's in both cases, with its real acknowledgements, windows and retransmissions.

    python road.py door FOLDER PORT…             here: FOLDER/PORT leads to the port
    python road.py far FOLDER DELAY_MS LOSS PORT…    in a namespace of its own
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

NEAR, FAR = "10.77.0.1", "10.77.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
CLONE_NEWNET = 0x40000000
SEED = 20_261


@dataclass
class Traffic:
    """What came down the road to the far end."""

    packets: int = 0
    ip_bytes: int = 0
    socket_bytes: int = 0
    """Of WebSockets alone, without TCP's and IP's."""
    lost: int = 0


@dataclass
class Link:
    """Moves packets between two devices: late, and not all of them."""

    delay_s: float
    loss: float
    traffic: Traffic = field(default_factory=Traffic)
    held: deque[tuple[int, bytes]] | None = None
    cut: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    def carry(self, here: int, there: int, *, down: bool) -> None:
        """Packets that left at `here` arrive at `there`."""

        def ready() -> None:
            with contextlib.suppress(BlockingIOError):
                while packet := os.read(here, 65536):
                    if down:
                        self.traffic.packets += 1
                        self.traffic.ip_bytes += len(packet)
                    if self.cut or self.dice.random() < self.loss:
                        self.traffic.lost += 1
                    else:
                        asyncio.get_running_loop().call_later(self.delay_s, self._arrive, there, packet)

        os.set_blocking(here, False)
        asyncio.get_running_loop().add_reader(here, ready)

    def _arrive(self, device: int, packet: bytes) -> None:
        if self.held is not None:
            self.held.append((device, packet))
        elif not self.cut:
            os.write(device, packet)

    def hold(self) -> None:
        """Packets wait at the end of the road."""
        self.held = deque()

    def release(self) -> None:
        """They arrive, in their order."""
        held, self.held = self.held or (), None
        for device, packet in held:
            self._arrive(device, packet)


class Doors:
    """Connections that are passed on."""

    def __init__(self, traffic: Traffic | None = None) -> None:
        self._traffic = traffic
        self._writers: set[asyncio.StreamWriter] = set()
        self.closed = False

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opening: object) -> None:
        self._writers.add(writer)
        try:
            if self.closed:
                return
            there, to = await opening  # type: ignore[misc]
            self._writers.add(to)
            try:
                await asyncio.gather(self._pipe(reader, to), self._pipe(there, writer, count=True))
            finally:
                self._end(to)
        except OSError:
            pass
        finally:
            self._end(writer)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool = False) -> None:
        counts = None
        try:
            while data := await reader.read(65536):
                if counts is None:
                    counts = count and self._traffic is not None and data.startswith(b"HTTP/1.1 101")
                if counts and self._traffic is not None:
                    self._traffic.socket_bytes += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    def abort(self) -> None:
        """As when the network changes under them."""
        for writer in [*self._writers]:
            writer.transport.abort()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _device(name: str, address: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    _ip("address", "add", f"{address}/30", "dev", name)
    _ip("link", "set", name, "up")
    return device


def _netem(name: str, delay_ms: float, loss: float) -> bool:
    """Whether the kernel delays and loses packets by itself."""
    if not (tc := shutil.which("tc", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")):
        return False
    rule = f"qdisc add dev {name} root netem delay {delay_ms}ms loss {loss * 100}%".split()
    return subprocess.run([tc, *rule], capture_output=True, check=False).returncode == 0


def _listen(port: int) -> socket.socket:
    # asyncio sends small packets at once only on sockets that name their protocol.
    it = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    it.bind((NEAR, port))
    it.listen()
    return it


def _libc(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


async def far(folder: Path, delay_ms: float, loss: float, ports: list[int]) -> None:
    """The far end, and the road to it. Commands come by standard input, a line each, and are answered by a line."""
    _ip("link", "set", "lo", "up")
    here = _device("far", FAR)
    netem = _netem("far", delay_ms, loss)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    _libc("unshare", CLONE_NEWNET)
    there = _device("near", NEAR)
    netem = netem and _netem("near", delay_ms, loss)
    listening = {port: _listen(port) for port in ports}
    _libc("setns", home, CLONE_NEWNET)

    link = Link(0, 0) if netem else Link(delay_ms / 1000, loss)
    link.carry(here, there, down=False)
    link.carry(there, here, down=True)
    near_doors, far_doors = Doors(), Doors(link.traffic)
    for port in ports:
        await asyncio.start_server(
            lambda r, w, port=port: near_doors.pass_on(r, w, asyncio.open_unix_connection(folder / str(port))),
            sock=listening[port],
        )
        await asyncio.start_server(
            lambda r, w, port=port: far_doors.pass_on(r, w, asyncio.open_connection(NEAR, port)), "127.0.0.1", port
        )
    print("netem" if netem else "tun", flush=True)
    while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if command in ("hold", "release"):
            getattr(link, command)()
        elif command in ("cut", "mend"):
            link.cut = far_doors.closed = command == "cut"
            far_doors.abort()
            near_doors.abort()
        counted = link.traffic
        print(counted.packets, counted.ip_bytes, counted.socket_bytes, counted.lost, flush=True)


async def door(folder: Path, ports: list[int]) -> None:
    """The near end, in the daemon's own namespace. Ends with its standard input."""
    doors = Doors()
    for port in ports:
        await asyncio.start_unix_server(
            lambda r, w, port=port: doors.pass_on(r, w, asyncio.open_connection("127.0.0.1", port)), folder / str(port)
        )
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def why_not() -> str | None:
    """What this machine lacks for a road."""
    if lacking := [program for program in ("ip", "unshare", "nsenter") if shutil.which(program) is None]:
        return f"{lacking[0]} is not installed"
    probe = "import fcntl, os, struct; d = os.open('/dev/net/tun', os.O_RDWR); "
    probe += f"fcntl.ioctl(d, {TUNSETIFF}, struct.pack('16sH', b'far', {IFF_TUN | IFF_NO_PI}))"
    command = ["unshare", "-Urn", sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no TUN device can be made here: {done.stderr.strip().splitlines()[-1]}"


class Road:
    """The road as a test has it."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]", kind: str) -> None:
        self.kind = kind
        """`netem`, or `tun` where the kernel has none."""
        self._process = process
        self._lock = threading.Lock()
        self.chromium = folder / "chromium"
        """Debian's Chromium at the far end."""
        enter = f"nsenter -t {process.pid} -U -n --preserve-credentials"
        self.enter = enter.split()
        from e2e.chromium import CHROMIUM  # not where this file is the road itself

        self.chromium.write_text(f'#!/bin/sh\nexec {enter} -- {CHROMIUM} "$@"\n')
        self.chromium.chmod(0o755)

    def tell(self, command: str) -> Traffic:
        """`hold`, `release`, `cut`, `mend` or `count`; what came down until now."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
            return Traffic(*map(int, self._process.stdout.readline().split()))


@contextlib.contextmanager
def road(folder: Path, *ports: int, delay_ms: float = 75, loss: float = 0.02) -> Iterator[Road]:
    """A road to these ports of 127.0.0.1, with so much delay and loss each way. `folder` is short and exists."""
    me, names = [sys.executable, __file__], [str(port) for port in ports]
    with contextlib.ExitStack() as stack:

        def start(*command: str) -> tuple["subprocess.Popen[str]", str]:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, _said(process.stdout)

        start(*me, "door", str(folder), *names)
        process, kind = start("unshare", "-Urn", *me, "far", str(folder), str(delay_ms), str(loss), *names)
        yield Road(folder, process, kind)


def _said(output: TextIO) -> str:
    line = output.readline().strip()
    assert line, "the road was not built"
    return line


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "door":
        asyncio.run(door(Path(where), [int(port) for port in rest]))
    else:
        asyncio.run(far(Path(where), float(rest[0]), float(rest[1]), [int(port) for port in rest[2:]]))
