"""What stands before a daemon, in a few lines: a sidecar with one port a user, which says with each request who that
is; and, with KAGED_TEST_SUBPATH, the proxy that has kaged below that path and nothing of it elsewhere."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator

SUBPATH = os.environ.get("KAGED_TEST_SUBPATH", "")
"""Such as `/kaged`: where the end-to-end tests have the daemons, in place of the root of their address."""

NONCE = "5e1c9a7be2d84506a1b7c3d9e5f20864ffeeddccbbaa99887766554433221100"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        writer.close()


class Front:
    """Runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def open(self, upstream: Callable[[], int], *said: str, strips: bool = False) -> str:
        """A new address, with the path if there is one, before the daemon at the port that `upstream` says. Adds the
        lines `said` to each request; `strips` takes the path away from it."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                first, *rest = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
                method, target, version = first.split(b" ")
                below = target.removeprefix(SUBPATH.encode())
                if SUBPATH and (below == target or below[:1] != b"/"):
                    status = "404 Not Found" if below else f"308 Permanent Redirect\r\nLocation: {SUBPATH}/"
                    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
                    return
                first = b" ".join((method, below if strips else target, version))
                upgrade = any(line.lower().startswith(b"upgrade:") for line in rest)
                # One request a connection: so that each passes here.
                kept = [line for line in rest if upgrade or not line.lower().startswith(b"connection:")]
                more = [line.encode() for line in said] + ([] if upgrade else [b"Connection: close"])
                there, to = await asyncio.open_connection("127.0.0.1", upstream())
                to.write(b"\r\n".join([first, *kept, *more, b"", b""]))
                try:
                    await asyncio.gather(_pipe(reader, to), _pipe(there, writer))
                finally:
                    to.close()

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        async def listen() -> int:
            server = await asyncio.start_server(served, "127.0.0.1", 0)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])

        port = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(20)
        return f"http://127.0.0.1:{port}{SUBPATH}"

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            mine = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not mine]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # What was closed is closed in the next turn

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def front() -> Iterator[Front]:
    """Doors to daemons, closed at the end."""
    it = Front()
    try:
        yield it
    finally:
        it.close()
