"""A small HTTP server on a unix socket that speaks the daemon's API from a table of answers."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Any | Callable[[dict[str, str], Any], Any]


@dataclass(frozen=True)
class Refusal:
    """An error answer."""

    status: int
    code: str
    message: str
    details: Any = None


@dataclass
class Daemon:
    """The routes (`GET /projects` → answer, or a function of query and body), and what was asked."""

    path: Path
    routes: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(url)
        route = f"{method} {parts.path.removeprefix('/api/v1')}"
        self.asked.append((route, body))
        if route not in self.routes:
            return 404, {"error": {"code": "not_found", "message": f"no {route}"}}
        found = self.routes[route]
        result = found(dict(parse_qsl(parts.query)), body) if callable(found) else found
        if isinstance(result, Refusal):
            error = {"code": result.code, "message": result.message, "details": result.details}
            return result.status, {"error": error}
        return 200, result


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    block_on_close = True
    state: Daemon


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        assert not raw or self.headers["Content-Type"] == "application/json"
        status, value = self.server.state.answer(self.command, self.path, json.loads(raw) if raw else None)
        text = isinstance(value, str)
        data = value.encode() if text else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


@contextmanager
def serving(path: Path) -> Iterator[Daemon]:
    """A daemon on `path` until the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = Daemon(path)
    with _Server(str(path), _Handler) as server:
        server.state = state
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
    path.unlink(missing_ok=True)
