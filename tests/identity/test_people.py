"""Users, claims and grants over a real database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.identity import people as people_module
from kaged.identity.people import People
from kaged.identity.rights import Standing
from kaged.storage.database import Database
from sessions.house import AuditList

ROOT = Actor("local:root", "control", Role.ADMIN)
ADA, BOB = Actor("ada", "sidecar"), Actor("bob|1", "sidecar", email="bob@example.com", name="Bob")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "kaged.db")
    sql = "INSERT INTO projects (slug, path, created_at, created_by) VALUES (?, ?, '', '')"
    await database.write(lambda c: c.executemany(sql, [("bread", "/bread"), ("cake", "/cake")]))
    yield database
    await database.close()


@pytest.fixture
def audit() -> AuditList:
    return AuditList()


@pytest.fixture
async def people(db: Database, audit: AuditList) -> People:
    return await People.open(db, audit, ["ada"])


async def test_users_appear_at_first_sight_without_rights(people: People) -> None:
    await people.seen(ADA)
    await people.seen(BOB)
    found = {user.id: user for user in await people.users()}
    assert (found["ada"].admin, found["bob|1"].admin) == ("config", None)
    assert (found["bob|1"].email, found["bob|1"].name) == ("bob@example.com", "Bob")
    assert people.standing(BOB) is Standing.STRANGER
    assert people.standing(ADA, "bread") is Standing.ADMIN


async def test_a_new_name_is_kept_and_the_first_sight_stays(people: People) -> None:
    await people.seen(BOB)
    first = (await people.users())[0]
    await people.seen(Actor("bob|1", "sidecar", name="Robert"))
    user = (await people.users())[0]
    assert (user.name, user.email, user.first_seen_at) == ("Robert", None, first.first_seen_at)


async def test_being_at_work_is_not_written_down_all_the_time(
    people: People, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.seen(BOB)
    await db.write(lambda c: c.execute("UPDATE users SET last_seen_at = 'before'"))
    await people.seen(BOB)
    assert (await people.users())[0].last_seen_at == "before"
    monkeypatch.setattr(people_module, "SEEN_AGAIN_S", 0.0)
    await people.seen(BOB)
    assert (await people.users())[0].last_seen_at != "before"


async def test_ids_are_compared_letter_by_letter_and_by_source(people: People) -> None:
    for other in ("Ada", "ada ", "\u0430da", "ad", "adaa"):
        assert people.standing(Actor(other, "sidecar")) is Standing.STRANGER, other
    assert people.standing(Actor("ada", "loopback")) is Standing.STRANGER, "a name of another source"
    assert people.standing(Actor("local", "loopback", Role.ADMIN)) is Standing.ADMIN
    assert people.standing(ROOT) is Standing.HOST
    assert people.standing(Actor("eve", "sidecar", Role.ADMIN)) is Standing.STRANGER, "what an old socket holds"
    assert people.standing(None) is Standing.NOBODY


async def test_a_claim_makes_an_admin_at_once_and_over_restarts(people: People, db: Database, audit: AuditList) -> None:
    await people.seen(BOB)
    looks = []
    with people.watch(lambda: looks.append(people.standing(BOB))):
        await people.set_admin(BOB.id, True, actor=ROOT)
        assert looks == [Standing.ADMIN]
        assert (await People.open(db, audit, [])).standing(BOB) is Standing.ADMIN
        await people.set_admin(BOB.id, False, actor=ROOT)
        assert looks == [Standing.ADMIN, Standing.STRANGER]
    assert (await People.open(db, audit, [])).standing(BOB) is Standing.STRANGER
    assert [record[:4] for record in audit.records] == [
        ("local:root", "user.admin", "user:bob|1", "ok"),
        ("local:root", "user.member", "user:bob|1", "ok"),
    ]


async def test_who_was_never_seen_cannot_be_claimed_or_granted_anything(people: People, audit: AuditList) -> None:
    for work in (people.set_admin("typo", True, actor=ROOT), people.grant("bread", "typo", "viewer", actor=ROOT)):
        with pytest.raises(KagedError, match="No user typo was ever seen") as refused:
            await work
        assert refused.value.code == "not_found"
    assert audit.records == []


async def test_who_is_named_in_the_file_stays_an_admin(people: People) -> None:
    await people.seen(ADA)
    with pytest.raises(KagedError, match="remove it there"):
        await people.set_admin("ada", False, actor=ROOT)
    assert people.standing(ADA) is Standing.ADMIN


async def test_grants(people: People, db: Database, audit: AuditList) -> None:
    await people.seen(BOB)
    await people.grant("bread", BOB.id, "viewer", actor=ADA)
    assert (people.standing(BOB, "bread"), people.standing(BOB, "cake")) == (Standing.VIEWER, Standing.MEMBER)
    await people.grant("bread", BOB.id, "editor", actor=ADA)
    again = await People.open(db, audit, [])
    assert again.projects_of(BOB) == {"bread": "editor"} and [*(again.only(BOB) or ())] == ["bread"]
    member = (await again.users(project="bread"))[0]
    assert (member.id, member.name, member.projects) == ("bob|1", "Bob", {"bread": "editor"})
    await people.revoke("bread", BOB.id, actor=ADA)
    assert people.standing(BOB, "bread") is Standing.STRANGER
    assert await people.users(project="bread") == []
    with pytest.raises(KagedError, match="has no role"):
        await people.revoke("bread", BOB.id, actor=ADA)
    with pytest.raises(KagedError, match="no project pie"):
        await people.grant("pie", BOB.id, "viewer", actor=ADA)
    assert audit.actions() == ["project.grant", "project.grant", "project.revoke"]


async def test_who_loads_a_project_owns_it_if_nobody_does(people: People) -> None:
    for actor in (ADA, BOB):
        await people.seen(actor)
    await people.own("bread", ROOT)
    assert await people.users(project="bread") == [], "the operator needs no row"
    await people.own("bread", ADA)
    await people.own("bread", BOB)
    assert [(user.id, user.projects) for user in await people.users(project="bread")] == [("ada", {"bread": "owner"})]


async def test_a_forgotten_project_takes_its_grants_along(people: People, db: Database, audit: AuditList) -> None:
    await people.seen(BOB)
    await people.grant("bread", BOB.id, "owner", actor=ADA)
    await db.write(lambda c: c.execute("DELETE FROM projects WHERE slug = 'bread'"))
    people.forgot("bread")
    assert people.standing(BOB, "bread") is Standing.STRANGER
    await db.write(
        lambda c: c.execute(
            "INSERT INTO projects (slug, path, created_at, created_by) VALUES ('bread', '/other', '', '')"
        )
    )
    assert (await People.open(db, audit, [])).standing(BOB, "bread") is Standing.STRANGER
