"""Edits of a project's own overlay, `.kaged/project.local.yaml`; its comments and order stay."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaged.core.errors import KagedError
from kaged.projects import templates, yaml_core
from kaged.projects.beneath import read_text, replace_text
from kaged.projects.files import MAX_FILE, Content, read_content

_NEW = "# What the operator allowed on this machine, over project.yaml. Not for the repository.\n"


def set_network(folder: Path, net: Mapping[str, Any]) -> Content:
    """Set keys of `primary.cage.net` in the overlay (blocking); lists replace those of the project file.

    Returns the whole as it was checked before anything was written. KagedError: `conflict` when the files cannot
    be read as they are, `dsl_invalid` when the result would not be a valid project.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    old = read_text(folder, templates.OVERLAY, max_bytes=MAX_FILE)
    try:
        document = yaml.load(old or _NEW) or {}
        wanted = yaml_core.load(old, templates.OVERLAY).value if old and document else {}
        _put(document, net)
        _put(wanted, net)
    except (YAMLError, AttributeError, TypeError, ValueError) as error:
        raise KagedError("conflict", f"{templates.OVERLAY} cannot be edited as it is: {error}") from error
    out = io.StringIO()
    if not old:
        out.write(_NEW)
    yaml.dump(document, out)
    if yaml_core.load(out.getvalue(), templates.OVERLAY).value != wanted:  # such as a time without quotes
        text = f"{templates.OVERLAY} cannot be edited without changing more of it: put quotes around its texts"
        raise KagedError("conflict", text)
    content = read_content(folder, overlay=out.getvalue())
    if content is None or content.spec is None:
        problems = ["the project file is gone"] if content is None else content.problems
        raise KagedError("dsl_invalid", "; ".join(problems), {"problems": problems})
    replace_text(folder, templates.OVERLAY, out.getvalue())
    return content


def _put(table: Any, net: Mapping[str, Any]) -> None:
    for key in ("primary", "cage", "net"):
        table = table.setdefault(key, {})
    table.update({key: list(value) if isinstance(value, tuple) else value for key, value in net.items()})
