"""The checkout where products are elsewhere: reserve the stock, get the money, confirm; or give back and reject.

While the saga decides, the order is pending and nothing else changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from chassis.messages.events import Message
from chassis.sagas import saga
from chassis.sagas.saga import Command, End, State, Step
from django.utils import timezone

from orders import commands, provider, selectors, services
from orders.models import Order, Payment
from orders.models import Saga as Row
from orders.services import Offer

STOCK_WITHIN = timedelta(seconds=10)
MONEY_WITHIN = timedelta(seconds=60)
# The provider is asked at once where so much of the step's time is left: the deadline must not pass meanwhile.
ASKED_WITHIN = timedelta(seconds=5)
PROVIDED = "authorization"  # in a reply's data: what the provider has said, added where the reply is handled


@dataclass(frozen=True, slots=True)
class Payer:
    """How an order is paid, and whether the next one is to be paid in the same way."""

    token: str
    is_saved: bool = False


def begin(*, order: Order, payer: Payer) -> None:
    """Begins the checkout, in the transaction that places the order."""
    Checkout.begin(key=str(order.pk), data={"order_id": order.pk, "token": payer.token, "is_saved": payer.is_saved})


def ask_at_once(message: Message) -> provider.Authorization | None:
    """Asks the provider for the money of a reserved order, outside any transaction.

    None where nothing waits for the reply any more, or not for long enough: the checkout then asks by a message of its
    own, or not at all.
    """
    row = saga.find(message.correlation)
    if not row.awaits("reserve") or row.deadline < timezone.now() + ASKED_WITHIN:
        return None
    order = Order(pk=row.data["order_id"])
    return _ask(order, row, amount=services.cost(lines=order.lines.all(), sold=_sold(message)))


def take_reservation(message: Message, answer: provider.Authorization | None) -> None:
    """Goes on with the checkout, whose money has been asked for already if there is an answer; in the caller's
    transaction."""
    if answer is None:
        saga.on_reply(message)
        return
    row = saga.on_reply(replace(message, data={**message.data, PROVIDED: answer}))
    if "payment" not in row.data:
        # The deadline has passed meanwhile. The order has ended without the money, which goes back.
        services.pay(order_id=row.data["order_id"], answer=answer)


def ask_provider(message: Message) -> provider.Authorization:
    """Asks the provider, outside any transaction; asked again for the same order, the provider gives the same
    answer."""
    order = selectors.order(order_id=message.data["order_id"])
    return _ask(order, saga.find(message.correlation), amount=order.total)


def take_payment(message: Message, answer: provider.Authorization) -> None:
    """Writes the provider's answer down and goes on with the checkout, in the caller's transaction."""
    state = services.pay(order_id=message.data["order_id"], answer=answer)
    if state is None:
        return  # too late: the order has ended without the money, which goes back
    type = "orders.declined" if state == Payment.State.DECLINED else "orders.authorised"
    saga.on_reply(replace(message, type=type, data={"state": state.value, "reason": answer.reason}))


def declined(reason: str) -> str:
    """What an order's history says of money that was refused."""
    return f"payment declined: {reason}"


def _order(row: Row) -> Order:
    return selectors.order(order_id=row.data["order_id"])


def _reserve(row: Row) -> Command:
    return commands.reserve(order=_order(row))


def _release(row: Row) -> Command:
    return commands.release(order=_order(row))


def _authorise(row: Row) -> Command:
    return commands.authorise(order=_order(row))


def _sold(message: Message) -> dict[int, Offer]:
    return {line["product_id"]: Offer(line["name"], Decimal(line["unit_price"])) for line in message.data["lines"]}


def _ask(order: Order, row: Row, *, amount: Decimal) -> provider.Authorization:
    return provider.authorize(amount=amount, token=row.data["token"], reference=selectors.reference(order=order))


def _reserved(row: Row, message: Message) -> End | None:
    order = services.fill_in(order_id=row.data["order_id"], sold=_sold(message))
    answer: provider.Authorization | None = message.data.get(PROVIDED)
    if answer is None:
        return None  # the next step asks for the money
    state = services.pay_for(order=order, answer=answer)
    row.data["payment"] = state and state.value
    return saga.fail(declined(answer.reason)) if state == Payment.State.DECLINED else saga.finish()


def _refused(row: Row, message: Message) -> End:
    return saga.fail(message.data["reason"])


def _authorised(row: Row, message: Message) -> End:
    row.data["payment"] = message.data["state"]
    return saga.finish()


def _declined(row: Row, message: Message) -> End:
    return saga.fail(declined(message.data["reason"]))


class Checkout(saga.Saga):
    kind = selectors.CHECKOUT
    model = "orders.Saga"
    capability = "orders"
    steps = (
        Step(
            "reserve",
            send=_reserve,
            replies={"products.reserved": _reserved, "products.refused": _refused},
            refusals=("products.refused",),
            undo=_release,
            within=STOCK_WITHIN,
            keyed=True,
        ),
        Step(
            "authorise",
            send=_authorise,
            replies={"orders.authorised": _authorised, "orders.declined": _declined},
            refusals=("orders.declined",),
            # There is nothing to undo: money for an order that has ended is given back where it is written down.
            within=MONEY_WITHIN,
        ),
    )

    @classmethod
    def ended(cls, row: Row) -> None:
        is_refused = row.state == State.FAILED
        services.conclude(
            order_id=row.data["order_id"],
            refusal=row.reason if is_refused else None,
            payment=None if is_refused else row.data["payment"],
            saved_token=row.data["token"] if row.data["is_saved"] else "",
        )
