"""Households as customers with an address and a saved card, and one member of staff."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from journey.source import Journey

CITIES = ("Cincinnati", "Columbus", "Dayton", "Louisville", "Lexington", "Indianapolis")


@dataclass(frozen=True, slots=True)
class Credentials:
    """``password`` and ``staff_password`` are hashes: all households share one, which is made once."""

    password: str
    staff_email: str
    staff_password: str


def users(journey: Journey, credentials: Credentials) -> pa.Table:
    """Households keep their ids; the member of staff comes after them."""
    return pa.Table.from_pylist([*_customers(journey, credentials), _staff(journey, credentials)])


def addresses(journey: Journey) -> pa.Table:
    rows = [
        {
            "id": place,
            "user_id": household,
            "line1": f"{household} Journey Street",
            "line2": "",
            "city": CITIES[household % len(CITIES)],
            "postal_code": f"{45000 + household}",
            "country": "US",
            "created_at": since,
        }
        for place, (household, since) in enumerate(_joined(journey), start=1)
    ]
    return pa.Table.from_pylist(rows)


def payment_methods(journey: Journey) -> pa.Table:
    rows = [
        {
            "id": place,
            "user_id": household,
            "token": f"tok_household_{household}",
            "label": f"Sandbox card …{household:04d}",
            "created_at": since,
        }
        for place, (household, since) in enumerate(_joined(journey), start=1)
    ]
    return pa.Table.from_pylist(rows)


def _customers(journey: Journey, credentials: Credentials) -> Iterator[dict[str, object]]:
    for household, since in _joined(journey):
        yield {
            "id": household,
            "email": f"household-{household}@example.com",
            "full_name": f"Household {household}",
            "password": credentials.password,
            "phone": "",
            "language": "en",
            "newsletter": household % 3 == 0,
            "is_active": True,
            "is_staff": False,
            "is_superuser": False,
            "created_at": since,
            "updated_at": since,
        }


def _staff(journey: Journey, credentials: Credentials) -> dict[str, object]:
    *_, newest = _customers(journey, credentials)
    return newest | {
        "id": newest["id"] + 1,
        "email": credentials.staff_email,
        "full_name": "Journey Staff",
        "password": credentials.staff_password,
        "newsletter": False,
        "is_staff": True,
        "is_superuser": True,
    }


def _joined(journey: Journey) -> Iterator[tuple[int, object]]:
    """Each household, and the day before its first purchase."""
    sales = journey.sales.select(["household_id", "transaction_timestamp"]).group_by("household_id")
    first = sales.aggregate([("transaction_timestamp", "min")]).sort_by("household_id")
    moments = pc.cast(first["transaction_timestamp_min"], pa.timestamp("us", "UTC"))
    for household, moment in zip(first["household_id"].to_pylist(), moments.to_pylist(), strict=True):
        yield household, moment - timedelta(days=1)
