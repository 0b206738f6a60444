from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from inspected.billing.models import Invoice


class Command(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(str(Invoice.objects.unpaid().count()))  # -> copy-is-read
