"""Checkout while products are here, elsewhere, or on their way; nothing is written past the fence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest.mock import Mock

import pytest
from chassis.messages import inbox
from chassis.messages.events import Message
from chassis.ownership import owners
from chassis.testing.clock import let_deadlines_pass
from chassis.testing.pump import Pump
from chassis.testing.sides import Side
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from products import handlers as products_handlers
from products.models import Product, Reservation, StockMovement

from orders import checkout, customers, shelves, tasks
from orders.models import Order, Payment, Status
from orders.tests.test_checkout import place, stock

pytestmark = pytest.mark.django_db(transaction=True)

HANDLERS = {"products.reserve": products_handlers.reserve, "products.release": products_handlers.release}


@pytest.fixture
def moving(transactional_db) -> Iterator[Side]:
    """Products have a service, and are still owned here."""
    with side_of("products") as side:
        yield side


@pytest.fixture
def orders_moving(transactional_db) -> Iterator[Side]:
    """Orders have a service, and are still owned here."""
    with side_of("orders") as side:
        yield side


def side_of(app: str) -> Side:
    tables = [f"public.{model._meta.db_table}" for model in apps.get_app_config(app).get_models()]
    return Side(app, tables=tables, routes=[("", f"/api/v1/{app}.*")])


@pytest.fixture
def pump(settings) -> Pump:
    settings.CHASSIS_VALIDATE = True
    return Pump({"products": the_owner_of_products})


def the_owner_of_products(message: Message) -> None:
    """Stands for this process's consumer, or for the service: what the service does arrives here by the stream, past
    the fence."""
    if owners.is_open("products"):
        inbox.handle(message, "products")
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        HANDLERS[message.type](message)


def place_now(api, *lines, **more):
    """Places an order without waiting for its outcome, which comes with the pump."""
    api.defaults["HTTP_PREFER"] = "wait=0"
    return place(api, *lines, **more)


def status(order: int) -> str:
    return Order.objects.get(pk=order).status


def movements() -> list[int]:
    return list(StockMovement.objects.exclude(reason="delivery").order_by("pk").values_list("delta", flat=True))


class TestElsewhere:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, product, moving):
        moving.hand_over()

    def test_an_order_is_pending_until_products_have_answered(self, api, product, pump):
        answer = place_now(api, (product.pk, 3))

        assert (answer.status_code, answer.json()["status"], answer.json()["total"]) == (201, "pending", "7.50")
        assert stock(product) == 10
        pump.run()
        assert status(answer.json()["id"]) == "confirmed"
        assert stock(product) == 7
        assert Payment.objects.get().state == Payment.State.AUTHORIZED
        assert [event.type for event in pump.events][-1] == "orders.order.confirmed"

    def test_without_stock_it_is_rejected(self, api, product, pump):
        order = place_now(api, (product.pk, 11)).json()["id"]
        pump.run()

        assert status(order) == "rejected"
        assert (stock(product), movements()) == (10, [])

    def test_a_declined_payment_gives_the_stock_back(self, api, product, pump):
        order = place_now(api, (product.pk, 3), payment_token="tok_declined").json()["id"]
        pump.run()

        assert status(order) == "rejected"
        assert (stock(product), movements()) == (10, [-3, 3])

    def test_a_transfer_stays_pending_and_its_expiry_gives_the_stock_back(self, api, product, pump):
        order = place_now(api, (product.pk, 3), payment_token="tok_transfer").json()["id"]
        pump.run()
        assert (status(order), stock(product)) == ("pending", 7)
        Order.objects.update(created_at=timezone.now() - timedelta(minutes=31))

        tasks.expire_unpaid_orders()
        pump.run()

        assert (status(order), stock(product)) == ("cancelled", 10)

    def test_products_that_do_not_answer_in_time_reject_it(self, api, product, pump):
        order = place_now(api, (product.pk, 3)).json()["id"]
        late = pump.take("products.reserve")
        let_deadlines_pass()

        pump.run()
        pump.deliver("products", late)
        pump.run()

        assert (status(order), stock(product)) == ("rejected", 10)

    def test_a_product_that_is_on_its_way_here_is_waited_for(self, api, product):
        product_of_the_service = product.pk + 1

        def arrives(path: str) -> int:
            with_row(product_of_the_service)
            return 200

        with owner(arrives) as url:
            point_to(url)
            answer = place_now(api, (product_of_the_service, 1))

        assert answer.status_code == 201

    def test_a_product_that_its_owner_denies_is_400(self, api, product):
        asked = []
        with owner(lambda path: asked.append(path) or 404) as url:
            point_to(url)
            answer = place_now(api, (product.pk + 1, 1))

        assert answer.status_code == 400
        assert asked == [f"/api/v1/products/{product.pk + 1}"]
        assert not Order.objects.exists()


class TestHalfMoved:
    @pytest.mark.parametrize("is_reserved", [True, False])
    def test_what_was_taken_here_is_given_back_there(self, api, product, moving, pump, is_reserved):
        order = place(api, (product.pk, 3)).json()["id"]
        if not is_reserved:  # an order from a time without reservations
            Order.objects.update(reservation=None)
            Reservation.objects.all().delete()
        moving.hand_over()

        answer = api.post(f"/api/v1/orders/{order}/cancel")

        assert (answer.status_code, stock(product)) == (200, 7)
        pump.run()
        assert (stock(product), movements()) == (10, [-3, 3])

    def test_what_was_taken_there_is_given_back_here(self, api, product, moving, pump):
        moving.hand_over()
        order = place_now(api, (product.pk, 3)).json()["id"]
        pump.run()
        moving.reopen()

        assert api.post(f"/api/v1/orders/{order}/cancel").status_code == 200

        assert (stock(product), movements()) == (10, [-3, 3])

    def test_a_checkout_that_began_there_ends_here(self, api, product, moving, pump):
        moving.hand_over()
        order = place_now(api, (product.pk, 3)).json()["id"]
        moving.reopen()

        pump.run()

        assert (status(order), stock(product)) == ("confirmed", 7)

    def test_an_earlier_order_is_answered_again_by_its_key(self, api, product, moving):
        first = place(api, (product.pk, 3), key="k").json()
        moving.hand_over()

        assert place(api, (product.pk, 3), key="k").json() == first
        assert stock(product) == 7


class TestFence:
    def test_a_checkout_that_meets_the_products_fence_is_run_again_through_messages(
        self, api, product, moving, pump, monkeypatch
    ):
        begun = []

        def moves_after_the_choice():
            begun.append(real())
            if len(begun) == 1:
                moving.hand_over()
            return begun[-1]

        real = shelves.present
        monkeypatch.setattr(shelves, "present", moves_after_the_choice)

        answer = place_now(api, (product.pk, 3))

        assert [type(shelf).__name__ for shelf in begun] == ["LocalShelves", "RemoteShelves"]
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        assert Order.objects.count() == 1
        assert not Payment.objects.exists()
        pump.run()
        assert (status(answer.json()["id"]), stock(product)) == ("confirmed", 7)

    def test_a_cancellation_that_meets_it_is_run_again_too(self, api, product, moving, pump, monkeypatch):
        order = place(api, (product.pk, 3)).json()["id"]
        choices = iter([shelves.LocalShelves(), shelves.RemoteShelves()])
        moving.hand_over()
        monkeypatch.setattr(shelves, "present", lambda: next(choices))

        answer = api.post(f"/api/v1/orders/{order}/cancel")
        pump.run()

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert (stock(product), movements()) == (10, [-3, 3])

    def test_a_task_that_meets_it_changes_nothing_and_is_done_by_the_next_round(
        self, api, product, moving, pump, monkeypatch
    ):
        order = place(api, (product.pk, 3), payment_token="tok_transfer").json()["id"]
        Order.objects.update(created_at=timezone.now() - timedelta(minutes=31))
        moving.hand_over()
        with monkeypatch.context() as patch:
            patch.setattr(shelves, "present", shelves.LocalShelves)
            with pytest.raises(DatabaseError) as met:
                tasks.expire_unpaid_orders()
        assert owners.refused_capability(met.value) == "products"
        assert status(order) == "pending"

        tasks.expire_unpaid_orders()
        pump.run()

        assert (status(order), stock(product)) == ("cancelled", 10)

    @pytest.mark.parametrize("path", ["", "/{}/cancel"])
    def test_a_request_that_meets_the_orders_fence_is_rolled_back_and_sent_on(
        self, api, product, orders_moving, monkeypatch, path
    ):
        order = place(api, (product.pk, 1)).json()["id"]
        real, moved = customers.address, []

        def moves_meanwhile(*args, **kwargs):
            if not moved:
                moved.append(orders_moving.hand_over())
            return real(user_id=1) if not path else waited(*args, **kwargs)

        waited = checkout.await_outcome
        target = (checkout, "await_outcome") if path else (customers, "address")
        monkeypatch.setattr(*target, moves_meanwhile)

        answer = api.post(f"/api/v1/orders/{order}/cancel") if path else place_now(api, (product.pk, 3))

        assert moved
        assert (answer.status_code, answer["x-strangler-to"]) == (307, "service")
        assert (Order.objects.count(), status(order), stock(product)) == (1, "confirmed", 9)

    def test_orders_that_are_elsewhere_are_nobody_s_task_here(self, api, product, orders_moving, monkeypatch):
        place(api, (product.pk, 1))
        orders_moving.hand_over()
        mail = Mock()
        monkeypatch.setattr(tasks, "send_mail", mail)

        for task in (tasks.send_confirmations, tasks.expire_unpaid_orders, tasks.ship_confirmed_orders):
            task()

        assert not mail.called
        assert Order.objects.get().status == Status.CONFIRMED


def with_row(pk: int) -> None:
    """Lets a product come by the stream."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Product.objects.create(pk=pk, name="New", price="1.00", stock=1)


def point_to(url: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE strangler.side SET peer_url = %s", [url])


class owner:
    """The products service; each of its answers has the status that ``decide`` gives."""

    def __init__(self, decide: Callable[[str], int]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = json.dumps({}).encode()
                self.send_response(decide(self.path))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def finish(self) -> None:
                super().finish()
                connection.close()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
