"""What must be true of a project before one of its agents runs, and what a run is made of then."""

from kaged.agents.ports import AGENT, Prepared
from kaged.core.actors import Actor
from kaged.projects.service import Project
from kaged.sessions.ports import SessionPorts
from kaged.sessions.rows import get_session


async def prepare(ports: SessionPorts, slug: str, session: str) -> Prepared:
    """Read the project anew and resolve the models and cages of all its agents; what the primary one needs. Raises
    KagedError: `not_found`, `dsl_invalid` with the problems, `conflict` when the content is not trusted,
    `validation_failed` for a model that is not known."""
    project = await ports.projects.trusted(slug)
    assert project.spec is not None
    apart = (await ports.db.read(lambda c: get_session(c, session))).workspace == "worktree"
    await ports.models.reload()
    checked = {path: prepare_agent(ports, project, path, session, apart=apart) for path in project.spec.agents()}
    return checked[AGENT]


def prepare_agent(ports: SessionPorts, project: Project, path: str, session: str, *, apart: bool) -> Prepared:
    """What a run of the agent `path` is made of; `apart`: in a worktree of the session's. Raises KagedError."""
    assert project.spec is not None
    agent = project.spec.agents()[path]
    prompt, route = project.prompts.get(agent.system_prompt, ""), ports.models.resolve(agent.model)
    plan, secrets = ports.cages.plan(project, session, path, worktree=apart), ports.cages.secrets(project, path)
    return Prepared(project, agent, prompt, route, plan, secrets, apart)


async def audit_start(
    ports: SessionPorts, actor: Actor, action: str, run: str, session: str, prepared: Prepared
) -> None:
    """Record who lets a run of which content work, in which cage and with which model."""
    hashes = {"project_hash": prepared.project.hash, "cage_hash": prepared.plan.hash()}
    route = {"provider": prepared.route.provider, "model": prepared.route.model}
    details = {"session": session, "project": prepared.project.slug, **hashes, **route}
    await ports.audit.record(actor, action, run, "allowed", details)
