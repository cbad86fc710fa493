"""The project file in the browser: tried while it is written, written, reviewed with what changed."""

import pytest

from api.asgi import BOB, client
from api.test_network import app
from sessions.house import House

pytestmark = pytest.mark.cage
ROUTE = "/api/v1/projects/demo/dsl"


async def test_a_text_is_tried_without_writing_it(house: House) -> None:
    file = house.project_dir / ".kaged" / "project.yaml"
    before = file.read_text()
    async with client(await app(house)) as api:
        good = await api.post(f"{ROUTE}/check", json={"text": before + "description: Other\n"})
        assert (good.status_code, good.json()["problems"], good.json()["description"]) == (200, [], "Other")
        assert good.json()["cage"]["explain"]
        bad = (await api.post(f"{ROUTE}/check", json={"text": before + "  primry: {}\n"})).json()
        assert bad["cage"] is None
        assert "project.yaml:" in bad["problems"][0]
        assert "dsl" not in (await api.post(f"{ROUTE}/check", json={"text": "x" * 900_000})).text
    assert file.read_text() == before


async def test_writing_asks_for_what_was_seen_and_shows_what_changed(house: House) -> None:
    house.projects._audit = house.audit  # type: ignore[assignment]
    file = house.project_dir / ".kaged" / "project.yaml"
    before = file.read_text()
    after = before + "description: Other\n"
    async with client(await app(house)) as api:
        wrong = await api.put(ROUTE, json={"text": "version: 2\n", "seen": before})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "dsl_invalid")
        other = await api.put(ROUTE, json={"text": after.replace("demo", "other"), "seen": before})
        assert other.status_code == 409
        done = await api.put(ROUTE, json={"text": after, "seen": before})
        assert (done.status_code, done.json()["trust"]) == (200, "changed")
        late = await api.put(ROUTE, json={"text": before, "seen": before})
        assert (late.status_code, file.read_text()) == (409, after)
        shown = {each["path"]: each for each in (await api.get(ROUTE)).json()["files"]}
        assert (shown[".kaged/project.yaml"]["trusted"], shown[".kaged/project.yaml"]["text"]) == (before, after)
        await api.post("/api/v1/projects/demo/trust", json={"hash": done.json()["hash"]})
        again = (await api.get(ROUTE)).json()["files"]
        assert all(each["trusted"] == each["text"] for each in again)
    assert "project.write" in house.audit.actions()


async def test_only_owners_may(house: House) -> None:
    async with client(await app(house, BOB, "editor")) as api:
        assert (await api.put(ROUTE, json={"text": "", "seen": ""})).status_code == 403
        assert (await api.post(f"{ROUTE}/check", json={"text": ""})).status_code == 403
        assert (await api.get(ROUTE)).status_code == 200
