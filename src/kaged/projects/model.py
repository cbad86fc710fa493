"""The shape of a project file: what may be written in `.kaged/project.yaml`; and what becomes of a tool call by its
rules. Pure. Rules read what a call says, not what a program does: the cage is the wall."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kaged.core.errors import did_you_mean
from kaged.projects.cage_spec import Below, CageSpec, Names, Part, covers
from kaged.projects.commands import Command, Unclear, is_plainly, may_be, take_apart
from kaged.settings.problems import matching

BUILT_IN_TOOLS = (
    "shell", "file.read", "file.write", "file.edit", "search.grep", "search.find", "ask", "checkpoint", "delegate",
)  # fmt: skip
"""The tools that every agent has unless its `tools` say otherwise; `delegate` only one with sub-agents."""

MAX_DEPTH = 4
"""Most agents below one another, the primary one not counted."""
PRIMARY = "primary"

TO_THE_OPERATOR = ("ask", "checkpoint")
"""The tools that only ask: they are never held up to be approved."""
SLUG = r"^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$"


Approval = Literal["auto", "ask", "deny"]
STRICT: dict[Approval, int] = {"auto": 0, "ask": 1, "deny": 2}
"""The stricter, the higher."""


_WORDS = r"(?![A-Za-z_]\w*\+?=)[^\s\\'\"`$;&|<>(){}~#]+( [^\s\\'\"`$;&|<>(){}~]+)*"
_ONE = "{!r} is not allowed; a rule names one command in plain words, such as `git push *`"


class Rule(Part):
    """What becomes of calls that are alike: commands for `shell`, paths for the tools that take one."""

    match: Annotated[str, matching(_WORDS, _ONE)] | None = None
    """A command in plain words, with wildcards; `*` at its end stands for any number of words."""
    path: Below | None = None
    """A path below the project: `Makefile`, or `infra/**` for all that is in a folder."""
    approval: Approval

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.match is None) == (self.path is None):
            raise ValueError("give either `match` (a command) or `path`")
        return self

    def __str__(self) -> str:
        return self.match or self.path or ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and whose word that is."""

    approval: Approval
    rule: str


