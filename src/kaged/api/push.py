"""How people are told outside of the console: channels, and the browsers of the caller that are."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from kaged.api.deps import Body, Caller, Svc, shown
from kaged.api.guard import Guarded
from kaged.core.errors import KagedError
from kaged.notify.subscriptions import Subscription

router = APIRouter(route_class=Guarded, prefix="/api/v1/notifications", tags=["notifications"])
Text = Annotated[str, Field(min_length=1, max_length=200)]


class SubscriptionBody(Body):
    """What a browser's `PushSubscription` holds, and a name for the browser."""

    endpoint: str = Field(max_length=2000)
    p256dh: Text
    auth: Text
    label: Text


async def _mine(services: Svc, actor: Caller, subscription: str) -> Subscription:
    for found in await services.notify.standing(actor):
        if found.id == subscription:
            return found
    raise KagedError("not_found", f"You have no subscription {subscription}.")


Mine = Annotated[Subscription, Depends(_mine)]


@router.get("/channels", name="notifications")
async def channels(services: Svc, actor: Caller) -> dict[str, Any]:
    """The ways to be told; `key` is what a browser subscribes with."""
    push = {"id": "web-push", "label": "Web push", "kind": "builtin", "key": services.notify.post.vapid.public}
    return {"items": [{"id": "in-app", "label": "In the console", "kind": "builtin"}, push], "next": None}


@router.get("/subscriptions", name="notifications")
async def subscriptions(services: Svc, actor: Caller) -> dict[str, Any]:
    """The caller's browsers that are told."""
    return {"items": [shown(it, "id label") for it in await services.notify.standing(actor)], "next": None}


@router.post("/subscriptions", name="notifications", status_code=201)
async def subscribe(request: Request, services: Svc, actor: Caller, body: SubscriptionBody) -> dict[str, str]:
    """Tell this browser from now on; the same one again keeps its id. It ends with the browser's sign-in."""
    browser = request.scope["state"].get("owner") if actor.source == "loopback" else None
    new = await services.notify.add(actor, browser, body.endpoint, (body.p256dh, body.auth), body.label)
    await services.audit.record(actor, "notification.subscribe", f"subscription:{new}", "ok", {"label": body.label})
    return {"id": new}


@router.delete("/subscriptions/{subscription}", name="notifications", status_code=204)
async def unsubscribe(services: Svc, actor: Caller, mine: Mine) -> None:
    """Tell that browser nothing more."""
    await services.notify.remove(mine)
    await services.audit.record(actor, "notification.unsubscribe", f"subscription:{mine.id}", "ok", {})


@router.post("/subscriptions/{subscription}/test", name="notifications", status_code=204)
async def test(services: Svc, mine: Mine) -> None:
    """Send that browser a message that says that it works."""
    await services.notify.post.send(mine, {"kind": "test", "id": "test"}, 60.0)
