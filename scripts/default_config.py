"""Write `src/kaged/settings/data/config.toml`, the commented file of a first start, anew from the model of its keys."""

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kaged.settings.model import Config

FILE = Path(__file__).resolve().parent.parent / "src" / "kaged" / "settings" / "data" / "config.toml"


@dataclass(frozen=True, slots=True)
class KeyDoc:
    section: str
    key: str
    type: str
    default: str
    meaning: str


def documented_keys() -> Iterator[KeyDoc]:
    """Every key of config.toml, in order."""
    for section, table in Config.model_fields.items():
        fields: dict[str, FieldInfo] = getattr(table.annotation, "model_fields", {})
        for key, field in fields.items():
            meaning = " ".join((field.description or "").split())
            yield KeyDoc(section, key, _type_of(field.annotation), _default_of(field), meaning)


def text() -> str:
    """A config.toml in which every key is commented out at its default."""
    lines = [
        "# kaged's configuration. Every key is optional; a commented line shows its default.",
        "# `kaged config show` prints the effective values, `kaged config check` checks this file.",
    ]
    section = ""
    for doc in documented_keys():
        if doc.section != section:
            section = doc.section
            lines += ["", f"[{section}]"]
        lines += [f"# {line}" for line in textwrap.wrap(doc.meaning, 96)]
        lines.append(f"#{doc.key} = {doc.default}")
    return "\n".join(lines) + "\n"


def _default_of(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "true" if _type_of(field.annotation) == "bool" else '""'
    return json.dumps(value)


def _type_of(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(annotation))
    words = str(annotation)
    if get_origin(annotation) is list:
        return "list of paths" if "Path" in words else "list of strings"
    for word, name in (("Path", "path"), ("bool", "bool"), ("int", "integer")):
        if word in words:
            return name
    return "string"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
