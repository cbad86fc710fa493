"""Models of this machine: providers, aliases, a test before saving."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from kaged.api.deps import Body, Caller, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.api.services import Services
from kaged.core.errors import KagedError
from kaged.settings.local import checked_provider

router = APIRouter(route_class=Guarded, prefix="/api/v1/local", tags=["models"])


class TestBody(Body):
    """Which model to try; none asks only for the list of models."""

    __test__ = False
    model: str | None = Field(None, max_length=200)


class TryBody(TestBody):
    """A provider to try before saving."""

    driver: Literal["anthropic", "openai"]
    base_url: str | None = Field(None, max_length=500)
    api_key: str | None = Field(None, max_length=1000)


class ProviderBody(TryBody):
    """A provider to keep in `local.toml`."""

    api_key: str | None = Field(None, max_length=1000, description="Kept in local.toml (0600), never shown again.")
    api_key_env: str | None = Field(None, max_length=100, description="Name of the variable that holds the key.")
    make_default: bool = Field(False, description="Point the alias `default` at `model`.")


class AliasBody(Body):
    target: str = Field(min_length=1, max_length=200, description="`provider:model`.")


async def _overview(services: Services) -> dict[str, Any]:
    local = await services.local.load()
    return {
        "operator_name": local.operator_name,
        "aliases": dict(local.aliases),
        "default": whole(services.models.resolve("default")),
        "providers": [whole(provider) for provider in services.models.list()],
    }


@router.get("", name="models.read")
async def overview(services: Svc, actor: Caller) -> dict[str, Any]:
    """Providers (keys masked), aliases and what `default` resolves to."""
    return await _overview(services)


@router.put("/providers/{name}", name="models.write")
async def put_provider(services: Svc, actor: Caller, name: str, body: ProviderBody) -> dict[str, Any]:
    """Write a provider into `local.toml`, keeping comments."""
    if body.make_default and not body.model:
        raise KagedError("validation_failed", "`make_default` needs `model`: the alias points at one model.")
    await services.local.set_provider(name, checked_provider(**shown(body, "driver base_url api_key api_key_env")))
    if body.make_default:
        await services.local.set_alias("default", f"{name}:{body.model}")
    await services.models.reload()
    await services.audit.record(actor, "provider.set", name, "ok", shown(body, "driver base_url"))
    return await _overview(services)


@router.delete("/providers/{name}", name="models.write")
async def delete_provider(services: Svc, actor: Caller, name: str) -> dict[str, Any]:
    """Remove a provider from `local.toml`, with the aliases that point at it."""
    await services.local.remove_provider(name)
    await services.models.reload()
    await services.audit.record(actor, "provider.remove", name, "ok", {})
    return await _overview(services)


@router.post("/providers/{name}/test", name="models.write")
async def test_provider(services: Svc, actor: Caller, name: str, body: TestBody) -> dict[str, Any]:
    """Ask a known provider for its models, and one short answer when `model` is given."""
    return whole(await services.models.test(name, model=body.model))


@router.post("/test", name="models.write")
async def try_provider(services: Svc, actor: Caller, body: TryBody) -> dict[str, Any]:
    """The same for a provider that is not saved yet."""
    provider = checked_provider(**shown(body, "driver base_url api_key"))
    return whole(await services.models.try_provider(provider, model=body.model))


@router.put("/aliases/{alias}", name="models.write")
async def put_alias(services: Svc, actor: Caller, alias: str, body: AliasBody) -> dict[str, Any]:
    """Point an alias at `provider:model`."""
    services.models.resolve(body.target)
    await services.local.set_alias(alias, body.target)
    await services.models.reload()
    await services.audit.record(actor, "alias.set", alias, "ok", {"target": body.target})
    return await _overview(services)
