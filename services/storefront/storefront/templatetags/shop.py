"""Money, colours and the addresses of files."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import cache
from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils.formats import number_format

register = template.Library()

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
HUES = 8


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """``$1,299.00``; the code of the currency where it has no sign here."""
    digits = number_format(amount, decimal_pos=2)
    sign = SIGNS.get(currency)
    return f"{sign}{digits}" if sign else f"{digits} {currency}"


@register.filter
def hue(name: object) -> int:
    """One of HUES colours, always the same for the same name."""
    return hashlib.sha256(str(name).encode()).digest()[0] % HUES


@register.filter
def initials(name: str) -> str:
    """Up to two letters that stand for a product without a picture."""
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "·"


@register.filter
def tidy(name: str) -> str:
    """Names come in capitals; people do not read those well."""
    return name.title() if name.isupper() else name


@register.filter
def unlocal(number: int) -> str:
    """A number that is a name, without commas."""
    return str(number)


@register.simple_tag
def asset(name: str) -> str:
    """The address of a file of ours. It changes with the file, so browsers may keep each for long."""
    return f"{static(f'storefront/{name}')}?v={_version(name)}"


@cache
def _version(name: str) -> str:
    found = finders.find(f"storefront/{name}")
    assert isinstance(found, str), f"no file storefront/{name}"
    return hashlib.sha256(Path(found).read_bytes()).hexdigest()[:12]
