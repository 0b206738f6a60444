"""``manage.py events``: what lies in the outbox, what was published, and what died; sends them again, or throws them
away."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chassis import settings
from chassis.management.refusing import RefusingCommand, count, refusal
from chassis.messages import archive
from chassis.messages.archive import Choice, Entry
from chassis.messages.broker import BrokerLostError

SHOWN = 20  # messages that a dry run shows one by one


class Command(RefusingCommand):
    """One verb per run: list, show, replay or purge."""

    help = "Lists, shows, replays and purges messages: of the outbox, published ones, and dead letters."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds a parser for each verb."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help="one line per message, the oldest first")
        listing.add_argument("--source", choices=archive.SOURCES, default="outbox")
        listing.add_argument("--limit", type=count, default=100)
        _add_choice(listing)
        show = verbs.add_parser("show", help="one message with its body and why it lies where it does")
        show.add_argument("message_id")
        show.add_argument("--source", choices=archive.SOURCES, help="look only there")
        show.add_argument("--capability", default="", help="look for a dead letter only in this capability's queue")
        replay = verbs.add_parser("replay", help="send messages again")
        replay.add_argument("--source", choices=("published", "dead"), required=True)
        replay.add_argument("--to", default="", help="the capability whose queue gets them")
        purge = verbs.add_parser("purge", help="throw messages away; without a choice, what is kept long enough")
        purge.add_argument("--source", choices=archive.SOURCES, default="published")
        for verb in (replay, purge):
            _add_choice(verb)
            verb.add_argument("--dry-run", action="store_true", help="only tell what would be done")
            verb.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Does what the verb says; a broker that is away ends the command with a message."""
        verbs = {"list": self._list, "show": self._show, "replay": self._replay, "purge": self._purge}
        _require_known(options)
        try:
            verbs[options["verb"]](options)
        except BrokerLostError as error:
            raise CommandError(f"the broker does not answer: {error}") from error

    def _list(self, options: dict[str, Any]) -> None:
        found = archive.entries(options["source"], _choice(options), limit=options["limit"])
        shown = self._tell(found, options["json"])
        self.stderr.write(f"{shown} {'message' if shown == 1 else 'messages'}")

    def _show(self, options: dict[str, Any]) -> None:
        try:
            UUID(options["message_id"])
        except ValueError as error:
            raise refusal(f"{options['message_id']!r} is no message's id: `events list` shows them") from error
        choice = Choice(message_id=options["message_id"], capability=options["capability"])
        for source in [options["source"]] if options["source"] else archive.SOURCES:
            # A row names the capability whose fact it is; a dead letter names the one in whose queue it died.
            asked = choice if source == "dead" else replace(choice, capability="")
            for entry in archive.entries(source, asked, limit=1):
                self.stdout.write(json.dumps(_fields(entry) | {"body": _body(entry)}, indent=2, ensure_ascii=False))
                return
        raise refusal(f"there is no message {options['message_id']}")

    def _replay(self, options: dict[str, Any]) -> None:
        choice, to = _choice(options), options["to"]
        if options["source"] == "dead":
            if self._is_told(options, choice, "replayed"):
                self.stdout.write(f"{archive.replay_dead(choice, to=to)} replayed")
            return
        if not to:
            raise refusal("say to whom: --to CAPABILITY; an event is replayed to one consumer, not to all")
        if self._is_told(options, choice, f"replayed to {to}"):
            self.stdout.write(f"{archive.replay_published(choice, to=to)} replayed")

    def _purge(self, options: dict[str, Any]) -> None:
        choice = _choice(options)
        routine = choice.is_everything and options["source"] == "published"
        if choice.is_everything and not routine:
            raise refusal("say which: --capability, --type, --key, --since or --until")
        if routine:
            choice = archive.outdated()
        if not self._is_told(options, choice, "purged"):
            return
        self.stdout.write(f"{archive.purge(options['source'], choice)} purged")
        if routine:
            self.stdout.write(f"{archive.forget_handled()} inbox rows forgotten")

    def _is_told(self, options: dict[str, Any], choice: Choice, fate: str) -> bool:
        """Whether to act now; otherwise it shows what would be done."""
        if options["yes"] and not options["dry_run"]:
            return True
        chosen = archive.entries(options["source"], choice)
        shown = self._tell(islice(chosen, SHOWN), options["json"])
        what = "nothing" if not shown else "more" if next(chosen, None) else "these"
        self.stderr.write(f"{what} would be {fate}")
        if not options["dry_run"]:
            raise refusal("nothing was done: add --yes to do it")
        return False

    def _tell(self, entries: Iterable[Entry], as_json: bool) -> int:
        """A line each; returns how many."""
        shown = 0
        for shown, entry in enumerate(entries, start=1):  # noqa: B007  the last number is returned
            fields = _fields(entry)
            self.stdout.write(json.dumps(fields, ensure_ascii=False) if as_json else _line(fields))
        return shown


def _require_known(options: dict[str, Any]) -> None:
    """A dead letter lies in the queue of a capability that this project consumes; looking for another one would make
    a queue for it."""
    named, consumed = options.get("capability"), sorted(settings.consumes())
    if options.get("source") == "dead" and named and named not in consumed:
        raise refusal(f"{named} has no queue of this project's: there are {', '.join(consumed) or 'none'}")


def _add_choice(parser: Any) -> None:
    parser.add_argument("--capability", default="", help="whose messages; of dead letters, whose queue")
    parser.add_argument("--type", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--since", type=_time, help="ISO 8601, included")
    parser.add_argument("--until", type=_time, help="ISO 8601, not included")
    parser.add_argument("--json", action="store_true", help="one object a line")


def _choice(options: dict[str, Any]) -> Choice:
    return Choice(**{name: options[name] for name in ("capability", "type", "key", "since", "until")})


def _time(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ArgumentTypeError(f"{text!r} is no time: write it like 2026-11-20 or 2026-11-20T14:00+01:00")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _fields(entry: Entry) -> dict[str, Any]:
    return {
        "source": entry.source,
        "id": entry.message_id,
        "capability": entry.capability,
        "type": entry.type,
        "key": entry.key,
        "to": entry.to,
        "at": entry.at.isoformat() if entry.at else None,
        "attempts": entry.attempts,
        "error": entry.error,
    }


def _line(fields: dict[str, Any]) -> str:
    shown = (
        fields["at"] or "-",
        fields["id"] or "-",
        fields["capability"],
        fields["type"] or "-",
        fields["key"] or "-",
    )
    return "  ".join(shown) + (f"  {fields['error']}" if fields["error"] else "")


def _body(entry: Entry) -> Any:
    try:
        return json.loads(entry.body)
    except ValueError:
        return entry.body.decode(errors="replace")
