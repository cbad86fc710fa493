"""The list of tools is the one that projects know, each with a plain schema."""

from kaged.projects.model import BUILT_IN_TOOLS
from kaged.tools.toolbox import Toolbox


def test_names_are_those_a_project_file_may_name() -> None:
    assert Toolbox().names == BUILT_IN_TOOLS


def test_only_enabled_tools_are_told() -> None:
    assert [spec.name for spec in Toolbox().specs({"ask", "shell"})] == ["shell", "ask"]


def test_schemas_are_plain_objects() -> None:
    for spec in Toolbox().specs(BUILT_IN_TOOLS):
        assert spec.schema["type"] == "object"
        assert spec.schema["additionalProperties"] is False
        assert "$defs" not in spec.schema
        assert spec.schema["properties"], spec.name
        for name, one in spec.schema["properties"].items():
            assert "type" in one, (spec.name, name, one)
            assert "anyOf" not in one
    read = Toolbox().specs({"file.read"})[0].schema
    assert read["required"] == ["path"]
    assert read["properties"]["offset"]["type"] == "integer"
