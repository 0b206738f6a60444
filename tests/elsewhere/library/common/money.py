"""Amounts are whole cents everywhere."""

from decimal import ROUND_HALF_UP, Decimal


def euros(cents):
    """What a person reads: 1250 is "12.50 €"."""
    return f"{(Decimal(cents) / 100).quantize(Decimal('0.01'), ROUND_HALF_UP)} €"


def fee(days_late, cents_per_day=20, at_most=1000):
    return min(max(days_late, 0) * cents_per_day, at_most)
