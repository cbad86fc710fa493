"""Load config.toml: flags over environment over file over defaults, every error in one message."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kaged.core.errors import ConfigError
from kaged.settings import paths as places
from kaged.settings.model import LATER, Config
from kaged.settings.nonces import CREDENTIALS
from kaged.settings.paths import Mode, Paths, read_text
from kaged.settings.problems import Document, Key, collect, line_of, parse

ENVIRONMENT: Mapping[str, tuple[str, str]] = {
    "KAGED_BIND": ("daemon", "bind"),
    "KAGED_HOME": ("daemon", "home"),
    "KAGED_PUBLIC_URL": ("daemon", "public_url"),
    "KAGED_LOGOUT_URL": ("auth", "logout_url"),
    "KAGED_LOG_LEVEL": ("logging", "level"),
}
"""Variables that stand for a key. `KAGED_CONFIG`, `KAGED_CONFIG_DIR` and `KAGED_MODE` choose the file."""

_EMPTY_MEANS_DEFAULT = (("daemon", "home"), ("plugins", "dir"), ("projects", "roots"))


@dataclass(frozen=True, slots=True)
class Flags:
    """What `kaged start` was given; None or False means not given."""

    config: Path | None = None
    mode: str | None = None
    bind: str | None = None
    insecure: bool = False
    allow_remote_bind: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective configuration. Each key's `sources`: `flag`, `env <NAME>`, `config.toml:<line>` or `default`."""

    config: Config
    mode: Mode
    paths: Paths
    sources: Mapping[str, str]

    def entries(self) -> list[tuple[str, Any, str]]:
        """Each key with its effective value (plain data) and source, in the order of the documentation."""
        values = self.config.model_dump(mode="json")
        named = [(f"{s}.{key}", value) for s, table in values.items() for key, value in table.items()]
        return [(name, value, self.sources[name]) for name, value in named]


@dataclass(frozen=True, slots=True)
class _Raw:
    file: Path
    document: Document
    sources: dict[str, str] = field(default_factory=dict)

    def place(self, loc: Key) -> str:
        """`config.toml:LINE: section.key`, or the flag or variable that set the key."""
        source = self.sources.get(".".join(map(str, loc[:2])), "")
        if source == "flag" or source[:4] == "env ":
            return f"{source}: {'.'.join(map(str, loc))}"
        return self.document.place(loc)

    def put(self, section: str, key: str, value: object, source: str) -> None:
        table = self.document.values.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
            self.sources[f"{section}.{key}"] = source


def load(*, flags: Flags, environ: Mapping[str, str], root: Path = Path("/"), write_default: bool = True) -> Loaded:
    """Read and check the configuration; ConfigError has one line per problem. In user mode a missing file is written,
    with commented defaults (unless not `write_default`). `root` replaces `/` for system mode's fixed paths."""
    mode = places.choose_mode(flags.mode, environ, root)
    file = places.choose_file(flags.config, mode, environ, root)
    given = flags.config is not None or "KAGED_CONFIG" in environ
    raw = _read(file, required=given or mode == "system", write_default=write_default)
    _overlay(raw, flags, environ)
    try:
        config = Config.model_validate(raw.document.values)
    except ValidationError as error:
        raise ConfigError("\n".join(collect(error, Config, raw.place, LATER))) from None
    if problems := _combinations(config, raw, flags):
        raise ConfigError("\n".join(problems))
    loaded = _complete(config, mode, raw, environ, root)
    if problems := _places(loaded, raw):
        raise ConfigError("\n".join(problems))
    return loaded


def is_secret(name: str) -> bool:
    """Whether a variable has to do with authentication secrets, and is nothing for whatever kaged starts."""
    return name[:11] == "KAGED_AUTH_" or name == CREDENTIALS


