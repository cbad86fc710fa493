"""Entry point: the tree of commands, loaded only when used, and the exit codes."""

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from kaged.core.errors import ConfigError, GateError, KagedError

EXIT_FAILED = 1
EXIT_GATE = 69
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130

COMMANDS: Mapping[str, tuple[str, str]] = {
    "start": ("daemon", "Start the daemon in the foreground."),
    "stop": ("daemon", "Stop the daemon and everything that runs in cages."),
    "status": ("daemon", "Show whether the daemon runs, and what runs in it."),
    "doctor": ("daemon", "Check this machine and prove that cages hold."),
    "auth": ("auth", "Sign a browser in; make admins; rotate and test what a sidecar sends."),
    "project": ("project", "Load, create, clone and list projects; say who takes part."),
    "session": ("session", "Talk to agents from the terminal."),
    "cage": ("project", "Say in words what an agent can reach."),
    "dsl": ("project", "Check project files."),
    "config": ("config", "Show and check the configuration."),
    "sidecar": ("sidecar", "Write the files of a proxy that signs people in."),
    "audit": ("daemon", "Read and verify the audit log."),
    "db": ("db", "Back up, restore, check and migrate the database."),
    "version": ("daemon", "Print the versions of this command and of the daemon."),
}
"""Each command: the module that has it, and its line in the overview."""

EPILOG = """\b
First steps:
  kaged start                                   start, then open the printed URL
  kaged project load ~/code/app --create        let agents work in a folder
  kaged session send app "Fix the tests" --wait
  kaged doctor                                  when something does not work
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run or asked for their own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kaged.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, with the nearest command named when there is none."""
        if args and args[0] not in COMMANDS and args[0][:1] != "-":
            from kaged.core.errors import did_you_mean

            ctx.fail(f"There is no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Use this config.toml.")
@click.option("--mode", type=click.Choice(["user", "system"]), help="Which daemon: this account's or the host's.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, mode: str | None) -> None:
    """kaged runs AI agents in kernel cages and shows them in any browser.

    Every command explains itself: kaged COMMAND --help."""
    from kaged.cli.client import Target

    ctx.obj = Target(config, mode)


def main() -> None:
    """Run the command line; ends the process with the documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code; every expected failure is one message on stderr."""
    try:
        result = cli.main(args=arguments, prog_name="kaged", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted.", err=True)
        return EXIT_INTERRUPTED
    except ConfigError as error:
        return _fail(str(error), EXIT_CONFIG)
    except GateError as error:
        return _fail(str(error), EXIT_GATE)
    except KagedError as error:
        return _fail(_with_details(error), EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(f"kaged: {message}", err=True)
    return code


def _with_details(error: KagedError) -> str:
    details = error.details or {}
    lines = [error.message]
    problems = details.get("problems")
    if isinstance(problems, list) and len(problems) > 1:
        lines = ["the project file has these problems:", *(f"  {problem}" for problem in problems)]
    if isinstance(proposal := details.get("proposal"), str):
        lines += ["", f"Proposed {details.get('file', 'file')}:", ""]
        lines += [f"    {line}" for line in proposal.splitlines()]
        lines += ["", "Run the command again with --create to have it written."]
    return "\n".join(lines)
