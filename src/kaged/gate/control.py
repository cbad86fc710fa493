"""The keeper's requests, and the events that go back to it."""

import asyncio
import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from kaged.core import keeper_wire as wire
from kaged.core.gate_wire import SOCKETS, VERDICTS
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.gate.cage import Cage, Original, from_name, from_nft
from kaged.gate.decisions import Asks, Decisions
from kaged.gate.policy import parse
from kaged.gate.sniff import readable
from kaged.gate.upstream import Upstream

if TYPE_CHECKING:  # cryptography is loaded with the first authority
    from kaged.gate.authority import Authority

MAX_UNSENT = 100_000  # messages that may wait for a keeper that does not read, before the gate gives up


class Gate:
    """Everything the gate holds. `original` and `upstream` are replaced by tests only."""

    def __init__(self, *, original: Original | None = None, upstream: Upstream | None = None) -> None:
        self._original = original
        self._upstream = upstream
        self._cages: dict[str, tuple[Cage, asyncio.Task[None]]] = {}
        self._authorities: dict[str, Authority] = {}
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue(MAX_UNSENT)
        self._asks = Asks(self._send)

    async def serve(self, sock: socket.socket) -> None:
        """Do what the keeper asks until its socket closes; then nothing is left."""
        sock.setblocking(False)
        with sock:
            async with asyncio.TaskGroup() as group:
                self._group = group
                writer = group.create_task(self._write(sock))
                with contextlib.suppress(OSError, wire.WireError):
                    await self._read(sock)
                for task in (writer, *(task for _, task in self._cages.values())):
                    task.cancel()

    async def _read(self, sock: socket.socket) -> None:
        reader = wire.FrameReader()
        while True:
            await readable(sock)
            data, fds = wire.receive(sock)
            if not data:
                return
            for frame in reader.feed(data, fds):
                self._group.create_task(self._answer(frame))

    async def _write(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # the keeper has gone, as the reader sees too
            while True:
                await loop.sock_sendall(sock, await self._unsent.get())

    def _send(self, header: Mapping[str, Any]) -> None:
        try:
            self._unsent.put_nowait(wire.encode(header))
        except asyncio.QueueFull:
            sys.exit("gate: the keeper does not read what it is told")

    async def _answer(self, frame: Frame) -> None:
        number, op, sockets = frame.header.get("n"), frame.header.get("op"), list(frame.fds)
        try:
            handler = _OPS.get(op) if isinstance(op, str) else None
            if handler is None:
                raise KeeperError("bad_request", f"the gate knows no request {op!r}")
            answer = {"n": number, "ok": await handler(self, frame.header, sockets) or {}}
        except KeeperError as error:
            answer = {"n": number, "error": error.to_wire()}
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            traceback.print_exc()
            answer = {"n": number, "error": KeeperError("internal", f"the gate failed: {error!r}").to_wire()}
        for fd in sockets:  # those nobody took
            os.close(fd)
        self._send(answer)

    async def _authority(self, fields: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        authority, files = await asyncio.to_thread(_make_authority)
        self._authorities[fields["cage"]] = authority
        return {"files": files}

    async def _open(self, fields: Mapping[str, Any], fds: list[int]) -> None:
        name, kinds = fields["cage"], fields["sockets"]
        policy = parse(fields["policy"], fields.get("secrets") or {})
        if name in self._cages:
            raise KeeperError("conflict", f"the cage {name} is open already")
        if len(kinds) != len(fds) or not set(kinds) <= set(SOCKETS):
            raise KeeperError("bad_request", "the kinds of sockets do not fit the sockets that came")
        original = self._original or (from_nft if fields["nft"] else from_name)
        means = self._authorities.get(name), self._asks, self._upstream or Upstream(), Decisions(name, self._send)
        cage = Cage(name, policy, *means, original)
        sockets = [(kind, socket.socket(fileno=fd)) for kind, fd in zip(kinds, fds, strict=True)]
        fds.clear()
        self._cages[name] = (cage, self._group.create_task(cage.run(sockets)))
        await asyncio.sleep(0)  # it owns the sockets once it has begun

    async def _put_policy(self, fields: Mapping[str, Any], _: list[int]) -> None:
        if fields["cage"] not in self._cages:
            raise KeeperError("not_found", "there is no such cage")
        cage, _task = self._cages[fields["cage"]]
        cage.policy = parse(fields["policy"], fields.get("secrets") or {})

    async def _close(self, fields: Mapping[str, Any], _: list[int]) -> None:
        name = fields["cage"]
        self._authorities.pop(name, None)
        if name in self._cages:
            _cage, task = self._cages[name]
            task.cancel()
            await asyncio.wait([task])
            self._cages.pop(name, None)

    async def _verdict(self, fields: Mapping[str, Any], _: list[int]) -> None:
        if fields["verdict"] not in VERDICTS:
            raise KeeperError("bad_request", f"a verdict is one of {', '.join(VERDICTS)}")
        if not self._asks.answer(fields["ask"], fields["verdict"]):
            raise KeeperError("not_found", "there is no such ask")

    async def _attended(self, fields: Mapping[str, Any], _: list[int]) -> None:
        self._asks.attend(fields["on"] is True)

    async def _state(self, _: Mapping[str, Any], __: list[int]) -> dict[str, Any]:
        cages = [cage for cage, _task in self._cages.values()]
        return {"cages": {cage.id: {"connections": cage.connections, "names": len(cage.names)} for cage in cages}}


_OPS: Mapping[str, Callable[[Gate, Mapping[str, Any], list[int]], Awaitable[dict[str, Any] | None]]] = {
    "authority": Gate._authority, "open": Gate._open, "policy": Gate._put_policy, "close": Gate._close,
    "answer": Gate._verdict, "attended": Gate._attended, "state": Gate._state,
}  # fmt: skip


def _make_authority() -> "tuple[Authority, dict[str, str]]":
    from kaged.gate.authority import Authority

    authority = Authority()
    return authority, authority.files()
