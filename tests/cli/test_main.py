"""The command tree: what help shows and imports, and the exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from kaged.cli import main
from kaged.core.errors import ConfigError, GateError, KagedError

HEAVY = {"pydantic", "httpx2", "asyncio", "fastapi", "uvicorn", "msgspec", "yaml", "tomlkit", "ssl", "http.client"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


ALL = commands(main.cli)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from kaged.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.partition("MODULES")[2].split())
    assert "click" in modules
    assert not modules & HEAVY
    assert {m for m in modules if m.partition(".")[0] == "kaged"} <= {
        "kaged", "kaged.cli", "kaged.cli.main", "kaged.core", "kaged.core.errors",
    }  # fmt: skip
    assert all(f"  {name} " in done.stdout for name in main.COMMANDS)


def test_the_overview_says_what_each_command_says_itself() -> None:
    for name, (_, line) in main.COMMANDS.items():
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None and command.help is not None
        assert command.help.splitlines()[0] == line


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_teaches_with_an_example(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help is not None
    _, _, example = command.help.partition("Example:")
    assert "kaged" in example
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.name}"


def test_an_unknown_command_names_the_nearest(run: Any) -> None:
    result = run("sesion")
    assert result.code == 2
    assert "There is no command 'sesion'; did you mean \"session\"?" in result.err


def test_wrong_usage_is_2(run: Any) -> None:
    assert run("project", "load", "--nonsense").code == 2
    assert run("--mode", "both", "status").code == 2
    assert run("session", "send", "sample").code == 2


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("config.toml:1: x"), 78, "kaged: config.toml:1: x\n"),
        (GateError("cage", "no", "do this"), 69, "kaged: cage: no\n  fix: do this\n"),
        (KagedError("conflict", "taken"), 1, "kaged: taken\n"),
        (
            KagedError("dsl_invalid", "a (and 1 more)", {"problems": ["a", "b"]}),
            1,
            "kaged: the project file has these problems:\n  a\n  b\n",
        ),
        (click.Abort(), 130, "\nInterrupted.\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted.\n"),
    ],
)
def test_each_failure_has_its_exit_code(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    result = run("status")
    assert (result.code, result.err) == (code, text)


def test_a_reader_that_has_enough_gets_no_complaint(environ: Path) -> None:
    command = f"{sys.executable} -c 'from kaged.cli.main import main; main()' dsl schema | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
