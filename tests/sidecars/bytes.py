"""Requests as raw bytes, sent to a sidecar's door by somebody who has a session there."""

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from e2e.front import SUBPATH
from sidecars.chains import Chain
from sidecars.town import PUBLIC, Person, Town

HOST = PUBLIC.removeprefix("https://")
ME = "/api/v1/me"
WS_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
AWAY = (302, 307)
"""A sidecar's way to the sign-in."""
REFUSED = (*AWAY, 401, 403)
Line = str | bytes


class Answer(NamedTuple):
    """What came back; status 0 when the connection was closed without a word."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """A person with a session, at the door of one chain, who writes the bytes of each request."""

    town: Town
    chain: Chain
    person: Person
    cookie: str = field(repr=False)

    @property
    def id(self) -> str:
        """The id by which kaged knows them."""
        return self.person.email if self.chain.by_email else self.person.sub

    def session(self) -> list[Line]:
        """The lines that make a request theirs, as what stands before the door writes them."""
        return [*self.chain.lines(self.town, self.person, self.cookie)]

    def request(self, path: str, *lines: Line, method: str = "GET", host: str = HOST, body: bytes = b"") -> bytes:
        """A request of nobody: with these lines only."""
        head = [
            f"{method} {SUBPATH * (path[:1] == '/')}{path} HTTP/1.1",
            f"Host: {host}",
            "X-Forwarded-Proto: https",
            "Accept: application/json",
        ]
        if body:
            lines = (*lines, f"Content-Length: {len(body)}")
        if not any(_raw(line).lower().startswith(b"connection:") for line in lines):
            lines = (*lines, "Connection: close")
        return b"\r\n".join([*map(_raw, head), *map(_raw, lines), b"", body])

    def handshake(self, *lines: Line) -> bytes:
        """A WebSocket handshake with these lines."""
        return self.request(
            "/api/v1/ws", *lines, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {WS_KEY}", "Sec-WebSocket-Protocol: kaged.v1",
        )  # fmt: skip

    def send(self, data: bytes) -> Answer:
        """Send bytes to the door, read one answer."""
        return self.town.machine.call(lambda: self._send(data))

    def ask(self, *lines: Line, path: str = ME, **options: Any) -> Answer:
        """A request with the session and these lines after it."""
        return self.send(self.request(path, *self.session(), *lines, **options))

    def is_nobody_else(self, answer: Answer) -> None:
        """The answer is a refusal, or to this person."""
        assert b"alice" not in answer.body and b"248289761001" not in answer.body, answer
        assert b"mallory" not in answer.body, answer
        if answer.status != 200 or not answer.body:  # an empty 200 is Caddy's for a name that it does not serve
            return
        said = answer.json
        assert (said["id"], said["role"], said["source"]) == (self.id, "member", "sidecar"), answer
        assert said["email"] in (self.person.email, None), answer

    def tries(self, *lines: Line, **options: Any) -> int:
        """Send the lines before and after the session: a refusal, or this person. The second status."""
        self.is_nobody_else(self.send(self.request(ME, *lines, *self.session(), **options)))
        answer = self.ask(*lines, **options)
        self.is_nobody_else(answer)
        return answer.status

    def _send(self, data: bytes) -> Answer:
        door = self.chain.door
        family = socket.AF_UNIX if isinstance(door, str) else socket.AF_INET
        address = str(self.town.machine.root / door.lstrip("/")) if isinstance(door, str) else ("127.0.0.1", door)
        with socket.socket(family) as it:
            it.settimeout(20)
            it.connect(address)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                it.sendall(data)
            answer = http.client.HTTPResponse(it)
            try:
                answer.begin()
                return Answer(answer.status, b"" if answer.status == 101 else answer.read())
            except (http.client.HTTPException, ConnectionError):
                return Answer(0, b"")
            finally:
                answer.close()


def _raw(line: Line) -> bytes:
    return line.encode() if isinstance(line, str) else line
