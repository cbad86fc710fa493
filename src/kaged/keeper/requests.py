"""What the attached daemon may ask for, one function for each `op`."""

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kaged.core.keeper_wire import MAX_PAYLOAD, Frame, KeeperError
from kaged.keeper import plan as plans
from kaged.keeper import watch
from kaged.keeper.cages import Cage, State
from kaged.keeper.plan import Plan, check, require
from kaged.keeper.processes import Command, Process
from kaged.keeper.server import Request, Server

_MAX_LISTED, _MAX_SIDE = 100_000, 10_000


def handle(server: Server, request: Request) -> None:
    """Do one request, or raise `KeeperError`."""
    op = request.fields.get("op")
    do, shape = OPS.get(op, (None, {})) if isinstance(op, str) else (None, {})
    if do is None:
        raise KeeperError("bad_request", f"the keeper knows no request {op!r}")
    check(request.fields, shape)
    do(server, request)


def _state(server: Server, request: Request) -> None:
    cages = [c.describe() for c in server.cages.values() if c.state is State.READY]
    facts: dict[str, Any] = {"pid": os.getpid(), "limits": server.groups.words, "network": server.gate.words}
    facts |= {"network_lost": server.gate.log.lost, "program": os.path.dirname(os.path.abspath(__file__))}
    processes = [process.describe() for process in server.table]
    request.reply({**facts, "cages": cages, "processes": processes, "lost": [*server.table.lost]})


def _ensure_cage(server: Server, request: Request) -> None:
    _ensure(server, request, plans.parse(request.fields.get("plan")))


def _ensure(server: Server, request: Request, plan: Plan) -> None:
    cage_id, secrets = request.fields["id"], request.fields.get("secrets")
    cage = server.cages.get(cage_id) or _make(server, cage_id, plan, secrets or {})
    stale = cage.plan.hash != plan.hash or (cage.plan.net is None) != (plan.net is None)
    if stale and cage.state is not State.ENDING:
        if cage.state is State.STARTING or server.table.running_in(cage_id) or watch.tasks_of(cage):
            text = f"something still runs in cage {cage_id}, so its new rules cannot be put in force: end it"
            raise KeeperError("conflict", text)
        cage.kill("killed")
    if cage.state is State.ENDING:
        cage.when_gone(lambda: request.attempt(lambda: _ensure(server, request, plan)))
        return

    def ready(error: KeeperError | None) -> None:
        answer = partial(request.settle, cage.describe())
        if error is None and plan.net is not None:
            server.gate.policy(cage_id, plan.net, secrets, answer)
        else:
            answer(error)

    cage.when_ready(ready)


def _make(server: Server, cage_id: str, plan: Plan, secrets: Mapping[str, str]) -> Cage:
    try:
        group = server.groups.make(plan.limits)
    except OSError as error:
        raise KeeperError("unavailable", f"the cage's control group could not be made: {error.strerror}") from error
    server.placeholders.add(plan.placeholders)
    cage = Cage(server.loop, cage_id, plan, group, server.table.exited, server.event, server.cage_gone)
    server.cages[cage_id] = cage
    cage.begin(server.gate, secrets)
    return cage


def _drop_cage(server: Server, request: Request) -> None:
    if (cage := server.cages.get(request.fields["id"])) is None:
        request.reply({})
    else:
        cage.kill("killed")
        cage.when_gone(lambda: request.reply({}))


def _cage(server: Server, request: Request) -> Cage:
    cage_id = request.fields["cage"]
    cage = server.cages.get(cage_id)
    if cage is None or cage.state is not State.READY:
        raise KeeperError("not_found", f"there is no cage {cage_id}: it has ended or was never made")
    return cage


def _run(server: Server, request: Request) -> None:
    fields, cage = request.fields, None
    if fields["op"] == "run":
        cage = _cage(server, request)
        if fields.get("walltime_s") is None and fields.get("pty") is None:
            fields = {**fields, "walltime_s": cage.plan.limits.walltime_s}
    command = _command(fields, cage.plan.workdir if cage else "/")
    server.table.start(cage, command, partial(_hand_over, server, request))


