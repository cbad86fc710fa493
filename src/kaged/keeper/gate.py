"""The gate as the keeper holds it: started with the first cage that has a network, and again when it ends; and what it
reports, numbered and kept until the daemon has stored it. Secrets are held for another start and go nowhere else."""

import base64
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kaged.core import clock
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside import netns
from kaged.keeper import door
from kaged.keeper.link import Answer, Calls, Link, close_all
from kaged.keeper.loop import Loop, Timer
from kaged.keeper.plan import Net

MAX_KEPT = 10_000
NUMBERS = 1_000_000  # how many are spoken for at a time
ANSWER_LIMIT_S = 10.0
PAUSE_S = 10.0
ENDED = "the gate has ended: this cage has no network until it runs again"
WITHOUT = "routes alone, so other ports than the usual ones and those of the rules lead nowhere ({})"
Done = Callable[[KeeperError | None], None]
Files = Callable[[Mapping[str, bytes] | KeeperError], None]


@dataclass(slots=True)
class Served:
    """What the gate does for one cage; `pid` is that of the cage's init, once there is one."""

    net: Net
    secrets: Mapping[str, str] = field(repr=False)
    pid: int | None = None
    nft: bool = False
    open: bool = False


class Log:
    """Network events. Their numbers only grow: the file `record` holds one that none has reached."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], record: str) -> None:
        self.lost = 0  # how many were dropped because no daemon took them
        self._tell = tell
        self._record = record
        with contextlib.suppress(OSError, ValueError), open(record, encoding="ascii") as file:
            self._bound = int(file.read())
        self._number = max(int(clock.now() * 1000), self._bound)
        self._kept: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)

    _bound = 0

    def add(self, event: Mapping[str, Any]) -> None:
        self._number += 1
        if self._number >= self._bound:
            self._bound = self._number + NUMBERS
            with contextlib.suppress(OSError), open(self._record, "w", encoding="ascii") as file:  # a full disk
                file.write(str(self._bound))
        self.lost += len(self._kept) == MAX_KEPT
        self._kept.append({**event, "n": self._number})
        self._tell(self._kept[-1])

    def taken(self, upto: int) -> None:
        """The daemon has stored all up to that number."""
        while self._kept and self._kept[0]["n"] <= upto:
            self._kept.popleft()

    def repeat(self) -> None:
        for event in list(self._kept):
            self._tell(event)


def listen_in(loop: Loop, pid: int, nft: str, ports: Sequence[int], done: Answer) -> Link:
    """Have the listeners made in the network of process `pid`: `done` gets them, or why there are none."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        netns.serve(theirs, pid, nft, ports)
    theirs.close()
    late = f"the cage's network failed: its listeners were not made within {netns.LIMIT_S} seconds"
    calls = Calls()
    calls.expect(done)
    return Link(loop, ours, calls.settle, lambda reason: calls.fail(KeeperError("unavailable", late)))


