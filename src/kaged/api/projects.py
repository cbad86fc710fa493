"""Projects: load, list, look at, trust, forget; what an agent may reach, and what it reached or tried."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from kaged.api.deps import Body, Caller, Paged, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.api.services import Services
from kaged.cage.plan import CagePlan
from kaged.core.actors import Actor
from kaged.core.errors import KagedError, did_you_mean
from kaged.identity.rights import Standing
from kaged.journal.seen import seen
from kaged.projects.model import PRIMARY, json_schema
from kaged.projects.service import Project

router = APIRouter(route_class=Guarded, prefix="/api/v1/projects", tags=["projects"])


Host = Annotated[str, Field(min_length=1, max_length=300)]


class LoadBody(Body):
    """A folder on the host to load as a project."""

    path: str = Field(min_length=1, max_length=4096, description="Absolute path of the folder.")
    trust: bool = Field(False, description="Record the content as reviewed, so that agents may run in it.")
    create: bool = Field(False, description="Write the proposed project file when there is none.")


class TrustBody(Body):
    """The content that the operator has seen."""

    hash: str = Field(min_length=1, max_length=128, description="`hash` of the project as it was reviewed.")


class NetworkBody(Body):
    """What to change; a list replaces the one there is."""

    mode: Literal["enforce", "ask", "learn"] = "enforce"
    allow: list[Host] = Field([], max_length=1000, description="Hosts as `name:port`.")


class CheckBody(Body):
    """A project file to try, or to write: its whole text."""

    text: str = Field(max_length=1_000_000)


class WriteBody(CheckBody):
    seen: str = Field(max_length=1_000_000, description="The project file's text as it was opened.")


def _plans(services: Services, project: Project) -> tuple[dict[str, CagePlan], list[str]]:
    """The cage of each agent by its path, or why there is none."""
    try:
        paths = project.spec.agents() if project.spec else ()
        return {path: services.plan(project, None, path) for path in paths}, []
    except KagedError as error:
        return {}, [error.message]


def _route(services: Services, project: Project) -> dict[str, str] | None:
    if project.spec is None:
        return None
    try:
        return whole(services.models.resolve(project.spec.primary.model))
    except KagedError:
        return None


def shape(services: Services, project: Project, actor: Actor) -> dict[str, Any]:
    plans, more = _plans(services, project)
    plan = plans.pop(PRIMARY, None)
    below = [f"Its sub-agent {'/'.join(path.split('.subagents.')[1:])}: {its.words()}." for path, its in plans.items()]
    return shown(project, "slug trust hash sample created_at") | {
        "path": str(project.path),
        "role": min(services.identity.people.standing(actor, project.slug), Standing.OWNER).name.lower(),
        "description": project.spec.description if project.spec else None,
        "snapshot": services.sessions.progress.get(project.slug),
        "problems": [*project.problems, *more],
        "model": project.spec.primary.model if project.spec else None,
        "route": _route(services, project),
        "cage": {"words": plan.words(), "explain": [*plan.explain(), *below]} if plan else None,
    }


@router.get("", name="project.list")
async def list_projects(services: Svc, actor: Caller, page: Paged) -> dict[str, Any]:
    """The projects that are loaded and that the caller has a part in."""
    only = services.identity.people.only(actor)
    found = await services.projects.list(only=only, offset=page.offset, limit=page.limit + 1)
    return page.of(found, lambda project: shape(services, project, actor))


@router.post("/load", name="project.load", status_code=201)
async def load(services: Svc, actor: Caller, body: LoadBody) -> dict[str, Any]:
    """Load a folder. Without a project file: 409 `project_missing` with a proposed one, unless `create`."""
    project = await services.projects.load(body.path, actor=actor, trust=body.trust, create=body.create)
    await services.identity.people.own(project.slug, actor)
    await services.sessions.prime(project.slug)
    return shape(services, project, actor)


@router.get("/dsl/schema", name="dsl.schema")
async def schema(services: Svc) -> dict[str, Any]:
    """JSON Schema of `project.yaml`, for editors; anonymous."""
    return json_schema()


@router.get("/{slug}", name="project.read")
async def get_project(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """One project, read from disk anew."""
    return shape(services, await services.projects.get(slug), actor)


@router.delete("/{slug}", name="project.forget", status_code=204)
async def forget(services: Svc, actor: Caller, slug: str) -> None:
    """Forget a project; its files stay where they are, and its sessions stay its own."""
    await services.projects.forget(slug, actor=actor, gone=partial(services.identity.people.forgot, slug))


@router.post("/{slug}/trust", name="project.trust")
async def trust(services: Svc, actor: Caller, slug: str, body: TrustBody) -> dict[str, Any]:
    """Trust exactly the content with this hash; a conflict when it has changed since it was shown. Content that asks
    for something of the host (secrets, other folders, private networks) takes an admin."""
    trusted = await services.projects.trust(slug, body.hash, actor=actor, host=actor.is_admin)
    await services.sessions.prime(slug)
    return shape(services, trusted, actor)


@router.get("/{slug}/dsl", name="project.read")
async def dsl(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """The files that trust covers, as text, for review; `trusted` is their text when they were trusted last."""
    project = await services.projects.get(slug)
    now = {file.path: file.text for file in project.reviewed}
    files = [{"path": p, "text": now.get(p), "trusted": project.trusted.get(p)} for p in {**now, **project.trusted}]
    return {"files": files}


@router.put("/{slug}/dsl", name="project.policy")
async def write_dsl(services: Svc, actor: Caller, slug: str, body: WriteBody) -> dict[str, Any]:
    """Write the project file; a conflict when it is not as it was `seen` any more. It has to be trusted again."""
    return shape(services, await services.projects.write(slug, body.text, body.seen, actor=actor), actor)


@router.post("/{slug}/dsl/check", name="project.policy")
async def check_dsl(services: Svc, actor: Caller, slug: str, body: CheckBody) -> dict[str, Any]:
    """What the project would be with this text as its project file: problems with line and column, or its cage."""
    return shape(services, await services.projects.check(slug, body.text), actor)


@router.get("/{slug}/capabilities", name="project.read")
async def capabilities(services: Svc, actor: Caller, slug: str, agent: str = PRIMARY) -> dict[str, Any]:
    """What the cage of an agent allows, in words and as the compiled plan."""
    project = await services.projects.get(slug)
    if project.spec is None:
        raise KagedError("dsl_invalid", project.problems[0], {"problems": list(project.problems)})
    if agent not in (known := project.spec.agents()):
        text = f"{slug} has no agent {agent!r}{did_you_mean(agent, known)}; its agents: {', '.join(known)}"
        raise KagedError("not_found", text)
    plan = services.plan(project, None, agent)
    keeper = (await services.system.describe())["keeper"]
    held = {"limits are held by": keeper["limits"], "the network is held by": plan.net and keeper["network"]}
    explain = [*plan.explain(), *(f"{what}: {words}" for what, words in held.items() if words)]
    return {"cage": {"words": plan.words(), "explain": explain, "hash": plan.hash()}}


@router.get("/{slug}/network", name="project.read")
async def get_network(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """Mode and allowed hosts, every host that was reached or tried, and the list that learn mode proposes."""
    spec = (await services.projects.get(slug)).spec
    mode, allow = (spec.primary.cage.net.mode, spec.primary.cage.net.allow) if spec else ("enforce", ())
    found = await services.db.read(lambda c: seen(c, slug))
    learned = sorted(f"{host['host']}:{host['port']}" for host in found if host["learned"])
    return {
        "mode": mode,
        "allow": list(allow),
        "seen": [{k: v for k, v in host.items() if k != "learned"} for host in found],
        "proposal": [*dict.fromkeys((*allow, *learned))],
    }


@router.put("/{slug}/network", name="project.policy")
async def put_network(services: Svc, actor: Caller, slug: str, body: NetworkBody) -> dict[str, Any]:
    """Write mode or allowed hosts into `.kaged/project.local.yaml`; what was trusted stays so."""
    project = await services.projects.set_network(slug, body.model_dump(exclude_unset=True), actor)
    return shape(services, project, actor)
