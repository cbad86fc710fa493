"""The documents for operators and users say everything there is, and nothing that is not."""

import re
from pathlib import Path

import click
import default_config
import pytest

from kaged.cli import main
from kaged.projects import cage_spec
from kaged.projects.files import parse
from kaged.projects.model import BUILT_IN_TOOLS, LATER, AgentSpec, ProjectFile, Task, ToolSetting
from kaged.settings import nonces
from kaged.settings.config import ENVIRONMENT
from kaged.settings.local import GitHost, Local, Provider, parse_local

DOCS = Path(__file__).resolve().parents[2] / "docs"
CLI = (DOCS / "operators" / "cli.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "operators" / "configuration.md").read_text(encoding="utf-8")
PROJECT = (DOCS / "users" / "project-file.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    context = click.Context(group)
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found |= commands(command, (*path, name))
        elif command is not None:
            found[(*path, name)] = command
    return found


COMMANDS = commands(main.cli)
SECTIONS = {
    head.split("`")[1]: body for head, body in re.findall(r"^## (`kaged [^\n]*)\n(.*?)(?=^## |\Z)", CLI, re.M | re.S)
}


@pytest.mark.parametrize("path", list(COMMANDS), ids=" ".join)
def test_each_command_is_documented_with_its_usage_options_and_example(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    pieces = [p for p in command.collect_usage_pieces(click.Context(command)) if p != "[OPTIONS]"]
    section = SECTIONS[" ".join(["kaged", *path, *pieces])]
    assert command.help is not None
    text, _, example = command.help.replace("\b", "").partition("Example:\n")
    assert " ".join(text.split()) in " ".join(section.split())
    for line in example.strip().splitlines():
        assert f"$ {line.strip()}\n" in section
    for option in (p for p in command.params if isinstance(p, click.Option)):
        row = re.escape(", ".join(option.opts)) + r"[^`]*` \| " + re.escape(option.help or "") + r" \|\n"
        assert re.search(r"\| `" + row, section), option.name


def test_no_other_command_or_option_is_documented() -> None:
    assert len(SECTIONS) == len(COMMANDS)
    assert CLI.count("\n| `-") == sum(
        isinstance(p, click.Option) for command in COMMANDS.values() for p in command.params
    )


def test_exit_codes_are_documented() -> None:
    for code in (0, main.EXIT_FAILED, 2, main.EXIT_GATE, main.EXIT_CONFIG, main.EXIT_INTERRUPTED):
        assert f"\n| {code} | " in CLI


def test_each_config_key_is_documented_with_type_default_and_meaning() -> None:
    expected = 0
    for doc in default_config.documented_keys():
        section = CONFIGURATION.partition(f"## `[{doc.section}]`\n")[2].partition("\n## ")[0].partition("\n# ")[0]
        default = "by mode" if doc.key == "host" else f"`{doc.default}`"
        assert f"| `{doc.key}` | {doc.type} | {default} | {doc.meaning} |\n" in section, doc
        expected += 1
    config_part = CONFIGURATION.partition("\n# local.toml")[0].partition("\n## `[daemon]`")[2]
    assert config_part.count("\n| `") == expected


def test_each_variable_is_documented() -> None:
    for name, (section, key) in ENVIRONMENT.items():
        assert f"| `{name}` | `{section}.{key}` |\n" in CONFIGURATION
    for name in ("KAGED_CONFIG", "KAGED_CONFIG_DIR", "KAGED_MODE", nonces.CURRENT, nonces.PREVIOUS, nonces.FILE):
        assert f"| `{name}` | " in CONFIGURATION
    assert f"`{nonces.CREDENTIAL_NAME}`" in CONFIGURATION


def test_local_toml_is_documented_and_its_example_loads() -> None:
    local = CONFIGURATION.partition("\n# local.toml")[2]
    fields = {**Local.model_fields, **Provider.model_fields, **GitHost.model_fields}
    for name, field in fields.items():
        assert re.search(
            rf"\| `{name}` \| [^|]+ \| [^|]+ \| " + re.escape(" ".join((field.description or "").split())), local
        )
    assert local.count("\n| `") == len(fields)
    example = local.partition("```toml\n")[2].partition("```")[0]
    assert set(parse_local(example, "local.toml").providers) == {"anthropic", "ollama"}
    assert set(parse_local(example, "local.toml").git) == {"git.example.com"}


def test_the_project_file_is_documented_and_its_example_parses() -> None:
    spec = parse(PROJECT.partition("```yaml\n")[2].partition("```")[0])
    assert spec.project == "bakery"
    rows = set(re.findall(r"^\| `(\w+)` \| ", PROJECT, re.M))
    parts = (ProjectFile, AgentSpec, ToolSetting, Task, cage_spec.CageSpec)
    assert rows == {key for part in parts for key in part.model_fields}
    for word in (*BUILT_IN_TOOLS, *cage_spec.PROTECTED, *(key.rpartition(".")[2] for key in LATER)):
        assert f"`{word}`" in PROJECT, word
