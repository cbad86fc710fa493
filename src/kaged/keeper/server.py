"""The keeper's socket: one daemon at a time, its requests, the grace time without it, and the end."""

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kaged.core import clock
from kaged.core import keeper_wire as wire
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside import init
from kaged.keeper import door, watch
from kaged.keeper.cages import Cage
from kaged.keeper.cgroups import Groups
from kaged.keeper.gate import Gate
from kaged.keeper.kin import descendants
from kaged.keeper.link import Link
from kaged.keeper.loop import Loop, Timer
from kaged.keeper.placeholders import Placeholders
from kaged.keeper.processes import Process
from kaged.keeper.table import Table

GREETING_LIMIT_S = 10.0
TAKEOVER_LIMIT_S = 2.0
END_LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Options:
    """What belongs to the machine: the gate's program and its libraries, nft (empty: without)."""

    gate: str
    site: str
    nft: str
    groups: bool = True
    """Whether control groups are used where there are any."""


class Request:
    """One request of the daemon; answered exactly once, now or later."""

    def __init__(self, link: Link, frame: Frame) -> None:
        self._link = link
        self._number = frame.header.get("n")
        self.fields = frame.header
        self.payload = frame.payload

    def reply(self, fields: dict[str, Any], payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Answer with what was asked for."""
        self._link.send({"n": self._number, "ok": fields}, payload, fds)

    def fail(self, error: KeeperError) -> None:
        """Answer with a refusal."""
        self._link.send({"n": self._number, "error": error.to_wire()})

    @property
    def alive(self) -> bool:
        """Whether anybody waits for the answer."""
        return self._link.open


class Server:
    """Holds everything the keeper holds; `handle` does the requests of the attached daemon."""

    def __init__(
        self, loop: Loop, path: str, grace_s: float, handle: Callable[["Server", Request], None], options: Options
    ) -> None:
        self.loop = loop
        self.groups = Groups(loop, enabled=options.groups)
        self.gate = Gate(loop, options.gate, options.site, options.nft, self.event)
        self.started_at = clock.now()
        self.cages: dict[str, Cage] = {}
        self.table = Table(loop, door.prepare(), self._exited)
        self.watch = watch.Watch(loop, self.table, lambda: list(self.cages.values()))
        self.placeholders = Placeholders(path + ".placeholders")
        self.placeholders.load()
        self.placeholders.sweep([])
        self._path = path
        self._grace_s = grace_s
        self._handle = handle
        self._attached: Link | None = None
        self._attached_pid = 0
        self._held: tuple[Link, int, Request] | None = None
        self._ending = False
        self._enders: list[Request] = []
        self._grace: Timer | None = None
        self._listener = _listen(path)
        loop.add_reader(self._listener.fileno(), self._accept)
        loop.on_signals(
            {signal.SIGTERM: self.end, signal.SIGINT: self.end, signal.SIGHUP: self.end, signal.SIGCHLD: self._reap}
        )
        self._begin_grace()

    # -- connections ----------------------------------------------------------------------------------

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
        timer: Timer | None = None

        def on_frame(frame: Frame) -> None:
            if timer is not None:
                timer.cancel()
            self._frame(link, pid, frame)

        def on_close(reason: str) -> None:
            if timer is not None:
                timer.cancel()
            self._closed(link)

        link = Link(self.loop, sock, on_frame, on_close)
        timer = self.loop.later(GREETING_LIMIT_S, lambda: link.close("no greeting"))

    def _frame(self, link: Link, pid: int, frame: Frame) -> None:
        for fd in frame.fds:  # the daemon never sends any
            os.close(fd)
        request = Request(link, frame)
        try:
            if link is self._attached:
                self._handle(self, request)
            else:
                self._greet(link, pid, request)
        except KeeperError as error:
            request.fail(error)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # A defect here must not end every cage; it is written down and told to the caller.
            traceback.print_exc()
            request.fail(KeeperError("internal", f"the keeper failed: {error!r} (see keeper.log)"))

    def _greet(self, link: Link, pid: int, request: Request) -> None:
        if request.fields.get("op") != "hello":
            raise KeeperError("bad_request", "the first request must be a greeting")
        version = request.fields.get("version")
        if version != wire.WIRE_VERSION:
            raise KeeperError(
                "conflict",
                f"the running keeper (pid {os.getpid()}) speaks version {wire.WIRE_VERSION} of its protocol "
                f"and this kaged speaks {version}: run `kaged stop`, which ends what runs, then start again",
            )
        if self._ending:
            raise KeeperError("unavailable", "the keeper is ending: start again in a moment")
        if self._attached is None:
            self._attach(link, pid, request)
        elif self._held is not None:
            raise self._busy()
        else:
            # A daemon that was killed a moment ago may not be quite gone.
            self._held = (link, pid, request)
            self.loop.later(TAKEOVER_LIMIT_S, lambda: self._refuse_held(link))

    def _attach(self, link: Link, pid: int, request: Request) -> None:
        grace = request.fields.get("grace")
        if isinstance(grace, int | float) and grace > 0:
            self._grace_s = float(grace)
        self._attached, self._attached_pid = link, pid
        if self._grace is not None:
            self._grace.cancel()
        facts = {"version": wire.WIRE_VERSION, "pid": os.getpid(), "started_at": self.started_at}
        request.reply({**facts, "limits": self.groups.words})
        self.gate.attended(True)

    def _busy(self) -> KeeperError:
        text = f"another daemon (pid {self._attached_pid}) is attached to the keeper: stop it first"
        return KeeperError("conflict", text)

    def _refuse_held(self, link: Link) -> None:
        if self._held is not None and self._held[0] is link:
            request, self._held = self._held[2], None
            request.fail(self._busy())

    def _closed(self, link: Link) -> None:
        if self._held is not None and self._held[0] is link:
            self._held = None
        if link is not self._attached:
            return
        self._attached = None
        self.table.detach()
        self.gate.attended(False)
        if self._held is not None:
            held, self._held = self._held, None
            self._attach(*held)
        else:
            self._begin_grace()

    def _begin_grace(self) -> None:
        self._grace = self.loop.later(self._grace_s, self.end)

    def event(self, fields: dict[str, Any]) -> None:
        """Tell the daemon, if there is one."""
        if self._attached is not None:
            self._attached.send(fields)

    # -- what ends ------------------------------------------------------------------------------------

    def _exited(self, process: Process) -> None:
        assert process.exit is not None
        self.event({"ev": "exit", "id": process.command.id, "exit": process.exit.to_wire()})

    def cage_gone(self, cage: Cage) -> None:
        """A cage has left its last trace."""
        if self.cages.get(cage.id) is cage:
            del self.cages[cage.id]
        self.table.cage_gone(cage)
        self.groups.leave(cage.group)
        self.sweep()
        self.event({"ev": "cage_gone", "id": cage.id, "reason": cage.end_reason, "words": cage.words()})

    def sweep(self) -> None:
        """Remove the mount points that no cage needs any more."""
        self.placeholders.sweep(cage.plan.paths() for cage in self.cages.values())

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
        for process in self.table.host_running():
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
