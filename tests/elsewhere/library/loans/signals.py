from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from loans.availability import key
from loans.models import Loan


@receiver([post_save, post_delete], sender=Loan)
def forget(sender, instance, **kwargs):
    transaction.on_commit(lambda: cache.delete(key(instance.copy_id)))
