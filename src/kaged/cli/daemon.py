"""start, stop, status, doctor, version; audit: read and verify the audit log."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click import option

import kaged
from kaged.cli import output
from kaged.cli.client import NotRunning, Target
from kaged.cli.process import become, end_listener, python, wait_end
from kaged.core.errors import KagedError
from kaged.settings.config import Flags, load
from kaged.settings.paths import BY_HAND

STOP_TIMEOUT_S = 40.0


@output.command(None, "kaged start", "kaged start --bind 127.0.0.1:8080", "kaged start --mode=system")
@option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Use this config.toml.")
@option("--mode", type=click.Choice(["user", "system"]), help="Which paths and which sign-in.")
@option("--bind", metavar="ADDRESS", help="Listen on host:port or unix:/path instead of [daemon] bind.")
@option("--insecure", is_flag=True, help="No sign-in: whoever reaches the port is the admin. Loopback only.")
@option("--allow-remote-bind", is_flag=True, help="Allow an address that other machines can reach.")
def start(
    target: Target, config: Path | None, mode: str | None, bind: str | None, insecure: bool, allow_remote_bind: bool
) -> None:
    """Start the daemon in the foreground.

    Prints the URL to open once it is ready. Ctrl-C stops it and everything that runs in cages. Without options it
    serves this account on 127.0.0.1:7777, or on the next free port."""
    if insecure and allow_remote_bind:
        raise click.UsageError("--allow-remote-bind is refused together with --insecure")
    flags = Target(config or target.config, mode or target.mode).flags()
    flags += [] if bind is None else [f"--bind={bind}"]
    become("kaged.daemon", *flags, *["--insecure"] * insecure, *["--allow-remote-bind"] * allow_remote_bind)


@output.command(None, "kaged stop")
def stop(target: Target) -> None:
    """Stop the daemon and everything that runs in cages.

    Sessions stay; a run that is cut off shows as interrupted and waits for the operator to resume it, while after a
    crash or restart it goes on by itself. Without a daemon it ends the commands and terminals that one left running."""
    api = target.api()
    try:
        pid = int(api.get("/system")["daemon"]["pid"])
        api.post("/system/stop", {})
    except NotRunning:
        mode, file, runtime = target.place()
        keeper = end_listener(runtime / "keeper.sock", STOP_TIMEOUT_S)
        if keeper is None:
            raise
        flags = Flags(config=file if file.exists() else None, mode=mode)
        found = load(flags=flags, environ=os.environ, write_default=False).paths
        if found.home.is_dir():
            found.left_file.write_text(BY_HAND, "utf-8")
        click.echo(f"kaged was not running; ended the keeper it had left (pid {keeper})")
        return
    if not wait_end(pid, STOP_TIMEOUT_S):
        text = f"kaged (pid {pid}) did not stop within {STOP_TIMEOUT_S:.0f} s; look at its log"
        raise KagedError("unavailable", text)
    click.echo(f"stopped (pid {pid})")


@output.command(None, "kaged status", "kaged status --json", json=True)
def status(target: Target, as_json: bool) -> int:
    """Show whether the daemon runs, and what runs in it.

    Exit code 0 when it runs, 1 when it does not."""
    api = target.api()
    try:
        system = api.get("/system")
        projects = api.items("/projects")
    except NotRunning as error:
        output.show({"running": False, "socket": str(api.path)}, as_json, [error.message])
        return 1
    more = {"running": True, "processes": system["running"], "projects": len(projects)}
    daemon, keeper = system["daemon"], system["keeper"]
    lines = [
        f"kaged {daemon['version']} runs since {daemon['started_at']} (pid {daemon['pid']})",
        f"  mode      {daemon['mode']}, on {daemon['bind']}",
        f"  keeper    pid {keeper['pid']}: {len(system['cages'])} cages, {system['running']} processes",
        f"  limits    of cages are held by {keeper['limits']}",
        f"  network   of cages is held by {keeper['network']}",
        f"  projects  {len(projects)}",
    ]
    for it in system.get("nonces", ()):
        used = f"last {it['last_used_at']}" if it["requests"] else "not used yet"
        lines.append(f"  nonce     {it['slot']}: {it['requests']} requests, {used}, {it['sockets']} open sockets")
    bad = [check for check in system["checks"] if not check["ok"]]
    lines += [f"  PROBLEM   {check['name']}: {check['detail']}; {check['fix']}" for check in bad]
    output.show({**system, **more, "socket": str(api.path)}, as_json, lines)
    return 0


@output.command(None, "kaged doctor", "kaged doctor --attacks", json=True)
@option("--attacks", is_flag=True, help="Run every escape attempt against a real cage.")
def doctor(target: Target, attacks: bool, as_json: bool) -> int:
    """Check this machine and prove that cages hold.

    In system mode, as root, also what is installed: files, unit, nonces of kaged and its sidecar, clock, room. Each
    failed check names one exact fix. With --attacks it tries to break out of a real cage in every way it knows,
    and shows that each would work elsewhere. Exit code 0 when all checks pass, 1 otherwise."""
    api, (mode, file, _) = target.api(), target.place()
    flags = [*(Target(file, mode) if mode == "system" else target).flags(), "--doctor"]
    try:
        system = None if attacks else api.get("/system")
    except NotRunning:
        system = None
    if system is None and (attacks or mode == "user"):
        become("kaged.daemon", *flags, *["--attacks"] * attacks, *["--json"] * as_json)
    if system is None:
        found = subprocess.run(python("kaged.daemon", *flags, "--json"), stdout=subprocess.PIPE, check=False)
        if found.returncode > 1:
            return found.returncode
        system = json.loads(found.stdout)
    checks: list[dict[str, Any]] = system["checks"]
    if mode == "system":
        from kaged.cli import installed

        loaded = load(flags=Flags(config=file, mode=mode), environ=os.environ, write_default=False)
        accepted = [it["fingerprint"] for it in api.get("/auth/nonces")["items"]] if "daemon" in system else []
        checks += [asdict(check) for check in installed.examine(installed.gather(loaded, accepted))]
    output.show({"checks": checks}, as_json, _check_lines(checks))
    return 0 if all(check["ok"] for check in checks) else 1


def _check_lines(checks: list[dict[str, Any]]) -> Iterator[str]:
    for check in checks:
        warning = check.get("warning", False)
        yield f"{'warn' if warning else 'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}"
        if (warning or not check["ok"]) and check["fix"]:
            yield f"      fix: {check['fix']}"


@output.command(None, "kaged version", json=True)
def version(target: Target, as_json: bool) -> None:
    """Print the versions of this command and of the daemon."""
    try:
        daemon = target.api().get("/versions")["kaged"]
    except NotRunning:
        daemon = None
    python = ".".join(map(str, sys.version_info[:3]))
    known = {"kaged": kaged.__version__, "daemon": daemon, "python": python}
    said = f"daemon {daemon}" if daemon else "the daemon is not running"
    output.show(known, as_json, [f"kaged {kaged.__version__} (Python {python})", said])


@output.group("kaged audit tail")
def audit() -> None:
    """Read and verify the audit log."""


@output.command(audit, "kaged audit tail -n 50", json=True)
@option("-n", "--lines", type=click.IntRange(1, 10_000), metavar="N", default=20, show_default=True, help="How many.")
def tail(target: Target, lines: int, as_json: bool) -> None:
    """Print the newest records, oldest first."""
    records = target.api().items("/audit", at_most=lines)[::-1]
    output.show(records, as_json, map(_record, records))


@output.command(audit, "kaged audit verify", json=True)
def verify(target: Target, as_json: bool) -> int:
    """Check the hash chain from the first record to the last.

    Any edited, removed or reordered record breaks it. Exit code 0 when it holds, 1 otherwise."""
    report = target.api().get("/audit/verify")
    where = f"line {report['line']}: " if report.get("line") else ""
    words = f"THE CHAIN IS BROKEN: {where}{report['problem']}"
    if report["ok"]:
        words = f"the chain holds: {report['records']} records, {report['first_seq']} to {report['last_seq']}"
    output.show(report, as_json, [words])
    return 0 if report["ok"] else 1


def _record(record: dict[str, Any]) -> str:
    details = json.dumps(record["details"], ensure_ascii=False) if record["details"] else ""
    words = [record["at"], record["actor"]["id"], record["action"], record["object"], record["outcome"], details]
    return "  ".join(word for word in words if word)