def scrub_environ(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Take the authentication secrets out, so that nothing started later inherits them."""
    return {name: environ.pop(name) for name in list(environ) if is_secret(name)}


def _read(file: Path, *, required: bool, write_default: bool) -> _Raw:
    text = read_text(file)
    if text is None:
        if required:
            raise ConfigError(f"{file}: there is no such file; create it or name another with --config")
        if write_default:
            _write_default(file)
        return _Raw(file, Document(file.name))
    raw = _Raw(file, parse(text, file.name))
    for section, table in raw.document.values.items():
        for key, value in list(table.items()) if isinstance(table, dict) else ():
            if value == "" and (section, key) in _EMPTY_MEANS_DEFAULT:
                del table[key]
            else:
                raw.sources[f"{section}.{key}"] = f"{file.name}:{line_of(raw.document.lines, (section, key))}"
    return raw


def _write_default(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("x", encoding="utf-8") as out:
            out.write((Path(__file__).parent / "data" / "config.toml").read_text(encoding="utf-8"))
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}; name another with --config") from None


def _overlay(raw: _Raw, flags: Flags, environ: Mapping[str, str]) -> None:
    for name, (section, key) in ENVIRONMENT.items():
        if value := environ.get(name):
            raw.put(section, key, value, f"env {name}")
    if flags.bind is not None:
        raw.put("daemon", "bind", flags.bind, "flag")
    if flags.insecure:
        raw.put("auth", "mode", "insecure", "flag")


def _combinations(config: Config, raw: _Raw, flags: Flags) -> list[str]:
    problems = []
    if flags.allow_remote_bind and config.insecure:
        why = "everybody who reaches the port would be the admin; use one of the two"
        problems.append(f"--allow-remote-bind: refused together with insecure mode: {why}")
    if not config.daemon.address.is_local and not flags.allow_remote_bind:
        fix = "bind a loopback address and put a sidecar in front"
        fix += "" if config.insecure else ", or start with --allow-remote-bind"
        what = f"{config.daemon.bind} can be reached from other machines"
        problems.append(f"{raw.place(('daemon', 'bind'))}: {what}; {fix}")
    return problems


def _places(loaded: Loaded, raw: _Raw) -> list[str]:
    """Folders that nobody can make, because something on the way to them is a file."""
    paths, config = loaded.paths, loaded.config
    files = {
        raw.place(("daemon", "home")): paths.lock_file,
        raw.place(("storage", "url")): paths.database,
        raw.place(("logging", "audit")): paths.audit_log,
        raw.place(("logging", "operational")): Path(config.logging.operational.removeprefix("file:")),
        raw.place(("daemon", "bind")): config.daemon.address.unix or paths.lock_file,
        f"the runtime folder {paths.runtime}": paths.control_socket,
    }
    problems = {place: places.obstacle(file) for place, file in files.items() if file.is_absolute()}
    return [f"{place}: {problem}; name another folder" for place, problem in problems.items() if problem]


def _complete(config: Config, mode: Mode, raw: _Raw, environ: Mapping[str, str], root: Path) -> Loaded:
    home = config.daemon.home or places.default_home(mode, environ, root)
    database = Path(config.storage.url.removeprefix("sqlite://")) if config.storage.url else home / "kaged.db"
    audit = Path(config.logging.audit.removeprefix("file:")) if config.logging.audit else home / "audit.log"
    host = mode == "user" if config.terminals.host is None else config.terminals.host
    filled: dict[str, dict[str, Any]] = {
        "daemon": {"home": home},
        "storage": {"url": f"sqlite://{database}"},
        "logging": {"audit": f"file:{audit}"},
        "plugins": {"dir": config.plugins.dir or home / "plugins"},
        "projects": {"roots": config.projects.roots or [home / "projects"]},
        "terminals": {"host": host},
    }
    sections = {section: getattr(config, section).model_copy(update=keys) for section, keys in filled.items()}
    complete = config.model_copy(update=sections)
    names = [f"{s}.{key}" for s, table in complete for key in type(table).model_fields]
    runtime = places.runtime_dir(mode, environ, home, root)
    paths = Paths(config_file=raw.file, home=home, runtime=runtime, database=database, audit_log=audit)
    return Loaded(complete, mode, paths, {name: raw.sources.get(name, "default") for name in names})
