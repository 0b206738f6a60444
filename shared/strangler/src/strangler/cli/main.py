"""The command line: ``strangler VERB``, one module per verb."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from strangler.cli import display, interrupted
from strangler.cli.console import read_on, refusal
from strangler.cli.unforeseen import unforeseen, without_credentials
from strangler.configuration import TRACER
from strangler.domain.errors import RefusedError, StranglerError
from strangler.domain.findings import Finding, Severity

# In the order of a move, as the help lists them, each with a line that fits 80 columns; each is the module cli/VERB.py
# with a ``command``.
VERBS = {
    "init": "Write strangler.toml, from what a Django project says of itself.",
    "extract": "Write a service from the code of a capability.",
    "up": "Start databases, broker, processes and gateway on this machine.",
    "down": "Stop every process of the local stack; the data stay.",
    "env": "Print where everything is, or a process's environment.",
    "manage": "Run a process's manage.py, with that process's environment.",
    "secrets": "Make the secrets of a stack in containers.",
    "serve": "Keep the gateway at what the ledger says; recover.",
    "agent": "Keep one gateway's routes present, beside it.",
    "preflight": "Look at all that could go wrong, before anything is changed.",
    "start": "Copy a capability to its service, and stream it both ways.",
    "status": "Show how far each move is, and what can be done next.",
    "verify": "Compare every row on both sides, while writes go on.",
    "canary": "Send a share of the reads to the copy.",
    "switch": "Make the service the owner.",
    "reverse": "Make the monolith the owner again.",
    "resync": "Make lost streams anew.",
    "complete": "End a move: it can no longer be reversed.",
    "cancel": "Give a move up: remove all that it has made.",
    "retire": "Stop the monolith for good.",
    "doctor": "Look for what should not be as it is.",
    "render": "Print routes for Kubernetes; write what Prometheus needs.",
    "traffic": "Draft a scenario from a log, an OpenAPI file, or tests.",
    "rehearse": "Rehearse moves under traffic, and check every write.",
    "fault": "Switch on what goes wrong, to show what is then seen.",
}

WORDS = "strangler.cli.main.words"
EPILOG = """\b
Examples:
  strangler up --detach
  strangler switch CAPABILITY --dry-run

The project is described by ./strangler.toml, or the file that STRANGLER_CONFIG names.
Exit codes: 0 done, 1 something differs or a step failed and was undone, 2 refused: nothing was changed, 130 Ctrl-C.
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
        command.short_help = VERBS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[WORDS] = without_credentials(args)
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(_unknown(args), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        ctx.color = display.colours_wanted()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            interrupted.tell(ctx.meta.get(WORDS, ()))
            ctx.exit(interrupted.EXIT_CODE)
        except StranglerError as error:
            _end(ctx, error)
        except click.UsageError as error:
            if _json_wanted(ctx):
                where = error.ctx.command_path if error.ctx else "strangler"
                found = Finding("usage", Severity.ERROR, where, error.format_message(), f"run `{where} --help`")
                click.echo(refusal([found]))
            raise
        except click.Abort:
            click.echo(err=True)
            _end(ctx, RefusedError("nothing was done", remedy="run it again when you are ready", id="not-confirmed"))
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001  the last place before the user: whatever it is, it is told
            _end(ctx, unforeseen(error, ctx.meta.get(WORDS, ())))
        finally:
            with suppress(KeyboardInterrupt):
                TRACER.send()


def _json_wanted(ctx: click.Context) -> bool:
    return "--json" in ctx.meta.get(WORDS, ())


def _unknown(words: Sequence[str]) -> str:
    """What to say of a first word that is no verb."""
    verb = next((word for word in words[1:] if word in VERBS), None)
    if verb:
        return f"No such command {words[0]!r}: the verb comes first. Did you mean `strangler {verb} {words[0]}`?"
    near = difflib.get_close_matches(words[0], VERBS, n=1)
    hint = f"Did you mean `strangler {near[0]}`?" if near else "`strangler --help` lists them."
    return f"No such command {words[0]!r}. {hint}"


def _end(ctx: click.Context, error: StranglerError) -> None:
    if _json_wanted(ctx):
        click.echo(refusal(error.findings))
    click.echo(f"error: {error}\n  {read_on(error.findings)}", err=True)
    ctx.exit(error.exit_code)


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="strangler")
def main() -> None:
    """Moves a live monolith's capabilities to services of their own, one at a time."""


if __name__ == "__main__":
    main()
