"""Terminals as the API uses them: open, list, attach, close; found again after a restart of the daemon."""

import asyncio
import contextlib
import itertools
import logging
import os
import pwd
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient, Process
from kaged.core import clock, ids
from kaged.core.actors import DAEMON, Actor
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit
from kaged.storage.database import Database
from kaged.terminals.link import Live, TerminalLink
from kaged.terminals.store import Kind, Terminal, TerminalStore
from kaged.terminals.wire import clean_title

__all__ = ["EnsureCage", "Terminal", "Terminals"]
MAX_OPEN = 32
MAX_EXITED = 16  # Ended terminals that are kept for reading; the oldest go first
HANGUP_S = 1.0  # How long a closed terminal's programs have after SIGHUP
KILL_S = 5.0  # The same after SIGKILL, which follows
SCREEN = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}  # What every client can show
CAGE_SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash -l; fi; exec sh -l")
"""bash where the cage has it, else sh."""
CLOSED = Exit(None, signal.SIGKILL, "killed")
EnsureCage = Callable[[str, str], Awaitable[str]]  # (project, session) → id of the session's cage, made if need be
log = logging.getLogger(__name__)


class Terminals:
    """All terminals of this daemon. An async context manager: leaving it detaches, nothing is ended."""

    def __init__(
        self, db: Database, keeper: KeeperClient, *, audit: Audit, ensure_cage: EnsureCage, host: bool
    ) -> None:
        """`host` says whether terminals outside any cage are allowed at all."""
        self._store = TerminalStore(db)
        self.list, self.get = self._store.list, self._store.get
        self._keeper, self._audit, self._ensure_cage, self._host = keeper, audit, ensure_cage, host
        self._lives: dict[str, Live] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        for watcher in self._watchers.values():
            watcher.cancel()
        # What failed outside is not the group's: it would come out wrapped.
        await self._group.__aexit__(None, None, None)

    def share(self) -> None:
        """Somebody waits for an answer: a terminal that floods must not hold it up."""
        self._keeper.share()

    def host_allowed(self, actor: Actor) -> bool:
        return self._host and actor.is_admin

    async def create(
        self, kind: Kind, *, project: str | None, session: str | None, cols: int, rows: int, actor: Actor,
        task: tuple[str, str] | None = None,
    ) -> Terminal:  # fmt: skip
        """Open a terminal; that the actor may work in `project` and `session` (needed in a cage) was decided before.
        With `task`, name and command, it runs that in the task's own cage, which is there already.
        Raises `KagedError`: `forbidden` (audited), `bad_request`, `conflict` when too many are open, and what keeps
        cage or shell from starting; nothing is left then. Cancelling leaves nothing, or an open terminal."""
        tid = ids.new_ulid()
        await self._permit(kind, tid, actor)
        cage = None
        if kind == "cage" and task is None:
            if project is None or session is None:
                raise KagedError("bad_request", "A terminal in a cage needs `project` and `session`.")
            cage = await self._ensure_cage(project, session)
        async with self._opening:
            title = await self._make_room(session)
            name, command = task or (None, None)
            place = (kind, project, session, name or title, cols, rows)
            terminal = Terminal(tid, *place, "open", None, actor.id, clock.iso(), name)
            details = _details(terminal) | ({"run": command} if command else {})
            await self._audit.record(actor, "terminal.open", tid, "allowed", details)
            await self._store.add(terminal)
            try:
                argv = CAGE_SHELL if command is None else ("/bin/sh", "-c", command)
                self._watch(terminal, await self._start(terminal, cage or terminal.own_cage, argv))
            except KagedError as error:
                await self._store.remove(tid)
                failure = {**details, "reason": error.message}
                await self._audit.record(actor, "terminal.open", tid, "failed", failure)
                raise
        return terminal

    async def attach(self, tid: str, *, after: int = 0, actor: Actor, writes: bool = True) -> TerminalLink:
        """A link, to `serve`, for one client that has the output before byte `after`. Without `writes` it changes
        nothing; who may attach is decided before. KagedError: not_found, bad_request for an offset not reached yet."""
        terminal = await self._store.get(tid)
        live = await self._find(terminal)
        if live is None:
            end = Exit(terminal.exit_code, None, "exited" if terminal.exit_code is not None else "cage_lost")
            live = Live(terminal, None, after=after, end=end)
        name = clean_title(actor.name or actor.id)
        return TerminalLink(tid, live, self._store, after=after, name=name, writes=writes)

    async def close(self, tid: str, *, actor: Actor) -> None:
        """SIGHUP, then SIGKILL; tell its clients; forget it. KagedError, and it stays in the list: `conflict` when a
        program does not even end when killed, `unavailable` when the disk fails."""
        terminal = await self._store.get(tid)
        live = await self._find(terminal)
        if live is not None and live.process is not None:
            await _end(live.process)
        if terminal.state == "open":  # One that has ended has no cage; by now it may be that of the task's next run.
            await self._drop(terminal)
        await self._forget(tid)
        await self._audit.record(actor, "terminal.close", tid, "ok", _details(terminal))

    async def recover(self) -> None:
        """After a start of the daemon: attach to what still runs in the keeper, mark the others exited."""
        for terminal in await self._store.list():
            await self._find(terminal)

    async def _permit(self, kind: Kind, tid: str, actor: Actor) -> None:
        if kind == "cage" or self.host_allowed(actor):
            return
        await self._audit.record(actor, "terminal.open", tid, "denied", {"kind": kind})
        if not actor.is_admin:
            raise KagedError("forbidden", "Only admins of this kaged open terminals outside of a cage.")
        text = "Terminals outside the cage are off: set `host = true` under `[terminals]` in config.toml."
        raise KagedError("forbidden", text, {"key": "terminals.host"})

    async def _make_room(self, session: str | None) -> str:
        # Keeps the list short; gives a title that no other terminal of the session has.
        terminals = await self._store.list()
        if sum(each.state == "open" for each in terminals) >= MAX_OPEN:
            raise KagedError("conflict", f"{MAX_OPEN} terminals are open already: close one first.")
        for terminal in [each for each in terminals if each.state == "exited"][MAX_EXITED:]:
            await self._forget(terminal.id)
        taken = {each.title for each in terminals if each.session == session}
        return next(title for number in itertools.count(1) if (title := f"Shell {number}") not in taken)

    async def _start(self, terminal: Terminal, cage: str | None, argv: Sequence[str]) -> Process:
        size = (terminal.cols, terminal.rows)
        if cage is not None:
            return await self._keeper.run(cage, terminal.id, argv, env=SCREEN, pty=size)
        shell, folder = host_shell()
        return await self._keeper.run_host(terminal.id, (shell, "-l"), cwd=folder, env=SCREEN, pty=size)

    async def _find(self, terminal: Terminal) -> Live | None:
        # Found in the keeper when need be; marked exited when it is nowhere.
        if terminal.id not in self._lives:
            try:
                self._watch(terminal, await self._keeper.attach(terminal.id))
            except KagedError as error:
                if error.code not in ("not_found", "gone"):
                    raise
                await self._mark_exited(terminal, None, "lost")
        return self._lives.get(terminal.id)

    def _watch(self, terminal: Terminal, process: Process) -> None:
        if terminal.id in self._watchers:
            return
        live = self._lives[terminal.id] = Live(terminal, process)
        self._watchers[terminal.id] = self._group.create_task(self._until_exit(terminal, live, process))

    async def _until_exit(self, terminal: Terminal, live: Live, process: Process) -> None:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(live.follow(process.stream))
            end = await process.wait()
            following.cancel()
        await self._drop(terminal)
        await self._mark_exited(terminal, _code(end), end.reason)
        live.ended(end)

    async def _drop(self, terminal: Terminal) -> None:
        # Before the task counts as ended, so that its next start does not find this cage.
        if terminal.own_cage is not None:
            with contextlib.suppress(KagedError):  # Without a keeper there is no cage.
                await self._keeper.drop_cage(terminal.own_cage)

    async def _mark_exited(self, terminal: Terminal, code: int | None, reason: str) -> None:
        try:
            if await self._store.exited(terminal.id, code):
                details = {"kind": terminal.kind, "reason": reason, "exit_code": code}
                await self._audit.record(DAEMON, "terminal.exit", terminal.id, "ok", details)
        except KagedError as error:  # A full disk: the next start of the daemon finds it ended.
            log.warning("terminal %s has ended, which could not be stored: %s", terminal.id, error.message)

    async def _forget(self, tid: str) -> None:
        if (live := self._lives.pop(tid, None)) is not None:
            live.drop(CLOSED)
        if (watcher := self._watchers.pop(tid, None)) is not None:
            watcher.cancel()
        if not self._keeper.closed.is_set():
            await self._keeper.forget(tid)
        await self._store.remove(tid)


