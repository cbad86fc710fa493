"""`kaged doctor` while no daemon runs: the gates that can be tried without taking the home."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kaged.cage.client import KeeperClient
from kaged.cage.probe import ProbeReport, probe
from kaged.core.checks import Check
from kaged.core.errors import KagedError
from kaged.settings.config import Loaded

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"  # Where cages look, whatever `PATH` says

PROGRAMS = {
    "bwrap": ("bubblewrap", "agents cannot run without it"),
    "rg": ("ripgrep", "the search tools need it"),
    "git": ("git", "projects are usually repositories"),
}


async def examine(loaded: Loaded, *, attacks: bool, as_json: bool) -> int:
    """Print every check; 0 when all of them hold, 1 otherwise."""
    report = await _cage(attacks=attacks)
    checks = [*_programs(), *settings(loaded), *report.checks]
    if as_json:
        found: dict[str, Sequence[Any]] = {"checks": checks, **({"attacks": report.attacks} if attacks else {})}
        click.echo(json.dumps({key: [*map(dataclasses.asdict, rows)] for key, rows in found.items()}, indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
            if not check.ok and check.fix:
                click.echo(f"      fix: {check.fix}")
        if attacks and report.attacks:
            click.echo("\n".join(table(report)))
    return 0 if all(check.ok for check in checks) else 1


def table(report: ProbeReport) -> list[str]:
    """The attacks by group, one a line: what was tried, what happened, where it works; then the sum."""
    rows = [(a.name, f"{a.verdict}: {a.words}", a.control.partition(" (")[0]) for a in report.attacks]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines: list[str] = []
    group = ""
    for attack, (name, happened, control) in zip(report.attacks, rows, strict=True):
        if attack.group != group:
            group = attack.group
            lines += ["", group]
        mark = "ok  " if attack.ok else "FAIL"
        lines.append(f"  {mark}  {name:{widths[0]}}  {happened:{widths[1]}}  {control}".rstrip())
    return [*lines, "", report.summary()]


def _programs() -> list[Check]:
    found = []
    for program, (package, why) in PROGRAMS.items():
        where = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
        fix = "" if where else f"sudo apt-get install -y {package}"
        found.append(Check(f"program {program}", where is not None, where or f"not installed; {why}", fix))
    return found


def settings(loaded: Loaded) -> list[Check]:
    """What the configuration leaves open."""
    checks = [Check(name="configuration", ok=True, detail=str(loaded.paths.config_file), fix="")]
    if loaded.mode == "system":
        address, peers = loaded.config.daemon.public_url, ", ".join(loaded.config.auth.sidecar_peers)
        unchecked = "not set: the name in the Host header cannot be checked"
        fix = "set [daemon] public_url to the address people type"
        checks.append(Check("public address", bool(address), address or unchecked, fix))
        anybody = "any local process may try to speak as the sidecar"
        fix = 'set [auth] sidecar_peers, for example ["uid:oauth2-proxy"]'
        checks.append(Check("sidecar peers", bool(peers), peers or anybody, fix))
    return checks


async def _cage(*, attacks: bool) -> ProbeReport:
    """A keeper of its own in a folder of its own, so that a running one is left alone."""
    with tempfile.TemporaryDirectory(prefix="kaged-doctor-") as folder:
        runtime = Path(folder)
        try:
            client = await KeeperClient.connect(runtime / "keeper.sock", runtime, grace_s=5)
        except KagedError as error:
            return ProbeReport((Check(name="keeper", ok=False, detail=error.message, fix="see the message"),))
        try:
            return await probe(client, attacks=attacks)
        finally:
            await client.shutdown()
            client.close()
