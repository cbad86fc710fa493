"""config: show, check, path. Works without a daemon."""

import json
import os
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Target
from kaged.core.errors import ConfigError
from kaged.settings.config import Flags, Loaded, load
from kaged.settings.local import LocalFile
from kaged.settings.nonces import read_nonces


@click.group()
def config() -> None:
    """Show and check the configuration.

    \b
    Example:
      kaged config check
    """


@config.command()
@output.json_option
@click.pass_obj
def show(target: Target, as_json: bool) -> None:
    """Print every key with its effective value and where that came from.

    Flags win over the environment, the environment over the file, the file over defaults. Secrets are
    never printed.

    \b
    Example:
      kaged config show
    """
    loaded = _load(target)
    entries = [*loaded.entries(), _nonce_entry()]
    if as_json:
        output.data([{"key": key, "value": value, "source": source} for key, value, source in entries])
        return
    rows = [(key, json.dumps(value, ensure_ascii=False), source) for key, value, source in entries]
    output.table(("KEY", "VALUE", "SOURCE"), rows)


@config.command()
@click.pass_obj
def check(target: Target) -> None:
    """Check config.toml, local.toml and the nonces; print every problem at once.

    Exit code 0 when there is none, 78 otherwise.

    \b
    Example:
      kaged config check
      kaged --config /etc/kaged/config.toml --mode=system config check
    """
    loaded = _load(target)
    problems = []
    try:
        LocalFile(loaded.paths.local_file).read()
    except ConfigError as error:
        problems.append(str(error))
    try:
        read_nonces(os.environ, required=False)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    for file in (loaded.paths.config_file, loaded.paths.local_file):
        output.line(f"{file}: {'ok' if file.exists() else 'absent; the defaults hold'}")


@config.command()
@output.json_option
@click.pass_obj
def path(target: Target, as_json: bool) -> None:
    """Print where kaged keeps its files.

    \b
    Example:
      kaged config path
    """
    loaded = _load(target)
    places = loaded.paths
    named: dict[str, Any] = {
        "mode": loaded.mode,
        "config": str(places.config_file),
        "local": str(places.local_file),
        "home": str(places.home),
        "database": str(places.database),
        "audit": str(places.audit_log),
        "projects": str(places.projects_dir),
        "runtime": str(places.runtime),
        "control": str(places.control_socket),
    }
    if as_json:
        output.data(named)
        return
    for name, value in named.items():
        output.line(f"{name:<9} {value}")


def _load(target: Target) -> Loaded:
    flags = Flags(config=target.config, mode=target.mode)
    return load(flags=flags, environ=os.environ, write_default=False)


def _nonce_entry() -> tuple[str, Any, str]:
    nonces = read_nonces(os.environ, required=False)
    lengths = " and ".join(f"{len(nonce)} characters" for nonce in nonces.accepted)
    return "sidecar nonce", f"set ({lengths})" if lengths else "not set", nonces.source
