"""local.toml: the operator's own name, aliases and model providers. Never committed, mode 0600."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from kaged.core.errors import ConfigError, KagedError
from kaged.settings.model import Section, split_url
from kaged.settings.paths import read_text, write_private
from kaged.settings.problems import collect, matching, parse

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Driver = Literal["anthropic", "openai"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
BUILT_IN = "offline"
LATER = (
    "ui", "plugins", "system_plugins", "projects", "notifications", "tools", "budgets", "audit",
    "observability", "auth",
)  # fmt: skip
"""Tables of the public design that this version refuses."""


def _base_url(text: str) -> str:
    allowed = 'allowed: a URL such as "http://127.0.0.1:11434/v1", without user or query'
    url = split_url(text, allowed)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username is not None:
        raise ValueError(allowed)
    return text.rstrip("/")


def _name(kind: str) -> Callable[[str], str]:

    def check(name: str) -> str:
        if name == BUILT_IN:
            raise ValueError(f"{BUILT_IN!r} is built in and cannot be redefined; choose another {kind} name")
        if not NAME.fullmatch(name):
            which = f"{'an' if kind == 'alias' else 'a'} {kind}"
            raise ValueError(f"{name!r} cannot name {which}; allowed: a-z, 0-9, '-' and '_', at most 63 characters")
        return name

    return check


def _target(text: str) -> str:
    provider, _, model = text.partition(":")
    if text == BUILT_IN or (NAME.fullmatch(provider) and re.fullmatch(r"[!-~]{1,200}", model)):
        return text
    raise ValueError(f'{text!r} does not name a model; allowed: "provider:model", or "{BUILT_IN}"')


_ENV_NAME = matching(
    "[A-Za-z_][A-Za-z0-9_]*", 'must be the name of an environment variable, such as "ANTHROPIC_API_KEY"'
)
_GIT_HOST = matching(
    r"[a-z0-9][a-z0-9.-]*(:[1-9][0-9]{0,4})?", '{!r} names no git host; allowed: "git.example.com" or "HOST:PORT"'
)
_KEY = matching("[!-~]+", "must be printable ASCII without spaces: was it pasted whole?")


class Provider(Section):
    """One `[providers.<name>]` table: how to reach a model service."""

    driver: Driver
    """Wire to speak: `anthropic` (Messages) or `openai` (Chat Completions, also Ollama, vLLM and others)."""
    base_url: Annotated[str, AfterValidator(_base_url)] | None = None
    """Where the service is, when it is not the maker's own."""
    api_key_env: Annotated[str, _ENV_NAME] | None = None
    """Name of the environment variable that holds the key; preferred to `api_key`."""
    api_key: Annotated[str, _KEY] | None = Field(default=None, repr=False)
    """The key itself. Not together with `api_key_env`."""
    models: list[str] | None = None
    """Model names to offer, when the service cannot list them."""
    sends_usage: bool = True
    """Whether the service reports token counts in its stream when asked to."""

    @model_validator(mode="after")
    def _one_key(self) -> "Provider":
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("has both api_key and api_key_env; keep one")
        return self


def checked_provider(**values: Any) -> Provider:
    """A provider from outside values; KagedError validation_failed with a sentence per bad field."""
    try:
        return Provider.model_validate(values)
    except ValidationError as error:
        problems = collect(error, Provider, lambda loc: ".".join(map(str, loc)))
        raise KagedError("validation_failed", "; ".join(p.removeprefix(": ") for p in problems)) from None


def _secret(value: object) -> object:
    """No message may hold a secret, so other types are refused before pydantic shows them."""
    env = value["env"] if isinstance(value, dict) and list(value) == ["env"] else None
    if isinstance(value, str) or (isinstance(env, str) and re.fullmatch(r"[A-Za-z_]\w*", env, re.ASCII)):
        return value
    raise ValueError('expected text in quotes, or { env = "NAME" }')


Secret = Annotated[str | dict[Literal["env"], str], BeforeValidator(_secret)]
"""A secret itself, or the environment variable that holds it."""


def secret_value(source: Secret, environ: Mapping[str, str]) -> str:
    """The secret; empty when its variable is not set."""
    return source if isinstance(source, str) else environ.get(source["env"], "")


class GitHost(Section):
    """One `[git."HOST"]` table: what `kaged project clone` shows that host, and no other."""

    user: Annotated[str, matching("[!-9;-~]+", "must be printable ASCII, without spaces and colons")] = "git"
    """Name that goes with `token`."""
    token: Secret | None = Field(default=None, repr=False)
    """Token or password for https: `token = "…"`, or `token = { env = "NAME" }`."""
    ssh_key: str | None = None
    """Private key for ssh, without a passphrase: a file's path, or its name in the configuration folder."""


