"""The keeper's socket: one daemon at a time, its requests, the grace time without it, and the end."""

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kaged.core import clock
from kaged.core import keeper_wire as wire
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside import init
from kaged.keeper import door, watch
from kaged.keeper.cages import Cage, State
from kaged.keeper.cgroups import Groups
from kaged.keeper.gate import Gate
from kaged.keeper.kin import descendants
from kaged.keeper.link import Link, close_all
from kaged.keeper.loop import Callback, Loop
from kaged.keeper.placeholders import Placeholders
from kaged.keeper.processes import Process
from kaged.keeper.table import Table

GREETING_LIMIT_S, TAKEOVER_LIMIT_S, END_LIMIT_S = 10.0, 2.0, 8.0
_LOOK_AGAIN_S = 0.05


class Request:
    """One request of the daemon; answered exactly once, now or later."""

    def __init__(self, link: Link, frame: Frame) -> None:
        self.link = link
        self._number = frame.header.get("n")
        self.fields = frame.header
        self.payload = frame.payload

    def reply(self, fields: dict[str, Any], payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        self.link.send({"n": self._number, "ok": fields}, payload, fds)

    def fail(self, error: KeeperError) -> None:
        self.link.send({"n": self._number, "error": error.to_wire()})

    def settle(self, fields: dict[str, Any], outcome: object) -> None:
        """Answer with the refusal, if the outcome is one, and otherwise with the fields."""
        self.fail(outcome) if isinstance(outcome, KeeperError) else self.reply(fields)

    def attempt(self, work: Callable[[], None]) -> None:
        """Do the work; what it raises is the answer."""
        try:
            work()
        except KeeperError as error:
            self.fail(error)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # A defect here must not end every cage; it is written down and told to the caller.
            traceback.print_exc()
            self.fail(KeeperError("internal", f"the keeper failed: {error!r} (see keeper.log)"))


class Server:
    """Holds everything; `handle` does the requests of the attached daemon. `gate` is the gate's program, the folder of
    its libraries, and nft's path (empty: without); `groups`: use control groups where there are any."""

    def __init__(
        self, loop: Loop, path: str, grace_s: float, handle: Callable[["Server", Request], None],
        gate: tuple[str, str, str], *, groups: bool,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.groups = Groups(loop, enabled=groups)
        self.gate = Gate(loop, *gate, self.event, path + ".number")
        self.started_at = clock.now()
        self.memory = os.urandom(8).hex()  # while it is the same, `state` leaves out no command that was ever started
        self.cages: dict[str, Cage] = {}
        self.table = Table(loop, door.prepare(), self._exited)
        self.watch = watch.Watch(loop, self.table, lambda: list(self.cages.values()))
        self.placeholders = Placeholders(path + ".placeholders")
        self.placeholders.sweep([])
        self._path, self._grace_s, self._handle = path, grace_s, handle
        self._attached: Link | None = None
        self._attached_pid = 0
        self._ending = False
        self._enders: list[Request] = []
        self._listener = _listen(path)
        loop.add_reader(self._listener.fileno(), self._accept)
        ends: dict[int, Callback] = dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self.end)
        loop.on_signals({**ends, signal.SIGCHLD: self._reap})
        self._grace = loop.later(grace_s, self.end)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            sys.stderr.write(f"a connection could not be accepted: {error}\n")
            return
        pid, uid = wire.peer(sock)
        if uid not in (os.geteuid(), 0):
            sys.stderr.write(f"a connection from uid {uid} was refused\n")
            sock.close()
            return
        link: Link
        link = Link(self.loop, sock, lambda frame: self._frame(link, pid, frame), lambda reason: self._closed(link))
        self.loop.later(GREETING_LIMIT_S, lambda: self._expect_greeting(link))

    def _expect_greeting(self, link: Link) -> None:
        if link is not self._attached:
            link.close("no greeting")

    def _frame(self, link: Link, pid: int, frame: Frame) -> None:
        close_all(frame.fds)  # the daemon never sends any
        request = Request(link, frame)
        attached = link is self._attached
        request.attempt(lambda: self._handle(self, request) if attached else self._greet(link, pid, request))

    def _greet(self, link: Link, pid: int, request: Request, waited_s: float = 0.0) -> None:
        if request.fields.get("op") != "hello":
            raise KeeperError("bad_request", "the first request must be a greeting")
        version = request.fields.get("version")
        if version != wire.WIRE_VERSION:
            text = f"the running keeper (pid {os.getpid()}) speaks version {wire.WIRE_VERSION} of its protocol"
            text += f" and this kaged speaks {version}: run `kaged stop`, which ends what runs, then start again"
            raise KeeperError("conflict", text)
        if self._ending:
            raise KeeperError("unavailable", "the keeper is ending: start again in a moment")
        if not request.link.open:
            return
        if self._attached is None:
            self._attach(link, pid, request)
        elif waited_s < TAKEOVER_LIMIT_S:  # a daemon that was killed a moment ago may not be quite gone
            again = partial(self._greet, link, pid, request, waited_s + _LOOK_AGAIN_S)
            self.loop.later(_LOOK_AGAIN_S, lambda: request.attempt(again))
        else:
            text = f"another daemon (pid {self._attached_pid}) is attached to the keeper: stop it first"
            raise KeeperError("conflict", text)

    def _attach(self, link: Link, pid: int, request: Request) -> None:
        grace = request.fields.get("grace")
        if isinstance(grace, int | float) and grace > 0:
            self._grace_s = float(grace)
        self._attached, self._attached_pid = link, pid
        self._grace.cancel()
        if self.groups.renew():
            for cage in self.cages.values():
                if cage.group is not None and cage.state is not State.ENDING:
                    cage.group.hold()
        facts = {"version": wire.WIRE_VERSION, "pid": os.getpid(), "started_at": self.started_at, "memory": self.memory}
        request.reply({**facts, "limits": self.groups.words})
        self.gate.attended(True)

    def _closed(self, link: Link) -> None:
        if link is self._attached:
            self._attached = None
            self.table.detach()
            for cage in self.cages.values():
                cage.unwatch()
            self.gate.attended(False)
            self._grace = self.loop.later(self._grace_s, self.end)

    def event(self, fields: dict[str, Any]) -> None:
        if self._attached is not None:
            self._attached.send(fields)

    def _exited(self, process: Process) -> None:
        self.event({"ev": "exit", "id": process.command.id, "exit": process.describe()["exit"]})

    def cage_gone(self, cage: Cage) -> None:
        if self.cages.get(cage.id) is cage:
            del self.cages[cage.id]
        self.table.cage_gone(cage)
        self.groups.leave(cage.group)
        self.placeholders.sweep(cage.plan.paths() for cage in self.cages.values())
        self.event({"ev": "cage_gone", "id": cage.id, "reason": cage.end_reason, "words": cage.words()})

    def _reap(self) -> None:
        for pid, code, number in init.reap():
            cage = next((c for c in list(self.cages.values()) if c.bwrap_pid == pid), None)
            if cage is not None:
                cage.reaped(code, number)
            elif not self.gate.reaped(pid):
                self.table.reaped(pid, code, number)
        if self._ending:
            self._finish()

    def end(self, request: Request | None = None) -> None:
        """End everything; when nothing is left the socket is removed and the loop stops."""
        if request is not None:
            self._enders.append(request)
        if self._ending:
            return
        self._ending = True
        self.loop.remove_reader(self._listener.fileno())
        self._listener.close()  # who comes now starts another keeper, which waits for our lock
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for cage in list(self.cages.values()):
            cage.kill("killed")
        for process in list(self.table.host.values()):
            process.doom("killed", gently=False)
        self.loop.later(END_LIMIT_S, self._leave)
        self._finish()

    def _finish(self) -> None:
        if self.cages:
            return
        left = descendants(os.getpid())
        if not left and self.groups.sweep():
            self._leave()
            return
        for pid in left:  # what commands on the host left behind came to us as orphans
            init.send_signal(pid, signal.SIGKILL)
        self.loop.later(0.02, self._finish)

    def _leave(self) -> None:
        for request in self._enders:
            request.reply({})
        self._enders = []
        self.table.close()
        self.loop.stop()


def _listen(path: str) -> socket.socket:
    """A socket only this account can reach; a stale one is replaced (the caller holds the lock)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(16)
    listener.setblocking(False)
    return listener
