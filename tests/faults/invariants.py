"""Invariants of the checkouts when everything has come to rest, whatever was killed or cut meanwhile.

Each takes the customers' knowledge and the databases' rows, and returns what is wrong, row by row.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from tests.faults.books import Books, Event, Order, Payment
from tests.faults.checkouts import Purchase, Testimony

Invariant = Callable[[Testimony, Books], list[str]]

SOLD = frozenset({"confirmed", "shipped"})
FINAL = SOLD | {"rejected", "cancelled"}
# The states that an order with this answer may have reached since.
REACHABLE: Mapping[str, frozenset[str]] = {
    "pending": FINAL,
    "confirmed": SOLD | {"cancelled"},
    "rejected": frozenset({"rejected"}),
    "shipped": frozenset({"shipped"}),
    "cancelled": frozenset({"cancelled"}),
}
HISTORIES = {
    ("pending", "confirmed"),
    ("pending", "rejected"),
    ("pending", "confirmed", "shipped"),
    ("pending", "confirmed", "cancelled"),
}
FORGET = "users.user.deleted"
LISTENED_TO = ("orders.order.", "products.product.")


def no_customer_was_answered_wrongly(testimony: Testimony, books: Books) -> list[str]:
    """Outages are repeated; anything else that was not expected is a failure."""
    return list(testimony.failures)


def every_acknowledged_order_is_there_once(testimony: Testimony, books: Books) -> list[str]:
    """By its key, in a final state, with what the answers said; and there is none that nobody asked for."""
    by_key: dict[str, list[Order]] = defaultdict(list)
    for order in books.orders:
        by_key[order.key].append(order)
    wrong = [f"{key}: nobody asked for {orders}" for key, orders in by_key.items() if key not in testimony.purchases]
    for purchase in testimony.purchases.values():
        found = by_key[purchase.key]
        if len(found) > 1 or (purchase.answers and not found):
            wrong.append(f"{purchase.key}: acknowledged {len(purchase.answers)} times, and there are {found}")
        elif found:
            wrong += [f"{purchase.key}: {what}, {found[0]}" for what in _differences(purchase, found[0])]
    return wrong


def stock_is_what_is_not_sold(testimony: Testimony, books: Books) -> list[str]:
    """The stock is the first stock and the deliveries, less the sales that were not given back."""
    sold: Counter[int] = Counter()
    for order in books.orders:
        if order.status in SOLD:
            sold.update({line.product_id: line.quantity for line in order.lines})
    wrong = []
    for product, first in testimony.shelf.items():
        delivered = testimony.deliveries.get(product, 0)
        due, found = first + delivered - sold[product], books.stock.get(product)
        if found != due:
            moved = sum(movement.delta for movement in books.movements if movement.product_id == product)
            wrong.append(
                f"product {product}: {found} left and not {due} = {first} + {delivered} - {sold[product]}; "
                f"its movements sum up to {moved}"
            )
    return wrong


def stock_was_never_below_zero(testimony: Testimony, books: Books) -> list[str]:
    """As often as it was looked at; and the database would have refused it."""
    wrong = [f"product {product}: {stock} were seen" for product, stock in books.lowest.items() if stock < 0]
    if not books.lowest:
        wrong.append("nobody looked at the stock")
    if not books.is_constrained:
        wrong.append("no constraint keeps the stock from falling below zero")
    return wrong


def money_is_held_for_confirmed_orders_alone(testimony: Testimony, books: Books) -> list[str]:
    """Each of them once and in full; and all of it together is their total."""
    wrong = []
    for order in books.orders:
        held = [payment.amount for payment in order.payments if payment.state == "authorized"]
        due = [order.total] if order.status in SOLD else []
        if held != due:
            wrong.append(f"order {order.id} is {order.status}, and {held} is held instead of {due}")
        if order.total != sum(line.quantity * line.unit_price for line in order.lines):
            wrong.append(f"order {order.id} costs {order.total}, and its lines {order.lines}")
        if len(order.payments) > 1:
            wrong.append(f"order {order.id} was paid more than once: {order.payments}")
    held_in_all = sum((_held(order.payments) for order in books.orders), Decimal(0))
    due_in_all = sum((order.total for order in books.orders if order.status in SOLD), Decimal(0))
    if held_in_all != due_in_all:
        wrong.append(f"{held_in_all} is held in all, and {due_in_all} is due")
    return wrong


def stock_was_taken_and_given_back_once(testimony: Testimony, books: Books) -> list[str]:
    """One reservation per order, and per product one sale and, if the order failed or was cancelled, one return."""
    reservations = {reservation.key: reservation for reservation in books.reservations}
    movements: dict[str, Counter[tuple[int, str, int]]] = defaultdict(Counter)
    for movement in books.movements:
        movements[movement.reference][movement.product_id, movement.reason, movement.delta] += 1
    wrong = []
    for order in books.orders:
        reservation = reservations.get(order.reservation)
        state = reservation.state if reservation else None
        if (state == "reserved") != (order.status in SOLD):
            wrong.append(f"order {order.id} is {order.status}, and its stock is {state}")
        if reservation and reservation.quantities != _quantities(order):
            wrong.append(f"order {order.id} wants {_quantities(order)}, and {reservation.quantities} is reserved")
        wrong += [f"order {order.id} is {order.status}: {what}" for what in _effects(order, movements)]
    return wrong


def every_event_is_told_and_handled_once(testimony: Testimony, books: Books) -> list[str]:
    """One event per change of an order: each listener hears it, and it has one effect on each listener."""
    wrong = []
    told = {(event.subject, event.version): event for event in books.told if event.type.startswith("orders.order.")}
    for order in books.orders:
        if tuple(order.history) not in HISTORIES or order.version != len(order.history) - 1:
            wrong.append(f"order {order.id} at version {order.version} has become {order.history}")
        for version, status in enumerate(order.history[1:], 1):
            event = told.pop((str(order.id), version), None)
            if event is None or event.type != f"orders.order.{status}":
                wrong.append(f"order {order.id} became {status} at version {version}, and what was told is {event}")
    wrong += [f"nothing happened of which was told: {event}" for event in told.values()]
    for event, count in Counter(books.told).items():
        if count > 1:
            wrong.append(f"told {count} times: {event}")
    heard = {event.id for event in books.heard}
    loud = [event for event in books.told if event.type.startswith(LISTENED_TO)]
    wrong += [f"told and not heard: {event}" for event in loud if event.id not in heard]
    wrong += [f"heard and not told: {event}" for event in set(books.heard).difference(books.told)]
    return wrong + list(_of_who_left(testimony, books))


def the_order_of_each_key_is_kept(testimony: Testimony, books: Books) -> list[str]:
    """Versions rise without a gap as they are heard, and a release never overtakes its reservation."""
    seen: dict[str, Event] = {}
    last: dict[tuple[str, str], int] = {}
    wrong = []
    for event in books.heard:
        if event.id in seen:
            continue  # a double, which an inbox drops
        seen[event.id] = event
        key = event.type.rpartition(".")[0], event.subject
        if event.version != last.get(key, 0) + 1:
            wrong.append(f"heard after version {last.get(key, 0)}: {event}")
        last[key] = event.version
    released: dict[str, str] = {}
    for row in books.handled.get("products", ()):
        if row.type == "products.release":
            released.setdefault(row.subject, row.id)
        elif row.type == "products.reserve" and row.subject in released:
            wrong.append(f"{row} was handled after its release {released[row.subject]}")
    return wrong


def no_message_is_dead(testimony: Testimony, books: Books) -> list[str]:
    """No message became a dead letter, whatever was killed."""
    return list(books.dead)


INVARIANTS: Sequence[Invariant] = (
    no_customer_was_answered_wrongly,
    every_acknowledged_order_is_there_once,
    stock_is_what_is_not_sold,
    stock_was_never_below_zero,
    money_is_held_for_confirmed_orders_alone,
    stock_was_taken_and_given_back_once,
    every_event_is_told_and_handled_once,
    the_order_of_each_key_is_kept,
    no_message_is_dead,
)


def violations(testimony: Testimony, books: Books) -> dict[str, list[str]]:
    """What is wrong, by the name of what it breaks; empty when all holds."""
    found = {invariant.__name__: invariant(testimony, books) for invariant in INVARIANTS}
    return {name: wrong for name, wrong in found.items() if wrong}


def _differences(purchase: Purchase, order: Order) -> Iterator[str]:
    if order.status not in FINAL:
        yield f"it is still {order.status}"
    if _quantities(order) != purchase.quantities:
        yield f"{purchase.quantities} was asked for"
    if purchase.declined and order.status in SOLD | {"cancelled"}:
        yield "it was to be declined"
    if purchase.cancelled and order.status != "cancelled":
        yield "it was cancelled, and that was acknowledged"
    for answer in purchase.answers:
        if answer["id"] != order.id or order.status not in REACHABLE[answer["status"]]:
            yield f"it was answered as {answer['status']} order {answer['id']}"
        elif answer["status"] != "pending" and _content(answer) != (order.total, _priced(order)):
            yield f"it was answered as {answer}"


def _content(answer: Mapping[str, object]) -> tuple[Decimal, Counter[tuple[object, ...]]]:
    lines = answer["lines"]
    assert isinstance(lines, list)
    priced: Counter[tuple[object, ...]] = Counter(
        (line["product_id"], line["quantity"], Decimal(line["unit_price"])) for line in lines
    )
    return Decimal(str(answer["total"])), priced


def _priced(order: Order) -> Counter[tuple[object, ...]]:
    return Counter((line.product_id, line.quantity, line.unit_price) for line in order.lines)


def _quantities(order: Order) -> Counter[int]:
    counted: Counter[int] = Counter()
    for line in order.lines:
        counted[line.product_id] += line.quantity
    return counted


def _held(payments: Sequence[Payment]) -> Decimal:
    return sum((payment.amount for payment in payments if payment.state == "authorized"), Decimal(0))


def _effects(order: Order, movements: Mapping[str, Counter[tuple[int, str, int]]]) -> Iterator[str]:
    moved = movements.get(f"order {order.id}", Counter())
    sales = Counter({(product, "sale", -quantity): 1 for product, quantity in _quantities(order).items()})
    returns = Counter({(product, "return", quantity): 1 for product, quantity in _quantities(order).items()})
    allowed = [sales] if order.status in SOLD else [sales + returns]
    if order.status == "rejected":
        allowed.append(Counter())  # there was none to take
    if moved not in allowed:
        yield f"the stock that it moved is {dict(moved)}"


def _of_who_left(testimony: Testimony, books: Books) -> Iterator[str]:
    told = {int(event.subject): event for event in books.told if event.type == FORGET}
    handled = Counter(row.id for row in books.handled.get("orders", ()) if row.type == FORGET)
    for user in testimony.left:
        if user not in told:
            yield f"user {user} left, and nobody was told"
        elif handled[told[user].id] != 1 or user not in books.forgotten:
            yield f"user {user} left, and that was handled {handled[told[user].id]} times"
    for order in books.orders:
        if order.user_id in testimony.left:
            yield f"order {order.id} still knows user {order.user_id}, who left"
