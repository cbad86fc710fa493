"""A raw HTTP/1.1 server on 127.0.0.1 whose answers are scripted down to the byte."""

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One answer. `pieces` are written one by one; with `chunked` each is one HTTP chunk.

    `cut` re-cuts the whole stream: an int gives pieces of that many bytes, a sequence gives positions.
    `drop_at` aborts the connection after that many bytes of the body. `hold` waits for the event before the
    piece of that number; `hang` keeps the connection open after the last piece until the client leaves.
    """

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream; charset=utf-8"
    chunked: bool = True
    cut: int | Sequence[int] | None = None
    drop_at: int | None = None
    delay_s: float = 0.0
    hold: Mapping[int, asyncio.Event] = field(default_factory=dict)
    hang: bool = False
    per_write: int = 1

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)

    def but(self, **changes: Any) -> "Answer":
        """The same answer with something changed."""
        return replace(self, **changes)

    def planned(self) -> list[bytes]:
        """The pieces as they will be written."""
        if self.cut is None:
            pieces = list(self.pieces)
        elif isinstance(self.cut, int):
            body = self.body
            pieces = [body[i : i + self.cut] for i in range(0, len(body), self.cut)]
        else:
            body, edges = self.body, [0, *sorted(self.cut), len(self.body)]
            pieces = [body[a:b] for a, b in itertools.pairwise(edges) if b > a]
        if self.drop_at is None:
            return pieces
        left, out = self.drop_at, []
        for piece in pieces:
            out.append(piece[:left])
            left -= len(piece)
            if left <= 0:
                break
        return [piece for piece in out if piece]


def json_answer(status: int, body: Any, **headers: str) -> Answer:
    """An answer that is one JSON document."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer([json.dumps(body).encode()], status, named, "application/json")


def html_answer(status: int) -> Answer:
    """What a proxy or a wrong address answers."""
    page = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"
    return Answer([page], status, content_type="text/html")


class FakeServer:
    """Use as `async with`. Answers to the completion path come from `script`, then from `default`."""

    completion_path = "/"
    models_path = "/v1/models"

    def __init__(self, models: Iterable[str] = ("small", "large")) -> None:
        self.models = list(models)
        self.requests: list[Recorded] = []
        self.script: deque[Answer] = deque()
        self.default: Answer | None = None
        self.listing: Answer | None = None
        self.left = asyncio.Event()
        """Set when a client closed its connection before an answer had ended."""
        self.streaming = asyncio.Event()
        """Set when the first piece of an answer has been written."""
        self.arrived = asyncio.Event()
        """Set when a request has arrived whole."""
        self.connections = 0
        """How many connections there have been."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def root(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Recorded]:
        """The requests for an answer, without those for the list of models."""
        return [request for request in self.requests if request.path == self.completion_path]

    def will(self, *answers: Answer) -> Self:
        """Script the next answers."""
        self.script.extend(answers)
        return self

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=2**24)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                first = b""
                while (again := await self._serve(first, reader, writer)) is not None:
                    first = again
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """One request and its answer; None when the connection is over."""
        head = first + await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").rstrip().split("\r\n")
        method, path, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Recorded(method, path.split("?")[0], headers, body)
        self.requests.append(request)
        self.arrived.set()
        return await self._answer(self.choose(request), reader, writer)

    def choose(self, request: Recorded) -> Answer:
        """The answer to a request."""
        if request.path == self.models_path:
            return self.listing or json_answer(200, self.models_body())
        if request.path != self.completion_path:
            return json_answer(404, {"error": {"message": f"no route {request.path}"}})
        if self.script:
            return self.script.popleft()
        return self.default or json_answer(500, {"error": {"message": "the fake has no answer left"}})

    def models_body(self) -> Any:
        """The document that lists the models."""
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}

    async def _answer(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        watch = asyncio.create_task(reader.read(1))
        write = asyncio.create_task(self._write(answer, writer))
        try:
            await asyncio.wait([watch, write], return_when=asyncio.FIRST_COMPLETED)
            if not write.done() or (answer.hang and watch.done()):
                self.left.set()
                return None
            write.result()
            if answer.drop_at is not None or not answer.chunked:
                return None
            return await watch
        finally:
            for task in (watch, write):
                task.cancel()
            await asyncio.gather(watch, write, return_exceptions=True)

    async def _write(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        headers = {"content-type": answer.content_type, "request-id": "req_fake", **answer.headers}
        headers["transfer-encoding" if answer.chunked else "connection"] = "chunked" if answer.chunked else "close"
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        batch = b""
        for number, piece in enumerate(answer.planned()):
            if number in answer.hold:
                await answer.hold[number].wait()
            batch += b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece
            if (number + 1) % answer.per_write == 0:
                writer.write(batch)
                batch = b""
                await writer.drain()
                self.streaming.set()
                await asyncio.sleep(answer.delay_s)
        writer.write(batch)
        if answer.hang:
            await asyncio.Event().wait()
        if answer.drop_at is not None:
            await writer.drain()
            writer.close()
            return
        if answer.chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        if not answer.chunked:
            writer.close()
