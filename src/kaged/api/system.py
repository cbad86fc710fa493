"""Health, versions, the caller, the browsers signed in, the daemon's own state, the audit log."""

import hashlib
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from kaged import __version__
from kaged.api.deps import Caller, Paged, Svc, actor_of, services_of, shown, whole
from kaged.api.guard import Guarded
from kaged.identity.middleware import error_body

router = APIRouter(route_class=Guarded)


@router.get("/api/v1/me", name="me", tags=["identity"], response_model=dict[str, Any])
async def me(request: Request) -> Response:
    """Who the caller is, what they may do, and what the operator should know."""
    # What every page asks first, and the first route to be compared. Without `Depends`, and encoded here: solving those
    # and checking what we wrote ourselves takes FastAPI longer than all the rest of this route.
    services, actor = await services_of(request), await actor_of(request)
    local = services.local.read()  # a look at the file's date: less than a thread would cost
    about = shown(actor, "id name email source") | {
        "role": actor.role.value, "projects": services.identity.people.projects_of(actor),
        "mode": services.loaded.mode, "host_terminals": services.terminals.host_allowed(actor),
        "logout_url": services.loaded.config.auth.logout_url,
        "operator_name": local.operator_name,
        "warnings": services.identity.warnings,
    }  # fmt: skip
    return Response(msgspec.json.encode(about), media_type="application/json")


@router.get("/healthz", name="health", response_class=PlainTextResponse, tags=["health"])
async def healthz() -> str:
    """The process answers."""
    return "ok"


@router.get("/readyz", name="health", tags=["health"], response_class=PlainTextResponse)
async def readyz(services: Svc) -> Response:
    """Start-up is complete and the keeper is connected."""
    if services.system.ready():
        return PlainTextResponse("ok")
    return JSONResponse(error_body("unavailable", "kaged is starting."), 503, {"Retry-After": "1"})


@router.get("/launch", name="launch", tags=["identity"])
async def launch(services: Svc, token: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Exchange a single-use launch token for this browser's cookie and key."""
    grant = await services.identity.redeem(token)
    response = RedirectResponse(f"./#key={grant.key}", status_code=303)
    response.headers["set-cookie"] = grant.set_cookie
    return response


@router.get("/api/v1/versions", name="versions", tags=["health"])
async def versions(services: Svc) -> dict[str, str]:
    """Versions of the daemon, the API and the console; anonymous."""
    stamp = services.web / ".source-sha256"
    ui = stamp.read_text(encoding="ascii").strip() if stamp.is_file() else ""
    return {"kaged": __version__, "api": "v1", "ui": hashlib.sha256(ui.encode()).hexdigest()[:12]}


@router.get("/api/v1/openapi.json", name="api.describe", tags=["health"])
async def describe(request: Request) -> dict[str, Any]:
    """This API as an OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/api/v1/me/browsers", name="browsers", tags=["identity"])
async def browsers(services: Svc, actor: Caller) -> dict[str, Any]:
    """The browsers that are signed in with a launch URL."""
    return {"items": [whole(b) for b in await services.identity.browsers(actor)], "next": None}


@router.delete("/api/v1/me/browsers/{browser_id}", name="browsers", status_code=204, tags=["identity"])
async def revoke(services: Svc, actor: Caller, browser_id: str) -> None:
    """Sign a browser out; its sockets close at once."""
    await services.identity.revoke(browser_id, actor)


@router.post("/api/v1/auth/launch", name="auth.launch", tags=["identity"])
async def new_launch(services: Svc, actor: Caller) -> dict[str, Any]:
    """A fresh launch URL (only on the host: `kaged auth open`)."""
    return (await services.identity.issue_launch(actor))._asdict()


@router.get("/api/v1/auth/nonces", name="auth.nonces", tags=["identity"])
async def nonces(services: Svc, actor: Caller) -> dict[str, Any]:
    """How the sidecar's nonces are used, and fingerprints to compare copies by (only on the host)."""
    return services.system.nonces()


@router.post("/api/v1/system/reload", name="system.reload", tags=["system"])
async def reload(services: Svc, actor: Caller) -> dict[str, Any]:
    """Read the nonces' files again, as `systemctl reload` does (only on the host)."""
    return await services.system.reload(actor)


@router.get("/api/v1/system", name="system.read", tags=["system"])
async def system(services: Svc, actor: Caller) -> dict[str, object]:
    """Daemon, keeper, cages, and the checks that `kaged doctor` shows."""
    return await services.system.describe()


@router.post("/api/v1/system/stop", name="system.stop", status_code=202, tags=["system"])
async def stop(services: Svc, actor: Caller) -> dict[str, bool]:
    """Stop the daemon and the keeper, ending everything that runs (`kaged stop`)."""
    await services.audit.record(actor, "daemon.stop_asked", "daemon", "ok", {})
    services.system.stop()
    return {"stopping": True}


@router.get("/api/v1/audit", name="audit.read", tags=["audit"])
async def audit(services: Svc, actor: Caller, page: Paged) -> dict[str, Any]:
    """The audit log, newest first."""
    return page.of(await services.audit.newest(offset=page.offset, limit=page.limit + 1), whole)


@router.get("/api/v1/audit/verify", name="audit.read", tags=["audit"])
async def audit_verify(services: Svc, actor: Caller) -> dict[str, Any]:
    """Check the audit log's hash chain from its first record to the stored head."""
    return whole(await services.audit.verify())
