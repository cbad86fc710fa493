"""db: back up, restore, check and migrate a home's files. Works with and without a daemon."""

from pathlib import Path

import click
from click import argument, option

from kaged.cli import output
from kaged.cli.client import Target
from kaged.cli.process import become


@output.group("kaged db backup kaged.tar.gz")
def db() -> None:
    """Back up, restore, check and migrate the database.

    As root they work as the account that owns the home."""


@output.command(db, "kaged db backup /srv/backup/kaged.tar.gz", "kaged db backup --secrets /root/kaged.tar")
@argument("file", type=click.Path(dir_okay=False))
@option("--secrets", is_flag=True, help="Take local.toml and env with their keys and the nonce, too.")
@option("--no-projects", is_flag=True, help="Leave out the projects below the home.")
def backup(target: Target, file: str, secrets: bool, no_projects: bool) -> None:
    """Write the home to the new FILE, while kaged runs or not.

    A tar archive, compressed when FILE ends in .gz or .tgz: the database in one consistent state, the audit log,
    config.toml, the projects below the home, and a manifest with the schema's version and the files' hashes."""
    _become(target, "backup", file, *["secrets"] * secrets, *["no-projects"] * no_projects)


@output.command(db, "kaged db restore kaged.tar.gz")
@argument("file", type=click.Path(dir_okay=False))
def restore(target: Target, file: str) -> None:
    """Unpack the backup FILE into an empty home, on this host or another.

    Checks hashes, database and audit log first. Nothing that exists is overwritten, and the backup of a newer kaged is
    refused."""
    _become(target, "restore", file)


@output.command(db, "kaged db check", json=True)
def check(target: Target, as_json: bool) -> None:
    """Check the database, the chain of the audit log and every session's journal.

    Exit code 0 when all are whole, 1 otherwise."""
    _become(target, "check", *["json"] * as_json)


@output.command(db, "kaged db migrate --dry-run", "kaged db migrate")
@option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def migrate(target: Target, dry_run: bool) -> None:
    """Bring the database to this version's schema; every start of the daemon does so, too.

    Needs kaged to be stopped. Take a backup before: there is no way back."""
    _become(target, "migrate", *["dry-run"] * dry_run)


def _become(target: Target, *words: str) -> None:
    config = "" if target.config is None else str(Path(target.config).absolute())
    become("kaged.daemon.db", config, target.mode or "", *words)
