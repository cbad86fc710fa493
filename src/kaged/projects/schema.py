"""The JSON Schema of a project file, so that editors complete and check it."""

from typing import Any

from kaged.projects.model import ProjectFile


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) with the descriptions of every key."""
    schema = ProjectFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "kaged project file"}