def host_shell() -> tuple[str, str]:
    """Login shell and folder of the daemon's account; bash or sh when its shell lets nobody in (system accounts)."""
    try:
        account = pwd.getpwuid(os.geteuid())
        shell, home = account.pw_shell, account.pw_dir
    except KeyError:  # an account without a name: containers do that
        shell, home = "", "/"
    wanted = [] if Path(shell).name in ("", "false", "nologin") else [shell]
    usable = [each for each in (*wanted, "/bin/bash", "/bin/sh") if os.access(each, os.X_OK)]
    return usable[0] if usable else "/bin/sh", home if Path(home).is_dir() else "/"


async def _end(process: Process) -> None:
    for number, patience in ((signal.SIGHUP, HANGUP_S), (signal.SIGKILL, KILL_S)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                with contextlib.suppress(KagedError):  # It ended in this very moment, or the keeper did.
                    await process.signal(number)
                await process.wait()
    if process.running:
        raise KagedError("conflict", "A program in this terminal does not end: the system holds it up.")


def _details(terminal: Terminal) -> dict[str, str | None]:
    return {"kind": terminal.kind, "project": terminal.project, "session": terminal.session} | (
        {"task": terminal.task} if terminal.task is not None else {}
    )


def _code(end: Exit) -> int | None:
    return 128 + end.signal if end.code is None and end.signal is not None else end.code
