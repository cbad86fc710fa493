"""What every tool shares: its description, its context, its result, the checking of its arguments."""

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kaged.cage.client import KeeperClient
from kaged.cage.plan import CagePlan
from kaged.core.errors import KagedError
from kaged.core.events import Outcome, ToolSpec
from kaged.core.tasks import Rest
from kaged.tools.ledger import Ledger

OUTPUT_CHARS = 30_000
"""Characters of a result that the model sees, unless configured."""


@dataclass(frozen=True, slots=True)
class CageSession:
    """The cage one agent of one session works in. `root` is the project's path, the same inside."""

    cage_id: str
    client: KeeperClient
    root: str
    plan: CagePlan

    def resolve(self, path: str) -> str:
        """An absolute, normal path in the cage; relative ones start at the project's root."""
        return posixpath.normpath(posixpath.join(self.root, path))

    def show(self, path: str) -> str:
        """The path as people read it: relative when it is inside the project."""
        pure = PurePosixPath(path)
        return str(pure.relative_to(self.root)) if pure.is_relative_to(self.root) else path


class Withdrawn(Exception):
    """A question was taken back before it was answered; the text says why, as a sentence."""


class NotStored(Exception):
    """Storage refused what a tool had to journal. Passes through tools: it says nothing about the call."""

    def __init__(self, error: KagedError) -> None:
        super().__init__(error.message)
        self.error = error


class AttentionPort(Protocol):
    async def ask(self, call_id: str, question: str, options: Sequence[str], *, kind: str = "ask") -> str:
        """The operator's answer; waits for it without limit, also across restarts. Asking again for the same call finds
        the same question. Raises `Withdrawn` and `NotStored`. Cancelling leaves the question open."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of a task that was handed on: `text` is the sub-agent's last answer as far as it came; `reason`, a
    sentence, says why it did not succeed. `tokens` counts those below it too; `steps` are its own model calls."""

    agent: str
    run_id: str
    outcome: Outcome
    reason: str
    text: str
    tokens: int
    steps: int


Emit = Callable[[str, int, int], Awaitable[None]]
"""Journal live output: the text of the bytes from the first offset up to the second."""
Delegator = Callable[[str, str], Awaitable[Findings]]
"""Let that sub-agent do a task, and wait; for one call it is the same run. `KagedError` when it cannot be started."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What one call may use. `resume_at`: bytes of output journalled before; in `rest` it may be left and rejoined."""

    cage: CageSession
    call_id: str
    emit: Emit
    attention: AttentionPort
    delegate: Delegator
    ledger: Ledger
    limit: int = OUTPUT_CHARS
    resume_at: int = 0
    rest: Rest = field(default_factory=Rest)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a call ended: `output` for models, `detail` for people and ledgers; `release` is forgotten once stored."""

    ok: bool
    output: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    release: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """What a call is about besides its arguments: SHA-256 of each file that it names and that is there, and the change
    it would make to one, as a diff. An approval holds only while the files stay the same."""

    files: Mapping[str, str] = field(default_factory=dict)
    diff: str = ""


def failure(sentence: str, **detail: Any) -> ToolResult:
    return ToolResult(False, sentence, detail)


class Arguments(BaseModel):
    """Base of every tool's arguments: unknown ones are refused, so that a slip is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def text_of(most: int, description: str) -> Any:
    """The field of an argument that is a text of 1 to `most` characters without NUL."""
    return Field(min_length=1, max_length=most, pattern=r"^[^\x00]+$", description=description)


A = TypeVar("A", bound=Arguments)
R = TypeVar("R")


class Tool(ABC, Generic[A]):
    """One tool; its docstring is what a model is told of it. Instances hold no state and serve every session."""

    name: ClassVar[str]
    arguments: type[A]
    read_only: ClassVar[bool] = False
    """Whether a call whose outcome is not known may simply be made again."""
    changes_files: ClassVar[bool] = True
    """Whether a call may change files of the project, unless it is `read_only`."""

    @property
    def spec(self) -> ToolSpec:
        description = " ".join((self.__doc__ or "").split())
        return ToolSpec(self.name, description, _plain_schema(self.arguments.model_json_schema()))

    async def run(self, ctx: ToolContext, args: Mapping[str, Any]) -> ToolResult:
        """Do it. Bad arguments and refusals of the cage are results with a sentence; cancelling detaches."""
        return await self._with(args, partial(self.call, ctx))

    async def bind(self, ctx: ToolContext, args: Mapping[str, Any]) -> Bound | ToolResult:
        """What an approval of this call would hold for; or the result that it would have without doing anything."""
        return await self._with(args, partial(self.bound, ctx))

    async def bound(self, ctx: ToolContext, args: A) -> Bound | ToolResult:
        """See `bind`; with checked arguments."""
        return Bound()

    async def _with(self, args: Mapping[str, Any], work: Callable[[A], Awaitable[R | ToolResult]]) -> R | ToolResult:
        try:
            parsed = self.arguments.model_validate(dict(args))
        except ValidationError as error:
            return failure(_bad_arguments(self.name, error), reason="bad_arguments")
        try:
            return await work(parsed)
        except KagedError as error:
            return failure(error.message, reason=error.code)

    def repeatable(self, args: Mapping[str, Any]) -> bool:
        """Whether a begun call of these arguments may be made again: it does nothing twice."""
        return self.read_only

    async def rejoin(self, ctx: ToolContext, args: Mapping[str, Any]) -> ToolResult | None:
        """Go on with a call that an earlier process of kaged started; None when nothing is known of it."""
        return await self.run(ctx, args) if self.repeatable(args) else None

    @abstractmethod
    async def call(self, ctx: ToolContext, args: A) -> ToolResult:
        """Do it, with checked arguments. `KagedError` becomes a failed result."""


def _bad_arguments(tool: str, error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False)[:5]:
        where = ".".join(str(part) for part in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        known = {"extra_forbidden": f"there is no argument `{where}`", "missing": f"the argument `{where}` is missing"}
        plainly = f"`{where}`: {said[:1].lower()}{said[1:]}" if where else said
        problems.append(known.get(item["type"], plainly))
    return f"The arguments do not fit `{tool}`: {'; '.join(problems)}. Nothing was done."


def _plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles and with `null` alternatives removed: optional is told by `required`."""
    properties = {}
    for name, raw in schema.get("properties", {}).items():
        one = {key: value for key, value in raw.items() if key not in ("title", "default")}
        choices = [choice for choice in one.pop("anyOf", []) if choice.get("type") != "null"]
        if len(choices) == 1:
            one = {**choices[0], **one}
        properties[name] = one
    plain: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := schema.get("required"):
        plain["required"] = required
    return plain