class Gate:
    """Starts the gate, asks it, and starts it again. `tell` sends an event to the daemon, if there is one."""

    def __init__(
        self, loop: Loop, program: str, site: str, nft: str, tell: Callable[[dict[str, Any]], None], record: str
    ) -> None:
        self.log = Log(tell, record)
        self.words = f"nftables ({nft})" if nft else WITHOUT.format("nftables is not installed")
        self._loop = loop
        self._program = program, site
        self._nft, self._tell = nft, tell
        self._pid: int | None = None
        self._link: Link | None = None
        self._calls = Calls()
        self._served: dict[str, Served] = {}
        self._asks: dict[str, dict[str, Any]] = {}
        self._attended = False
        self._born = 0
        self._ended_at = -PAUSE_S
        self._pause: Timer | None = None

    def prepare(self, cage_id: str, net: Net, secrets: Mapping[str, str], done: Files) -> None:
        """Before a cage is started: `done` gets the files of its authority, none when it wants none."""
        self._served[cage_id] = Served(net, secrets)

        def made(answer: Frame | KeeperError) -> None:
            if isinstance(answer, KeeperError):
                done(answer)
            else:
                files = answer.header["ok"].get("files", {})
                done({name: base64.b64decode(text, validate=True) for name, text in files.items()})

        self._call({"op": "authority", "cage": cage_id} if net.intercepts else {"op": "state"}, made)

    def open(self, cage_id: str, pid: int, done: Done) -> None:
        """Serve the cage whose init is `pid`; nothing of the agent runs in it yet."""
        served = self._served.get(cage_id)
        if served is None:
            done(KeeperError("unavailable", "the gate ended while the cage was made: start the cage again"))
        else:
            served.pid = pid
            self._listen(cage_id, served, pid, done)

    def _listen(self, cage_id: str, served: Served, pid: int, done: Done) -> None:
        listen_in(self._loop, pid, self._nft, served.net.ports, partial(self._hand_over, cage_id, served, done))

    def _hand_over(self, cage_id: str, served: Served, done: Done, made: Frame | KeeperError) -> None:
        if isinstance(made, KeeperError):
            done(made)
            return
        rules = _rules(cage_id, served)

        def opened(answer: Frame | KeeperError) -> None:
            served.open = isinstance(answer, Frame)
            if served.open and _rules(cage_id, served) != rules:  # others came while it was opened
                self._call({"op": "policy", **_rules(cage_id, served)}, caught_up)
            else:
                done(_error(answer))

        def caught_up(answer: Frame | KeeperError) -> None:
            if isinstance(answer, KeeperError) and served.open:  # the old rules must not stay in force
                served.open = False
                self._call({"op": "close", "cage": cage_id}, lambda _: None)
            done(_error(answer))

        try:
            if self._served.get(cage_id) is not served:
                done(KeeperError("unavailable", "the cage has ended"))
                return
            served.nft = made.header["ok"]["nft"]
            if self._nft and not served.nft:
                self.words = WITHOUT.format("nftables could not load its rules, see keeper.log")
            sockets = {"nft": served.nft, "sockets": made.header["ok"]["kinds"]}
            self._call({"op": "open", **rules, **sockets}, opened, made.fds)
        finally:
            close_all(made.fds)

    def policy(self, cage_id: str, net: Net, secrets: Mapping[str, str] | None, done: Done) -> None:
        """Put other rules in force in a cage that is served; None: its secrets stay."""
        served = self._served[cage_id]
        before = served.net, served.secrets
        after = net, served.secrets if secrets is None else secrets
        fresh = set(net.ports) - set(served.net.ports)
        if fresh and not served.nft:
            text = f"without nftables a running cage gets no new port ({min(fresh)}): end what runs in it"
            done(KeeperError("conflict", text))
            return
        served.net, served.secrets = after

        def answered(answer: Frame | KeeperError) -> None:
            if isinstance(answer, KeeperError) and self._link is not None:  # refused: the old ones hold
                served.net, served.secrets = before
                done(answer)
            else:
                done(None)

        if served.open and after != before:
            self._call({"op": "policy", **_rules(cage_id, served)}, answered)
        else:
            done(None)  # in force as soon as the gate is back

    def close(self, cage_id: str) -> None:
        """The cage has ended; unknown ones are fine."""
        if self._served.pop(cage_id, None) is not None and self._link is not None:
            self._call({"op": "close", "cage": cage_id}, lambda answer: None)

    def attended(self, on: bool) -> None:
        """A daemon has attached (it is told everything it does not have) or left."""
        self._attended = on
        if self._link is not None:
            self._call({"op": "attended", "on": on}, lambda answer: None)
        if on:
            self.log.repeat()
            for ask, event in self._asks.items():
                self._tell({**event, "ask": ask})

    def answer(self, ask: str, verdict: str, done: Done) -> None:
        if ask in self._asks:
            request = {"op": "answer", "ask": self._asks[ask]["ask"], "verdict": verdict}
            self._call(request, lambda answer: done(_error(answer)))
        else:
            done(KeeperError("not_found", "nobody waits for this answer any more"))

    def _call(self, request: Mapping[str, Any], done: Answer, fds: Sequence[int] = ()) -> None:
        try:
            link = self._link or self._start()
        except KeeperError as error:
            done(error)
            return
        timer = self._loop.later(ANSWER_LIMIT_S, lambda: link.close("the gate does not answer"))

        def answered(answer: Frame | KeeperError) -> None:
            timer.cancel()
            done(answer)

        self._calls.ask(link, request, answered, fds=fds)

    def _start(self) -> Link:
        if self._pause is not None or self._pid is not None:
            text = "the gate has ended (see keeper.log) and is not back yet: try again in a moment"
            raise KeeperError("unavailable", text)
        self._pid, sock = door.start_gate(*self._program)
        self._born = int(clock.now() * 1000)
        self._link = Link(self._loop, sock, self._frame, self._lost, max_fds=0)
        self._call({"op": "attended", "on": self._attended}, lambda answer: None)
        return self._link

    def _frame(self, frame: Frame) -> None:
        event = frame.header
        try:
            if "ev" not in event:
                self._calls.settle(frame)
            elif event["ev"] == "network":
                self.log.add(event)
            else:
                # Another gate may count from the start again: an old answer must not meet a new question.
                ask = f"{self._born}.{event['ask']}"
                self._asks[ask] = event
                if event["ev"] != "ask":
                    del self._asks[ask]
                self._tell({**event, "ask": ask})
        except (KeyError, TypeError, ValueError) as error:
            if self._link is not None:
                self._link.close(f"the gate sent nonsense: {error!r}")

    def _lost(self, reason: str) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)  # not reaped yet: the number is still its own
        self._link = None
        while self._asks:
            ask, event = self._asks.popitem()
            self._tell({"ev": "ask_done", "ask": ask, "cage": event["cage"], "verdict": "deny", "by": "end"})
        for cage_id, served in list(self._served.items()):
            if served.pid is None:
                del self._served[cage_id]  # its authority is gone before the cage began
            elif served.open:
                served.open = False
                self._note(cage_id, "denied", ENDED)
        self._calls.fail(KeeperError("unavailable", "the gate has ended (see keeper.log)"))
        if self._pid is None:
            self._restart()

    def _restart(self) -> None:
        """Only now that it was reaped are its listeners closed as well, and can be made anew."""
        soon = clock.monotonic() - self._ended_at < PAUSE_S
        self._ended_at = clock.monotonic()
        self._pause = self._loop.later(PAUSE_S if soon else 0, self._again)

    def _again(self) -> None:
        self._pause = None
        for cage_id, served in list(self._served.items()):
            if served.pid is not None and not served.open:
                self._listen(cage_id, served, served.pid, partial(self._back, cage_id))

    def _back(self, cage_id: str, error: KeeperError | None) -> None:
        if cage_id in self._served:
            verdict, reason = ("allowed", "the gate runs again") if error is None else ("denied", error.message)
            self._note(cage_id, verdict, reason)

    def _note(self, cage_id: str, verdict: str, reason: str) -> None:
        about = {"cage": cage_id, "host": "", "port": 0, "via": "tcp", "rule": "", "connection": 0}
        figures = {"state": "closed", "up": 0, "down": 0, "ms": 0, "count": 1, "at": clock.now()}
        self.log.add({"ev": "network", "verdict": verdict, "reason": reason, **about, **figures})

    def reaped(self, pid: int) -> bool:
        """A child has ended; whether it was the gate."""
        if pid != self._pid:
            return False
        self._pid = None
        if self._link is not None:
            self._link.close("the gate has ended")
        else:
            self._restart()
        return True


def _error(answer: Frame | KeeperError) -> KeeperError | None:
    return answer if isinstance(answer, KeeperError) else None


def _rules(cage_id: str, served: Served) -> dict[str, Any]:
    return {"cage": cage_id, "policy": served.net.policy, "secrets": dict(served.secrets)}
