"""What the models of a policy are made of: strict tables, lists, amounts with units, names of variables."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

GIB = 1024**3
Values = TypeVar("Values", bound=tuple[Any, ...])

_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": GIB, "TiB": 1024 * GIB}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Part(BaseModel):
    """One table of a project file: frozen, strict, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True,
        use_attribute_docstrings=True,
    )  # fmt: skip


Names = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Lets a tuple be written as a list."""


def _amount(units: dict[str, int], cast: type[int] | type[float], example: str) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        match = _AMOUNT.fullmatch(value.strip())
        if match is None or match[2] not in units:
            names = ", ".join(u for u in units if u)
            raise ValueError(f"expected a number with one of the units {names}, such as {example}")
        return cast(float(match[1]) * units[match[2]])

    return parse


def _schema(kind: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "string", "examples": [example]}]})


Bytes = Annotated[int, BeforeValidator(_amount(_UNITS, int, "2GiB")), _schema("integer", "2GiB")]
"""A size: bytes, or text such as `2GiB`."""

Seconds = Annotated[float, BeforeValidator(_amount(_SECONDS, float, "30m")), _schema("number", "30m")]
"""A time: seconds, or text such as `30m`."""


def env_name(name: str) -> str:
    """The name of an environment variable that a project may set."""
    if _ENV_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of an environment variable")
    if name[:6].upper() == "KAGED_":
        raise ValueError(f"{name} belongs to kaged itself and does not enter a cage")
    return name


def once(values: Values) -> Values:
    """The values; raises ValueError for the first one that is listed twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} is listed twice; remove one of the two")
    return values
