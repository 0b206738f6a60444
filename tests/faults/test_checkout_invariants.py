"""Each invariant finds its fault: in sound rows with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.faults import invariants
from tests.faults.books import Books, Event, Handled, Line, Movement, Order, Payment, Reservation
from tests.faults.checkouts import Purchase, Testimony
from tests.faults.invariants import INVARIANTS, Invariant, violations

MILK, TEA, ADA = 7, 8, 501
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIRMED, CANCELLED, REJECTED = 0, 1, 2  # places in the books


def an_order(number: int, key: str, status: str, *history: str, state: str = "returned", **more: Any) -> Order:
    """Two of the milk, one of the tea."""
    return Order(
        id=number,
        key=key,
        status=status,
        total=Decimal("5.00"),
        user_id=more.pop("user_id", 500),
        reservation=f"r-{key}",
        version=len(history),
        lines=[Line(MILK, 2, Decimal("1.50")), Line(TEA, 1, Decimal("2.00"))],
        payments=[Payment(state, Decimal("5.00"))],
        history=["pending", *history],
    )


def an_answer(order: Order, status: str) -> dict[str, Any]:
    lines = [
        {"product_id": line.product_id, "quantity": line.quantity, "unit_price": str(line.unit_price)}
        for line in order.lines
    ]
    return {"id": order.id, "status": status, "total": str(order.total), "lines": lines}


def sold(order: int) -> list[Movement]:
    return [Movement(MILK, -2, "sale", f"order {order}"), Movement(TEA, -1, "sale", f"order {order}")]


def returned(order: int) -> list[Movement]:
    return [Movement(MILK, 2, "return", f"order {order}"), Movement(TEA, 1, "return", f"order {order}")]


def sound() -> tuple[Testimony, Books]:
    """An order that was confirmed, one that was cancelled then, and one of Ada's that was declined before she left."""
    wanted = {MILK: 2, TEA: 1}
    orders = [
        an_order(1, "a", "confirmed", "confirmed", state="authorized"),
        an_order(2, "b", "cancelled", "confirmed", "cancelled"),
        an_order(3, "c", "rejected", "rejected", state="declined", user_id=None),
    ]
    told = [
        Event("e1", "orders.order.confirmed", "1", 1),
        Event("e2", "orders.order.confirmed", "2", 1),
        Event("e3", "orders.order.cancelled", "2", 2),
        Event("e4", "orders.order.rejected", "3", 1),
    ]
    testimony = Testimony(
        shelf={MILK: 10, TEA: 4},
        purchases={
            "a": Purchase(
                "a", 500, wanted, answers=[an_answer(orders[0], "pending"), an_answer(orders[0], "confirmed")]
            ),
            "b": Purchase("b", 500, wanted, answers=[an_answer(orders[1], "confirmed")], cancelled=True),
            "c": Purchase("c", ADA, wanted, answers=[an_answer(orders[2], "rejected")], declined=True),
            "d": Purchase("d", 500, wanted),  # never answered, and never written
        },
        deliveries={TEA: 3},
        left={ADA},
    )
    books = Books(
        orders=orders,
        reservations=[
            Reservation("r-a", "reserved", wanted),
            Reservation("r-b", "released", wanted),
            Reservation("r-c", "released", wanted),
        ],
        movements=[Movement(TEA, 3, "delivery"), *sold(1), *sold(2), *returned(2), *sold(3), *returned(3)],
        stock={MILK: 8, TEA: 6},
        lowest={MILK: 4, TEA: 0},
        handled={
            "products": [
                Handled("m1", "products.reserve", "r-b", NOON),
                Handled("m2", "products.release", "r-b", NOON + timedelta(seconds=1)),
            ],
            "orders": [Handled("e5", "users.user.deleted", str(ADA), NOON)],
        },
        told=[*told, Event("e5", "users.user.deleted", str(ADA), 1)],
        heard=[told[0], told[1], told[1], told[3], told[2]],  # one of them twice
        forgotten={ADA},
    )
    return testimony, books


def changed(place: int, **changes: Any) -> Callable[[Testimony, Books], None]:
    """One of the orders is another than it was."""

    def change(testimony: Testimony, books: Books) -> None:
        orders = list(books.orders)
        orders[place] = replace(orders[place], **changes)
        books.orders = orders

    return change


