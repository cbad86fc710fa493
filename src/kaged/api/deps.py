"""What a route asks FastAPI for: the caller, the services, the page of a list."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from kaged.api.services import Services
from kaged.core.actors import Actor
from kaged.core.errors import KagedError

T = TypeVar("T")

# All of them are coroutines, which costs a request nothing; FastAPI would run plain functions in threads.


async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def actor_of(request: Request) -> Actor:
    """Who asks; the guard of the route has refused those without an identity."""
    actor: Actor = request.scope["state"]["actor"]
    return actor


Svc = Annotated[Services, Depends(services_of)]
Caller = Annotated[Actor, Depends(actor_of)]
_MAX_OFFSET = 2**53


@dataclass(frozen=True, slots=True)
class Page:
    """Position and size of a page: `offset` comes from the opaque cursor of the page before."""

    limit: int
    offset: int

    def of(self, items: Sequence[T], shape: Callable[[T], Any]) -> dict[str, Any]:
        """The list answer for `items`, fetched with `limit + 1` rows from `offset`."""
        more = len(items) > self.limit
        cursor = base64.urlsafe_b64encode(str(self.offset + self.limit).encode()).decode() if more else None
        return {"items": [shape(item) for item in items[: self.limit]], "next": cursor}


async def _page(limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None) -> Page:
    if cursor is None:
        return Page(limit, 0)
    try:
        offset = int(base64.urlsafe_b64decode(cursor))
        if not 0 <= offset <= _MAX_OFFSET:
            raise ValueError(offset)
    except ValueError as error:
        raise KagedError("validation_failed", "`cursor` is not one that this list gave out.") from error
    return Page(limit, offset)


Paged = Annotated[Page, Depends(_page)]


class Body(BaseModel):
    """Base of every request body: unknown keys are refused, so that a slip is seen."""

    model_config = ConfigDict(extra="forbid")


def whole(value: object) -> dict[str, Any]:
    """A dataclass or struct as a JSON object, field by field."""
    shaped: dict[str, Any] = msgspec.to_builtins(value)
    return shaped


def shown(value: object, fields: str) -> dict[str, Any]:
    """The named fields of an object as a JSON object."""
    return {name: getattr(value, name) for name in fields.split()}
