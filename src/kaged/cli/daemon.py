"""start, stop, status, doctor, version."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import kaged
from kaged.cli import output
from kaged.cli.client import NotRunning, Target
from kaged.cli.process import become, end_listener, wait_end
from kaged.core.errors import KagedError

STOP_TIMEOUT_S = 40.0


@click.command()
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Use this config.toml.")
@click.option("--mode", type=click.Choice(["user", "system"]), help="Which paths and which sign-in.")
@click.option("--bind", metavar="ADDRESS", help="Listen on host:port or unix:/path instead of [daemon] bind.")
@click.option("--insecure", is_flag=True, help="No sign-in: whoever reaches the port is the admin. Loopback only.")
@click.option("--allow-remote-bind", is_flag=True, help="Allow an address that other machines can reach.")
@output.example(
    "kaged start", "kaged start --bind 127.0.0.1:8080", "kaged start --mode=system --config /etc/kaged/config.toml"
)
@click.pass_obj
def start(
    target: Target, config: Path | None, mode: str | None, bind: str | None, insecure: bool,
    allow_remote_bind: bool,
) -> None:  # fmt: skip
    """Start the daemon in the foreground.

    Prints the URL to open once it is ready. Ctrl-C stops it and everything that runs in cages. Without
    options it serves this account on 127.0.0.1:7777, or on the next free port.
    """
    if insecure and allow_remote_bind:
        raise click.UsageError("--allow-remote-bind is refused together with --insecure")
    flags = Target(config or target.config, mode or target.mode).flags()
    flags += [] if bind is None else [f"--bind={bind}"]
    become("kaged.daemon", *flags, *["--insecure"] * insecure, *["--allow-remote-bind"] * allow_remote_bind)


@click.command()
@output.example("kaged stop")
@click.pass_obj
def stop(target: Target) -> None:
    """Stop the daemon and everything that runs in cages.

    Sessions stay; a run that is cut off shows as interrupted and can be resumed. Without a daemon it ends
    the commands and terminals that one left running.
    """
    runtime = target.runtime()
    api = target.api()
    try:
        pid = int(api.get("/system")["daemon"]["pid"])
        api.post("/system/stop", {})
    except NotRunning:
        keeper = end_listener(runtime / "keeper.sock", STOP_TIMEOUT_S)
        if keeper is None:
            raise
        click.echo(f"kaged was not running; ended the keeper it had left (pid {keeper})")
        return
    if not wait_end(pid, STOP_TIMEOUT_S):
        text = f"kaged (pid {pid}) did not stop within {STOP_TIMEOUT_S:.0f} s; look at its log"
        raise KagedError("unavailable", text)
    click.echo(f"stopped (pid {pid})")


@click.command()
@output.json_option
@output.example("kaged status", "kaged status --json")
@click.pass_obj
def status(target: Target, as_json: bool) -> int:
    """Show whether the daemon runs, and what runs in it.

    Exit code 0 when it runs, 1 when it does not.
    """
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
        f"  projects  {len(projects)}",
    ]
    bad = [check for check in system["checks"] if not check["ok"]]
    lines += [f"  PROBLEM   {check['name']}: {check['detail']}; {check['fix']}" for check in bad]
    output.show({**system, **more, "socket": str(api.path)}, as_json, lines)
    return 0


@click.command()
@click.option("--attacks", is_flag=True, help="Run every escape attempt against a real cage.")
@output.json_option
@output.example("kaged doctor", "kaged doctor --attacks")
@click.pass_obj
def doctor(target: Target, attacks: bool, as_json: bool) -> int:
    """Check this machine and prove that cages hold.

    Each failed check names one exact fix. With --attacks it tries to break out of a real cage in every way
    it knows, and shows that each would work elsewhere. Exit code 0 when all checks pass, 1 otherwise.
    """
    flags = [*target.flags(), "--doctor", *["--attacks"] * attacks, *["--json"] * as_json]
    if attacks:
        become("kaged.daemon", *flags)
    try:
        system = target.api().get("/system")
    except NotRunning:
        become("kaged.daemon", *flags)
        raise
    checks: list[dict[str, Any]] = system["checks"]
    output.show({"checks": checks}, as_json, _check_lines(checks))
    return 0 if all(check["ok"] for check in checks) else 1


def _check_lines(checks: list[dict[str, Any]]) -> Iterator[str]:
    for check in checks:
        yield f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}"
        if not check["ok"] and check["fix"]:
            yield f"      fix: {check['fix']}"


@click.command()
@output.json_option
@output.example("kaged version")
@click.pass_obj
def version(target: Target, as_json: bool) -> None:
    """Print the versions of this command and of the daemon."""
    try:
        daemon = target.api().get("/versions")["kaged"]
    except NotRunning:
        daemon = None
    python = ".".join(map(str, sys.version_info[:3]))
    output.show(
        {"kaged": kaged.__version__, "daemon": daemon, "python": python},
        as_json,
        [f"kaged {kaged.__version__} (Python {python})", f"daemon {daemon}" if daemon else "the daemon is not running"],
    )
