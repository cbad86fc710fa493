"""`python -m kaged.daemon.db`: what `kaged db` becomes. Works on a home's files, beside a daemon or without one."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import apsw
import click

from kaged.core.errors import ConfigError, GateError, KagedError
from kaged.daemon.backup import SECRET, as_owner, backup, problems, restore
from kaged.daemon.process import take_lock
from kaged.journal.rows import session_page
from kaged.journal.transcript import to_markdown
from kaged.settings.config import Flags, Loaded, load
from kaged.storage.schema import migrations, open_reader, open_writer, pending, translate


def main(config: str, mode: str, action: str, *given: str) -> int:
    """Do `action` for the home that `config` and `mode` choose (empty: as ever); the exit code."""
    flags = Flags(config=Path(config) if config else None, mode=mode or None)
    try:
        if action == "restore":
            return _restore(flags, Path(given[0]))
        loaded = load(flags=flags, environ=dict(os.environ), write_default=False)
        if action == "backup":
            return _backup(loaded, Path(given[0]).absolute(), given[1:])
        with as_owner(loaded.paths.home):
            return _migrate(loaded, "dry-run" in given) if action == "migrate" else _check(loaded, "json" in given)
    except ConfigError as error:
        code, words = 78, str(error)
    except GateError as error:
        code, words = 69, f"{error.problem}\n  fix: {error.fix}"
    except KagedError as error:
        code, words = 1, error.message
    except OSError as error:
        code, words = 1, f"{error.filename or 'the home'}: {error.strerror}; nothing was changed"
    click.echo(f"kaged: {words}", err=True)
    return code


def _say(text: str) -> None:
    click.echo(text, err=True)


def _backup(loaded: Loaded, target: Path, given: tuple[str, ...]) -> int:
    manifest = backup(loaded, target, secrets="secrets" in given, projects="no-projects" not in given, say=_say)
    left = "" if "secrets" in given else f"; without {' and '.join(SECRET)}, which can hold secrets (--secrets)"
    click.echo(f"{target}: schema {manifest.schema}, {target.stat().st_size // 1024:,} KiB{left}")
    return 0


def _restore(flags: Flags, source: Path) -> int:
    manifest, notes = restore(flags, source, say=_say)
    for note in notes:
        _say(note)
    click.echo(f"restored {source} of {manifest.made_at}; start kaged, and its sessions go on")
    return 0


def _migrate(loaded: Loaded, dry_run: bool) -> int:
    path = loaded.paths.database
    steps = pending(path)
    for step in steps:
        click.echo(f"{'would apply' if dry_run else 'apply'} {step.name}")
    if steps and not dry_run:
        with contextlib.closing(take_lock(loaded.paths.lock_file)):
            open_writer(path, vfs=None, busy_timeout_s=5).close()
    click.echo(f"{path}: schema {len(migrations()) - (len(steps) if dry_run else 0)} of {len(migrations())}")
    return 0


def _check(loaded: Loaded, as_json: bool) -> int:
    """Integrity, the audit log's chain, and every session read from its first event to its last."""
    path = loaded.paths.database
    found = problems(path, loaded.paths.audit_log)
    found += [f"schema: {step.name} is still to be applied" for step in pending(path)]
    try:
        with contextlib.closing(open_reader(path, vfs=None, busy_timeout_s=5)) as connection:
            connection.execute("BEGIN")  # one state, while a daemon may go on writing
            rows: list[Any] = connection.execute("SELECT id, head FROM sessions").fetchall()
            found += [problem for name, head in rows for problem in _fold(connection, name, head)]
    except apsw.Error as error:
        raise translate(error, path) from error
    if as_json:
        click.echo(json.dumps({"ok": not found, "sessions": len(rows), "problems": found}, indent=2))
    else:
        click.echo("\n".join(found) or f"{path}: whole; {len(rows)} sessions read from beginning to end")
    return 1 if found else 0


def _fold(connection: apsw.Connection, session: str, head: int) -> list[str]:
    seq = 0
    try:
        while page := session_page(connection, session, seq, 1000):
            if [event.seq for event in page] != [*range(seq + 1, seq + len(page) + 1)]:
                return [f"session {session}: an event after {seq} is missing"]
            to_markdown("", page)
            seq = page[-1].seq
    except (ValueError, LookupError, TypeError) as error:
        return [f"session {session}: an event after {seq} cannot be read ({error})"]
    return [] if seq == head else [f"session {session}: ends with event {seq}, and {head} was written"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
