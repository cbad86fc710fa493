"""The public end of the tunnel: TLS for the public names, each passed on to one address of this machine.

Run as a program: `edge.py CERTIFICATE NAME=TARGET…`, a target being `host:port` or `unix:/path`. Does to the
head of a request what cloudflared does (its own `Connection`, the caller's address and scheme) and changes
nothing else. `NAME=TARGET=LOGIN` plays `tailscale serve`: no client's `Tailscale-*` passes, and as long as the
file `TARGET.login` exists, the node that calls is the user it names.
"""

import asyncio
import contextlib
import signal
import ssl
import sys
from pathlib import Path

_HOP = {b"connection", b"keep-alive", b"x-forwarded-proto", b"x-forwarded-host", b"cf-connecting-ip"}
_LIMIT = 256 * 1024


async def main(certificate: str, *routes: str) -> None:
    """Serve port 443 until a signal."""
    table = {name: target for name, _, target in (route.partition("=") for route in routes)}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await _pass_on(reader, writer, table)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 443, ssl=context, limit=_LIMIT)
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    await done.wait()
    server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, table: dict[str, str]) -> None:
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    named = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
    host = next(line.partition(b":")[2].strip().decode() for name, line in named if name == b"host")
    target, _, serve = table[host].partition("=")
    upgrade = any(name == b"upgrade" for name, _ in named)
    kept = [line for name, line in named if name not in _HOP and not (serve and name.startswith(b"tailscale-"))]
    added = [b"Connection: " + (b"Upgrade" if upgrade else b"close"), b"X-Forwarded-Proto: https"]
    added += [b"CF-Connecting-IP: 192.0.2.7", b"X-Forwarded-Host: " + host.encode()] if serve else []
    if serve and Path(serve).exists():
        added += Path(serve).read_bytes().splitlines()
    if target.startswith("unix:"):
        there = await asyncio.open_unix_connection(target.removeprefix("unix:"), limit=_LIMIT)
    else:
        address, _, port = target.rpartition(":")
        there = await asyncio.open_connection(address, int(port), limit=_LIMIT)
    there[1].write(b"\r\n".join([first, *kept, *added, b"", b""]))
    async with asyncio.TaskGroup() as group:
        back = group.create_task(_pump(there[0], writer))
        forth = group.create_task(_pump(reader, there[1]))
        await back
        forth.cancel()
    there[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
