"""The commented default config.toml, written from the keys themselves so that it cannot go stale."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kaged.settings.model import Config


@dataclass(frozen=True, slots=True)
class KeyDoc:
    """One key as the documentation shows it."""

    section: str
    key: str
    type: str
    default: str
    meaning: str


def keys() -> Iterator[KeyDoc]:
    """Every key of config.toml, in order."""
    for section, table in Config.model_fields.items():
        fields: dict[str, FieldInfo] = getattr(table.annotation, "model_fields", {})
        for key, field in fields.items():
            meaning = " ".join((field.description or "").split())
            yield KeyDoc(section, key, _type(field.annotation), _default(field), meaning)


def default_text() -> str:
    """A config.toml in which every key is commented out at its default."""
    lines = [
        "# kaged's configuration. Every key is optional; a commented line shows its default.",
        "# `kaged config show` prints the effective values, `kaged config check` checks this file.",
    ]
    section = ""
    for doc in keys():
        if doc.section != section:
            section = doc.section
            lines += ["", f"[{section}]"]
        lines += [f"# {line}" for line in textwrap.wrap(doc.meaning, 96)]
        lines.append(f"#{doc.key} = {doc.default}")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "true" if _type(field.annotation) == "bool" else '""'
    return json.dumps(value)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(annotation))
    text = str(annotation)
    if get_origin(annotation) is list:
        return "list of paths" if "Path" in text else "list of strings"
    for word, name in (("Path", "path"), ("bool", "bool"), ("int", "integer")):
        if word in text:
            return name
    return "string"
