"""A gate in this process, driven over its real socket; what stands for the cage's side are listeners here."""

import asyncio
import contextlib
import datetime
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kaged.core import keeper_wire as wire
from kaged.core.gate_wire import GATE_VERSION
from kaged.gate.control import Gate
from kaged.gate.policy import Policy
from kaged.gate.upstream import Upstream

MAIN = Path(__file__).resolve().parent.parent / "src" / "kaged" / "gate" / "main.py"
LIMIT_S = 30.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LocalUpstream(Upstream):
    """The real one, but ports nobody may bind here lead to ports of this test."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[tuple[str, int], int] = {}
        self.connects = 0

    async def connect(self, policy: Policy, host: str, port: int) -> socket.socket:
        self.connects += 1
        return await super().connect(policy, host, self.ports.get((host, port), port))


class Peer:
    """The keeper's end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._reader = wire.FrameReader()
        self._news = asyncio.Condition()
        self._number = 0
        sock.setblocking(False)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self.sock, 65_536):
            async with self._news:
                for frame in self._reader.feed(data):
                    if "ev" in frame.header:
                        self.events.append(frame.header)
                    else:
                        self._answers[frame.header["n"]] = frame.header
                self._news.notify_all()

    async def ask(self, op: str, fds: list[int] | None = None, **fields: Any) -> dict[str, Any]:
        """The whole answer."""
        self._number += 1
        number = self._number
        data = wire.encode({"n": number, "op": op, **fields}, b"", len(fds or []))
        assert wire.send(self.sock, data, fds or []) == len(data)
        async with asyncio.timeout(LIMIT_S), self._news:
            await self._news.wait_for(lambda: number in self._answers)
        return self._answers.pop(number)

    async def ok(self, op: str, fds: list[int] | None = None, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(op, fds, **fields)
        assert "ok" in answer, answer
        return answer["ok"]

    async def event(self, **wanted: Any) -> dict[str, Any]:
        """Wait for an event with these fields and take it."""

        def fits(event: dict[str, Any]) -> bool:
            return all(event.get(name) == value for name, value in wanted.items())

        try:
            async with asyncio.timeout(LIMIT_S), self._news:
                await self._news.wait_for(lambda: any(map(fits, self.events)))
        except TimeoutError:
            raise AssertionError(f"no event {wanted} in {self.events}") from None
        found = next(filter(fits, self.events))
        self.events.remove(found)
        return found


class Driver:
    """A gate with one open cage."""

    def __init__(self) -> None:
        self.upstream = LocalUpstream()
        self.going_to: deque[tuple[str, int]] = deque()
        self.addresses: dict[str, str] = {}
        self.sockets: dict[str, socket.socket] = {}
        self.files: dict[str, str] = {}
        ours, theirs = socket.socketpair()
        gate = Gate(original=lambda _: self.going_to.popleft(), upstream=self.upstream)
        self.task = asyncio.create_task(gate.serve(theirs))
        self.peer = Peer(ours)

    async def open(
        self, policy: dict[str, Any], secrets: dict[str, str] | None = None, *, authority: bool = True
    ) -> None:
        if authority:
            self.files = (await self.peer.ok("authority", cage="c1"))["files"]
        for sock in self.sockets.values():
            sock.close()
        self.sockets = listeners()
        fds = [sock.fileno() for sock in self.sockets.values()]
        kinds = list(self.sockets)
        fields = {"cage": "c1", "policy": policy, "secrets": secrets or {}, "nft": False, "sockets": kinds}
        await self.peer.ok("open", fds, **fields)

    async def address(self, host: str) -> str:
        """What the cage's name server says."""
        if host not in self.addresses:
            reply = await query(self.sockets["udp53"].getsockname(), question(host))
            assert reply[3] & 15 == 0 and reply[7] == 1, reply
            self.addresses[host] = socket.inet_ntoa(reply[-4:])
        return self.addresses[host]

    async def connect(self, host: str, port: int) -> socket.socket:
        """As a program in the cage would connect."""
        return await self.connect_to(await self.address(host), port)

    async def connect_to(self, address: str, port: int) -> socket.socket:
        self.going_to.append((address, port))
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.sockets["tcp"].getsockname())
        return sock

    async def streams(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self.connect(host, port)
        more = {"ssl": tls, "server_hostname": name or host} if tls else {}
        return await asyncio.open_connection(sock=sock, **more)

    async def say(self, host: str, port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
        """Send, and read to the end."""
        reader, writer = await self.streams(host, port, tls)
        writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.read()
        writer.close()
        return answer

    def trusting(self) -> ssl.SSLContext:
        """A program's context that trusts the cage's authority."""
        import base64

        context = ssl.create_default_context(cadata=base64.b64decode(self.files["ca"]).decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    async def stop(self) -> None:
        self.peer.sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(LIMIT_S):
            await self.task
            await self.peer.task
        for sock in (self.peer.sock, *self.sockets.values()):
            sock.close()


def listeners() -> dict[str, socket.socket]:
    """What the keeper's child makes in a cage's network namespace."""
    sockets = {"udp53": socket.socket(type=socket.SOCK_DGRAM), "tcp53": socket.socket(), "tcp": socket.socket()}
    for sock in sockets.values():
        sock.bind(("127.0.0.1", 0))
        if sock.type == socket.SOCK_STREAM:
            sock.listen(2048)
    return sockets


@contextlib.asynccontextmanager
async def driving(
    policy: dict[str, Any] | None = None, secrets: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Driver]:
    """A gate, with a cage open when there is a policy."""
    driver = Driver()
    try:
        if policy is not None:
            await driver.open(policy, secrets, **options)
        yield driver
    finally:
        await driver.stop()


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A real server on this machine."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def question(host: str, kind: int = 1) -> bytes:
    """A DNS query."""
    labels = b"".join(bytes([len(it)]) + it for it in host.encode("latin-1").split(b"."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!x2H", kind, 1)


async def query(server: tuple[str, int], data: bytes) -> bytes:
    """Ask over UDP."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, server)
        await loop.sock_sendall(sock, data)
        async with asyncio.timeout(LIMIT_S):
            return await loop.sock_recv(sock, 4096)


def rules(*places: str, **more: Any) -> dict[str, Any]:
    """A policy that allows `host:port`; each host is at 127.0.0.1."""
    allow = [{"host": place.split(":")[0], "port": int(place.split(":")[1])} for place in places]
    others = [*more.get("http", ()), *more.get("secrets", ())]
    hosts = {it["host"]: "127.0.0.1" for it in (*allow, *others) if "*" not in it["host"]}
    return {"mode": "enforce", "allow": allow, "hosts": hosts, "ask_timeout_s": 60, **more}


class TestAuthority:
    """The authority that real hosts' certificates come from in these tests."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the world")])
        root = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(True, None))
        self.file = folder / "world.pem"
        self.file.write_bytes(root)

    def _sign(self, name: x509.Name, key: Any, *extensions: x509.ExtensionType) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + day)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def context(self, host: str) -> ssl.SSLContext:
        """A server's."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        leaf = self._sign(x509.Name([]), key.public_key(), x509.BasicConstraints(False, None), names)
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        path = self._folder / f"{host}.pem"
        path.write_bytes(pem + leaf)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@contextlib.contextmanager
def process(version: int = GATE_VERSION, **env: str) -> Any:
    """The real process: (Popen, our socket)."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-S", str(MAIN), "--fd", str(theirs.fileno())]
    site = sysconfig.get_paths()["purelib"]
    started = subprocess.Popen(
        [*command, "--wire", str(version), "--site", site],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
        env={**os.environ, **env},
    )
    theirs.close()
    try:
        yield started, ours
    finally:
        ours.close()
        if started.poll() is None:
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.send_signal(signal.SIGKILL)
                started.wait()
                raise
        started.stderr.close()
