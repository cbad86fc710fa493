"""The instructions a model gets besides the conversation. Pure."""

AGENTS_FILE = "AGENTS.md"


def system_prompt(prompt: str, *, root: str, cage_words: str, agents_file: str | None) -> str:
    """The project's own prompt, where the agent is and what it can reach, and the project's AGENTS.md."""
    parts = [
        prompt.strip(),
        f"You work in the project folder {root}, inside a cage of the operating system. What it allows: "
        f"{cage_words}. What it refuses cannot be worked around: say what you would need instead.",
    ]
    if agents_file is not None and agents_file.strip():
        parts.append(f"The project's {AGENTS_FILE} says:\n\n{agents_file.strip()}")
    return "\n\n".join(part for part in parts if part)
