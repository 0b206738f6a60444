"""Writes of products: the only place where the tables of this app are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chassis.database import isolation
from chassis.identity.principals import Principal
from chassis.messages import events
from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField, Case, F, Value, When
from django.utils import timezone

from products.models import PriceChange, Product, Reservation, StockMovement


class NotEnoughStockError(Exception):
    """Stock would fall below zero; ``product_ids`` names the products of which there is too little."""

    def __init__(self, product_ids: list[int]) -> None:
        super().__init__(f"not enough stock of {product_ids}")
        self.product_ids = product_ids


class TooMuchStockError(Exception):
    """Stock would rise above what its column holds."""


class KeyReusedError(Exception):
    """The key has reserved other lines."""


@transaction.atomic
def create_product(*, by: Principal, stock: int = 0, **fields: Any) -> Product:
    product = Product.objects.create(**fields, stock=stock, edited_by=by.pk)
    if stock:
        _record({product.pk: stock}, StockMovement.Reason.DELIVERY)
    return product


@transaction.atomic
def update_product(*, product: Product, by: Principal, **changes: Any) -> Product:
    """Set the given fields and no others: stock that is sold meanwhile is not set back."""
    current = Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    if "price" in changes and changes["price"] != current.price:
        PriceChange.objects.create(
            product=current, old_price=current.price, new_price=changes["price"], changed_by=by.pk
        )
    for name, value in changes.items():
        setattr(current, name, value)
    current.edited_by = by.pk
    current.updated_at = timezone.now()
    current.save(update_fields=[*changes, "edited_by", "updated_at"])
    return current


@transaction.atomic
def adjust_stock(*, product: Product, delta: int, by: Principal) -> Product:
    """Add to the stock, or take from it, by hand. Raises NotEnoughStockError, TooMuchStockError."""
    current = Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    if current.stock + delta < 0:
        raise NotEnoughStockError([current.pk])
    if current.stock + delta > BigIntegerField.MAX_BIGINT:
        raise TooMuchStockError
    current.stock += delta
    current.edited_by = by.pk
    current.updated_at = timezone.now()
    current.save(update_fields=["stock", "edited_by", "updated_at"])
    reason = StockMovement.Reason.DELIVERY if delta > 0 else StockMovement.Reason.CORRECTION
    _record({current.pk: delta}, reason)
    _tell_if_low(current, before=current.stock - delta)
    return current


@isolation.joined()
def reserve(*, key: str, reference: str, lines: Sequence[Mapping[str, Any]]) -> Reservation:
    """Take the stock of all ``lines`` (``product_id``, ``quantity``) or of none; a second call with the key changes
    nothing.

    The answer is the reservation: ``reserved``, each line with the product's name and price of that moment;
    ``refused``, with the reason and the products concerned; or ``released``, which is a refusal, too. Raises
    KeyReusedError, ValueError for an impossible line.
    """
    asked = _plain(lines)
    # The key comes first: a second call with the same key waits for it here, and not behind stock that the first has
    # locked.
    reservation, is_new = Reservation.objects.get_or_create(key=key, defaults={"reference": reference, "lines": asked})
    if is_new:
        _take(reservation)
    elif reservation.state != Reservation.State.RELEASED and _quantities(reservation.lines) != _quantities(asked):
        raise KeyReusedError(key)
    return reservation


@isolation.joined()
def release(*, key: str, reference: str, lines: Sequence[Mapping[str, Any]] = ()) -> Reservation:
    """Give back what the key has reserved; from then on the key is refused. A second call is no error.

    ``lines`` is stock that was taken without a reservation: it goes back where the key is not known. Raises ValueError
    for an impossible line.
    """
    end = {"state": Reservation.State.RELEASED, "reason": Reservation.Reason.RELEASED}
    locked = Reservation.objects.select_for_update(no_key=True)
    reservation, is_new = locked.get_or_create(
        key=key, defaults={"reference": reference, "lines": _plain(lines), **end}
    )
    if not is_new:
        if reservation.state != Reservation.State.RESERVED:
            return reservation
        _save(reservation, **end)
    _give_back(reservation)
    return reservation


def _plain(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    """The lines as they were asked for, without later additions. Raises ValueError."""
    plain = [{"product_id": line["product_id"], "quantity": line["quantity"]} for line in lines]
    for line in plain:
        if any(type(number) is not int for number in line.values()) or line["quantity"] < 1:
            raise ValueError(f"a line is a product's id and a quantity of at least one, in whole numbers: {line}")
    return plain


def _quantities(lines: Sequence[Mapping[str, Any]]) -> Counter[int]:
    """The quantity of each product, by its id."""
    counted: Counter[int] = Counter()
    for line in lines:
        counted[line["product_id"]] += line["quantity"]
    return counted


def _take(reservation: Reservation) -> None:
    """Decides a new reservation: takes its stock, or writes down why it cannot."""
    quantities = _quantities(reservation.lines)
    shelf = _lock(quantities)
    unknown = [pk for pk in quantities if pk not in shelf or not shelf[pk].is_active]
    short = [pk for pk, quantity in quantities.items() if pk in shelf and shelf[pk].stock < quantity]
    if unknown:
        _refuse(reservation, Reservation.Reason.UNKNOWN_PRODUCT, unknown)
    elif short:
        _refuse(reservation, Reservation.Reason.NOT_ENOUGH_STOCK, short)
    else:
        deltas = {pk: -quantity for pk, quantity in quantities.items()}
        _move(shelf, deltas, StockMovement.Reason.SALE, reservation.reference)
        _save(reservation, lines=[line | _offer(shelf[line["product_id"]]) for line in reservation.lines])


def _refuse(reservation: Reservation, reason: Reservation.Reason, product_ids: Sequence[int]) -> None:
    _save(reservation, state=Reservation.State.REFUSED, reason=reason, product_ids=sorted(product_ids))


def _offer(product: Product) -> dict[str, str]:
    return {"name": product.name, "unit_price": str(product.price), "currency": product.currency}


def _give_back(reservation: Reservation) -> None:
    """Gives back the stock of the lines, as far as their products still exist."""
    quantities = _quantities(reservation.lines)
    shelf = _lock(quantities)
    deltas = {pk: quantity for pk, quantity in quantities.items() if pk in shelf}
    _move(shelf, deltas, StockMovement.Reason.RETURN, reservation.reference)


def _save(reservation: Reservation, **changes: Any) -> None:
    for name, value in (changes | {"updated_at": timezone.now()}).items():
        setattr(reservation, name, value)
    reservation.save(update_fields=[*changes, "updated_at"])


def _lock(quantities: Mapping[int, int]) -> dict[int, Product]:
    """Locks the products, by id; in the order of ids, so that two baskets with the same products wait for each other in
    turn."""
    rows = Product.objects.select_for_update(no_key=True).filter(pk__in=quantities).order_by("pk")
    return {product.pk: product for product in rows}


def _move(
    shelf: Mapping[int, Product], deltas: Mapping[int, int], reason: StockMovement.Reason, reference: str
) -> None:
    """Adds the deltas to the stock of locked products."""
    if not deltas:
        return
    cases = [When(pk=pk, then=Value(delta)) for pk, delta in deltas.items()]
    change = Case(*cases, output_field=BigIntegerField())
    Product.objects.filter(pk__in=deltas).update(stock=F("stock") + change, updated_at=timezone.now())
    _record(deltas, reason, reference)
    for pk, delta in deltas.items():
        before, shelf[pk].stock = shelf[pk].stock, shelf[pk].stock + delta
        _tell_if_low(shelf[pk], before=before)


def _record(deltas: Mapping[int, int], reason: StockMovement.Reason, reference: str = "") -> None:
    StockMovement.objects.bulk_create(
        StockMovement(product_id=pk, delta=delta, reason=reason, reference=reference) for pk, delta in deltas.items()
    )


def _tell_if_low(product: Product, *, before: int) -> None:
    """Tells that the stock of a locked product has just fallen below ``LOW_STOCK``; once per fall."""
    if not before >= settings.LOW_STOCK > product.stock:
        return
    Product.objects.filter(pk=product.pk).update(version=F("version") + 1)
    events.publish(
        capability="products",
        type="products.product.low_stock",
        key=str(product.pk),
        data={"product_id": product.pk, "stock": product.stock, "threshold": settings.LOW_STOCK},
        version=product.version + 1,
    )
