"""``manage.py sagas``: shows what is being decided, and lets a person act on it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from chassis.management.refusing import RefusingCommand, count, refusal
from chassis.sagas import saga
from chassis.sagas.saga import SagaError, State
from chassis.sagas.steps import UNDECIDED

COLUMNS = ("id", "kind", "key", "state", "step", "attempts", "deadline", "updated_at")
STORED = (*COLUMNS, "reason", "error", "created_at", "trail", "data")


class Command(RefusingCommand):
    """Lists, shows and pushes; only a push changes something."""

    help = "Lists sagas, shows one, or pushes one that waits for a person."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help="the undecided ones, the longest undecided first")
        listing.add_argument("--stuck", action="store_true", help="only those that wait for a person")
        listing.add_argument("--overdue", action="store_true", help="only those whose deadline has passed")
        listing.add_argument("--all", action="store_true", help="also those that are done or failed")
        listing.add_argument("--kind", help="only of this kind")
        listing.add_argument("--key", help="only those that decide this key")
        listing.add_argument("--limit", type=count, default=100)
        show = verbs.add_parser("show", help="all that is known of one")
        show.add_argument("id")
        push = verbs.add_parser("push", help="ask again for what it waits for, or go on undoing")
        push.add_argument("id")
        push.add_argument("--compensate", action="store_true", help="give up: undo all that was done")
        push.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
        push.add_argument("--yes", action="store_true", help="do not ask")
        for verb in (listing, show, push):
            verb.add_argument("--json", action="store_true", help="JSON instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the verb; a failure is a CommandError."""
        {"list": self._list, "show": self._show, "push": self._push}[options["verb"]](options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = [_fields(row, COLUMNS) for row in _rows(options)]
        if options["json"]:
            self._print_json(rows)
            return
        for row in rows:
            self.stdout.write("  ".join("-" if row[name] in (None, "") else str(row[name]) for name in COLUMNS))
        self.stderr.write(f"{len(rows)} {'saga' if len(rows) == 1 else 'sagas'}")

    def _show(self, options: dict[str, Any]) -> None:
        row = _fields(_find(options["id"]), STORED)
        if options["json"]:
            self._print_json(row)
            return
        for name, value in row.items():
            text = json.dumps(value, cls=DjangoJSONEncoder) if isinstance(value, dict | list) else value
            self.stdout.write(f"{name:>10}  {'-' if text in (None, '') else text}")

    def _push(self, options: dict[str, Any]) -> None:
        row = _find(options["id"])
        if not (options["dry_run"] or options["yes"]):
            verb = "give up and undo" if options["compensate"] or row.reason else f"ask again for {row.step} of"
            if input(f"{verb} {row}, which is {row.state}? [y/N] ").strip().lower() != "y":
                raise refusal("nothing was done")
        try:
            with transaction.atomic():
                turn = saga.push(row.pk, compensate=options["compensate"])
                transaction.set_rollback(options["dry_run"])
        except SagaError as error:
            raise refusal(str(error)) from error
        outcome = {"dry_run": options["dry_run"], **_fields(turn, STORED)}
        if options["json"]:
            self._print_json(outcome)
            return
        would = "would be" if options["dry_run"] else "is"
        self.stdout.write(f"{row}: was {row.state} at {row.step}, {would} {turn.state} at {turn.step}")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2))


def _rows(options: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for model in saga.row_models():
        rows = model._default_manager.order_by("created_at")
        if options["stuck"]:
            rows = rows.filter(state=State.STUCK)
        elif not options["all"]:
            rows = rows.filter(state__in=UNDECIDED)
        if options["overdue"]:
            rows = rows.filter(deadline__lt=timezone.now())
        given = {name: options[name] for name in ("kind", "key") if options[name] is not None}
        found += list(rows.filter(**given)[: options["limit"]])
    return sorted(found, key=lambda row: row.created_at)[: options["limit"]]


def _find(saga_id: str) -> Any:
    try:
        return saga.find(saga_id)
    except SagaError as error:
        raise refusal(str(error)) from error


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
