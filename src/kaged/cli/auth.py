"""auth: launch URLs."""

import os

import click

from kaged.cli import output
from kaged.cli.client import Target


@click.group()
def auth() -> None:
    """Sign a browser in.

    In user mode a browser signs in with a launch URL: it works once, for ten minutes.

    \b
    Example:
      kaged auth open
    """


@auth.command("open")
@click.pass_obj
def open_page(target: Target) -> None:
    """Print a fresh launch URL and open it in a browser if there is one.

    \b
    Example:
      kaged auth open
    """
    ticket = target.api().post("/auth/launch", {})
    output.line(ticket["url"])
    output.line(f"works once, until {ticket['expires_at']}", err=True)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import webbrowser

        webbrowser.open(ticket["url"])


@auth.command("launch-url")
@output.json_option
@click.pass_obj
def launch_url(target: Target, as_json: bool) -> None:
    """Print a fresh launch URL and nothing else.

    \b
    Example:
      ssh server.example.com kaged auth launch-url
    """
    ticket = target.api().post("/auth/launch", {})
    if as_json:
        output.data(ticket)
    else:
        output.line(ticket["url"])
