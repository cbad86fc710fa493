"""config: show, check, path. Works without a daemon."""

import json
import os
from functools import partial
from typing import Any

from kaged.cli import output
from kaged.cli.client import Target
from kaged.core.errors import ConfigError
from kaged.settings.config import Flags, Loaded, load
from kaged.settings.local import LocalFile
from kaged.settings.nonces import read_nonces


@output.group("kaged config check")
def config() -> None:
    """Show and check the configuration."""


@output.command(config, "kaged config show", json=True)
def show(target: Target, as_json: bool) -> None:
    """Print every key with its effective value and where that came from.

    Flags win over the environment, the environment over the file, the file over defaults. Secrets are never printed."""
    entries = [*_load(target).entries(), _nonce_entry()]
    shown = [{"key": key, "value": value, "source": source} for key, value, source in entries]
    rows = [(key, json.dumps(value, ensure_ascii=False), source) for key, value, source in entries]
    output.table(shown, as_json, ("KEY", "VALUE", "SOURCE"), rows)


@output.command(config, "kaged config check", "kaged --config /etc/kaged/config.toml --mode=system config check")
def check(target: Target) -> None:
    """Check config.toml, local.toml and the nonces; print every problem at once.

    Exit code 0 when there is none, 78 otherwise."""
    loaded = _load(target)
    problems = []
    for read in (LocalFile(loaded.paths.local_file).read, partial(read_nonces, os.environ, required=False)):
        try:
            read()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    for file in (loaded.paths.config_file, loaded.paths.local_file):
        output.line(f"{file}: {'ok' if file.exists() else 'absent; the defaults hold'}")


@output.command(config, "kaged config path", json=True)
def path(target: Target, as_json: bool) -> None:
    """Print where kaged keeps its files."""
    loaded = _load(target)
    places = loaded.paths
    folders = {
        "config": places.config_file, "local": places.local_file, "home": places.home, "database": places.database,
        "audit": places.audit_log, "projects": places.projects_dir, "runtime": places.runtime,
        "control": places.control_socket,
    }  # fmt: skip
    named = {"mode": loaded.mode, **{name: str(folder) for name, folder in folders.items()}}
    output.show(named, as_json, (f"{name:<9} {value}" for name, value in named.items()))


def _load(target: Target) -> Loaded:
    return load(flags=Flags(config=target.config, mode=target.mode), environ=os.environ, write_default=False)


def _nonce_entry() -> tuple[str, Any, str]:
    nonces = read_nonces(os.environ, required=False)
    lengths = " and ".join(f"{len(nonce)} characters" for nonce in nonces.accepted)
    return "sidecar nonce", f"set ({lengths})" if lengths else "not set", nonces.source
