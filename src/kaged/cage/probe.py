"""Proves the cage on this machine: starts a real one and tries, from inside, what must not work."""

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kaged.attacks.table import ATTACKS, LIMITS, Attack
from kaged.attacks.ways import CAGE, NAMESPACE, NO_FILTER, OPEN_MOUNTS, OUTSIDE, processes
from kaged.cage.advice import explain_bwrap_failure
from kaged.cage.client import Exit, KeeperClient, Plan
from kaged.cage.plan import CagePlan
from kaged.cage.stage import TIME_LIMIT_S, Stage, Weakened, stage
from kaged.core.checks import Check
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid

_FIX = "do not run agents on this machine; update the kernel and bubblewrap, then run `kaged doctor --attacks`"
_UNSHOWN = "the attempt itself did not work, so it proves nothing: report it with the output of --json"
_GREED = {  # what a cage with small limits runs; WAIT is how long the processes must stay alive to count
    "take more memory than allowed": "x = bytearray(400 << 20); print('through', flush=True)",
    "start more processes than allowed": """import os, time
for n in range(100):
    if os.fork() == 0: time.sleep(30); os._exit(0)
print('all started', flush=True); time.sleep(WAIT); print('through', flush=True)""",
}
_LEFTOVERS = Attack(
    LIMITS, "leave a process behind (nohup, setsid, ignored signals)", lambda _: {}, "while the cage lived"
)
IN_ADDITION = (*(Attack(LIMITS, name, lambda _: {}, "with wide limits") for name in _GREED), _LEFTOVERS)
"""Attacks in which the outside takes part; only for `attacks=True`."""
_OUTPUT_LIMIT = 1024 * 1024
_Told = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A `verdict` (`denied`, `got through`, `inconclusive`, `not tried`); `control` says whether it works elsewhere."""

    group: str
    name: str
    verdict: str
    words: str
    control: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict in ("denied", "not tried")

    @property
    def shown(self) -> bool:
        """Whether the same attempt was seen to succeed elsewhere."""
        return self.control[:6] == "worked"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All checks in order, with a summary for each group of attacks; `attacks` one by one."""

    checks: tuple[Check, ...]
    attacks: tuple[Outcome, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def summary(self) -> str:
        """`78 attacks, 78 denied, 75 shown to work elsewhere`."""
        tried = [attack for attack in self.attacks if attack.verdict != "not tried"]
        denied = sum(attack.verdict == "denied" for attack in tried)
        shown = sum(attack.shown for attack in tried)
        return f"{len(tried)} attacks, {denied} denied, {shown} shown to work elsewhere"


async def probe(client: KeeperClient, *, attacks: bool = False, place: Path | None = None) -> ProbeReport:
    """Start a cage, try the attacks in it, and end it. `attacks` adds the slow ones and the controls (a few seconds).
    `place` is for the trial project (default: the temporary folder). Never raises for a cage that fails."""
    rows = [index for index, attack in enumerate(ATTACKS) if attacks or not attack.slow]
    try:
        with stage(place, client.pid) as trial:
            plan = trial.plan()
            before = _snapshot(trial.project)
            told = await _try(client, trial, CAGE, rows)
            if ended := [row for row in rows if told[ATTACKS[row].name].get("ended")]:
                told |= await _try(client, trial, CAGE, ended)  # something outside ended it: once more is fair
            changed = {path for path, _ in before.items() ^ _snapshot(trial.project).items()}
            controls = await _controls(client, place) if attacks else None
            outcomes = [_outcome(ATTACKS[row], told, controls) for row in rows]
            if attacks:
                outcomes += [*await _greed(client, plan), await _leftovers(client, plan)]
    except KagedError as error:
        stderr = str((error.details or {}).get("stderr", "")) or error.message
        problem, fix = explain_bwrap_failure(stderr)
        return ProbeReport((Check("a cage can be made", False, f"{problem} ({error.message})", fix),))
    left = f"changed or left over: {', '.join(sorted(changed))}" if changed else "held"
    made = Check("a cage can be made", True, f"bubblewrap at {plan.host.bwrap}, filter {plan.seccomp}")
    unchanged = Check("the project is left as it was", not changed, left, _FIX)
    return ProbeReport((made, unchanged, *_summaries(outcomes)), tuple(outcomes))


def _summaries(outcomes: Sequence[Outcome]) -> list[Check]:
    checks = []
    for group in dict.fromkeys(outcome.group for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.group == group]
        bad = [outcome for outcome in own if not outcome.ok]
        words = "; ".join(f"{outcome.name}: {outcome.verdict} ({outcome.words})" for outcome in bad)
        through = any(outcome.verdict == "got through" for outcome in bad)
        detail = words or f"{len(own)} attacks held"
        checks.append(Check(group, not bad, detail, (_FIX if through else _UNSHOWN) if bad else ""))
    return checks


def _outcome(attack: Attack, told: _Told, controls: _Told | None) -> Outcome:
    outcome, words = told[attack.name]["outcome"], told[attack.name]["words"]
    verdict = {"through": "got through", "denied": "denied", "not here": "not tried"}.get(outcome, "inconclusive")
    made = partial(Outcome, attack.group, attack.name)
    if verdict != "denied" or controls is None:
        return made(verdict, words)
    shown, why = controls[attack.name]["outcome"], controls[attack.name]["words"]
    if shown == "through":
        return made(verdict, words, f"worked {attack.control} ({why})")
    if shown == "not here":
        return made(verdict, words, f"not shown here: {why}")
    return made("inconclusive", words, f"did not work {attack.control} either: {why}")


async def _controls(client: KeeperClient, place: Path | None) -> _Told:
    told: _Told = {}
    for where in (NO_FILTER, OPEN_MOUNTS, NAMESPACE, OUTSIDE):
        rows = [row for row, attack in enumerate(ATTACKS) if attack.control == where]
        with stage(place, client.pid) as trial:
            try:
                told |= await _try(client, trial, where, rows)
            except KagedError as error:
                words = "; ".join(explain_bwrap_failure(str((error.details or {}).get("stderr", error.message))))
                told |= {ATTACKS[row].name: {"outcome": "broken", "words": words} for row in rows}
    return told


async def _try(client: KeeperClient, trial: Stage, where: str, rows: Sequence[int]) -> _Told:
    plan = trial.plan()
    ended: Exit | None
    start = f"import sys; sys.path.insert(0, {str(trial.project)!r}); from attacks.table import main; main()"
    argv = [plan.host.python, "-I", "-S", "-B", "-c", start, *map(str, rows)]
    # Not among the arguments: whoever looks for processes by the path of a socket would find this one.
    facts = json.dumps(trial.told(where)).encode()
    if where in (NAMESPACE, OUTSIDE):
        ended, output = None, await trial.run_outside(where, argv, plan, facts)
    else:
        ended, output = await _run(client, plan if where == CAGE else Weakened(plan, where), argv, facts)
    lost = {"outcome": "broken", "words": f"it ended before that: {ended}", "ended": "early"}
    try:
        told = {told["attack"]: told for told in map(json.loads, output.splitlines())}
        return {**{ATTACKS[row].name: lost for row in rows}, **told}
    except (ValueError, TypeError, KeyError):
        said = output[-2000:].decode("utf-8", "replace")
        raise KagedError("unavailable", f"the attacks could not be run {where}: {said}") from None


@contextlib.asynccontextmanager
async def _cage(client: KeeperClient, plan: Plan) -> AsyncIterator[str]:
    cage = f"probe-{new_ulid()}"
    await client.ensure_cage(cage, plan)
    try:
        yield cage
    finally:
        await client.drop_cage(cage)


async def _run(client: KeeperClient, plan: Plan, argv: Sequence[str], given: bytes = b"") -> tuple[Exit, bytes]:
    async with _cage(client, plan) as cage:
        process = await client.run(cage, f"{cage}-try", argv, walltime_s=TIME_LIMIT_S, stdin=True)
        try:
            with contextlib.suppress(KagedError):  # it has ended already, which is told below
                await process.write(given)
                await process.close_stdin()
            ended = await process.wait()
            return ended, process.stream.read(0, _OUTPUT_LIMIT)[1]
        finally:
            await client.forget(process.id)


async def _greed(client: KeeperClient, plan: CagePlan) -> list[Outcome]:
    """Memory and processes, with limits small enough to be met at once, and with wide ones."""
    small, wide = (
        replace(plan, limits=replace(plan.limits, memory_bytes=size << 20, pids=pids))
        for size, pids in ((96, 32), (2048, 512))
    )
    outcomes = []
    for attack, script in zip(IN_ADDITION, _GREED.values(), strict=False):
        inside, there = [
            (await _run(client, chosen, [plan.host.python, "-I", "-c", f"WAIT = {wait}\n{script}"]))[1]
            for chosen, wait in ((small, 5), (wide, 0))
        ]
        outcomes.append(_seen(attack, b"through" in inside, b"through" in there, "ended or refused"))
    return outcomes


def _seen(attack: Attack, inside: bool, elsewhere: bool, refusal: str) -> Outcome:
    through, denied = {"outcome": "through", "words": ""}, {"outcome": "denied", "words": refusal}
    told, shown = ({attack.name: through if worked else denied} for worked in (inside, elsewhere))
    return _outcome(attack, told, shown)


async def _leftovers(client: KeeperClient, plan: CagePlan) -> Outcome:
    """What a command left behind in every way there is must be gone with the cage."""
    mark = str(secrets.randbelow(10**8) + 10**8)
    script = f"""trap '' TERM HUP
        setsid nohup sleep {mark} >/dev/null 2>&1 &
        (sleep {mark} &)
        echo started"""
    async with _cage(client, plan) as cage:
        process = await client.run(cage, f"{cage}-try", ["/bin/sh", "-c", script])
        await process.stream.wait_past(0)
        await process.signal(signal.SIGTERM, tree=False)
        started = await asyncio.to_thread(processes, "cmdline", f"\0{mark}\0")
    await process.wait()
    await client.forget(process.id)
    left = await asyncio.to_thread(processes, "cmdline", f"\0{mark}\0")
    return _seen(_LEFTOVERS, bool(left), bool(started), "gone with the cage")


def _snapshot(folder: Path) -> dict[str, bytes]:
    paths = folder.rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}
