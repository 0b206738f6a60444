"""Writes of products: the only place where the tables of this app are changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, Case, F, Value, When
from django.utils import timezone
from users.models import User

from products.models import Category, PriceChange, Product, StockMovement


class NotEnoughStockError(Exception):
    """Stock would fall below zero; ``product_ids`` names of what there is too little."""

    def __init__(self, product_ids: list[int]) -> None:
        super().__init__(f"not enough stock of {product_ids}")
        self.product_ids = product_ids


@transaction.atomic
def create_product(*, by: User, stock: int = 0, **fields: Any) -> Product:
    product = Product.objects.create(**fields, stock=stock, edited_by=by)
    if stock:
        _record({product.pk: stock}, StockMovement.Reason.DELIVERY)
    return product


@transaction.atomic
def update_product(*, product: Product, by: User, **changes: Any) -> Product:
    """Set the given fields and no others: stock that is sold meanwhile is not set back."""
    current = Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    if "price" in changes and changes["price"] != current.price:
        PriceChange.objects.create(product=current, old_price=current.price, new_price=changes["price"], changed_by=by)
    for name, value in changes.items():
        setattr(current, name, value)
    current.edited_by = by
    current.updated_at = timezone.now()
    current.save(update_fields=[*changes, "edited_by", "updated_at"])
    return current


@transaction.atomic
def adjust_stock(*, product: Product, delta: int, by: User) -> Product:
    """Add to the stock, or take from it, by hand. Raises NotEnoughStockError."""
    current = Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    if current.stock + delta < 0:
        raise NotEnoughStockError([current.pk])
    current.stock += delta
    current.edited_by = by
    current.updated_at = timezone.now()
    current.save(update_fields=["stock", "edited_by", "updated_at"])
    reason = StockMovement.Reason.DELIVERY if delta > 0 else StockMovement.Reason.CORRECTION
    _record({current.pk: delta}, reason)
    return current


@transaction.atomic
def sell(*, quantities: Mapping[int, int], reference: str) -> None:
    """Take the quantities, by product id, all or nothing. Raises NotEnoughStockError."""
    stock = _lock(quantities)
    short = [pk for pk, quantity in quantities.items() if stock.get(pk, 0) < quantity]
    if short:
        raise NotEnoughStockError(short)
    _move({pk: -quantity for pk, quantity in quantities.items()}, StockMovement.Reason.SALE, reference)


@transaction.atomic
def take_back(*, quantities: Mapping[int, int], reference: str) -> None:
    """Return the quantities of a sale, by product id, to the stock."""
    _lock(quantities)
    _move(quantities, StockMovement.Reason.RETURN, reference)


def store(*, product: Product, by: User) -> Product:
    """Save a product whose fields a form of the admin has set and checked; never its stock."""
    if product.pk is None:
        product.edited_by = by
        product.save()
        return product
    changes = {name: getattr(product, name) for name in _EDITABLE}
    return update_product(product=product, by=by, **changes)


def store_category(*, category: Category) -> Category:
    category.save()
    return category


_EDITABLE = ("name", "category", "brand", "size", "price", "currency", "is_active")


def _lock(quantities: Mapping[int, int]) -> dict[int, int]:
    """Stock by id, locked. In the order of ids, so that two baskets with the same products queue up."""
    rows = Product.objects.select_for_update(no_key=True).filter(pk__in=quantities).order_by("pk")
    return dict(rows.values_list("pk", "stock"))


def _move(deltas: Mapping[int, int], reason: StockMovement.Reason, reference: str) -> None:
    cases = [When(pk=pk, then=Value(delta)) for pk, delta in deltas.items()]
    delta = Case(*cases, output_field=BigIntegerField())
    Product.objects.filter(pk__in=deltas).update(stock=F("stock") + delta, updated_at=timezone.now())
    _record(deltas, reason, reference)


def _record(deltas: Mapping[int, int], reason: StockMovement.Reason, reference: str = "") -> None:
    StockMovement.objects.bulk_create(
        StockMovement(product_id=pk, delta=delta, reason=reason, reference=reference) for pk, delta in deltas.items()
    )
