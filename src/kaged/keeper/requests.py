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
from kaged.keeper.plan import Plan, expect
from kaged.keeper.processes import Command, Process
from kaged.keeper.server import Request, Server

_MAX_LISTED = 100_000
_MAX_SIDE = 10_000


def handle(server: Server, request: Request) -> None:
    """Do one request, or raise `KeeperError`."""
    op = request.fields.get("op")
    do = OPS.get(op) if isinstance(op, str) else None
    if do is None:
        raise KeeperError("bad_request", f"the keeper knows no request {op!r}")
    do(server, request)


def _state(server: Server, request: Request) -> None:
    cages = [c.describe() for c in server.cages.values() if c.state is State.READY]
    facts = {"pid": os.getpid(), "limits": server.groups.words, "network_lost": server.gate.log.lost}
    request.reply({**facts, "cages": cages, "processes": [p.describe() for p in server.table]})


# ---- cages -------------------------------------------------------------------------------------------


def _ensure_cage(server: Server, request: Request) -> None:
    cage_id = expect(request.fields.get("id"), str, "id")
    plan = plans.parse(request.fields.get("plan"))
    given = request.fields.get("secrets")
    secrets = None if given is None else plans.texts(given, "secrets")
    _ensure(server, request, cage_id, plan, secrets)


def _ensure(server: Server, request: Request, cage_id: str, plan: Plan, secrets: Mapping[str, str] | None) -> None:
    again = partial(_ensure, server, request, cage_id, plan, secrets)
    cage = server.cages.get(cage_id)
    if cage is None:
        cage = _make(server, cage_id, plan, secrets)
    elif cage.state is State.ENDING:
        cage.when_gone(partial(_guarded, again, request))
        return
    elif cage.plan.hash != plan.hash or (cage.plan.net is None) != (plan.net is None):
        if cage.state is State.STARTING or server.table.running_in(cage_id) or watch.tasks_of(cage):
            text = f"something still runs in cage {cage_id}, so its new rules cannot be put in force: end it"
            raise KeeperError("conflict", text)
        cage.kill("killed")
        cage.when_gone(partial(_guarded, again, request))
        return
    made = cage

    def answer(error: KeeperError | None) -> None:
        request.reply(made.describe()) if error is None else request.fail(error)

    def ready(error: KeeperError | None) -> None:
        if error is None and plan.net is not None:
            server.gate.policy(cage_id, plan.net, secrets, answer)
        else:
            answer(error)

    made.when_ready(ready)


def _make(server: Server, cage_id: str, plan: Plan, secrets: Mapping[str, str] | None) -> Cage:
    cage: Cage

    def gone() -> None:
        server.cage_gone(cage)

    try:
        group = server.groups.make(plan.limits)
    except OSError as error:
        text = f"the cage's control group could not be made: {error.strerror}"
        raise KeeperError("unavailable", text) from error
    server.placeholders.add(plan.placeholders)
    server.cages[cage_id] = cage = Cage(server.loop, cage_id, plan, group, server.table.exited, gone)
    cage.begin(server.gate, secrets or {})
    return cage


def _guarded(work: Callable[[], None], request: Request) -> None:
    try:
        work()
    except KeeperError as error:
        request.fail(error)


def _drop_cage(server: Server, request: Request) -> None:
    cage = server.cages.get(expect(request.fields.get("id"), str, "id"))
    if cage is None:
        request.reply({})
        return
    cage.kill("killed")
    cage.when_gone(lambda: request.reply({}))


def _cage(server: Server, request: Request) -> Cage:
    cage_id = expect(request.fields.get("cage"), str, "cage")
    cage = server.cages.get(cage_id)
    if cage is None or cage.state is not State.READY:
        raise KeeperError("not_found", f"there is no cage {cage_id}: it has ended or was never made")
    return cage


# ---- processes ---------------------------------------------------------------------------------------


def _run(server: Server, request: Request) -> None:
    cage = _cage(server, request)
    command = _command(request.fields, cage.plan.workdir)
    if command.walltime_s is None and command.pty is None:
        command = _command({**request.fields, "walltime_s": cage.plan.limits.walltime_s}, cage.plan.workdir)
    server.table.start(cage, command, partial(_hand_over, server, request))


def _run_host(server: Server, request: Request) -> None:
    server.table.start(None, _command(request.fields, "/"), partial(_hand_over, server, request))


