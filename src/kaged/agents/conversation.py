"""The conversation as a fold over a session's events: what was said, which calls are open. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kaged.core.events import Attachment, Event, Part, TextPart, ToolCallPart, parts_from_builtins
from kaged.models.types import AssistantMessage, ChatMessage, ToolMessage, UserMessage
from kaged.tools.ledger import Ledger

NOT_RUN = "Not run: the run was stopped before this call was made."
UNKNOWN = "Unknown: kaged was restarted while this ran; check what it did before you retry."
LOST = "Unknown: the keeper ended while this ran, and every command with it; check what it did before you retry."
STEPS = frozenset({"run.started", "message.end", "tool.call", "tool.denied", "tool.result", "attention.resolved"})
"""What shows that a run got further, unless it is the end of a message that was cut off."""
ROLLED_BACK = "Not run: the operator rolled back to before this call."
RESTORED = {
    "files": "[The operator restored the project's files to an earlier state: look at them again.]",
    "conversation": "[The operator rolled this conversation back; the project's files stayed as they are.]",
}
"""What the agent is told where conversation and files were not restored together."""
CUT_OFF = "[This answer was interrupted here.]"


@dataclass(slots=True)
class Call:
    """A tool call of a finished message. `started_at` is set once its start was stored, with the keeper's `memory`."""

    part: ToolCallPart
    run_id: str
    message_id: str
    started_at: str | None = None
    keeper: str = ""
    output_end: int = 0
    result: ToolMessage | None = None

    @property
    def id(self) -> str:
        """The call's own id, which is also the id of the command it runs."""
        return self.part.call_id


@dataclass(slots=True)
class Answer:
    """One message of the model. A partial one ended before the model did."""

    run_id: str
    message_id: str
    parts: list[Part]
    partial: bool
    stop_reason: str
    calls: list[Call] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.calls and not any(isinstance(p, TextPart) and p.text.strip() for p in self.parts)


Spans = tuple[tuple[int, int], ...]
"""Which entries there are: from, to."""


