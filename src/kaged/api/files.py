"""Files of a project or of a session's worktree; what is changed in them, reviewed and committed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, Field

from kaged.api.deps import Body, Caller, Paged, Svc
from kaged.api.guard import Guarded, session_of
from kaged.core.errors import KagedError
from kaged.projects.model import PRIMARY
from kaged.projects.templates import FILE, OVERLAY
from kaged.workspace.files import guarded
from kaged.workspace.snapshots import Place

router = APIRouter(route_class=Guarded, prefix="/api/v1/projects/{slug}", tags=["files"])
Sid = Annotated[str | None, Query(max_length=26, description="A session, for the files that its agent works on.")]
Base = Annotated[Literal["head", "session"], Query(description="The last commit, or the session's first checkpoint.")]
Text = Annotated[str, AfterValidator(lambda text: text.encode().decode())]  # JSON can hold what is no text in UTF-8
PathText = Annotated[Text, Field(min_length=1, max_length=4000)]
Hash = Annotated[str, Field(min_length=64, max_length=64)]


class WriteBody(Body):
    """`base_hash`: of the content that was changed; null for a file that is new."""

    path: PathText
    text: Text
    base_hash: Hash | None


class MarkBody(Body):
    """A change, or one `hunk` of it from 0; `base_hash` is the `hash` that it was shown with."""

    path: PathText
    hunk: int | None = Field(None, ge=0)
    base_hash: Hash


class CommitBody(Body):
    message: Text = Field(min_length=1, max_length=20_000)
    paths: list[PathText] = Field([], max_length=1000, description="Files as they are; default: what is accepted.")


async def _place(services: Svc, slug: str, session: Sid = None) -> Place:
    if session is not None:
        return await services.sessions.checkpoints.place(await session_of(services, slug, session))
    return Place(slug, services.plan(await services.projects.get(slug), None, PRIMARY))


async def _since(services: Svc, slug: str, session: Sid = None, base: Base = "head") -> str | None:
    """The tree to compare with; None for the last commit."""
    if base == "head":
        return None
    return await services.sessions.checkpoints.begin((await session_of(services, slug, session or "")).id)


At = Annotated[Place, Depends(_place)]
Since = Annotated[str | None, Depends(_since)]


@router.get("/files", name="project.read")
async def list_files(
    services: Svc, actor: Caller, at: At, page: Paged, path: str = "",
    find: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:  # fmt: skip
    """What is in the folder `path`; or files anywhere whose path has the letters of `find` in that order."""
    if find is not None:
        return {"items": await services.sessions.files.find(at, find, page.limit), "next": None}
    items = (await services.sessions.files.listing(at, path))[page.offset : page.offset + page.limit + 1]
    return page.of(items, dict)


@router.get("/files/content", name="project.read")
async def read(services: Svc, actor: Caller, at: At, path: str) -> dict[str, Any]:
    """A file: text, or an image in base64; only size and hash of anything else."""
    return await services.sessions.files.read(at, path)


@router.put("/files/content", name="project.edit")
async def write(services: Svc, actor: Caller, slug: str, at: At, body: WriteBody) -> dict[str, Any]:
    """Write a file that is still as it was read. What agents may not is for owners, but for prompts."""
    if guarded(at, body.path):
        services.identity.people.require(actor, "project.policy", slug)
    return await services.sessions.files.write(at, body.path, body.text, body.base_hash, actor)


@router.get("/prompts", name="project.read")
async def prompts(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """The prompt files that the project names; each is read and written as a file."""
    found = [it.path for it in (await services.projects.get(slug)).reviewed if it.path not in (FILE, OVERLAY)]
    return {"items": [{"path": path} for path in found], "next": None}


@router.get("/diff", name="project.read")
async def diff(services: Svc, actor: Caller, at: At, since: Since, page: Paged) -> dict[str, Any]:
    """Changed files, `staged` or not, with git's letter and counts of lines."""
    found = await services.sessions.files.review(at, "changes", since)
    rest = {key: found[key] for key in ("branch", "count")}
    return page.of(found["items"][page.offset : page.offset + page.limit + 1], dict) | rest


@router.get("/diff/file", name="project.read")
async def change(services: Svc, actor: Caller, at: At, since: Since, path: str) -> Any:
    """One changed file by hunk: what is `open` and what is `staged`, each with its `hash`."""
    return await services.sessions.files.review(at, "file", since, path=path)


@router.post("/diff/{act}", name="project.edit")
async def mark(
    services: Svc, actor: Caller, at: At, since: Since, act: Literal["accept", "reopen", "revert"], body: MarkBody
) -> Any:
    """Stage a change, take that back, or undo the change in the files; answers with what is left of it."""
    if since is not None and act != "revert":
        raise KagedError("bad_request", "Changes are accepted against the last commit: leave `base` away.")
    given = {"act": act, "path": body.path, "hunk": body.hunk, "seen": body.base_hash}
    return await services.sessions.files.act(at, "mark", since, actor, **given)


@router.post("/commits", name="project.edit", status_code=201)
async def commit(services: Svc, actor: Caller, at: At, body: CommitBody) -> Any:
    """Commit in the caller's name what is accepted, or `paths` as they are. No hook of the repository is run."""
    name = actor.name or (await services.local.load()).operator_name or "kaged"
    given = {"message": body.message, "paths": body.paths, "name": name, "email": actor.email or "kaged@localhost"}
    return await services.sessions.files.act(at, "commit", None, actor, **given)
