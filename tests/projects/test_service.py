"""Projects: load, look again, trust, change, forget; over a real database and real folders."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.projects import files, templates
from kaged.projects.service import Projects
from kaged.projects.yaml_core import ProjectError
from kaged.settings.config import Flags, Loaded, load
from kaged.storage.database import Database

ADA = Actor(id="ada", source="loopback", role=Role.ADMIN)


class Log:
    """An audit log that is only a list."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, str]] = []

    async def record(
        self,
        actor: Actor,
        action: str,
        object: str,  # noqa: A002
        outcome: Any,
        details: Mapping[str, Any],
    ) -> None:
        self.records.append((actor.id, action, object))


@pytest.fixture
def loaded(short_tmp: Path) -> Loaded:
    file = short_tmp / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("")
    environ = {"HOME": str(short_tmp), "KAGED_HOME": str(short_tmp / "home"), "XDG_RUNTIME_DIR": str(short_tmp / "r")}
    return load(flags=Flags(config=file), environ=environ, root=short_tmp)


@pytest.fixture
async def db(short_tmp: Path) -> AsyncIterator[Database]:
    database = await Database.open(short_tmp / "kaged.db")
    yield database
    await database.close()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def projects(db: Database, loaded: Loaded, log: Log) -> Projects:
    return Projects(db, loaded, log)


@pytest.fixture
def folder(short_tmp: Path) -> Path:
    path = short_tmp / "work" / "My App_2"
    path.mkdir(parents=True)
    return path


async def refused(awaitable: Any) -> KagedError:
    with pytest.raises(KagedError) as caught:
        await awaitable
    return caught.value


async def test_a_folder_without_a_project_file_answers_with_a_proposal(projects: Projects, folder: Path) -> None:
    error = await refused(projects.load(folder, actor=ADA))
    assert error.code == "project_missing"
    assert error.details is not None
    assert error.details["proposal"] == templates.proposed_files(folder)[templates.FILE]
    assert list(folder.iterdir()) == []
    assert await projects.list() == []


async def test_create_writes_the_proposed_files_and_loads(projects: Projects, folder: Path, log: Log) -> None:
    project = await projects.load(str(folder), actor=ADA, create=True)
    assert (project.slug, project.path, project.trust, project.problems) == ("my-app-2", folder, "untrusted", [])
    assert project.prompts == {"config:/prompts/default.md": templates.data("prompt.md")}
    assert (folder / ".kaged/.gitignore").read_text() == "*.local.*\ntmp/\n"
    assert [file.path for file in project.reviewed] == [templates.FILE, templates.PROMPT]
    assert log.records == [("ada", "project.load", "my-app-2")]
    assert (await projects.get("my-app-2")) == project
    assert await projects.list() == [project]
    assert await projects.list(offset=1) == []


async def test_trust_is_lost_by_any_change_and_comes_back_with_the_content(
    projects: Projects, folder: Path, log: Log
) -> None:
    project = await projects.load(folder, actor=ADA, create=True, trust=True)
    assert project.trust == "trusted"
    prompt, file, overlay = (folder / name for name in (templates.PROMPT, templates.FILE, templates.OVERLAY))
    text = prompt.read_text()
    prompt.write_text("Obey.")
    assert (await projects.get(project.slug)).trust == "changed"
    prompt.write_text(text)
    assert (await projects.get(project.slug)).trust == "trusted"
    file.write_text("# a comment\n" + file.read_text())
    assert (await projects.get(project.slug)).trust == "trusted"
    overlay.write_text("primary: {max_steps: 3}\n")
    changed = await projects.get(project.slug)
    assert changed.trust == "changed"
    assert [f.path for f in (await projects.get(project.slug)).reviewed] == [
        templates.FILE, templates.OVERLAY, templates.PROMPT,
    ]  # fmt: skip
    assert (await refused(projects.trust(project.slug, project.hash, actor=ADA))).code == "conflict"
    assert (await projects.trust(project.slug, changed.hash, actor=ADA)).trust == "trusted"
    assert [record[1] for record in log.records] == ["project.load", "project.trust", "project.trust"]


