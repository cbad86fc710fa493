"""A sidecar of a few lines: one port a user, which says with each request who that is."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

NONCE = "5e1c9a7be2d84506a1b7c3d9e5f20864ffeeddccbbaa99887766554433221100"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        writer.close()


class Front:
    """Runs in a thread of its own; `url` of a user is that user's way in."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def url(self, user: str, name: str = "") -> str:
        """A new address under which everybody is `user`."""
        said = [f"X-Kaged-Auth-Nonce: {NONCE}", f"X-Kaged-User-Id: {user}"]
        said += [f"X-Kaged-User-Name: {name}"] if name else []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                first, *rest = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
                upgrade = any(line.lower().startswith(b"upgrade:") for line in rest)
                # One request a connection: so that each passes here.
                kept = [line for line in rest if upgrade or not line.lower().startswith(b"connection:")]
                more = [line.encode() for line in said] + ([] if upgrade else [b"Connection: close"])
                there, to = await asyncio.open_connection("127.0.0.1", self._upstream)
                to.write(b"\r\n".join([first, *kept, *more, b"", b""]))
                try:
                    await asyncio.gather(_pipe(reader, to), _pipe(there, writer))
                finally:
                    to.close()
            writer.close()

        async def listen() -> int:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])

        port = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(20)
        return f"http://127.0.0.1:{port}"

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
def front(upstream: int) -> Iterator[Front]:
    """A front door before the daemon on that port."""
    it = Front(upstream)
    try:
        yield it
    finally:
        it.close()