def of_command(line: str, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any command of the line; of a line that cannot be taken apart, the strictest that any
    rule gives. A rule that loosens the default counts only for a command that is plainly its own."""
    try:
        return _strictest([_of_one(command, default, rules) for command in take_apart(line)], default)
    except Unclear as unclear:
        all_rules = [Verdict(rule.approval, f"the rule `{rule}`, since the command has {unclear}") for rule in rules]
        return _strictest([default, *all_rules], default)


def _of_one(command: Command, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    def fits(rule: Rule) -> bool:
        words = tuple((rule.match or "").split())
        loosens = STRICT[rule.approval] < STRICT[default.approval]
        return is_plainly(words, command) if loosens else may_be(words, command)

    return _of_rules(filter(fits, rules), default)


def of_paths(paths: Sequence[str], default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any of the names, below the project, that one file has."""
    each = [_of_rules((r for r in rules if r.path and covers(r.path, PurePosixPath(path))), default) for path in paths]
    return _strictest(each, default)


def _of_rules(fitting: Iterable[Rule], default: Verdict) -> Verdict:
    return _strictest((Verdict(rule.approval, f"the rule `{rule}`") for rule in fitting), default)


def _strictest(verdicts: Iterable[Verdict], default: Verdict) -> Verdict:
    return max(verdicts, key=lambda verdict: STRICT[verdict.approval], default=default)


def _prompt_path(text: str) -> str:
    prefix, separator, rest = text.partition(":/")
    if separator and prefix in ("git", "https"):
        raise ValueError(f"{prefix}:/ is not supported by this version of kaged; use project:/ or config:/")
    if not separator or prefix not in ("project", "config"):
        raise ValueError("expected project:/PATH (below the project) or config:/PATH (below .kaged)")
    if not rest or any(part in ("", ".", "..") for part in rest.split("/")) or "\0" in rest:
        raise ValueError("expected one plain path after the prefix, without `.`, `..` or `//`")
    return text


def _tool_names(tools: dict[str, "ToolSetting | None"]) -> dict[str, "ToolSetting | None"]:
    for name in tools:
        if name != "*" and name not in BUILT_IN_TOOLS:
            known = ", ".join(("*", *BUILT_IN_TOOLS))
            raise ValueError(f"{name!r} is not a tool{did_you_mean(name, BUILT_IN_TOOLS)}; known: {known}")
        setting = tools[name] or ToolSetting()
        kind = "match" if name == "shell" else "path"
        if name in TO_THE_OPERATOR and (setting.approval != "auto" or setting.rules):
            raise ValueError(f"{name} only asks the operator, so nothing of it can be approved; remove it")
        if name == "*" and setting.rules:
            raise ValueError("rules belong to one tool, named in full; `approval` may stand below '*'")
        if setting.rules and name not in ("shell", "file.read", "file.write", "file.edit"):
            raise ValueError(f"{name} takes no rules; `approval` says what becomes of its calls")
        if any(getattr(rule, kind) is None for rule in setting.rules):
            raise ValueError(f"the rules of {name} take `{kind}`")
    return tools


class ToolSetting(Part):
    """How one tool is offered to the agent."""

    enabled: bool = True
    """Whether the agent sees the tool."""
    approval: Approval = "auto"
    """What becomes of its calls: `auto` runs them, `ask` waits for the operator each time, `deny` never runs one."""
    rules: Annotated[tuple[Rule, ...], Names] = ()
    """What becomes of some of them instead. Of several rules that fit the strictest counts."""


class Budget(Part):
    """What one run of an agent may use, with all the sub-agents below it."""

    tokens: int = Field(ge=1, le=1_000_000_000)
    """Input and output tokens, those read from a provider's cache left out."""


Name = Annotated[str, matching("[a-z0-9][a-z0-9-]{0,31}", "{!r} is no name: use 1 to 32 of a-z, 0-9 and -")]


class AgentSpec(Part):
    """One agent: its model, its instructions, its tools and its cage."""

    model: Annotated[str, matching("[!-~]{1,200}", 'expected an alias such as "default", or "provider:model"')] = (
        "default"
    )
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
    budget: Budget | None = None
    """What one run may use, sub-agents included; absent, no limit."""
    subagents: Annotated[dict[Name, "SubAgentSpec"], Field(max_length=64)] = {}
    """The agents that this one may hand work to with `delegate`, by name."""

    def enabled_tools(self) -> tuple[str, ...]:
        have = BUILT_IN_TOOLS if self.subagents else BUILT_IN_TOOLS[:-1]
        return tuple(name for name in have if self.setting(name).enabled)

    def setting(self, tool: str) -> ToolSetting:
        """What the file says of a tool by name, or of those not named."""
        return self.tools.get(tool) or self.tools.get("*") or ToolSetting()

    def verdict(self, tool: str, args: Mapping[str, Any], paths: Sequence[str] = ()) -> Verdict:
        """What becomes of a call. `paths` are the names of the file that it is about, below the project."""
        setting = self.setting(tool)
        if tool in TO_THE_OPERATOR:
            return Verdict("auto", "")
        default = Verdict(setting.approval, f"`approval: {setting.approval}`")
        if tool != "shell":
            return of_paths(paths, default, setting.rules)
        # Input for a command is a command too when that is a shell; a look at one, and its end, are none.
        line = args.get("command") if args.get("job") is None else args.get("input") and "eval"
        return of_command(line, default, setting.rules) if isinstance(line, str) else Verdict("auto", "")


class SubAgentSpec(AgentSpec):
    """An agent that another one hands work to: the same keys, and the budget is required."""

    budget: Budget
    """What one run may use, sub-agents included."""


AgentSpec.model_rebuild()


def _command(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("expected a command, as one writes it in a shell")
    return text


class Task(Part):
    """A command that the operator launches: a terminal opens for it, in a cage as the primary agent's."""

    run: Annotated[str, Field(max_length=4000), AfterValidator(_command)]
    """What the shell is given, in the project's folder."""
    description: Annotated[str, Field(max_length=280)] | None = None
    """What the task is for, in a sentence."""


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
    tasks: Annotated[dict[Name, Task], Field(max_length=64)] = {}
    """Commands that the operator launches, by name."""

    def agents(self) -> dict[str, AgentSpec]:
        """Every agent by its path (`primary`, `primary.subagents.NAME` and so on), each before those below it."""
        return dict(_agents(PRIMARY, self.primary))


def _agents(path: str, agent: AgentSpec) -> Iterator[tuple[str, AgentSpec]]:
    yield path, agent
    for name, below in agent.subagents.items():
        yield from _agents(f"{path}.subagents.{name}", below)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) with the descriptions of every key, so that editors complete and check the file."""
    schema = ProjectFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "kaged project file"}


LATER = (
    "plugins", "workflows", "primary.compaction", "primary.plugins", "primary.mcp", "primary.parameters",
    "primary.path", "primary.overrides", "primary.tools.*.description", "primary.tools.*.parameters",
)  # fmt: skip
"""Keys of the public design that this version refuses by name; those of `primary` in each sub-agent too."""
