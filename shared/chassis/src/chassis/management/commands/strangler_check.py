"""``manage.py strangler_check``: what will write a moved table from the wrong place, or not happen after a switch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chassis.inspection.configuration import ConfigurationError
from chassis.inspection.findings import Report
from chassis.inspection.look import look

TELL_AFTER_SECONDS = 2.0
_SIGNS = {"error": "✗", "warning": "!", "note": "·"}


class Command(BaseCommand):
    """Looks; changes nothing and needs no database. Exit code 1 where errors were found, 2 where it cannot look."""

    help = "Looks for what will write a moved table from the wrong place, or will not happen after a switch."
    # They may want a database, and what they find is not ours to say.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds the capabilities, --config, --before-drop and --json."""
        parser.add_argument("capability", nargs="*", help="of strangler.toml; without one, all that have models here")
        parser.add_argument("--config", type=Path, help="strangler.toml, if it is neither here nor in a folder above")
        parser.add_argument(
            "--before-drop", action="store_true", help="errors are also what reads the tables that are to be dropped"
        )
        parser.add_argument("--json", action="store_true", help="JSON instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the findings; errors among them, or a place that cannot be looked at, are a CommandError."""
        try:
            report = look(
                options["capability"], options["config"], dropping=options["before_drop"], tell=self._teller()
            )
        except ConfigurationError as error:
            if options["json"]:
                self._print_json(_refusal(error))
            raise CommandError(f"{error}\n  → {error.remedy}", returncode=2) from error
        if options["json"]:
            self._print_json(report.as_json())
        else:
            self._print(report)
        if not report.ready:
            count = len(report.of("error"))
            verb = "was" if count == 1 else "were"
            raise CommandError(f"{count} {_counted('errors', count)} {verb} found", returncode=1)

    def _teller(self) -> Callable[[str], None]:
        """Says what is being looked at, once it takes long."""
        began = time.monotonic()

        def tell(what: str) -> None:
            if time.monotonic() - began > TELL_AFTER_SECONDS:
                self.stderr.write(f"looking at {what}", self.style.NOTICE)
                self.stderr.flush()

        return tell

    def _print(self, report: Report) -> None:
        for finding in report.findings:
            unsure = "" if finding.confidence == "certain" else " (likely)"
            self.stdout.write(f"{_SIGNS[finding.severity]} {finding.id}{unsure}  {finding.place}")
            self.stdout.write(f"    {finding.message}")
            self.stdout.write(f"    → {finding.remedy}")
        seen = ", ".join(f"{number} {_counted(what, number)}" for what, number in report.looked_at.items())
        self.stdout.write(f"Looked at: {seen}")
        for text in report.not_looked_at:
            self.stdout.write(f"Not looked at: {text}")
        counts = {severity: len(report.of(severity)) for severity in ("error", "warning", "note")}
        told = ", ".join(f"{number} {_counted(f'{name}s', number)}" for name, number in counts.items())
        self.stdout.write(told + (f" ({report.explained} explained by a person)" if report.explained else ""))

    def _print_json(self, content: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(content, indent=2, ensure_ascii=False))


def _counted(names: str, number: int) -> str:
    """The noun, whose plural is given, for this number of them."""
    if number != 1:
        return names
    return names.removesuffix("ies") + "y" if names.endswith("ies") else names.removesuffix("s")


def _refusal(error: ConfigurationError) -> dict[str, Any]:
    finding = {
        "id": "cannot-look",
        "severity": "error",
        "place": error.place,
        "message": error.message,
        "remedy": error.remedy,
        "confidence": "certain",
    }
    return {"ready": False, "findings": [finding], "looked_at": {}, "not_looked_at": [], "next": [error.remedy]}
