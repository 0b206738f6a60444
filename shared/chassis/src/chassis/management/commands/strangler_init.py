"""``manage.py strangler_init``: describes the project for `strangler init`, which writes strangler.toml from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chassis.inspection import description, sources


class Command(BaseCommand):
    """Looks; changes nothing and needs no database. Exit code 2 where the project's URLs cannot be imported."""

    help = (
        "Describes tables, references, URLs and programs of this project as JSON. `strangler init` runs it, and writes "
        "strangler.toml from what it says; where the tool is on another machine, give it the description: "
        "`strangler init --from FILE`."
    )
    # They may want a database, and what they find is not ours to say.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --output."""
        parser.add_argument("--output", type=Path, help="write the description to this file, not to stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints or writes the description."""
        write(options["output"], self.stdout)


def write(output: Path | None, stdout: Any = sys.stdout) -> None:
    """Writes the description to the file, or to ``stdout``.

    Raises:
        CommandError: with the place in the project's own code where it failed.
    """
    try:
        described = description.describe()
    except Exception as error:
        last = str(error).strip().splitlines()[-1:] or [""]
        raise CommandError(f"{_place(error)}: {type(error).__name__}: {last[0]}", returncode=2) from error
    text = json.dumps(described, indent=1, ensure_ascii=False)
    if output is None:
        stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}", returncode=2) from error


def _place(error: BaseException) -> str:
    """The last of the project's own lines on the way to the error, or else the last line of all."""
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = [one for one in places if sources.is_own(one[0])]
    file, line = (own or places)[-1]
    return f"{sources.shown(file)}:{line}"
