"""A home in one tar archive with a manifest: made while a daemon serves or not, restored where there is no home yet."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import apsw

import kaged
from kaged.audit.log import head_path, verify_file
from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.settings.config import Flags, Loaded, load
from kaged.settings.paths import Paths
from kaged.storage.schema import migrations, open_reader, pending, sync_folder, translate

FORMAT = 1
SECRET = ("local.toml", "env")  # Of the configuration folder: they can hold keys and the nonce
_PAGES = 2048  # Copied between two words on how far it is
_WITH_PATHS = "SELECT name FROM sqlite_schema WHERE name IN ('projects', 'forgotten')"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself; `files` has the SHA-256 of each, but of those in projects."""

    format: int
    kaged: str
    schema: int
    made_at: str
    home: str
    files: dict[str, str]


@contextlib.contextmanager
def as_owner(home: Path) -> Iterator[None]:
    """As root, do the work as the account that owns the home: no file in it becomes root's."""
    if not home.is_dir():
        text = f"{home} does not exist; make it for the account that runs kaged, as install.sh does"
        raise KagedError("not_found", text)
    owner, groups = home.stat(), os.getgroups()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def backup(loaded: Loaded, target: Path, *, secrets: bool, projects: bool, say: Say) -> Manifest:
    """Write a consistent backup to the new file `target` (0600; compressed when it ends in `.gz` or `.tgz`). Raises
    KagedError: conflict when it exists, unavailable when something cannot be read or written; no file is left then."""
    home = loaded.paths.home
    try:
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KagedError("conflict", f"{target} cannot be made: {error.strerror}; name a new file") from None
    try:
        with as_owner(home), tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as name:
            stage = Path(name)
            manifest = _collect(loaded.paths, stage, ("config.toml", "known_hosts", *(SECRET if secrets else ())), say)
            own = ["-C", str(home), "projects"] if projects and loaded.paths.projects_dir.is_dir() else []
            say(f"writing {target}")
            packed = ["-z"] if target.suffix in (".gz", ".tgz") else []
            _tar(["-c", *packed, "-C", name, *sorted(entry.name for entry in stage.iterdir()), *own], out, target)
        os.fsync(out)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(out)
    return manifest