class Conversation:
    """The state of a session's conversation, or of that of one sub-agent's run (`sub_agent`); grows by `apply`."""

    def __init__(self, events: Iterable[Event] = (), *, sub_agent: str | None = None) -> None:
        self.ledger = Ledger()
        self.streaming: Event | None = None
        """The start of a message that has not ended."""
        self.recoveries = 0
        """How often in a row the newest run was taken up after a crash and got no step further."""
        self._entries: list[UserMessage | Answer] = []
        self._calls: dict[str, Call] = {}
        self._steps: Counter[str] = Counter()
        self._sub_agent = sub_agent
        self._parents: dict[str, str] = {}
        self._tokens: Counter[str] = Counter()
        self._marks: dict[str, tuple[Spans, frozenset[str]]] = {}
        """By checkpoint: the entries to come back to, and the calls that then count as never run."""
        self._spans: Spans = ()
        self._since = 0
        self._undone: frozenset[str] = frozenset()
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take one event in. Types that do not matter here change nothing."""
        data = event.data
        self._count(event.type, data)
        run = data.get("run_id")
        if run in self._parents if self._sub_agent is None else run != self._sub_agent:
            return
        match event.type:
            case "agent.spawned" | "message.user":
                files = msgspec.convert(data.get("attachments", ()), tuple[Attachment, ...])
                self._entries.append(UserMessage(data["task"] if "task" in data else data["text"], files))
            case "message.start":
                self.streaming = event
            case "message.end":
                self._message_end(data)
            case "tool.denied":
                self._settle(data["call_id"], data["tool"], data["reason"])
            case "tool.result":
                self._settle(data["call_id"], data["tool"], data["output"], ok=data["ok"])
                self.ledger.apply(data["tool"], data["ok"], data["detail"])
            case "tool.call" | "tool.output" if (call := self._calls.get(data["call_id"])) is not None:
                if event.type == "tool.call":
                    call.started_at, call.keeper = event.at, data.get("keeper", "")
                else:
                    call.output_end = max(call.output_end, int(data.get("end") or 0))
            case "run.recovered":
                self.recoveries = int(data.get("attempt") or 0)
            case "run.ended":
                self._run_ended(data["run_id"])

    def _count(self, kind: str, data: dict[str, Any]) -> None:
        """What counts whoever did it."""
        if kind in STEPS and not data.get("interrupted"):
            self.recoveries = 0
        if kind == "agent.spawned":
            self._parents[data["run_id"]] = data["parent_run"]
        elif kind == "usage.recorded":
            self._tokens[data["run_id"]] += data["input_tokens"] + data["output_tokens"]
        elif kind in ("checkpoint.created", "checkpoint.restored") and self._sub_agent is None:  # the session's
            self._checkpoint(data["checkpoint_id"], data.get("what"))
        elif kind == "message.end":
            self._steps[data["run_id"]] += not data["interrupted"]

    def steps(self, run_id: str) -> int:
        return self._steps[run_id]

    def tokens(self, run_id: str) -> int:
        """Input and output tokens of this run and all below it, as far as the events say."""
        below = [child for child, parent in self._parents.items() if parent == run_id]
        return self._tokens[run_id] + sum(map(self.tokens, below))

    @property
    def said(self) -> str:
        """The text of the newest answer that has any, even if it was cut off."""
        texts = (_text(entry) for entry in reversed(self._entries) if isinstance(entry, Answer))
        return next((text for text in texts if text.strip()), "")

    @property
    def last_answer(self) -> Answer | None:
        """The model's last whole message, if nothing but its own results came after it."""
        last = next(reversed(self._shown()), None)
        return last if isinstance(last, Answer) and not last.partial else None

    def open_calls(self) -> list[Call]:
        return [call for call in self._calls.values() if call.result is None]

    def begun_calls(self) -> list[Call]:
        return [call for call in self.open_calls() if call.started_at is not None]

    def messages(self) -> list[ChatMessage]:
        """What the model is sent: each call with its result, and no half answers that were made again."""
        out: list[ChatMessage] = []
        entries = self._shown()
        for index, entry in enumerate(entries):
            if isinstance(entry, UserMessage):
                out.append(entry)
            elif not entry.partial:
                out.append(AssistantMessage(entry.parts))
                for call in entry.calls:
                    if call.result is not None:
                        undone = ToolMessage(call.id, call.part.tool, ROLLED_BACK)
                        out.append(undone if call.id in self._undone else call.result)
            elif isinstance(next(iter(entries[index + 1 :]), None), UserMessage):
                said = _text(entry)
                if said.strip():
                    out.append(AssistantMessage([TextPart(f"{said}\n\n{CUT_OFF}")]))
        return out

    def _all_spans(self) -> Spans:
        return (*self._spans, (self._since, len(self._entries)))

    def _shown(self) -> list[UserMessage | Answer]:
        """The entries that were not rolled back."""
        return [entry for start, end in self._all_spans() for entry in self._entries[start:end]]

    def _checkpoint(self, checkpoint: str, what: str | None) -> None:
        if what is None:
            self._marks[checkpoint] = self._all_spans(), self._undone.union(call.id for call in self.open_calls())
            return
        if what != "files" and checkpoint in self._marks:
            (self._spans, self._undone), self._since = self._marks[checkpoint], len(self._entries)
        if what in RESTORED:
            self._entries.append(UserMessage(RESTORED[what]))

    def _message_end(self, data: dict[str, Any]) -> None:
        self.streaming = None
        partial = bool(data["interrupted"])
        parts = parts_from_builtins(data["parts"])
        answer = Answer(data["run_id"], data["message_id"], parts, partial, data["stop_reason"])
        if not partial:
            calls = [part for part in parts if isinstance(part, ToolCallPart)]
            answer.calls = [Call(part, answer.run_id, answer.message_id) for part in calls]
            self._calls.update({call.id: call for call in answer.calls})
        self._entries.append(answer)

    def _run_ended(self, run_id: str) -> None:
        if self.streaming is not None and self.streaming.data["run_id"] == run_id:
            self.streaming = None
        for call in self.open_calls():
            if call.run_id == run_id and call.started_at is None:
                self._settle(call.id, call.part.tool, NOT_RUN)

    def _settle(self, call_id: str, tool: str, output: str, *, ok: bool = False) -> None:
        if (call := self._calls.get(call_id)) is not None:
            call.result = ToolMessage(call_id, tool, output, ok)


def _text(answer: Answer) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, TextPart))
