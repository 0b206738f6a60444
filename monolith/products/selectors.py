"""Reads of products and categories."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q, QuerySet

from products.models import Category, Product


def categories() -> QuerySet[Category]:
    return Category.objects.all()


def products(*, search: str = "", category: str = "") -> QuerySet[Product]:
    """Active products.

    ``search``: every word occurs in the name or the brand, in any case. ``category``: the id or slug
    of a category; products in its children count, too.
    """
    found = Product.objects.filter(is_active=True)
    for word in search.split():
        found = found.filter(Q(name__icontains=word) | Q(brand__icontains=word))
    if category:
        found = found.filter(category__in=_with_children(category))
    return found


def offers(*, ids: Collection[int]) -> QuerySet[Product]:
    """Those of the given products that exist, in the order of ids."""
    return Product.objects.filter(pk__in=ids).order_by("pk")


def sellable(*, ids: Collection[int]) -> dict[int, Product]:
    """Those of the given products that can be ordered, by id."""
    return Product.objects.filter(is_active=True).in_bulk(ids)


def _with_children(category: str) -> list[int]:
    own = Q(pk=int(category)) if category.isdecimal() else Q(slug=category)
    roots = list(Category.objects.filter(own).values_list("pk", flat=True))
    return roots + list(Category.objects.filter(parent__in=roots).values_list("pk", flat=True))
