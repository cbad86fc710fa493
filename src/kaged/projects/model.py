"""The shape of a project file: what may be written in `.kaged/project.yaml`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from kaged.core.errors import did_you_mean
from kaged.projects.cage_spec import CageSpec, Part
from kaged.settings.problems import matching

BUILT_IN_TOOLS = ("shell", "file.read", "file.write", "file.edit", "search.grep", "search.find", "ask")
"""The tools that every agent has unless its `tools` say otherwise."""

PREFIXES = ("project:/", "config:/")
SLUG = r"^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$"

_MODEL = matching("[!-~]{1,200}", 'expected an alias such as "default", or "provider:model"')


def _prompt_path(text: str) -> str:
    prefix, separator, rest = text.partition(":/")
    if separator and prefix in ("git", "https"):
        raise ValueError(f"{prefix}:/ is not supported by this version of kaged; use project:/ or config:/")
    if not separator or f"{prefix}:/" not in PREFIXES:
        raise ValueError("expected project:/PATH (below the project) or config:/PATH (below .kaged)")
    if not rest or any(part in ("", ".", "..") for part in rest.split("/")) or "\0" in rest:
        raise ValueError("expected one plain path after the prefix, without `.`, `..` or `//`")
    return text


def _tool_names(tools: dict[str, "ToolSetting | None"]) -> dict[str, "ToolSetting | None"]:
    for name in tools:
        if name != "*" and name not in BUILT_IN_TOOLS:
            known = ", ".join(("*", *BUILT_IN_TOOLS))
            raise ValueError(f"{name!r} is not a tool{did_you_mean(name, BUILT_IN_TOOLS)}; known: {known}")
    return tools


class ToolSetting(Part):
    """How one tool is offered to the agent."""

    enabled: bool = True
    """Whether the agent sees the tool."""


class AgentSpec(Part):
    """One agent: its model, its instructions, its tools and its cage."""

    model: Annotated[str, _MODEL] = "default"
    """An alias of local.toml, `provider:model`, `default` or `offline`."""
    system_prompt: Annotated[str, AfterValidator(_prompt_path)]
    """The file with the instructions: `config:/prompts/default.md` in `.kaged`, or `project:/…` elsewhere."""
    description: Annotated[str, Field(max_length=280)] | None = None
    """What the agent is for, in a sentence."""
    tools: Annotated[dict[str, ToolSetting | None], AfterValidator(_tool_names)] = {}
    """Tools by name; `"*"` stands for those not named. Every built-in tool is on unless switched off here."""
    cage: CageSpec = CageSpec()
    """What the agent can reach. By default: this project, and nothing else."""
    max_steps: int = Field(default=100, ge=1, le=10_000)
    """Model calls in one run before it is ended."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    """Longest answer of one model call; absent, the model's own limit."""

    def enabled_tools(self) -> tuple[str, ...]:
        """The built-in tools this agent has, in their order."""
        rest = self.tools.get("*") or ToolSetting()
        return tuple(name for name in BUILT_IN_TOOLS if (self.tools.get(name) or rest).enabled)


class ProjectFile(Part):
    """A whole project file, overlay merged in."""

    version: Literal[1]
    """Version of this format."""
    project: str = Field(pattern=SLUG)
    """The project's short name (slug): 2 to 64 characters of a-z, 0-9 and `-`."""
    description: Annotated[str, Field(max_length=280)] | None = None
    """What the project is, in a sentence."""
    primary: AgentSpec
    """The agent that sessions talk to."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) with the descriptions of every key, so that editors complete and check the file."""
    schema = ProjectFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "kaged project file"}


LATER = (
    "plugins", "workflows", "tasks", "primary.subagents", "primary.budget", "primary.compaction", "primary.plugins",
    "primary.mcp", "primary.parameters", "primary.tools.*.approval", "primary.tools.*.description",
    "primary.tools.*.parameters",
)  # fmt: skip
"""Keys of the public design that this version refuses by name."""
