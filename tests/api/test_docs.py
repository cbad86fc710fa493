"""Every route is documented, and every documented route exists."""

import re
from pathlib import Path

from fastapi.routing import APIRoute

from kaged.api import app

DOC = Path(__file__).resolve().parents[2] / "docs" / "users" / "http-api.md"


def test_routes_and_their_documentation_agree() -> None:
    routes = [route for router in app._ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    built = {(method, route.path) for route in routes for method in route.methods}
    assert len(built) > 40
    rows = re.findall(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \|", DOC.read_text(encoding="utf-8"), re.M)
    assert built == set(rows)
