from __future__ import annotations

from chassis.ownership.owners import is_open
from django.http import HttpRequest

from inspected.billing.models import Counter


def visits(request: HttpRequest) -> dict[str, object]:  # -> middleware-writes
    counter, _ = Counter.objects.get_or_create(pk=1)
    return {"visits": counter.number}


def known(request: HttpRequest) -> dict[str, object]:
    if is_open("billing"):
        Counter.objects.update(number=1)
    return {"visits": Counter.objects.count()}  # -> copy-is-read
