"""Providers of this machine over the API."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI

from api.asgi import ALICE, as_actor, client, people
from kaged.api import errors, local
from kaged.settings.local import LocalFile
from kaged.storage.database import Database


@pytest.mark.parametrize(("method", "route"), [("PUT", "providers/x"), ("POST", "test")])
async def test_a_bad_provider_is_refused_with_a_sentence(db: Database, tmp_path: Path, method: str, route: str) -> None:
    built = FastAPI()
    built.state.services = SimpleNamespace(local=LocalFile(tmp_path / "local.toml"), identity=await people(db))
    errors.install(built)
    built.include_router(local.router)
    async with client(as_actor(built, ALICE)) as api:
        body = {"driver": "openai", "base_url": "ftp://example.com"}
        answer = await api.request(method, f"/api/v1/local/{route}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "validation_failed")
    assert answer.json()["error"]["message"].startswith("base_url: allowed: a URL such as")