def _command(fields: Mapping[str, Any], workdir: str) -> Command:
    pty = fields.get("pty")
    return Command(
        id=expect(fields.get("id"), str, "id"),
        argv=plans.strings(fields.get("argv"), "argv"),
        cwd=expect(fields.get("cwd") or workdir, str, "cwd"),
        env=plans.environment(fields.get("env") or {}, "env"),
        stdin=fields.get("stdin") is True,
        pty=None if pty is None else (_side(pty[0]), _side(pty[1])),
        walltime_s=plans.amount(fields.get("walltime_s"), "walltime_s"),
    )


def _side(value: object) -> int:
    if not 1 <= expect(value, int, "pty") <= _MAX_SIDE:
        raise KeeperError("bad_request", f"a terminal has between 1 and {_MAX_SIDE} columns and rows")
    return int(str(value))


def _hand_over(server: Server, request: Request, process: Process | KeeperError) -> None:
    if isinstance(process, KeeperError):
        request.fail(process)
        return
    server.watch.wake()
    if not request.alive:
        return
    names, fds = process.hand_over()
    request.reply({**process.describe(), "names": names, "capacity": process.stream.capacity}, fds=fds)


def _attach(server: Server, request: Request) -> None:
    process_id = expect(request.fields.get("id"), str, "id")
    server.table.attach(process_id, partial(_hand_over, server, request))


def _process(server: Server, request: Request) -> Process:
    return server.table.get(expect(request.fields.get("id"), str, "id"))


def _forget(server: Server, request: Request) -> None:
    server.table.forget(expect(request.fields.get("id"), str, "id"))
    request.reply({})


def _signal(server: Server, request: Request) -> None:
    number = expect(request.fields.get("sig"), int, "sig")
    if number not in signal.valid_signals():
        raise KeeperError("bad_request", f"there is no signal {number}")
    process = _process(server, request)
    process.signal(number, request.fields.get("tree") is True)
    request.reply({})


def _close_stdin(server: Server, request: Request) -> None:
    _process(server, request).close_stdin()
    request.reply({})


def _drained(server: Server, request: Request) -> None:
    _process(server, request).close_source()
    request.reply({})


# ---- files -------------------------------------------------------------------------------------------


def _read(server: Server, request: Request) -> None:
    limit = min(max(0, expect(request.fields.get("limit"), int, "limit")), MAX_PAYLOAD)
    _forward(server, request, {"limit": limit})


def _write(server: Server, request: Request) -> None:
    wanted = request.fields.get("expect")
    if wanted is not None:
        expect(wanted, str, "expect")
    fields = {"expect": wanted, "parents": request.fields.get("parents") is True}
    _forward(server, request, fields, request.payload)


def _list(server: Server, request: Request) -> None:
    limit = min(max(0, expect(request.fields.get("limit"), int, "limit")), _MAX_LISTED)
    _forward(server, request, {"limit": limit})


def _forward(server: Server, request: Request, fields: dict[str, Any], payload: bytes = b"") -> None:
    """Let the cage's init do it: this process never opens a file of a project."""
    cage = _cage(server, request)
    path = expect(request.fields.get("path"), str, "path")
    absolute = path if path[:1] == "/" else f"{cage.plan.workdir}/{path}"

    def done(answer: Frame | KeeperError) -> None:
        if isinstance(answer, KeeperError):
            request.fail(answer)
        elif answer.fds or not isinstance(answer.header.get("ok"), dict):
            request.fail(KeeperError("unavailable", "the cage's init sent nonsense, so the cage was ended"))
            raise ValueError("an answer about a file that is none")
        else:
            request.reply(answer.header["ok"], answer.payload)

    cage.call({"op": request.fields["op"], "path": absolute, **fields}, payload, done=done)


# ---- network -----------------------------------------------------------------------------------------


def _answer_ask(server: Server, request: Request) -> None:
    ask = expect(request.fields.get("ask"), str, "ask")
    verdict = expect(request.fields.get("verdict"), str, "verdict")
    server.gate.answer(ask, verdict, lambda error: request.fail(error) if error else request.reply({}))


def _network_taken(server: Server, request: Request) -> None:
    server.gate.log.taken(expect(request.fields.get("upto"), int, "upto"))
    request.reply({})


def _shutdown(server: Server, request: Request) -> None:
    server.end(request)


OPS: Mapping[str, Callable[[Server, Request], None]] = {
    "state": _state,
    "ensure_cage": _ensure_cage,
    "drop_cage": _drop_cage,
    "run": _run,
    "run_host": _run_host,
    "attach": _attach,
    "forget": _forget,
    "signal": _signal,
    "close_stdin": _close_stdin,
    "drained": _drained,
    "read": _read,
    "write": _write,
    "list": _list,
    "answer_ask": _answer_ask,
    "network_taken": _network_taken,
    "shutdown": _shutdown,
}
