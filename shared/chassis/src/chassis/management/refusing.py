"""A command that says in one line what it was given wrongly, or what is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from chassis.process import logs, telemetry

BAD_INPUT = 2
REFUSED = "SF"  # how the SQLSTATEs of fences begin


def run(words: Sequence[str]) -> None:
    """Django's command line, for a ``manage.py``: a variable that the settings miss is named in one line."""
    try:
        execute_from_command_line(list(words))
    except ImproperlyConfigured as error:
        if "--traceback" in words:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


class RefusingCommand(BaseCommand):
    """Errors of settings and of the database end it with a message; ``--traceback`` shows where they came from.

    Errors of the database are left as they are by a ``lasting`` command: who reads its log wants to know more.
    """

    lasting = False

    def execute(self, *args: Any, **options: Any) -> Any:
        """Runs the command.

        Raises:
            CommandError: with exit code 2 for what it was given, with 1 for what has failed.
        """
        if self.lasting and not options.get("once"):
            logs.serve()
        if self.lasting:
            telemetry.start(type(self).__module__.rpartition(".")[2])
        try:
            return super().execute(*args, **options)
        except ImproperlyConfigured as error:
            raise refusal(str(error)) from error
        except DatabaseError as error:
            if self.lasting:
                raise
            state = getattr(error.__cause__, "sqlstate", None) or ""
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if state.startswith(REFUSED):
                raise refusal(f"{said}: do it in the project that owns the capability") from error
            raise CommandError(f"the database said: {said}" + (f" (SQLSTATE {state})" if state else "")) from error


def refusal(message: str) -> CommandError:
    """Nothing was changed, for what was asked for cannot be done."""
    return CommandError(message, returncode=BAD_INPUT)


def count(text: str) -> int:
    """A whole number from 1 on, of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def port(text: str) -> int:
    """A port, 0 for any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0, for any free one, to 65535")
    return int(text)