def _collect(paths: Paths, stage: Path, config: tuple[str, ...], say: Say) -> Manifest:
    schema = len(migrations()) - len(pending(paths.database))
    _copy_database(paths.database, stage / "kaged.db", say)
    (stage / "config").mkdir()
    # The head before the log, which may grow meanwhile and then reaches further than the head, never less far.
    copied = {head_path(paths.audit_log): "audit.log.head", paths.audit_log: "audit.log"}
    copied |= {paths.config_dir / name: f"config/{name}" for name in config}
    for source, name in copied.items():
        if source.is_file():
            shutil.copyfile(source, stage / name)
    files = {str(f.relative_to(stage)): _sha256(f) for f in sorted(stage.rglob("*")) if f.is_file()}
    manifest = Manifest(FORMAT, kaged.__version__, schema, clock.iso(), str(paths.home), files)
    (stage / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def _copy_database(source: Path, target: Path, say: Say) -> None:
    """One state of the database, however much is written to it meanwhile: the open transaction holds it."""
    try:
        with contextlib.closing(open_reader(source, vfs=None, busy_timeout_s=5)) as reading:
            reading.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
            with contextlib.closing(apsw.Connection(str(target))) as writing:
                with writing.backup("main", reading, "main") as copying:
                    while not copying.done:
                        copying.step(_PAGES)
                        say(f"database: {copying.page_count - copying.remaining} of {copying.page_count} pages")
                writing.pragma("journal_mode", "delete")
    except apsw.Error as error:
        raise translate(error, source) from error


def _tar(options: list[str], stream: int, file: Path) -> None:
    way: dict[str, Any] = {"stdin": stream} if "-x" in options else {"stdout": stream, "stdin": subprocess.DEVNULL}
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    done = subprocess.run(["tar", *options, "-f", "-"], stderr=subprocess.PIPE, text=True, check=False, env=env, **way)
    # 1 stands for files that changed while they were read: agents may be at work in their projects.
    if done.returncode > 1 or (done.returncode and "-x" in options):
        words = (done.stderr.strip().splitlines() or ["tar failed"])[0].removeprefix("tar: ")
        full = "No space left" in done.stderr or "Wrote only" in done.stderr
        raise KagedError("unavailable", f"{file}: {'the disk is full' if full else words}; nothing was kept")


def restore(flags: Flags, source: Path, *, say: Say) -> tuple[Manifest, list[str]]:
    """Unpack a backup into a home without a database: the manifest, and what was left as it is (existing files).
    KagedError: conflict for a home in use, bad_request for what is no whole backup or of a newer kaged."""
    loaded = load(flags=flags, environ=dict(os.environ), write_default=False)
    home = loaded.paths.home
    if loaded.mode == "user":
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        file = source.open("rb")
    except OSError as error:
        raise KagedError("not_found", f"{source} cannot be read: {error.strerror}") from error
    with file, as_owner(home), tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as name:
        stage = Path(name)
        manifest = _unpack(file, source, stage)
        say(f"whole: made by kaged {manifest.kaged} at {manifest.made_at}, schema {manifest.schema}")
        notes = _place_config(stage / "config", loaded.paths.config_dir)
        _move_in(stage, load(flags=flags, environ=dict(os.environ), write_default=False).paths, manifest, notes)
    return manifest, notes


def _unpack(file: IO[bytes], source: Path, stage: Path) -> Manifest:
    packed = ["-z"] if file.read(2) == b"\x1f\x8b" else []
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    _tar(["-x", *packed, "--no-same-owner", "-C", str(stage)], file.fileno(), source)
    try:
        found = _contents(stage)
        manifest = Manifest(**json.loads((stage / "manifest.json").read_bytes()))
        if missing := manifest.files.keys() - found:
            raise ValueError(missing)
        changed = [name for name, digest in manifest.files.items() if _sha256(stage / name) != digest]
        if "kaged.db" not in manifest.files:
            raise ValueError("no database")
    except (OSError, ValueError, TypeError) as error:
        raise KagedError("bad_request", f"{source} is not a whole backup of kaged; take another one") from error
    if manifest.format > FORMAT or manifest.schema > len(migrations()):
        words = f"{source} was made by kaged {manifest.kaged}, which is newer (schema {manifest.schema})"
        raise KagedError("bad_request", f"{words}; restore it with that version")
    damage = [f"{name} was changed" for name in changed] or problems(stage / "kaged.db", stage / "audit.log")
    if damage:
        raise KagedError("bad_request", f"{source} is damaged: {damage[0]}; take another backup")
    return manifest


def _contents(stage: Path) -> set[str]:
    """Unpacked files outside projects. ValueError for links and devices, which would be followed out of the backup."""
    found = [*stage.iterdir()]
    if (config := stage / "config").is_dir() and not config.is_symlink():
        found += config.iterdir()
    for file in found:
        if not (stat.S_ISREG(mode := file.lstat().st_mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{file.name} is no file")
    return {str(file.relative_to(stage)) for file in found}


def _place_config(config: Path, folder: Path) -> list[str]:
    notes = []
    for file in sorted(config.iterdir()) if config.is_dir() else ():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (folder / file.name).open("xb") as out:
                os.fchmod(out.fileno(), 0o600)
                out.write(file.read_bytes())
        except OSError as error:
            notes.append(f"{folder / file.name} is left as it is ({error.strerror})")
    return notes


def _move_in(stage: Path, paths: Paths, manifest: Manifest, notes: list[str]) -> None:
    """Everything to its place; the database last, for without one a home counts as empty."""
    log, head = paths.audit_log, head_path(paths.audit_log)
    places = {"audit.log": log, "audit.log.head": head, "kaged.db": paths.database}
    if taken := [place for place in places.values() if place.exists()]:
        raise KagedError("conflict", f"{taken[0]} exists already; restore into an empty home, or move it away first")
    with contextlib.closing(apsw.Connection(str(stage / "kaged.db"))) as connection:
        old = f"{manifest.home}/projects/"
        for (table,) in connection.execute(_WITH_PATHS).fetchall():
            change = f"UPDATE {table} SET path = ?2 || substr(path, ?3 + 1) WHERE substr(path, 1, ?3) = ?1"
            connection.execute(change, (old, f"{paths.projects_dir}/", len(old)))
    for folder in sorted((stage / "projects").glob("*")):
        if (place := paths.projects_dir / folder.name).exists():
            notes.append(f"{place} is left as it is (File exists)")
        else:
            paths.projects_dir.mkdir(mode=0o700, exist_ok=True)
            folder.rename(place)
    paths.left_file.write_text("This comes from a backup, which was made while it ran.", "utf-8")
    for name in filter(lambda name: (stage / name).exists(), places):
        places[name].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (stage / name).chmod(0o600)
        shutil.move(stage / name, places[name])
        sync_folder(places[name].parent)


def problems(database: Path, log: Path) -> list[str]:
    """What is wrong with a database and an audit log; nothing when both are whole."""
    pending(database)
    try:
        with contextlib.closing(open_reader(database, vfs=None, busy_timeout_s=5)) as connection:
            found = [f"database: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            rows = connection.execute("PRAGMA foreign_key_check")
            found += [f"database: a row of {table} points to none of {other}" for table, _, other, _ in rows]
    except apsw.Error as error:
        raise translate(error, database) from error
    report = verify_file(log) if log.exists() else None
    return found if report is None or report.ok else [*found, f"audit log: {report.problem}"]


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
