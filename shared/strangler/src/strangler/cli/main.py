"""The command line: ``strangler VERB``, one module per verb."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from strangler.cli.console import refusal
from strangler.cli.unforeseen import unforeseen
from strangler.domain.errors import StranglerError
from strangler.domain.findings import Finding, Severity

# In the order of a move, as the help lists them; each is the module cli/VERB.py with a ``command``.
VERBS = (
    "up",
    "down",
    "env",
    "secrets",
    "serve",
    "agent",
    "preflight",
    "start",
    "status",
    "verify",
    "switch",
    "reverse",
    "resync",
    "complete",
    "cancel",
    "retire",
    "doctor",
    "render",
    "rehearse",
)

WORDS = "strangler.cli.main.words"
EPILOG = """\b
Examples:
  strangler up --detach
  strangler switch CAPABILITY --dry-run

The project is described by ./strangler.toml, or the file that STRANGLER_CONFIG names.
Exit codes: 0 done, 1 something differs or a step failed and was undone, 2 refused: nothing was changed.
"""


class Verbs(click.Group):
    """Imports a verb when it is asked for, and shows errors that are meant for people without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"strangler.cli.{cmd_name}").command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[WORDS] = list(args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StranglerError as error:
            _end(ctx, error)
        except click.UsageError as error:
            if _json_wanted(ctx):
                where = error.ctx.command_path if error.ctx else "strangler"
                found = Finding("usage", Severity.ERROR, where, error.format_message(), f"run `{where} --help`")
                click.echo(refusal([found]))
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001  the last place before the user: whatever it is, it is told
            _end(ctx, unforeseen(error, ctx.meta.get(WORDS, ())))


def _json_wanted(ctx: click.Context) -> bool:
    return "--json" in ctx.meta.get(WORDS, ())


def _end(ctx: click.Context, error: StranglerError) -> None:
    if _json_wanted(ctx):
        click.echo(refusal(error.findings))
    click.echo(f"error: {error}", err=True)
    ctx.exit(error.exit_code)


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="strangler")
def main() -> None:
    """Moves a live monolith's capabilities to services of their own, one at a time."""


if __name__ == "__main__":
    main()
