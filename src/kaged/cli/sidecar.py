"""sidecar init: writes the files of a sidecar, filled in. Works without a daemon."""

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import click
from click import argument, option

from kaged.cli import output
from kaged.cli.client import Target
from kaged.core.errors import KagedError
from kaged.core.ids import secret_token
from kaged.settings import paths
from kaged.settings.config import Flags, load
from kaged.settings.nonces import CURRENT as NONCE
from kaged.sidecars.recipes import RECIPES, File, commands, needs, render
from kaged.sidecars.values import FIELDS, Field


@output.group("kaged sidecar init oauth2-proxy")
def sidecar() -> None:
    """Write the files of a proxy that signs people in."""


@output.command(
    sidecar, "kaged sidecar init oauth2-proxy", "kaged sidecar init authelia --variant caddy --dir authelia", json=True
)
@argument("name", type=click.Choice(list(RECIPES)), metavar="NAME")
@option("--variant", metavar="NAME", help="Which form of it; a wrong name lists them.")
@option("--dir", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: kaged-NAME here.")
@option("--client-secret-file", type=click.File(), metavar="FILE", help='Has the client secret; "-" reads it.')
def init(
    target: Target, name: str, variant: str | None, folder: Path | None, client_secret_file: IO[str] | None,
    as_json: bool, **given: str | None,
) -> None:  # fmt: skip
    """Write the files of the sidecar NAME, filled in, and print the commands that put them to use.

    NAME is oauth2-proxy, pomerium, authelia, traefik, caddy, nginx, apache or tailscale. What no option says is taken
    from config.toml, or asked for on a terminal. Nothing is overwritten; only you can read the files with secrets."""
    recipe = RECIPES[name].get(variant or next(iter(RECIPES[name])))
    if recipe is None:
        raise click.UsageError(f"--variant: {name} has these: {', '.join(RECIPES[name])} (the first is the default)")
    known = _defaults(target) | {key: value for key, value in given.items() if value is not None}
    try:
        if client_secret_file is not None:
            known["client_secret"] = client_secret_file.read().strip()
        files = render(recipe, _values(needs(recipe), known), _fresh)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    where = (folder or Path(f"kaged-{name}")).absolute()
    _write(where, files)
    steps = [f"cd {where}", *commands(files)]
    shown = [{"path": str(where / file.path), "secret": file.secret} for file in files]
    wrote = [f"  {where / file.path}{'   (secret, 0600)' if file.secret else ''}" for file in files]
    lines = ["wrote", *wrote, "next", *(f"  {step}" for step in steps)]
    output.show({"folder": str(where), "files": shown, "commands": steps}, as_json, lines)


for _field in FIELDS.values():
    if not _field.secret:
        init.params.append(click.Option([_field.option], metavar="VALUE", help=f"{_field.meaning}."))


def _defaults(target: Target) -> dict[str, str]:
    """What the configuration says; that of the host, when there is one and nothing chooses another."""
    named = target.config or os.environ.get("KAGED_MODE") or os.environ.get("KAGED_CONFIG")
    mode = target.mode if named or not Path("/", paths.SYSTEM_CONFIG).exists() else target.mode or "system"
    loaded = load(flags=Flags(config=target.config, mode=mode), environ=os.environ, write_default=False)
    daemon = loaded.config.daemon
    found = {"nonce_file": str(loaded.paths.env_file), "tunnel_id": FIELDS["tunnel_id"].example}
    if daemon.public_url:
        found["public_url"] = daemon.public_url
    if daemon.address.unix is None and daemon.address.port:
        found["upstream"] = daemon.bind
    return found


def _values(needed: list[str], known: Mapping[str, str]) -> dict[str, str]:
    """Each needed value, checked. Raises ValueError."""
    fields = [FIELDS["nonce_file" if name == "nonce" else name] for name in needed]
    missing = [field for field in fields if field.name not in known]
    if missing and not sys.stdin.isatty():
        said = "; ".join(f"{field.option} ({field.meaning}, such as {field.example})" for field in missing)
        raise click.UsageError(f"missing: {said}")
    values = {field.name: field.check(known[field.name]) for field in fields if field.name in known}
    values |= {field.name: _ask(field) for field in missing}
    return values | ({"nonce": _nonce(values["nonce_file"])} if "nonce" in needed else {})


def _ask(field: Field) -> str:
    def check(text: str) -> str:
        try:
            return field.check(text.strip())
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    question = f"{field.meaning} (such as {field.example})"
    answer: str = click.prompt(question, hide_input=field.secret, err=True, value_proc=check)
    return answer


def _nonce(path: str) -> str:
    fix = f"as root: echo {NONCE}=$(openssl rand -hex 32) >> {path}"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        text = f"{path}: {error.strerror}, and these files hold the nonce; run this with sudo, or make one {fix}"
        raise KagedError("bad_request", text) from None
    found = [line.partition("=")[2].strip("\"' ") for line in lines if line.partition("=")[0].strip() == NONCE]
    if not found:
        raise KagedError("bad_request", f"{path} has no {NONCE}, and these files hold it; make one {fix}")
    return FIELDS["nonce"].check(found[-1])


def _fresh(slot: str) -> str:
    token = secret_token()
    return base64.b64encode(base64.urlsafe_b64decode(token + "=")).decode() if slot[:6] == "base64" else token


def _write(folder: Path, files: list[File]) -> None:
    """Write them, none when one is there already. Raises KagedError."""
    for file in files:
        if os.path.lexists(folder / file.path):
            fix = "move it away, or write elsewhere with --dir"
            raise KagedError("conflict", f"{folder / file.path} is there already and stays as it is; {fix}")
    try:
        for file in files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if file.secret else 0o644)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(file.text)
    except OSError as error:
        raise KagedError("bad_request", f"{error.filename}: {error.strerror}; name another folder with --dir") from None
