"""The real process, for real programs in a network namespace that has nothing but the gate's listeners."""

import array
import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from real_gate import LIMIT_S, Peer, TestAuthority, process, rules, serving

pytestmark = [
    pytest.mark.cage,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed"),
]

NFT = """table inet kaged { chain out_nat { type nat hook output priority -100; policy accept;
  oifname "lo" ip daddr 127.0.0.0/8 accept
  meta l4proto tcp tcp dport 53 redirect to :53
  meta l4proto tcp redirect to :1
  udp dport 53 redirect to :53
}
}"""

INSIDE = """
import array, socket, subprocess, sys
port, nft, out = int(sys.argv[1]), sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
for command in ("link set lo up", "addr add 198.19.255.254/32 dev lo", "route add local default dev lo"):
    subprocess.run(["ip", *command.split()], check=True)
if nft:
    subprocess.run(["nft", "-f", "-"], input=nft.encode(), check=True)
udp, address = socket.socket(type=socket.SOCK_DGRAM), "127.0.0.1" if nft else "0.0.0.0"
udp.bind((address, 53))
tcp = [socket.create_server((address, number)) for number in ([53, 1] if nft else [53, port, 80])]
fds = array.array("i", [it.fileno() for it in (udp, *tcp)])
out.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
for it in (udp, *tcp):
    it.close()
sys.stdin.read()
"""


@contextlib.contextmanager
def namespace(port: int, nft: str) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process in a namespace of its own, and the descriptors of its listeners."""
    ours, theirs = socket.socketpair()
    command = ["unshare", "-Urn", sys.executable, "-c", INSIDE, str(port), nft, str(theirs.fileno())]
    with ours, subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]) as inside:
        theirs.close()
        _, ancillary, _, _ = ours.recvmsg(1, 1000)
        assert ancillary, "the namespace could not be made"
        fds = array.array("i", ancillary[0][2]).tolist()
        yield inside, fds
        assert inside.stdin is not None
        inside.stdin.close()


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[tuple[int, TestAuthority]]:
    """A real HTTPS server outside."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))

    world = TestAuthority(tmp_path)
    async with serving(handler, world.context("api.example.com")) as port:
        yield port, world


async def curl(inside: subprocess.Popen[bytes], *arguments: str) -> tuple[int, str]:
    """Exit code and output of curl in the namespace."""
    enter = ["nsenter", "-t", str(inside.pid), "-U", "-n", "--preserve-credentials"]
    ran = await asyncio.create_subprocess_exec(
        *enter, "curl", "-sS", "-m", "20", "--noproxy", "*", *arguments, stdout=-1, stderr=-2
    )
    async with asyncio.timeout(LIMIT_S):
        out, _ = await ran.communicate()
    return ran.returncode or 0, out.decode()


@pytest.mark.parametrize("mode", ["nft", "routes"])
async def test_real_programs_reach_what_is_allowed_and_nothing_else(
    mode: str, upstream: tuple[int, TestAuthority], tmp_path: Path
) -> None:
    if mode == "nft" and shutil.which("nft") is None:
        pytest.skip("nft is not installed")
    port, world = upstream
    name = f"api.example.com:{port}"
    secret = {"name": "T", "host": "api.example.com", "port": port, "header": "Authorization", "format": "Bearer {}"}
    rule = {"host": "api.example.com", "port": port, "paths": ["/v1/*"]}
    ca = ["--cacert", str(world.file)]
    with (
        process(SSL_CERT_FILE=str(world.file)) as (_, sock),
        namespace(port, NFT if mode == "nft" else "") as (inside, fds),
    ):
        peer = Peer(sock)
        files = (await peer.ok("authority", cage="c1"))["files"]
        kinds = ["udp53", "tcp53", *["tcp"] * (len(fds) - 2)]
        await peer.ok("open", fds, cage="c1", policy=rules(name), nft=mode == "nft", sockets=kinds, secrets={})

        code, text = await curl(inside, *ca, f"https://{name}/untouched")
        assert code == 0 and "GET /untouched HTTP/1.1" in text, text
        assert (await peer.event(verdict="allowed"))["via"] == "tls"
        code, text = await curl(inside, *ca, f"https://evil.example.org:{port}/")
        assert code == 6, text  # could not resolve
        assert (await peer.event(verdict="denied"))["host"] == "evil.example.org"
        code, text = await curl(inside, "http://api.example.com/")
        assert code == 0 and "kaged denied" in text, text
        code, text = await curl(inside, "-k", f"https://93.184.216.34:{port}/")
        assert code == 35 and "access denied" in text, text
        resolve = f"evil.example.org:{port}:198.18.0.1"
        code, text = await curl(inside, "-k", "--resolve", resolve, f"https://evil.example.org:{port}/")
        assert code == 35 and "access denied" in text, text

        policy = rules(http=[rule], secrets=[secret])
        await peer.ok("policy", cage="c1", policy=policy, secrets={"T": "sk-real-value"})
        cage_ca = tmp_path / "cage.pem"
        import base64

        cage_ca.write_bytes(base64.b64decode(files["ca"]))
        code, text = await curl(inside, "--cacert", str(cage_ca), "-H", "Authorization: mine", f"https://{name}/v1/x")
        assert code == 0 and "Authorization: Bearer *************\r\n" in text and "mine" not in text, text
        code, text = await curl(inside, "--cacert", str(cage_ca), f"https://{name}/v2/x")
        assert "no http rule allows this method and path" in text, text
        await peer.ok("close", cage="c1")
        sock.shutdown(socket.SHUT_WR)
        await peer.task
        for fd in fds:
            socket.socket(fileno=fd).close()
