"""Drives the offline model as the agent loop does, with tools that really run in a folder."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kaged.core.events import ToolCallPart, ToolSpec
from kaged.models.offline import OfflineProvider
from kaged.models.types import (
    AssistantMessage,
    ChatMessage,
    Delta,
    Finished,
    ModelEvent,
    ModelRequest,
    ToolMessage,
    UserMessage,
)

TOOLS = ("shell", "file.read", "file.write", "file.edit", "search.grep", "search.find", "ask")


async def no_sleep(seconds: float) -> None:
    """The pace of tests."""


def request(*messages: ChatMessage, tools: tuple[str, ...] = TOOLS) -> ModelRequest:
    """A request to the offline model."""
    return ModelRequest("offline", "", list(messages), [ToolSpec(name, "", {}) for name in tools])


def shell_in(folder: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Runs commands in a folder, outside any cage."""

    def run(command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    return run


@dataclass
class Loop:
    """One run of the loop in a folder; `messages` is the history, as a journal would give it back."""

    folder: Path
    shell: Callable[[str], "subprocess.CompletedProcess[str]"]
    messages: list[ChatMessage] = field(default_factory=list)
    said: str = ""
    calls: list[ToolCallPart] = field(default_factory=list)

    async def run(self, text: str, rounds: int = 60) -> str:
        """Play until the model ends; every round asks a new model, as after a crash. Returns what it said."""
        self.messages.append(UserMessage(text))
        for _ in range(rounds):
            answer = await self.answer()
            self.messages.append(AssistantMessage(answer.parts))
            if answer.stop_reason == "end":
                return self.said
            for call in (part for part in answer.parts if isinstance(part, ToolCallPart)):
                self.calls.append(call)
                ok, output = self.tool(call.tool, call.args)
                self.messages.append(ToolMessage(call.call_id, call.tool, output, ok))
        raise AssertionError(f"no end after {rounds} rounds: {self.said}")

    async def answer(self) -> Finished:
        """One answer of the model."""
        model = OfflineProvider(sleep=no_sleep)

        def hear(event: ModelEvent) -> None:
            if isinstance(event, Delta) and event.kind == "text":
                self.said += event.text

        return await model.ask(request(*self.messages), hear)

    def tool(self, name: str, args: dict[str, object]) -> tuple[bool, str]:
        """Do what the real tools do, in the form in which they answer."""
        if name == "shell":
            done = self.shell(str(args["command"]))
            return done.returncode == 0, f"{done.stdout.rstrip()}\n[Exit status {done.returncode}.]"
        if name == "ask":
            return True, "blue"
        path = self.folder / str(args["path"]) if "path" in args else self.folder
        if name == "file.write":
            path.write_text(str(args["content"]))
            return True, f"Created {args['path']}"
        if not path.exists():
            return False, f"There is no file {args['path']}."
        text = path.read_text()
        if name == "file.read":
            numbered = [f"{number:>6}\t{line}" for number, line in enumerate(text.rstrip("\n").split("\n"), 1)]
            return True, "\n".join(numbered)
        old, new = str(args["old_string"]), str(args["new_string"])
        if text.count(old) != 1:
            return False, f"old_string is there {text.count(old)} times"
        path.write_text(text.replace(old, new))
        return True, f"Changed {args['path']}"