class Local(Section):
    operator_name: str = Field(default="", max_length=100)
    """Name shown in greetings."""
    aliases: dict[Annotated[str, AfterValidator(_name("alias"))], Annotated[str, AfterValidator(_target)]] = {}
    """Short names of models: `smart = "anthropic:model-name"`. `default` is what agents use without one."""
    providers: dict[Annotated[str, AfterValidator(_name("provider"))], Provider] = {}
    """Model services by name."""
    git: dict[Annotated[str, _GIT_HOST], GitHost] = {}
    """Credentials of git hosts, for `kaged project clone`: `[git."git.example.com"]`, or with a port of its own."""
    secrets: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Secrets for `cage.secrets` of projects: `token = "…"`, or `token = { env = "NAME" }`."""


class LocalFile:
    """Reads and edits local.toml. Edits keep comments and are atomic; the file is always 0600. A reading is kept until
    the file changes. The coroutines do their file work in a thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._one = asyncio.Lock()
        self._seen: tuple[int, ...] = ()
        self._local = Local()

    async def load(self) -> Local:
        async with self._one:
            return await asyncio.to_thread(self.read)

    def read(self) -> Local:
        """The checked content, empty without a file; blocking. Raises ConfigError with a line per problem."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._local = (), Local()
            return self._local
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from None
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_ctime_ns)
        if seen != self._seen:
            self._tighten(stat.st_mode)
            self._local = parse_local(read_text(self.path) or "", self.path.name)
            self._seen = seen
        return self._local

    async def set_provider(self, name: str, provider: Provider) -> Local:
        """Add or replace one provider; comments and keys elsewhere stay."""
        _require(_name("provider"), name, "name")

        def edit(document: "TOMLDocument") -> None:
            table = _table(document, "providers")
            values = provider.model_dump(exclude_none=True, exclude_defaults=True)
            old = table.setdefault(name, values)
            for key in [key for key in old if key not in values]:
                del old[key]
            old.update(values)

        return await self._edit(edit)

    async def remove_provider(self, name: str) -> Local:
        """Remove one provider and the aliases that point to it; KagedError not_found when it is not here."""

        def edit(document: "TOMLDocument") -> None:
            if name not in document.get("providers", {}):
                raise KagedError("not_found", f"there is no provider {name!r} in {self.path.name}")
            del document["providers"][name]
            aliases = document.get("aliases", {})
            for alias in [alias for alias, target in aliases.items() if target.partition(":")[0] == name]:
                del aliases[alias]

        return await self._edit(edit)

    async def set_alias(self, alias: str, target: str) -> Local:
        _require(_name("alias"), alias, "name")
        _require(_target, target, "target", f"{alias}: ")

        def edit(document: "TOMLDocument") -> None:
            _table(document, "aliases")[alias] = target

        return await self._edit(edit)

    async def _edit(self, change: "Callable[[TOMLDocument], None]") -> Local:
        async with self._one:
            return await asyncio.to_thread(self._edit_now, change)

    def _edit_now(self, change: "Callable[[TOMLDocument], None]") -> Local:
        import tomlkit

        self.read()
        document = tomlkit.parse(read_text(self.path) or "")
        change(document)
        text = tomlkit.dumps(document)
        # Checked before it is written: an edit never leaves a file behind that does not load.
        local = parse_local(text, self.path.name)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self.path, text)
        except OSError as error:
            folder, denied = self.path.parent, isinstance(error, PermissionError)
            fix = f"; as root: chgrp {os.getegid()} {folder} && chmod 1775 {folder}" if denied else ""
            raise KagedError("unavailable", f"{self.path} cannot be written: {error.strerror}{fix}") from error
        return local

    def _tighten(self, mode: int) -> None:
        if mode & 0o077:
            try:
                self.path.chmod(0o600)
            except OSError as error:
                what = f"other accounts can read it and its mode cannot be changed ({error.strerror})"
                raise ConfigError(f"{self.path}: {what}; run: chmod 600 {self.path}") from None
            logging.getLogger(__name__).warning("%s could be read by other accounts; set to 0600", self.path)


def parse_local(text: str, name: str) -> Local:
    """Check a local.toml text. Raises ConfigError: one `file:line: key: what is wrong` per problem."""
    document = parse(text, name)
    providers = document.values.get("providers")
    for driver in get_args(Driver):
        # A provider named after a driver need not say which driver it uses.
        if isinstance(providers, dict) and isinstance(table := providers.get(driver), dict):
            table.setdefault("driver", driver)
    try:
        return Local.model_validate(document.values)
    except ValidationError as error:
        raise ConfigError("\n".join(collect(error, Local, document.place, {(key,): "" for key in LATER}))) from None


def _require(check: Callable[[str], str], text: str, field: str, prefix: str = "") -> None:
    try:
        check(text)
    except ValueError as error:
        raise KagedError("validation_failed", f"{prefix}{error}", {"field": field}) from None


def _table(document: "TOMLDocument", name: str) -> Any:
    import tomlkit

    if name not in document:
        document[name] = tomlkit.table(is_super_table=name == "providers")
    return document[name]
