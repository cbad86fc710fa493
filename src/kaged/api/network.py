"""What a project's agent may reach, and what its sessions reached or tried."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from kaged.api.deps import Admin, Caller, Svc
from kaged.api.projects import shape
from kaged.sessions.seen import seen

router = APIRouter(prefix="/api/v1/projects/{slug}/network", tags=["projects"])

Host = Annotated[str, Field(min_length=1, max_length=300)]


class NetworkBody(BaseModel):
    """What to change; a list replaces the one there is."""

    model_config = ConfigDict(extra="forbid")
    mode: Literal["enforce", "ask", "learn"] = "enforce"
    allow: list[Host] = Field([], max_length=1000, description="Hosts as `name:port`.")


@router.get("")
async def get_network(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """Mode and allowed hosts, every host that was reached or tried, and the list that learn mode proposes."""
    spec = (await services.projects.get(slug)).spec
    mode, allow = (spec.primary.cage.net.mode, spec.primary.cage.net.allow) if spec else ("enforce", ())
    found = await services.db.read(lambda c: seen(c, slug))
    learned = sorted(f"{host.host}:{host.port}" for host in found if host.learned)
    return {
        "mode": mode,
        "allow": list(allow),
        "seen": [{k: v for k, v in asdict(host).items() if k != "learned"} for host in found],
        "proposal": [*dict.fromkeys((*allow, *learned))],
    }


@router.put("")
async def put_network(services: Svc, actor: Admin, slug: str, body: NetworkBody) -> dict[str, Any]:
    """Write mode or allowed hosts into `.kaged/project.local.yaml`; what was trusted stays so."""
    changed = await services.projects.set_network(slug, body.model_dump(exclude_unset=True), actor)
    return shape(services, changed)