async def test_a_local_prompt_shadows_the_shared_one(projects: Projects, folder: Path) -> None:
    project = await projects.load(folder, actor=ADA, create=True, trust=True)
    (folder / ".kaged/prompts/default.local.md").write_text("Mine.")
    again = await projects.get(project.slug)
    assert again.prompts == {"config:/prompts/default.md": "Mine."}
    assert again.trust == "changed"


async def test_trust_covers_sub_agents_with_their_prompts_and_what_they_ask_of_the_host(
    projects: Projects, folder: Path
) -> None:
    project = await projects.load(folder, actor=ADA, create=True)
    prompt = folder / ".kaged" / "prompts" / "reviewer.md"
    agent = "{system_prompt: config:/prompts/reviewer.md, budget: {tokens: 9}, cage: {env: {pass: [EDITOR]}}}"
    file = folder / templates.FILE
    file.write_text(file.read_text().replace("primary:\n", f"primary:\n  subagents: {{reviewer: {agent}}}\n"))
    assert (
        "primary.subagents.reviewer.system_prompt: there is no file .kaged/prompts/reviewer.md; create it"
        in ((await projects.get(project.slug)).problems[0])
    )
    prompt.write_text("Review.")
    found = await projects.get(project.slug)
    assert set(found.prompts) == {"config:/prompts/default.md", "config:/prompts/reviewer.md"}
    refusal = await refused(projects.trust(project.slug, found.hash, actor=ADA, host=False))
    assert refusal.details == {"needs": "admin", "keys": ["cage.env.pass"]}
    await projects.trust(project.slug, found.hash, actor=ADA)
    prompt.write_text("Approve everything.")
    assert (await projects.get(project.slug)).trust == "changed"


async def test_problems_after_loading_are_shown_and_keep_the_project(projects: Projects, folder: Path) -> None:
    project = await projects.load(folder, actor=ADA, create=True, trust=True)
    good = (folder / templates.FILE).read_text()

    async def look() -> str:
        seen = await projects.get(project.slug)
        assert (seen.spec, seen.hash, seen.trust) == (None, "", "changed")
        return seen.problems[0]

    (folder / templates.FILE).write_text(good.replace("rw", "wr"))
    assert (await look())[:25] == ".kaged/project.yaml:11:35"
    (folder / templates.FILE).write_text(good.replace("my-app-2", "other"))
    assert "project: is other now" in await look()
    (folder / templates.FILE).write_text(good)
    (folder / templates.PROMPT).write_text(" \n")
    assert await look() == ".kaged/prompts/default.md:1:1: is empty; write what the agent should do"
    (folder / templates.PROMPT).unlink()
    assert (await look()).endswith(": primary.system_prompt: there is no file .kaged/prompts/default.md; create it")
    (folder / templates.PROMPT).symlink_to("/etc/passwd")
    assert await look() == ".kaged/prompts/default.md: leads out of the project"
    (folder / templates.FILE).unlink()
    assert "is gone; restore it" in await look()
    folder.rename(folder.with_name("moved"))
    assert "name a folder that exists" in await look()
    assert (await refused(projects.trust(project.slug, "", actor=ADA))).code == "dsl_invalid"


async def test_a_bad_file_is_not_loaded_and_lists_all_problems(projects: Projects, folder: Path) -> None:
    (folder / ".kaged").mkdir()
    (folder / templates.FILE).write_text("version: 3\nproject: ab\n")
    error = await refused(projects.load(folder, actor=ADA, create=True))
    assert isinstance(error, ProjectError)
    assert error.message == ".kaged/project.yaml:1:1: primary: is missing (and 1 more)"
    assert len(error.problems) == 2
    assert await projects.list() == []


async def test_names_and_folders_are_unique(projects: Projects, folder: Path) -> None:
    await projects.load(folder, actor=ADA, create=True)
    await projects.load(folder, actor=ADA)
    twin = folder.with_name("twin")
    (twin / ".kaged/prompts").mkdir(parents=True)
    for name in (templates.FILE, templates.PROMPT):
        (twin / name).write_text((folder / name).read_text())
    error = await refused(projects.load(twin, actor=ADA))
    assert (error.code, error.details) == ("conflict", {"slug": "my-app-2", "path": str(folder)})
    (folder / templates.FILE).write_text((folder / templates.FILE).read_text().replace("my-app-2", "renamed"))
    assert (
        "is loaded as my-app-2 and now calls itself renamed"
        in (await refused(projects.load(folder, actor=ADA))).message
    )


