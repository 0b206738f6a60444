"""Whether a copy is out: counted once, then kept in the cache until a loan of it is written."""

from django.core.cache import cache

from loans.models import Loan

SECONDS = 3600


def key(copy_id):
    return f"copy-out-{copy_id}"


def copies_out(copy_id):
    return cache.get_or_set(key(copy_id), lambda: Loan.objects.out().filter(copy_id=copy_id).count(), SECONDS)