def _command(fields: Mapping[str, Any], workdir: str) -> Command:
    pty, env = fields.get("pty"), fields.get("env") or {}
    fits = pty is None or (len(pty) == 2 and all(1 <= side <= _MAX_SIDE for side in pty))
    require(fits, f"a terminal has between 1 and {_MAX_SIDE} columns and rows")
    plans.clean(env)
    cwd, stdin, walltime_s = fields.get("cwd") or workdir, fields.get("stdin") is True, fields.get("walltime_s")
    require(walltime_s is None or walltime_s > 0, "`walltime_s` must be positive")
    return Command(fields["id"], fields["argv"], cwd, env, stdin, pty, walltime_s)


def _hand_over(server: Server, request: Request, process: Process | KeeperError) -> None:
    if isinstance(process, KeeperError):
        request.fail(process)
        return
    server.watch.wake()
    if request.link.open:
        names, fds = process.hand_over()
        request.reply({**process.describe(), "names": names, "capacity": process.stream.capacity}, fds=fds)


def _signal(server: Server, fields: Mapping[str, Any]) -> None:
    number = fields["sig"]
    require(number in signal.valid_signals(), f"there is no signal {number}")
    server.table.get(fields["id"]).signal(number, fields.get("tree") is True)


def _file(server: Server, request: Request) -> None:
    """Let the cage's init do it: this process never opens a file of a project."""
    cage, fields, op = _cage(server, request), request.fields, request.fields["op"]
    how = {"expect": fields.get("expect"), "parents": fields.get("parents") is True}
    if op != "write":
        how = {"limit": min(max(0, fields.get("limit") or 0), MAX_PAYLOAD if op == "read" else _MAX_LISTED)}

    def done(answer: Frame | KeeperError) -> None:
        if isinstance(answer, KeeperError):
            request.fail(answer)
        elif answer.fds or not isinstance(answer.header.get("ok"), dict):
            request.fail(KeeperError("unavailable", "the cage's init sent nonsense, so the cage was ended"))
            raise ValueError("an answer about a file that is none")
        else:
            request.reply(answer.header["ok"], answer.payload)

    path = os.path.join(cage.plan.workdir, fields["path"])
    cage.call({"op": op, "path": path, **how}, request.payload, done=done)


def _watch(server: Server, request: Request) -> None:
    cage, number = _cage(server, request), request.fields["watch"]
    how: dict[str, Any] = {"op": request.fields["op"], "watch": number}
    if how["op"] == "watch":
        root = cage.plan.workdir
        how |= {"root": root, "path": os.path.join(root, request.fields["path"])}
        cage.watched = True
    cage.call(how, done=partial(request.settle, {}))


def _answer_ask(server: Server, request: Request) -> None:
    server.gate.answer(request.fields["ask"], request.fields["verdict"], partial(request.settle, {}))


_ID = {"id": str}
_FILE = {"cage": str, "path": str}
_COMMAND = {
    **_ID, "argv": list[str], "cwd": str | None, "env": dict[str, str] | None, "pty": list[int] | None,
    "walltime_s": float | None,
}  # fmt: skip


def _at_once(work: Callable[[Server, Mapping[str, Any]], None]) -> Callable[[Server, Request], None]:
    def do(server: Server, request: Request) -> None:
        work(server, request.fields)
        request.reply({})

    return do


OPS: Mapping[str, tuple[Callable[[Server, Request], None], Mapping[str, Any]]] = {
    "state": (_state, {}),
    "ensure_cage": (_ensure_cage, {**_ID, "secrets": dict[str, str] | None}),
    "drop_cage": (_drop_cage, _ID),
    "run": (_run, {**_COMMAND, "cage": str}),
    "run_host": (_run, _COMMAND),
    "attach": (lambda server, it: server.table.attach(it.fields["id"], partial(_hand_over, server, it)), _ID),
    "forget": (_at_once(lambda server, it: server.table.forget(it["id"])), _ID),
    "signal": (_at_once(_signal), {**_ID, "sig": int}),
    "close_stdin": (_at_once(lambda server, it: server.table.get(it["id"]).close_stdin()), _ID),
    "drained": (_at_once(lambda server, it: server.table.get(it["id"]).close_source()), _ID),
    "read": (_file, {**_FILE, "limit": int}),
    "write": (_file, {**_FILE, "expect": str | None}),
    "list": (_file, {**_FILE, "limit": int}),
    "watch": (_watch, {**_FILE, "watch": int}),
    "unwatch": (_watch, {"cage": str, "watch": int}),
    "answer_ask": (_answer_ask, {"ask": str, "verdict": str}),
    "network_taken": (_at_once(lambda server, it: server.gate.log.taken(it["upto"])), {"upto": int}),
    "shutdown": (Server.end, {}),
}
