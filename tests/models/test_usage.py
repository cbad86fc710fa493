"""The estimate used when a provider does not tell."""

from kaged.core.events import TextPart, ThinkingPart, ToolCallPart, ToolSpec
from kaged.models.types import AssistantMessage, ModelRequest, ToolMessage, Usage, UserMessage
from kaged.models.usage import estimate, estimate_input


def test_four_characters_are_one_token() -> None:
    request = ModelRequest("m", "s" * 8, [UserMessage("u" * 5)])
    assert estimate_input(request) == 4
    parts = [TextPart("t" * 6), ThinkingPart("h" * 2), ToolCallPart("c", "ls", {}, "{}", "cut")]
    assert estimate(request, parts) == Usage(4, 3, estimated=True)


def test_everything_sent_counts() -> None:
    empty = ModelRequest("m", "", [])
    assert estimate_input(empty) == 0
    tool = ToolSpec("shell", "Runs a command.", {"type": "object"})
    assert estimate_input(ModelRequest("m", "", [], [tool])) > 5
    history = [
        UserMessage("u" * 40),
        AssistantMessage([TextPart("t" * 40), ToolCallPart("c", "shell", {"command": "x" * 40})]),
        ToolMessage("c", "shell", "o" * 40),
    ]
    assert estimate_input(ModelRequest("m", "", history)) >= 40
