"""What must be true of a project before one of its agents runs, and what a run is made of then."""

from kaged.agents.ports import Prepared
from kaged.core.errors import KagedError
from kaged.sessions.ports import SessionPorts
from kaged.sessions.rows import get_session

_TRUST = {
    "untrusted": "has not been trusted yet: look at what its agent may do and trust it, then send this again",
    "changed": "has changed since it was trusted: look at the change and trust it, then send this again",
}


async def prepare(ports: SessionPorts, slug: str, session: str) -> Prepared:
    """Read the project anew and resolve its model and the session's cage. Raises KagedError: `not_found`, `dsl_invalid`
    with the problems, `conflict` when the content is not trusted, `validation_failed` for a model that is not known."""
    project = await ports.projects.get(slug)
    apart = (await ports.db.read(lambda c: get_session(c, session))).workspace == "worktree"
    if project.spec is None:
        problems = "; ".join(project.problems)
        text = f"The project {slug} cannot be used: {problems}"
        raise KagedError("dsl_invalid", text, {"problems": project.problems})
    if (why := _TRUST.get(project.trust)) is not None:
        raise KagedError("conflict", f"The project {slug} {why}.", {"trust": project.trust, "hash": project.hash})
    await ports.models.reload()
    agent = project.spec.primary
    return Prepared(
        project=project,
        agent=agent,
        prompt=project.prompts.get(agent.system_prompt, ""),
        route=ports.models.resolve(agent.model),
        plan=ports.cages.plan(project, session, worktree=apart),
        secrets=ports.cages.secrets(project),
    )