async def test_forbidden_folders_do_not_load(projects: Projects, loaded: Loaded) -> None:
    loaded.paths.home.mkdir()
    assert (await refused(projects.load(loaded.paths.home, actor=ADA, create=True))).code == "forbidden"
    assert list(loaded.paths.home.iterdir()) == []


async def test_a_hostile_kaged_folder_cannot_send_the_writing_elsewhere(
    projects: Projects, folder: Path, short_tmp: Path
) -> None:
    (short_tmp / "elsewhere").mkdir()
    (folder / ".kaged").symlink_to(short_tmp / "elsewhere")
    assert (await refused(projects.load(folder, actor=ADA, create=True))).code in ("bad_request", "dsl_invalid")
    assert list((short_tmp / "elsewhere").iterdir()) == []


async def test_forgetting_keeps_the_files(projects: Projects, folder: Path, log: Log) -> None:
    project = await projects.load(folder, actor=ADA, create=True)
    await projects.forget(project.slug, actor=ADA)
    assert (await refused(projects.get(project.slug))).code == "not_found"
    assert (await refused(projects.forget(project.slug, actor=ADA))).code == "not_found"
    assert (folder / templates.FILE).exists()
    assert log.records[-1] == ("ada", "project.forget", "my-app-2")


async def test_the_sample_is_loaded_trusted_and_made_once(projects: Projects, loaded: Loaded) -> None:
    project = await projects.create_sample(actor=ADA)
    assert (project.slug, project.trust, project.sample) == ("sample", "trusted", True)
    assert project.path == loaded.paths.projects_dir / "sample"
    assert project.agents_md == templates.sample_files()["AGENTS.md"]
    assert await projects.create_sample(actor=ADA) == project


async def test_agents_md_that_leads_out_is_a_problem(projects: Projects, folder: Path) -> None:
    project = await projects.load(folder, actor=ADA, create=True)
    (folder / "AGENTS.md").symlink_to("/etc/hostname")
    assert (await projects.get(project.slug)).problems == ["AGENTS.md: leads out of the project"]


def test_slugs_are_made_from_folder_names() -> None:
    names = ["My App_2", "x", "", "Ünï", "a" * 100, "--", "kaged"]
    slugs = [templates.slug_for(name) for name in names]
    assert slugs == ["my-app-2", "project-x", "project", "project-n", "a" * 64, "project", "kaged"]


async def test_a_prompt_swapped_while_the_network_is_edited_is_not_trusted(
    projects: Projects, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await projects.load(folder, actor=ADA, create=True, trust=True)
    prompt, edit = folder / templates.PROMPT, files.set_network

    def swapped_before(*args: Any) -> Any:
        prompt.write_text("Obey somebody else.")
        return edit(*args)

    def swapped_after(*args: Any) -> Any:
        content = edit(*args)
        prompt.write_text("Obey somebody else.")
        return content

    text = prompt.read_text()
    for swapped in (swapped_after, swapped_before):
        monkeypatch.setattr(files, "set_network", swapped)
        await projects.allow_host(project.slug, "api.example.com", 443, ADA)
        assert (await projects.get(project.slug)).trust == "changed"
        prompt.write_text(text)


@pytest.mark.parametrize("value", ["2024-13-45", "2001-12-14 21:59:43.10 -5"])
async def test_an_overlay_that_cannot_be_edited_is_a_sentence(projects: Projects, folder: Path, value: str) -> None:
    text = f"primary: {{cage: {{env: {{set: {{DAY: {value}}}}}}}}}\n"
    await projects.load(folder, actor=ADA, create=True)
    (folder / templates.OVERLAY).write_text(text)
    project = await projects.load(folder, actor=ADA, trust=True)
    error = await refused(projects.allow_host(project.slug, "api.example.com", 443, ADA))
    assert error.code == "conflict"
    assert (folder / templates.OVERLAY).read_text() == text
    assert (await projects.get(project.slug)).trust == "trusted"
