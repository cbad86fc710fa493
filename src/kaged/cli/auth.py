"""auth: launch URLs."""

import os

import click

from kaged.cli import output
from kaged.cli.client import Target


@click.group()
@output.example("kaged auth open")
def auth() -> None:
    """Sign a browser in.

    In user mode a browser signs in with a launch URL: it works once, for ten minutes.
    """


@auth.command("open")
@output.example("kaged auth open")
@click.pass_obj
def open_page(target: Target) -> None:
    """Print a fresh launch URL and open it in a browser if there is one."""
    ticket = target.api().post("/auth/launch", {})
    output.line(ticket["url"])
    output.line(f"works once, until {ticket['expires_at']}", err=True)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import webbrowser

        webbrowser.open(ticket["url"])


@auth.command("launch-url")
@output.json_option
@output.example("ssh server.example.com kaged auth launch-url")
@click.pass_obj
def launch_url(target: Target, as_json: bool) -> None:
    """Print a fresh launch URL and nothing else."""
    ticket = target.api().post("/auth/launch", {})
    output.show(ticket, as_json, [ticket["url"]])
