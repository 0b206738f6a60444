"""What products do when a message asks them, and the events that they publish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from chassis.messages import events, inbox
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from django.conf import settings as project
from django.db import connection
from django.utils import timezone

from products import services
from products.models import Inbox, Product, Reservation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _contracts(settings) -> None:
    settings.CHASSIS_VALIDATE = True


def message(type: str, data: Mapping[str, Any], *, id: UUID | None = None) -> Message:
    return Message(
        id=id or uuid4(),
        type=f"products.{type}",
        source="/orders",
        subject=data.get("key", "k"),
        time=timezone.now(),
        version=0,
        data=data,
        capability="orders",
        reply_to="orders",
        correlation="saga-7",
    )


def wish(*lines: tuple[Product, int], key: str = "k") -> dict[str, Any]:
    asked = [{"product_id": product.pk, "quantity": quantity} for product, quantity in lines]
    return {"key": key, "reference": "order 1", "lines": asked}


def deliver(type: str, data: Mapping[str, Any]) -> str:
    return inbox.handle(message(type, data), "products")


def sent(type: str) -> list[Message]:
    rows = OutboxMessage.objects.filter(type=f"products.{type}").order_by("id")
    return [Message.decode(bytes(row.body)) for row in rows]


class TestReserve:
    def test_it_is_answered_with_what_was_taken_to_whom_asked(self, product):
        assert deliver("reserve", wish((product, 3))) == "handled"

        answer = OutboxMessage.objects.get(type="products.reserved")
        line = {"product_id": product.pk, "name": "Whole Milk", "quantity": 3, "unit_price": "2.50", "currency": "USD"}
        assert (answer.destination, answer.capability) == ("orders", "products")
        assert Message.decode(bytes(answer.body)).correlation == "saga-7"
        assert sent("reserved")[0].data == {"key": "k", "lines": [line]}

    def test_what_there_is_too_little_of_is_refused(self, product):
        deliver("reserve", wish((product, 11)))

        assert sent("refused")[0].data == {"key": "k", "reason": "not enough stock", "product_ids": [product.pk]}

    def test_what_is_unknown_is_refused(self, product):
        deliver("reserve", wish((Product(pk=999_999), 1)))

        assert sent("refused")[0].data == {"key": "k", "reason": "unknown product", "product_ids": [999_999]}

    def test_what_was_released_before_is_refused(self, product):
        deliver("release", wish() | {"lines": []})

        deliver("reserve", wish((product, 1)))

        assert sent("refused")[0].data == {"key": "k", "reason": "released", "product_ids": []}
        assert Product.objects.get().stock == 10

    def test_a_message_that_comes_twice_is_handled_once(self, product):
        command = message("reserve", wish((product, 3)))

        outcomes = [inbox.handle(command, "products") for _ in range(2)]

        assert outcomes == ["handled", "duplicate"]
        assert len(sent("reserved")) == 1
        assert Product.objects.get().stock == 7

    def test_another_message_with_the_key_is_answered_alike_and_takes_nothing(self, product):
        for price in ("2.50", "9.99"):
            Product.objects.update(price=Decimal(price))
            deliver("reserve", wish((product, 3)))

        first, second = sent("reserved")
        assert first.data == second.data
        assert Product.objects.get().stock == 7

    def test_what_a_newer_sender_says_besides_is_passed_over(self, product):
        assert deliver("reserve", wish((product, 3)) | {"gift": True}) == "handled"

    def test_effects_answer_and_inbox_row_are_committed_together(self, product):
        command = message("reserve", wish((product, 3)))

        inbox.handle(command, "products")

        assert Inbox.objects.get().message_id == command.id
        assert (Reservation.objects.count(), len(sent("reserved"))) == (1, 1)

    def test_without_its_answer_nothing_is_reserved(self, product, monkeypatch):
        def fail(**_: object) -> None:
            raise OSError("no room")

        monkeypatch.setattr(events, "reply", fail)

        with pytest.raises(OSError, match="no room"):
            deliver("reserve", wish((product, 3)))

        assert not Inbox.objects.exists()
        assert not Reservation.objects.exists()
        assert Product.objects.get().stock == 10

    def test_a_key_used_for_other_lines_is_an_error_without_a_trace(self, product):
        deliver("reserve", wish((product, 3)))

        with pytest.raises(services.KeyReusedError):
            deliver("reserve", wish((product, 4)))

        assert Inbox.objects.count() == 1
        assert len(sent("reserved")) == 1

    @pytest.mark.parametrize("missing", ["key", "reference", "lines"])
    def test_a_wish_that_lacks_something_is_an_error_without_a_trace(self, product, missing):
        data = wish((product, 3))
        del data[missing]

        with pytest.raises(KeyError, match=missing):
            deliver("reserve", data)

        assert not Inbox.objects.exists()


class TestRelease:
    def test_it_gives_back_and_is_not_answered(self, product):
        deliver("reserve", wish((product, 3)))

        assert deliver("release", wish()) == "handled"

        assert Product.objects.get().stock == 10
        assert OutboxMessage.objects.exclude(type="products.product.low_stock").count() == 1

    def test_another_message_with_the_key_gives_back_nothing(self, product):
        for _ in range(2):
            deliver("release", wish((product, 3)))

        assert Product.objects.get().stock == 13


class TestLowStock:
    @pytest.fixture(autouse=True)
    def _threshold(self, settings) -> None:
        settings.LOW_STOCK = 5

    def take(self, product, quantity, key):
        services.reserve(key=key, reference=key, lines=wish((product, quantity))["lines"])

    def test_it_is_told_once_when_stock_falls_below(self, product):
        for key, quantity in (("to five", 5), ("to four", 1), ("to three", 1)):
            self.take(product, quantity, key)

        assert [event.data for event in sent("product.low_stock")] == [
            {"product_id": product.pk, "stock": 4, "threshold": 5}
        ]

    def test_it_is_told_again_after_stock_has_come(self, product, staff):
        self.take(product, 6, "down")
        services.adjust_stock(product=product, delta=1, by=staff)
        self.take(product, 1, "down again")

        told = sent("product.low_stock")
        assert [(event.subject, event.version) for event in told] == [(str(product.pk), 1), (str(product.pk), 2)]
        assert Product.objects.get().version == 2

    def test_it_is_told_of_what_is_taken_by_hand(self, product, staff):
        services.adjust_stock(product=product, delta=-6, by=staff)

        assert sent("product.low_stock")[0].data["stock"] == 4

    def test_what_comes_back_and_stays_low_is_not_told_of(self, product):
        self.take(product, 10, "k")
        services.release(key="k", reference="k")
        self.take(product, 5, "l")

        assert len(sent("product.low_stock")) == 1

    def test_it_is_for_everybody_and_nobody_has_to_listen(self, product):
        self.take(product, 6, "k")

        assert OutboxMessage.objects.get().destination == ""
        assert "products.product.low_stock" in project.CHASSIS_UNHEARD

    def test_what_is_refused_is_not_told_of(self, product):
        self.take(product, 11, "k")

        assert not OutboxMessage.objects.exists()

    def test_each_product_of_a_reservation_is_told_of(self, new_product):
        both = [new_product(), new_product()]

        services.reserve(key="k", reference="", lines=wish(*((product, 7) for product in both))["lines"])

        assert {event.data["product_id"] for event in sent("product.low_stock")} == {product.pk for product in both}

    def test_code_that_knows_no_version_goes_on_adding_products(self, product):
        columns = "name, brand, size, price, currency, stock, is_active, created_at, updated_at"

        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO products_product ({columns}) SELECT {columns} FROM products_product")

        assert Product.objects.latest("pk").version == 0

    def test_a_threshold_of_zero_tells_of_nothing(self, product, settings):
        settings.LOW_STOCK = 0

        self.take(product, 10, "k")

        assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("path", sorted(Path(project.CHASSIS_CONTRACTS).glob("products.*.json")), ids=lambda p: p.stem)
def test_a_contract_is_a_schema(path):
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
