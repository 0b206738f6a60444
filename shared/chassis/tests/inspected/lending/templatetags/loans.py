from __future__ import annotations

from chassis.ownership.owners import is_open
from django import template
from django.template.base import Node, Parser, Token
from django.template.context import Context

from inspected.billing.models import Counter, Invoice
from inspected.lending.models import Loan

register = template.Library()


@register.simple_tag
def unpaid() -> int:
    return Invoice.objects.filter(paid=False).count()  # -> copy-is-read


@register.filter
def lines(loan: Loan) -> int:
    """Told with the first, which has the same cure."""
    return loan.invoices.count()


@register.simple_tag(takes_context=True)
def invoices_here(context: Context) -> int | None:
    return Invoice.objects.count() if is_open("billing") else None


@register.filter
def shout(text: str) -> str:
    return text.upper()


class Counted(Node):
    def render(self, context: Context) -> str:
        Counter.objects.update(number=1)
        return str(Loan.objects.count())


@register.tag
def counted(parser: Parser, token: Token) -> Counted:  # -> middleware-writes
    return Counted()
