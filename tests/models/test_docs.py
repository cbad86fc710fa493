"""The users' page names everything there is to know, and importing the room stays cheap."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kaged.models.catalogue import ANTHROPIC_MODEL, KNOWN, OPENAI_MODEL
from kaged.models.offline.offers import attempts
from kaged.models.offline.script import parse
from kaged.settings.local import parse_local

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "users" / "models.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_known_service_is_described(name: str) -> None:
    known = KNOWN[name]
    assert f"`{name}`" in PAGE
    assert known.base_url in PAGE
    for variable in (known.env_key, known.env_url):
        assert variable is None or f"`{variable}`" in PAGE


def test_the_default_models_are_named() -> None:
    assert ANTHROPIC_MODEL in PAGE
    assert OPENAI_MODEL in PAGE


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_of_local_toml_loads(text: str) -> None:
    parse_local(text, "local.toml")


def test_every_example_of_a_script_is_one() -> None:
    examples = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert examples
    for text in examples:
        commands = parse(text)
        assert commands is not None
        assert not any("do not understand" in repr(command) for command in commands)


@pytest.mark.parametrize("prefix", ["run", "read", "search", "ask", "say", "wait", "stream", "write PATH", "edit PATH"])
def test_every_prefix_is_described(prefix: str) -> None:
    assert f"`{prefix}:" in PAGE


def test_the_number_of_attempts_is_right() -> None:
    assert len(attempts(1)) == 10
    assert "ten" in PAGE


def test_importing_the_room_loads_no_http_client() -> None:
    check = "import sys, kaged.models.resolve; print([m for m in ('httpx2', 'ssl', 'h11') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['ssl']"), done.stdout
