"""The system prompt holds the project's words, the place, the limits and AGENTS.md."""

from kaged.agents.prompt import system_prompt


def test_all_parts_in_order() -> None:
    text = system_prompt("Be kind.\n", root="/srv/demo", cage_words="reads this", agents_file="Use tabs.\n")
    assert text.index("Be kind.") < text.index("/srv/demo") < text.index("reads this") < text.index("Use tabs.")


def test_without_agents_file() -> None:
    assert "AGENTS.md" not in system_prompt("x", root="/r", cage_words="w", agents_file=None)
    assert "AGENTS.md" not in system_prompt("x", root="/r", cage_words="w", agents_file="  \n")
