"""One shape for every error, with the status that goes with its code, and no word about ourselves."""

import logging

import httpx2
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from kaged.api import errors
from kaged.core.errors import STATUS, ConfigError, KagedError


class Thing(BaseModel):
    name: str
    size: int


@pytest.fixture
def app() -> FastAPI:
    it = FastAPI()
    errors.install(it)

    @it.get("/refused/{code}")
    async def refused(code: str) -> None:
        raise KagedError(code, f"This is {code}.", {"field": "x"})

    @it.get("/config")
    async def config() -> None:
        raise ConfigError("local.toml:3: providers.x: is no table")

    @it.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status)

    @it.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the password is hunter2")

    @it.post("/things")
    async def things(thing: Thing) -> None:
        return None

    return it


def http(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://kaged.example.com")


@pytest.mark.parametrize("code", STATUS)
async def test_each_code_has_its_status(app: FastAPI, code: str) -> None:
    async with http(app) as client:
        answer = await client.get(f"/refused/{code}")
    assert answer.status_code == STATUS[code]
    assert answer.json() == {"error": {"code": code, "message": f"This is {code}.", "details": {"field": "x"}}}
    assert ("retry-after" in answer.headers) == (code in ("rate_limited", "unavailable"))


async def test_a_mistake_in_a_file_is_the_users_to_correct(app: FastAPI) -> None:
    async with http(app) as client:
        answer = await client.get("/config")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("local.toml:3:")


async def test_a_bug_says_nothing_and_logs_everything(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    async with http(app) as client:
        answer = await client.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 429, 500, 503])
async def test_the_frameworks_own_refusals_have_the_shape(app: FastAPI, status: int) -> None:
    async with http(app) as client:
        answer = await client.get(f"/http/{status}")
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message"}


BODIES = {
    b'{"name": "x"}': ("size", "`size`"),
    b'{"name": 5, "size": 1}': ("name", "`name`"),
    b"[]": ("", "The request's body"),
    b"": ("", "The request's body"),
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_bad_body_names_the_field(app: FastAPI, body: bytes) -> None:
    field, words = BODIES[body]
    async with http(app) as client:
        answer = await client.post("/things", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, "never 422"
    error = answer.json()["error"]
    assert error["code"] == "validation_failed"
    assert error["message"].startswith(words)
    assert error["details"][0]["field"] == field


@pytest.mark.parametrize("body", [b'{"name": "\xff"}', b"[" * 100_000, b'{"name": "x", "size": }'])
async def test_a_body_that_is_no_json(app: FastAPI, body: bytes) -> None:
    async with http(app) as client:
        answer = await client.post("/things", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "validation_failed"
