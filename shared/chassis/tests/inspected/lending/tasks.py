from __future__ import annotations

from celery import shared_task

from inspected.billing import services
from inspected.lending.models import Reader


@shared_task
def settle() -> None:  # -> task-writes
    services.settle_all()


@shared_task
def clean() -> None:
    Reader.objects.filter(due=False).delete()
