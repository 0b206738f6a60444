"""The checkout when something goes wrong: deadlines, late and doubled replies, crashes between any two commits."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from chassis.messages import inbox
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from chassis.sagas import saga
from chassis.testing.clock import let_deadlines_pass
from django.db.models import Sum

from orders import checkout, provider, sagas, services
from orders.models import Order, Payment, PaymentMethod, Saga, Status
from orders.tests.placing import cancel, look, place

MILK = 11

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shelf(warehouse):
    warehouse.add(MILK, stock=10)


@pytest.fixture
def _by_message(monkeypatch):
    """The provider is asked in a step of its own, as checkouts do when the time of the reservation is nearly over, and
    as all did in versions before."""
    monkeypatch.setattr(sagas, "ASKED_WITHIN", sagas.STOCK_WITHIN * 2)


@pytest.fixture
def placed(api) -> int:
    return place(api, (MILK, 3)).json()["id"]


def overrun():
    """Lets the deadline of the present step pass."""
    assert let_deadlines_pass() == 1


def money() -> dict[str, int]:
    """The authorised money, and the cost of the confirmed orders: both must be equal at all times."""
    authorised = Payment.objects.filter(state=Payment.State.AUTHORIZED).aggregate(sum=Sum("amount"))["sum"] or 0
    sold = Order.objects.filter(status__in=[Status.CONFIRMED, Status.SHIPPED]).aggregate(sum=Sum("total"))["sum"] or 0
    assert authorised == sold
    return sold


class TestDeadlines:
    def test_products_that_do_not_answer_reject_the_order_and_are_told_to_release(self, api, placed, warehouse, pump):
        reserve = pump.take("products.reserve")

        overrun()
        pump.run()

        assert look(api, placed)["status"] == "rejected"
        (release,) = warehouse.received
        assert (release.type, release.data["key"]) == ("products.release", reserve.data["key"])
        assert release.subject == reserve.subject, "one key, so neither overtakes the other"

    def test_a_reply_that_comes_too_late_is_released_again(self, api, placed, warehouse, pump):
        reserve = pump.take("products.reserve")
        overrun()
        pump.run()
        warehouse.reservations.clear()  # as if the release had come before the command that it undoes

        pump.deliver("products", reserve)
        assert warehouse.stock[MILK] == 7
        pump.run()

        assert look(api, placed)["status"] == "rejected"
        assert warehouse.stock[MILK] == 10
        assert [message.type for message in warehouse.received[1:]] == ["products.reserve", "products.release"]

    @pytest.mark.usefixtures("_by_message")
    def test_money_that_is_not_answered_for_rejects_it_and_gives_the_stock_back(self, api, placed, warehouse, pump):
        pump.run(until="orders.authorise")
        authorise = pump.take("orders.authorise")

        overrun()
        pump.run()

        assert look(api, placed)["status"] == "rejected"
        assert warehouse.stock[MILK] == 10
        pump.deliver("orders", authorise)
        assert Payment.objects.get().state == Payment.State.RETURNED
        assert look(api, placed)["status"] == "rejected"
        assert money() == 0

    def test_money_that_comes_after_the_deadline_goes_back_with_the_stock(
        self, api, placed, warehouse, pump, monkeypatch
    ):
        real = provider.authorize
        monkeypatch.setattr(provider, "authorize", lambda **what: overrun() or real(**what))

        pump.run()

        assert look(api, placed)["status"] == "rejected"
        assert warehouse.stock[MILK] == 10
        assert Payment.objects.get().state == Payment.State.RETURNED
        assert money() == 0

    @pytest.mark.usefixtures("_by_message")
    def test_who_has_little_time_left_asks_for_the_money_in_a_step_of_its_own(self, api, placed, pump):
        pump.run()

        assert look(api, placed)["status"] == "confirmed"
        assert [message.type for _, message in pump.handled] == [
            "products.reserve", "products.reserved", "orders.authorise",
        ]  # fmt: skip
        assert str(money()) == "7.50"

    def test_who_has_time_asks_where_the_reservation_is_handled(self, api, placed, pump):
        pump.run()

        assert look(api, placed)["status"] == "confirmed"
        assert [message.type for _, message in pump.handled] == ["products.reserve", "products.reserved"]
        assert str(money()) == "7.50"


class TestDoubles:
    @pytest.mark.usefixtures("_by_message")
    @pytest.mark.parametrize("type", ["products.reserve", "products.reserved", "orders.authorise"])
    def test_a_message_that_comes_twice_has_one_effect(self, api, placed, warehouse, pump, type):
        pump.run(until=type)
        row = OutboxMessage.objects.get(type=type)
        twin = Message.decode(bytes(row.body))
        destination = row.destination

        pump.run()
        pump.deliver(destination, twin)
        pump.run()

        assert look(api, placed)["status"] == "confirmed"
        assert warehouse.stock[MILK] == 7
        assert Payment.objects.count() == 1
        assert len(pump.events) == 1

    @pytest.mark.parametrize("type", ["products.reserve", "products.reserved"])
    def test_where_the_provider_is_asked_at_once_neither(self, api, placed, warehouse, pump, type):
        pump.run(until=type)
        row = OutboxMessage.objects.get(type=type)
        twin = Message.decode(bytes(row.body))
        destination = row.destination

        pump.run()
        pump.deliver(destination, twin)
        pump.deliver(destination, replace(twin, id=uuid4()))  # as if it had been asked for again
        pump.run()

        assert look(api, placed)["status"] == "confirmed"
        assert warehouse.stock[MILK] == 7
        assert Payment.objects.count() == 1
        assert str(money()) == "7.50"
        assert len(pump.events) == 1

    @pytest.mark.usefixtures("_by_message")
    def test_a_command_that_is_pushed_again_takes_no_money_twice(self, api, placed, pump):
        pump.run(until="orders.authorise")
        authorise = pump.take("orders.authorise")
        saga.push(Saga.objects.get().pk)

        pump.run()
        pump.deliver("orders", authorise)

        assert look(api, placed)["status"] == "confirmed"
        assert Payment.objects.count() == 1
        assert str(money()) == "7.50"

    def test_a_reply_nobody_asked_for_changes_nothing(self, placed, pump):
        pump.run(until="products.reserved")
        stray = replace(pump.take("products.reserved"), id=uuid4(), correlation=str(uuid4()))

        with pytest.raises(saga.UnknownSagaError):
            inbox.handle(stray, "orders")

        assert Order.objects.get().status == Status.PENDING


class TestCrashes:
    """Each commit of the saga is undone once at its end, as if the process had died before it."""

    @pytest.mark.parametrize(
        "last_act", [(services, "fill_in"), (services, "pay_for"), (services, "conclude"), (services, "_tell")]
    )
    def test_what_was_not_committed_is_done_again(self, api, placed, pump, warehouse, monkeypatch, last_act):
        self._dies_once("products.reserved", last_act, api, placed, pump, warehouse, monkeypatch)

    @pytest.mark.usefixtures("_by_message")
    @pytest.mark.parametrize(
        ("type", "last_act"),
        [
            ("products.reserved", (services, "fill_in")),
            ("products.reserved", (sagas, "_authorise")),
            ("orders.authorise", (services, "pay")),
            ("orders.authorise", (services, "conclude")),
            ("orders.authorise", (services, "_tell")),
        ],
    )
    def test_nor_where_the_provider_is_asked_by_a_message(
        self, api, placed, pump, warehouse, monkeypatch, type, last_act
    ):
        self._dies_once(type, last_act, api, placed, pump, warehouse, monkeypatch)

    def _dies_once(self, type, last_act, api, placed, pump, warehouse, monkeypatch):
        pump.run(until=type)
        row = OutboxMessage.objects.get(type=type)
        message = Message.decode(bytes(row.body))
        before = list(Saga.objects.values()), list(OutboxMessage.objects.values_list("pk", flat=True))
        with monkeypatch.context() as patch:
            if last_act == (sagas, "_authorise"):
                patch.setattr("chassis.sagas.turn.Turn.write", _die)
            else:
                _die_after(patch, *last_act)
            with pytest.raises(KilledError):
                inbox.handle(message, row.destination)
        assert (list(Saga.objects.values()), list(OutboxMessage.objects.values_list("pk", flat=True))) == before

        pump.run()

        assert look(api, placed)["status"] == "confirmed"
        assert warehouse.stock[MILK] == 7
        assert str(money()) == "7.50"
        assert Payment.objects.count() == len(pump.events) == 1

    def test_an_order_that_was_not_committed_asks_for_nothing(self, api, pump, monkeypatch, warehouse):
        api.raise_request_exception = True
        with monkeypatch.context() as patch:
            _die_after(patch, sagas, "begin")
            with pytest.raises(KilledError):
                place(api, (MILK, 3), key="k")
        assert not Order.objects.exists()
        assert not OutboxMessage.objects.exists()

        again = place(api, (MILK, 3), key="k")
        pump.run()

        assert look(api, again.json()["id"])["status"] == "confirmed"
        assert warehouse.stock[MILK] == 7

    def test_a_provider_that_was_asked_before_the_crash_is_asked_again_for_the_same_payment(
        self, api, placed, pump, monkeypatch
    ):
        asked = []
        real = provider.authorize
        monkeypatch.setattr(provider, "authorize", lambda **what: asked.append(what) or real(**what))
        pump.run(until="products.reserved")
        message = Message.decode(bytes(OutboxMessage.objects.get(type="products.reserved").body))
        with monkeypatch.context() as patch:
            _die_after(patch, services, "pay_for")
            with pytest.raises(KilledError):
                inbox.handle(message, "orders")

        pump.run()

        assert len(asked) == 2
        assert asked[0] == asked[1]
        assert Payment.objects.count() == 1


class TestWhileItDecides:
    def test_it_cannot_be_cancelled_yet(self, api, placed, pump):
        answer = cancel(api, placed)

        assert answer.status_code == 409
        assert "still being decided" in answer.json()["detail"]
        pump.run()
        assert cancel(api, placed).status_code == 200

    def test_nor_confirmed_nor_expired_by_anybody_else(self, placed, pump):
        with pytest.raises(services.UndecidedError):
            services.confirm(order_id=placed, note="transfer 4711")
        with pytest.raises(services.UndecidedError):
            checkout.expire(order_id=placed)

        pump.run()

        assert Order.objects.get().status == Status.CONFIRMED

    def test_a_customer_who_leaves_gets_no_payment_method(self, api, customer, pump):
        place(api, (MILK, 1), payment_token="tok_card", save_payment_method=True)
        services.forget_customer(user_id=customer.pk)

        pump.run()

        assert Order.objects.get().status == Status.CONFIRMED
        assert Order.objects.get().user_id is None
        assert not PaymentMethod.objects.exists()

    def test_a_cancelled_order_gives_back_money_and_stock_once(self, api, placed, warehouse, pump):
        pump.run()

        for _ in range(2):
            assert cancel(api, placed).status_code == 200
            pump.run()

        assert warehouse.stock[MILK] == 10
        assert money() == 0
        assert [event.type for event in pump.events] == ["orders.order.confirmed", "orders.order.cancelled"]
        assert [event.version for event in pump.events] == [1, 2]


class KilledError(BaseException):
    """Stands for the death of the process: no handler of errors sees it."""


def _die(*args, **kwargs):
    raise KilledError


def _die_after(patch, module, name):
    real = getattr(module, name)

    def act_and_die(*args, **kwargs):
        real(*args, **kwargs)
        raise KilledError

    patch.setattr(module, name, act_and_die)
