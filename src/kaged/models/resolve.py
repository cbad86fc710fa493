"""Which provider and model a name means, and trying a provider out."""

import asyncio
from collections.abc import Callable, Mapping

from kaged.core import clock
from kaged.core.errors import ConfigError, KagedError, did_you_mean
from kaged.models.catalogue import FROM_ENVIRONMENT, KNOWN, OFFLINE, Connection
from kaged.models.errors import ModelError
from kaged.models.http import HttpClient
from kaged.models.offline import OfflineProvider
from kaged.models.provider import WireProvider
from kaged.models.types import ModelRequest, Provider, ProviderInfo, Route, TestResult, UserMessage
from kaged.settings.local import Local
from kaged.settings.local import Provider as Saved
from kaged.telemetry.logs import register_secret

DEFAULT = "default"
TRIAL_TOKENS = 256
_TRIAL = UserMessage("Answer with the single word: ready")


class Models:
    """Every model of this daemon. Reads local.toml at each call; copies the environment, which may lose its keys."""

    def __init__(self, local: Callable[[], Local], environ: Mapping[str, str], offline: Provider | None = None) -> None:
        self._local = local
        self._environ = dict(environ)
        self._http = HttpClient()
        self._offline = offline or OfflineProvider()

    async def reload(self) -> None:
        """Read local.toml now, off the event loop, so that the next `resolve` finds it read."""
        await asyncio.to_thread(self._load)

    async def aclose(self) -> None:
        await self._http.aclose()

    def resolve(self, spec: str) -> Route:
        """Where a name in a project file leads. Raises KagedError `validation_failed`, naming what is known."""
        local = self._load()
        asked, spec = spec, local.aliases.get(spec, spec)
        if spec == DEFAULT:
            keys = (name for name, variable in FROM_ENVIRONMENT.items() if self._environ.get(variable))
            spec = next(keys, OFFLINE)
        name, _, model = spec.partition(":")
        if name == OFFLINE:
            return Route(OFFLINE, OFFLINE, OFFLINE)
        if model:
            self._connection(local, name)
        elif name in local.providers or name in KNOWN:
            saved, known = local.providers.get(name), KNOWN.get(name)
            model = saved.models[0] if saved and saved.models else known.default_model if known else ""
            if not model:
                text = f"{spec!r} names a provider without a model; write `{name}:MODEL`"
                raise KagedError("validation_failed", text, {"model": asked})
        else:
            aliases = sorted({*local.aliases, DEFAULT, OFFLINE})
            text = f"the model {spec!r} is not known{did_you_mean(spec, aliases)}; known aliases: {', '.join(aliases)}"
            text += f"; or write `provider:model`, with one of the providers {', '.join(_names(local))}"
            raise KagedError("validation_failed", text, {"model": asked})
        return Route(name, model, f"{name}:{model}")

    def provider(self, name: str) -> Provider:
        """The provider of that name; raises KagedError `not_found` that names the known ones."""
        if name == OFFLINE:
            return self._offline
        local = self._load()
        return WireProvider(self._connection(local, name), self._http)

    async def test(self, name: str, model: str | None = None) -> TestResult:
        """Ask a provider for its models and, when `model` is given, for one short answer."""
        if name == OFFLINE:
            text = "offline is built in; it follows plain commands and is no language model"
            return TestResult(True, text, [OFFLINE], 0)
        return await self._try(self._connection(self._load(), name), model)

    async def try_provider(self, saved: Saved, model: str | None = None) -> TestResult:
        """The same for a provider that is not in local.toml yet."""
        name = saved.driver if saved.base_url is None else "the server"
        return await self._try(self._connect(name, saved), model)

    async def _try(self, connection: Connection, model: str | None) -> TestResult:
        provider = WireProvider(connection, self._http)
        started = clock.monotonic()
        models: list[str] = []
        ok = True
        try:
            try:
                models = await provider.list_models()
            except ModelError as error:
                # Some compatible servers have no list; a model that answers is proof enough.
                if model is None or error.status not in (404, 405):
                    raise
            message = f"{connection.name} answers, but lists no models"
            if model is not None:
                await provider.ask(ModelRequest(model, "", [_TRIAL], [], TRIAL_TOKENS), lambda _: None)
                message = f"{connection.name} answered with {model}"
            elif models:
                message = f"{connection.name} answers and lists {len(models)} models, such as {models[0]}"
        except ModelError as error:
            ok, message = False, error.message
        return TestResult(ok, message, models, round((clock.monotonic() - started) * 1000))

    def _load(self) -> Local:
        try:
            return self._local()
        except ConfigError as error:
            raise KagedError("validation_failed", f"local.toml cannot be used: {error}") from error

    def _connection(self, local: Local, name: str) -> Connection:
        if name in local.providers:
            return self._connect(name, local.providers[name])
        if name in KNOWN:
            return self._connect(name, Saved(driver=KNOWN[name].driver))
        names = _names(local)
        text = f"there is no provider {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}; "
        text += f"add it in the console or in local.toml as [providers.{name}]"
        raise KagedError("not_found", text, {"provider": name})

    def _connect(self, name: str, saved: Saved) -> Connection:
        """From an entry of local.toml; what it leaves open is as for the known service of that name."""
        known = KNOWN.get(name)
        maker = known if known and known.driver == saved.driver else KNOWN[saved.driver]
        url = saved.base_url or self._environ.get(maker.env_url or "") or maker.base_url
        variable = saved.api_key_env
        if variable is None and saved.base_url is None and known is maker:
            variable = maker.env_key
        key, hint = saved.api_key, "api_key in local.toml"
        if key is None:
            key = self._environ.get(variable or "") or None
            where = f"set {variable} before kaged starts, or " if variable else ""
            where += f"put api_key into [providers.{name}] of local.toml, or use Connect a model in the console"
            hint = f"the variable {variable}" if key else where
        if key is not None:
            register_secret(key)
        return Connection(name, saved.driver, url, key, hint, sends_usage=saved.sends_usage)

    def list(self) -> list[ProviderInfo]:
        """Every provider that can be used now, without its key."""
        local = self._load()
        infos = []
        for name, saved in local.providers.items():
            key = "set" if saved.api_key else f"env:{saved.api_key_env}" if saved.api_key_env else "none"
            url = self._connect(name, saved).shown_url
            infos.append(ProviderInfo(name, saved.driver, url, key, "file"))
        for name, variable in FROM_ENVIRONMENT.items():
            if name not in local.providers and self._environ.get(variable):
                made = self._connection(local, name)
                infos.append(ProviderInfo(name, made.driver, made.shown_url, f"env:{variable}", "environment"))
        return [*infos, ProviderInfo(OFFLINE, OFFLINE, None, "none", "builtin")]


def _names(local: Local) -> list[str]:
    return [*dict.fromkeys([*local.providers, *KNOWN, OFFLINE])]
