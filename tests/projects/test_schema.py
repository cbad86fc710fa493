"""The published schema: every key is in it and described."""

from typing import Any

from kaged.projects.model import AgentSpec, ProjectFile
from kaged.projects.schema import json_schema


def test_every_key_is_described() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(ProjectFile.model_fields)
    agent: dict[str, Any] = schema["$defs"]["AgentSpec"]["properties"]
    assert set(agent) == set(AgentSpec.model_fields)
    for name, field in {**schema["properties"], **agent}.items():
        assert field.get("description") or "$ref" in field or field.get("const"), name
    assert schema["additionalProperties"] is False
    assert "pass" in schema["$defs"]["EnvSpec"]["properties"]
