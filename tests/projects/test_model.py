"""The published schema: every key is in it and described."""

from typing import Any

from kaged.projects.cage_spec import CageSpec, HttpRule, Limits, NetSpec, SecretSpec
from kaged.projects.model import AgentSpec, ProjectFile, json_schema


def test_every_key_is_described() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(ProjectFile.model_fields)
    agent: dict[str, Any] = schema["$defs"]["AgentSpec"]["properties"]
    assert set(agent) == set(AgentSpec.model_fields)
    for name, field in {**schema["properties"], **agent}.items():
        assert field.get("description") or "$ref" in field or field.get("const"), name
    assert schema["additionalProperties"] is False
    assert "pass" in schema["$defs"]["EnvSpec"]["properties"]


def test_the_cage_is_complete_and_its_lists_are_lists() -> None:
    defs = json_schema()["$defs"]
    for model in (CageSpec, NetSpec, HttpRule, SecretSpec, Limits):
        names = {field.alias or name for name, field in model.model_fields.items()}
        shape: dict[str, Any] = defs[model.__name__]
        assert set(shape["properties"]) == names and shape["additionalProperties"] is False
    assert defs["HttpRule"]["properties"]["methods"]["minItems"] == 1
    assert "from" in defs["SecretSpec"]["required"]
    memory = defs["Limits"]["properties"]["memory"]["anyOf"]
    assert {"type": "null"} in memory and {"type": "integer"} in memory
    assert "rustup" in defs["CageSpec"]["properties"]["toolchains"]["items"]["enum"]
