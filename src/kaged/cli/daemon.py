"""start, stop, status, doctor, version."""

import sys
from typing import Any

import click

import kaged
from kaged.cli import output
from kaged.cli.client import NotRunning, Target
from kaged.cli.process import become, end_listener, wait_end
from kaged.core.errors import KagedError

STOP_TIMEOUT_S = 40.0


@click.command()
@click.option("--config", type=click.Path(), metavar="FILE", help="Use this config.toml.")
@click.option("--mode", type=click.Choice(["user", "system"]), help="Which paths and which sign-in.")
@click.option("--bind", metavar="ADDRESS", help="Listen on host:port or unix:/path instead of [daemon] bind.")
@click.option(
    "--insecure", is_flag=True, help="No sign-in: whoever reaches the port is the admin. Loopback only."
)
@click.option("--allow-remote-bind", is_flag=True, help="Allow an address that other machines can reach.")
@click.pass_obj
def start(
    target: Target,
    config: str | None,
    mode: str | None,
    bind: str | None,
    insecure: bool,
    allow_remote_bind: bool,
) -> None:
    """Start the daemon in the foreground.

    Prints the URL to open once it is ready. Ctrl-C stops it and everything that runs in cages. Without
    options it serves this account on 127.0.0.1:7777, or on the next free port.

    \b
    Example:
      kaged start
      kaged start --bind 127.0.0.1:8080
      kaged start --mode=system --config /etc/kaged/config.toml
    """
    if insecure and allow_remote_bind:
        raise click.UsageError("--allow-remote-bind is refused together with --insecure")
    chosen = Target.choose(config, mode)
    flags = Target(chosen.config or target.config, chosen.mode or target.mode).flags()
    flags += [] if bind is None else [f"--bind={bind}"]
    flags += ["--insecure"] if insecure else []
    flags += ["--allow-remote-bind"] if allow_remote_bind else []
    become("kaged.daemon", *flags)


@click.command()
@click.pass_obj
def stop(target: Target) -> None:
    """Stop the daemon and everything that runs in cages.

    Sessions stay; a run that is cut off shows as interrupted and can be resumed. Without a daemon it ends
    the commands and terminals that one left running.

    \b
    Example:
      kaged stop
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
        raise KagedError(
            "unavailable", f"kaged (pid {pid}) did not stop within {STOP_TIMEOUT_S:.0f} s; look at its log"
        )
    click.echo(f"stopped (pid {pid})")


@click.command()
@output.json_option
@click.pass_obj
def status(target: Target, as_json: bool) -> int:
    """Show whether the daemon runs, and what runs in it.

    Exit code 0 when it runs, 1 when it does not.

    \b
    Example:
      kaged status
      kaged status --json
    """
    api = target.api()
    try:
        system = api.get("/system")
        projects = api.items("/projects")
    except NotRunning as error:
        if as_json:
            output.data({"running": False, "socket": str(api.path)})
        else:
            output.line(error.message)
        return 1
    if as_json:
        more = {"running": True, "processes": system["running"], "projects": len(projects)}
        output.data({**system, **more, "socket": str(api.path)})
        return 0
    daemon, keeper = system["daemon"], system["keeper"]
    output.line(f"kaged {daemon['version']} runs since {daemon['started_at']} (pid {daemon['pid']})")
    output.line(f"  mode      {daemon['mode']}, on {daemon['bind']}")
    output.line(
        f"  keeper    pid {keeper['pid']}: {len(system['cages'])} cages, {system['running']} processes"
    )
    output.line(f"  projects  {len(projects)}")
    for check in (check for check in system["checks"] if not check["ok"]):
        output.line(f"  PROBLEM   {check['name']}: {check['detail']}; {check['fix']}")
    return 0


@click.command()
@click.option("--attacks", is_flag=True, help="Run every escape attempt against a real cage.")
@output.json_option
@click.pass_obj
def doctor(target: Target, attacks: bool, as_json: bool) -> int:
    """Check this machine and prove that cages hold.

    Each failed check names one exact fix. With --attacks it tries to break out of a real cage in every way
    it knows. Exit code 0 when all checks pass, 1 otherwise.

    \b
    Example:
      kaged doctor
      kaged doctor --attacks
    """
    flags = [
        *target.flags(),
        "--doctor",
        *(["--attacks"] if attacks else []),
        *(["--json"] if as_json else []),
    ]
    if attacks:
        become("kaged.daemon", *flags)
    try:
        system = target.api().get("/system")
    except NotRunning:
        become("kaged.daemon", *flags)
        raise
    checks: list[dict[str, Any]] = system["checks"]
    if as_json:
        output.data({"checks": checks})
    else:
        for check in checks:
            output.line(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}")
            if not check["ok"] and check["fix"]:
                output.line(f"      fix: {check['fix']}")
    return 0 if all(check["ok"] for check in checks) else 1


@click.command()
@output.json_option
@click.pass_obj
def version(target: Target, as_json: bool) -> None:
    """Print the versions of this command and of the daemon.

    \b
    Example:
      kaged version
    """
    try:
        daemon = target.api().get("/versions")["kaged"]
    except NotRunning:
        daemon = None
    python = ".".join(map(str, sys.version_info[:3]))
    if as_json:
        output.data({"kaged": kaged.__version__, "daemon": daemon, "python": python})
        return
    click.echo(f"kaged {kaged.__version__} (Python {python})")
    click.echo(f"daemon {daemon}" if daemon else "the daemon is not running")
