"""Every route is documented, and every documented route exists."""

import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute

from kaged.api import local, projects, sessions, system, terminals

DOC = Path(__file__).resolve().parents[2] / "docs" / "users" / "http-api.md"


def test_routes_and_their_documentation_agree() -> None:
    app = FastAPI()
    for module in (local, projects, sessions, system, terminals):
        app.include_router(module.router)
    built = {(method, route.path) for route in iter_routes(app) for method in route.methods - {"HEAD"}} | {
        ("GET", "/api/v1/openapi.json")
    }
    rows = re.findall(
        r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \|", DOC.read_text(encoding="utf-8"), re.M
    )
    assert built == set(rows)


def iter_routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]
