from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from club.models import Booking, Diary


@receiver(post_delete, sender=Booking)
def note(instance: Booking, **_: Any) -> None:
    Diary.objects.create(said=f"booking {instance.pk} of {instance.person_id} is gone")
