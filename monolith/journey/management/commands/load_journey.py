"""Fill the shop with the Complete Journey data: a year of 2,469 households at a real grocer."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from chassis.servers import health
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model
from orders.models import Line, Order, Payment, PaymentMethod, Shipment, StatusChange
from products.models import Category, PriceChange, Product, Reservation, StockMovement
from users.models import Address, User

from journey import copying, people, shelves, source
from journey.baskets import Baskets
from journey.progress import Progress

MODELS: tuple[type[Model], ...] = (
    User, Address, Category, Product, PriceChange, StockMovement, Reservation,
    PaymentMethod, Order, Line, StatusChange, Payment, Shipment,
)  # fmt: skip


class Command(BaseCommand):
    help = (
        "Load the Complete Journey data: households as users, its products, baskets as orders. "
        "All or nothing, in one transaction. Refuses when the shop holds anything, unless --flush is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sample", type=_positive, metavar="N", help="only what the first N households bought")
        parser.add_argument(
            "--flush",
            action="store_true",
            help="first delete all users, products and orders, and what refers to them",
        )
        parser.add_argument("--if-empty", action="store_true", help="do nothing when the shop holds anything")
        parser.add_argument("--no-input", action="store_true", help="do not ask before deleting")
        parser.add_argument("--password", default=settings.JOURNEY_PASSWORD, help="of every household")
        parser.add_argument("--staff-email", default=settings.JOURNEY_STAFF_EMAIL)
        parser.add_argument("--staff-password", default=settings.JOURNEY_PASSWORD)

    # strangler-check: it fills an empty shop, before anything is moved
    def handle(self, *args: Any, **options: Any) -> None:
        # When it runs beside the migrations, it must not mistake tables that do not exist yet for tables that have
        # moved.
        if options["if_empty"] and (problem := health.database_problem()):
            raise CommandError(f"{problem}; to be tried again")
        if options["if_empty"] and (gone := copying.dropped(MODELS)):
            self.stdout.write(f"nothing to load: {', '.join(gone)} has been dropped")
            return
        occupied = copying.filled(MODELS)
        if options["if_empty"] and occupied:
            self.stdout.write(f"nothing to load: there are rows in {', '.join(occupied)}")
            return
        if occupied:
            self._agree_to_flush(occupied, options)
        progress = Progress(self.stdout)
        try:
            journey = source.read(sample=options["sample"])
        except source.SourceMissingError as error:
            raise CommandError(str(error)) from error
        credentials = people.Credentials(
            password=make_password(options["password"]),
            staff_email=options["staff_email"],
            staff_password=make_password(options["staff_password"]),
        )
        with transaction.atomic():
            if occupied:
                copying.empty(MODELS)
            self._load(journey, credentials, progress)
        copying.analyze(MODELS)
        progress.say(f"{progress.rows:,} rows in {progress.seconds:.1f} s")
        progress.say(f"staff: {options['staff_email']}; customers: household-N@example.com")

    def _agree_to_flush(self, occupied: list[str], options: dict[str, Any]) -> None:
        named = ", ".join(occupied)
        if not options["flush"]:
            raise CommandError(f"not empty: {named}. Give --flush to delete their rows first.")
        self.stdout.write(f"Deletes all rows of {named}, and of every table that refers to them.")
        if options["no_input"]:
            return
        if not sys.stdin.isatty():
            raise CommandError("nobody can be asked here: give --no-input as well.")
        if input("Type 'yes' to go on: ") != "yes":
            raise CommandError("nothing was changed.")

    def _load(self, journey: source.Journey, credentials: people.Credentials, progress: Progress) -> None:
        with copying.bare_tables(MODELS):
            for model, rows in _tables(journey, credentials):
                progress.table(model._meta.db_table, len(rows))
                copying.copy(model, rows, progress.advance)
                progress.finish_table()
            copying.set_sequences(MODELS)
            progress.say("indexes and foreign keys …")


def _tables(journey: source.Journey, credentials: people.Credentials) -> Iterator[tuple[type[Model], pa.Table]]:
    """The tables one after the other, so that only one is in memory besides the source."""
    yield User, people.users(journey, credentials)
    yield Address, people.addresses(journey)
    yield PaymentMethod, people.payment_methods(journey)
    yield Category, shelves.Shelves(journey).categories()
    products = shelves.products(journey)
    yield Product, products
    baskets = Baskets(journey, products)
    yield Order, baskets.orders()
    yield Line, baskets.lines()
    yield StatusChange, baskets.history()
    yield Payment, baskets.payments()
    yield Shipment, baskets.shipments()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
