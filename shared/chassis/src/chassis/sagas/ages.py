"""How many sagas are not decided, and for how long."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import Gauge

from chassis.ownership import owners
from chassis.sagas import saga
from chassis.sagas.steps import UNDECIDED

COUNT = Gauge(
    "chassis_sagas", "Sagas of this side that have not ended.", ["kind", "state"], multiprocess_mode="mostrecent"
)
OLDEST = Gauge(
    "chassis_saga_oldest_age_seconds",
    "Time since the oldest saga in that state began; 0 without one.",
    ["kind", "state"],
    multiprocess_mode="mostrecent",
)


def measure() -> None:
    """Counts the undecided sagas of each kind, all of them 0 where another side owns the capability.

    Raises the database's errors.
    """
    for kind, definition in saga.registry.items():
        _show(kind, _found(definition) if owners.is_open(definition.capability) else {})


def _found(definition: type[saga.Saga]) -> dict[str, tuple[int, Any]]:
    undecided = definition.rows().filter(kind=definition.kind, state__in=UNDECIDED).order_by()
    rows = undecided.values_list("state").annotate(Count("pk"), Min("created_at"))
    return {state: (count, oldest) for state, count, oldest in rows}


def _show(kind: str, found: dict[str, tuple[int, Any]]) -> None:
    now = timezone.now()
    for state in UNDECIDED:
        count, oldest = found.get(state.value, (0, now))
        COUNT.labels(kind, state.value).set(count)
        OLDEST.labels(kind, state.value).set(max(0.0, (now - oldest).total_seconds()))