def put(**rows: Any) -> Callable[[Testimony, Books], None]:
    """Other rows instead of those of the books."""
    return lambda testimony, books: books.__dict__.update(rows)


def more(**rows: Any) -> Callable[[Testimony, Books], None]:
    """Rows besides those of the books."""
    return lambda testimony, books: books.__dict__.update({name: [*getattr(books, name), *rows[name]] for name in rows})


def answered(key: str, **changes: Any) -> Callable[[Testimony, Books], None]:
    """The last answer to a purchase said something else."""
    return lambda testimony, books: testimony.purchases[key].answers[-1].update(changes)


def without(name: str, place: int) -> Callable[[Testimony, Books], None]:
    return lambda testimony, books: books.__dict__.update(
        {name: [row for number, row in enumerate(getattr(books, name)) if number != place]}
    )


# The invariant that is broken, how it is broken, and a word of the row that must be named.
BROKEN: list[tuple[Invariant, str, Callable[[Testimony, Books], None], str]] = [
    (
        invariants.no_customer_was_answered_wrongly,
        "a redirect reached a customer",
        lambda testimony, books: testimony.failures.append("POST /api/v1/orders: 307"),
        "307",
    ),
    *(
        (invariants.every_acknowledged_order_is_there_once, *case)
        for case in (
            ("an acknowledged order is lost", without("orders", CONFIRMED), "a: acknowledged 2 times"),
            ("a key has placed two orders", more(orders=[an_order(9, "a", "rejected", "rejected")]), "id=9"),
            (
                "an order is there that nobody placed",
                more(orders=[an_order(9, "x", "rejected", "rejected")]),
                "x: nobody",
            ),
            ("an order is still pending", changed(CONFIRMED, status="pending"), "a: it is still pending"),
            (
                "a confirmed order was rejected",
                changed(CONFIRMED, status="rejected"),
                "a: it was answered as confirmed",
            ),
            ("an order was answered under another id", answered("a", id=77), "order 77"),
            ("an order has another total", answered("a", total="5.01"), "5.01"),
            ("an order has another price", answered("c", lines=[]), "c: it was answered as"),
            ("an order has other quantities", changed(CONFIRMED, lines=[Line(MILK, 5, Decimal(1))]), "a: {7: 2, 8: 1}"),
            ("a cancellation is lost", changed(CANCELLED, status="confirmed"), "b: it was cancelled"),
            ("a declined order is sold", changed(REJECTED, status="confirmed"), "c: it was to be declined"),
        )
    ),
    *(
        (invariants.stock_is_what_is_not_sold, *case)
        for case in (
            ("stock is lost", put(stock={MILK: 7, TEA: 6}), "product 7: 7 left and not 8"),
            ("stock has come from nowhere", put(stock={MILK: 8, TEA: 7}), "product 8: 7 left and not 6"),
            ("a sold order took no stock", changed(REJECTED, status="shipped"), "product 7: 8 left and not 6"),
            ("a delivery is lost", lambda testimony, books: testimony.deliveries.update({TEA: 5}), "product 8: 6"),
            ("a product is gone", put(stock={TEA: 6}), "product 7: None"),
        )
    ),
    *(
        (invariants.stock_was_never_below_zero, *case)
        for case in (
            ("stock was below zero for a moment", put(lowest={MILK: 4, TEA: -1}), "product 8: -1"),
            ("nobody looked", put(lowest={}), "nobody looked"),
            ("the constraint is gone", put(is_constrained=False), "no constraint"),
        )
    ),
    *(
        (invariants.money_is_held_for_confirmed_orders_alone, *case)
        for case in (
            (
                "money is held for a rejected order",
                changed(REJECTED, payments=[Payment("authorized", Decimal(5))]),
                "order 3",
            ),
            ("money was not given back", changed(CANCELLED, payments=[Payment("authorized", Decimal(5))]), "order 2"),
            ("a confirmed order is not paid", changed(CONFIRMED, payments=[]), "order 1"),
            ("an order is paid twice", changed(CONFIRMED, payments=[Payment("authorized", Decimal(5))] * 2), "order 1"),
            ("too little is held", changed(CONFIRMED, payments=[Payment("authorized", Decimal(4))]), "order 1"),
            ("the total is not that of the lines", changed(REJECTED, total=Decimal(6)), "order 3 costs 6"),
            (
                "money was asked for twice",
                changed(CANCELLED, payments=[Payment("returned", Decimal(5)), Payment("declined", Decimal(5))]),
                "order 2 was paid more than once",
            ),
        )
    ),
    *(
        (invariants.stock_was_taken_and_given_back_once, *case)
        for case in (
            ("a reserve had its effect twice", more(movements=sold(1)), "order 1"),
            ("a release had its effect twice", more(movements=returned(2)), "order 2"),
            ("stock was not given back", without("movements", 5), "order 2"),
            ("a sale has no movement", without("movements", 1), "order 1"),
            (
                "a confirmed order's stock was released",
                put(reservations=[Reservation("r-a", "released", {MILK: 2, TEA: 1})]),
                "order 1",
            ),
            (
                "a rejected order's stock is still reserved",
                more(reservations=[Reservation("r-c", "reserved", {MILK: 2, TEA: 1})]),
                "order 3",
            ),
            ("something else was reserved", more(reservations=[Reservation("r-a", "reserved", {MILK: 9})]), "{7: 9}"),
        )
    ),
    *(
        (invariants.every_event_is_told_and_handled_once, *case)
        for case in (
            ("a change was not told", without("told", 0), "order 1 became confirmed"),
            ("a change was told twice", more(told=[Event("e1", "orders.order.confirmed", "1", 1)]), "told 2 times"),
            (
                "what did not happen was told",
                more(told=[Event("e9", "orders.order.shipped", "1", 2)]),
                "nothing happened",
            ),
            ("an event is lost on its way", without("heard", 0), "told and not heard"),
            (
                "an event was heard that nobody told",
                more(heard=[Event("e9", "orders.order.shipped", "1", 2)]),
                "heard and",
            ),
            (
                "a handler had its effect twice",
                changed(CONFIRMED, history=["pending", "confirmed", "confirmed"]),
                "order 1",
            ),
            ("a version was skipped", changed(CONFIRMED, version=2), "order 1 at version 2"),
            ("who left was not told of", without("told", 4), f"user {ADA} left, and nobody"),
            ("who left was not forgotten", put(forgotten=set()), f"user {ADA} left"),
            ("that one left was not handled", put(handled={"orders": []}), f"user {ADA} left"),
            ("an order knows who left", changed(REJECTED, user_id=ADA), "order 3 still knows"),
        )
    ),
    *(
        (invariants.the_order_of_each_key_is_kept, *case)
        for case in (
            (
                "a later change was heard first",
                put(
                    heard=[Event("e3", "orders.order.cancelled", "2", 2), Event("e2", "orders.order.confirmed", "2", 1)]
                ),
                "e3",
            ),
            (
                "a change was not heard between two others",
                put(heard=[Event("e2", "orders.order.confirmed", "2", 1), Event("e6", "orders.order.shipped", "2", 3)]),
                "e6",
            ),
            (
                "a release overtook its reservation",
                put(
                    handled={
                        "products": [
                            Handled("m2", "products.release", "r-b", NOON),
                            Handled("m1", "products.reserve", "r-b", NOON + timedelta(seconds=1)),
                        ]
                    }
                ),
                "m1",
            ),
        )
    ),
    (invariants.no_message_is_dead, "a message is dead", put(dead=["orders: KeyError: …"]), "KeyError"),
]


def test_sound_books_break_nothing() -> None:
    assert violations(*sound()) == {}


def test_every_invariant_has_a_case() -> None:
    assert {invariant for invariant, *_ in BROKEN} == set(INVARIANTS)


@pytest.mark.parametrize(
    ("invariant", "breaks", "named"), [pytest.param(i, b, n, id=f"{i.__name__}: {what}") for i, what, b, n in BROKEN]
)
def test_what_is_wrong_is_found_and_named(
    invariant: Invariant, breaks: Callable[[Testimony, Books], None], named: str
) -> None:
    testimony, books = sound()

    breaks(testimony, books)

    assert any(named in row for row in invariant(testimony, books)), invariant(testimony, books)
