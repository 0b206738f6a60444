from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from chassis.messages import events, outbox
from chassis.messages.contracts import ContractError
from chassis.messages.events import MalformedError, Message
from chassis.models import OutboxMessage
from chassis.process import tracing
from django.db import transaction

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def message(**changes) -> Message:
    known = {
        "id": uuid4(),
        "type": "books.book.added",
        "source": "/books",
        "subject": "7",
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "version": 3,
        "data": {"title": "Émile"},
        "capability": "books",
        "reply_to": "desk",
        "correlation": "loan-1",
        "traceparent": TRACE,
    }
    return Message(**known | changes)


def altered(**changes) -> bytes:
    """The JSON of a message with other attributes; None leaves one out."""
    event = json.loads(message().encode()) | changes
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


class TestMessage:
    def test_what_is_decoded_is_what_was_encoded(self):
        original = message()

        assert Message.decode(original.encode()) == original

    def test_it_is_a_cloud_event(self):
        event = json.loads(message().encode())

        assert event["specversion"] == "1.0"
        assert event["source"] == "/books"
        assert event["datacontenttype"] == "application/json"
        assert {"aggregateversion", "capability", "replyto", "correlation", "traceparent"} <= event.keys()

    def test_what_is_not_said_is_left_out(self):
        event = json.loads(message(reply_to="", correlation="", traceparent="").encode())

        assert not {"replyto", "correlation", "traceparent"} & event.keys()
        assert Message.decode(json.dumps(event).encode()).reply_to == ""

    def test_decimals_and_dates_become_text(self):
        encoded = message(data={"price": Decimal("1.50"), "on": date(2026, 1, 2)}).encode()

        assert Message.decode(encoded).data == {"price": "1.50", "on": "2026-01-02"}

    def test_what_json_does_not_have_is_refused(self):
        with pytest.raises(ValueError, match="JSON"):
            message(data={"price": float("nan")}).encode()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xff\xfe",
            b"[" * 100_000,
            b"[]",
            altered(specversion="0.3"),
            altered(id=None),
            altered(id="7"),
            altered(type=7),
            altered(time="yesterday"),
            altered(data=None),
            altered(data=[1]),
            altered(capability=None),
            altered(replyto=7),
            altered(aggregateversion="3"),
            altered(aggregateversion=True),
        ],
    )
    def test_a_body_that_is_no_message_is_malformed(self, body):
        with pytest.raises(MalformedError):
            Message.decode(body)

    def test_a_message_of_a_stranger_without_our_extensions_is_taken_at_version_0(self):
        body = altered(aggregateversion=None, replyto=None, correlation=None, traceparent=None, comment="hello")

        assert Message.decode(body).version == 0


@pytest.mark.django_db
class TestWriting:
    def test_an_event_is_written_with_its_key_and_lane(self):
        number = events.publish(capability="books", type="books.book.added", key="7", data={"a": 1}, version=4)

        row = OutboxMessage.objects.get()
        written = Message.decode(bytes(row.body))
        assert (row.message_id, row.capability, row.key, row.destination) == (number, "books", "7", "")
        assert row.lane == outbox.lane_of("books", "7")
        assert (written.id, written.subject, written.version, written.data) == (number, "7", 4, {"a": 1})

    def test_a_command_says_where_the_answer_goes(self):
        events.command(
            to="books", type="books.lend", key="7", data={}, capability="desk", correlation="loan-1", reply_to="desk"
        )

        row = OutboxMessage.objects.get()
        written = Message.decode(bytes(row.body))
        assert row.destination == "books"
        assert (written.reply_to, written.correlation, written.capability) == ("desk", "loan-1", "desk")

    def test_a_command_of_a_given_id_waits_once(self):
        number = uuid4()
        for _ in range(2):
            events.command(to="books", type="books.lend", key="7", data={}, capability="desk", id=number)

        assert OutboxMessage.objects.get().message_id == number

    def test_a_reply_goes_to_the_asker_under_its_correlation(self):
        events.reply(to_message=message(), type="books.lent", data={}, capability="books")

        row = OutboxMessage.objects.get()
        assert (row.destination, row.key) == ("desk", "7")
        assert Message.decode(bytes(row.body)).correlation == "loan-1"

    def test_who_asks_for_no_answer_gets_none(self):
        with pytest.raises(ValueError, match="names no queue to reply to"):
            events.reply(to_message=message(reply_to=""), type="books.lent", data={}, capability="books")

    def test_a_command_names_its_queue(self):
        with pytest.raises(ValueError, match="names no queue"):
            events.command(to="", type="books.lend", key="7", data={}, capability="desk")

    def test_a_type_that_no_broker_routes_by_is_refused(self):
        with pytest.raises(ValueError, match="255 bytes"):
            events.publish(capability="books", type="é" * 200, key="7", data={})

    def test_a_message_belongs_to_the_trace_of_what_caused_it(self):
        with tracing.following(TRACE):
            events.publish(capability="books", type="books.book.added", key="7", data={})

        written = Message.decode(bytes(OutboxMessage.objects.get().body))
        assert written.traceparent.split("-")[1] == TRACE.split("-")[1]


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    @pytest.mark.parametrize(
        ("call", "arguments"),
        [
            (events.publish, {"key": "7"}),
            (events.command, {"to": "books", "key": "7"}),
            (events.reply, {"to_message": message()}),
        ],
    )
    def test_outside_a_transaction_the_call_is_refused_by_name(self, call, arguments):
        with pytest.raises(RuntimeError, match=rf"events\.{call.__name__}\('books\.x'\)"):
            call(type="books.x", data={}, capability="books", **arguments)

    def test_a_row_is_not_added_outside_a_transaction_either(self):
        with pytest.raises(RuntimeError, match=r"transaction\.atomic"):
            outbox.add(message_id=uuid4(), capability="a", type="b", key="c", destination="", body=b"{}")

    def test_a_rollback_takes_the_message_with_it(self):
        with transaction.atomic():
            events.publish(capability="books", type="books.book.added", key="7", data={})
            transaction.set_rollback(True)

        assert not OutboxMessage.objects.exists()


@pytest.mark.django_db
class TestContracts:
    @pytest.fixture(autouse=True)
    def _contracts(self, settings, tmp_path):
        schema = {
            "type": "object",
            "required": ["price"],
            "properties": {"price": {"type": "string", "pattern": r"^\d+\.\d\d$"}},
            "additionalProperties": False,
        }
        (tmp_path / "books.book.added.json").write_text(json.dumps(schema))
        settings.CHASSIS_CONTRACTS, settings.CHASSIS_VALIDATE = str(tmp_path), True

    def test_data_are_checked_as_they_travel(self):
        events.publish(capability="books", type="books.book.added", key="7", data={"price": Decimal("1.50")})

        assert OutboxMessage.objects.count() == 1

    def test_data_that_do_not_fit_are_refused_and_say_where(self):
        with pytest.raises(ContractError, match=r"books\.book\.added: \$\.price"):
            events.publish(capability="books", type="books.book.added", key="7", data={"price": "cheap"})

    @pytest.mark.parametrize("call", [events.publish, events.command, events.reply])
    def test_a_type_without_a_contract_is_refused(self, call):
        places = {events.publish: {"key": "7"}, events.command: {"to": "books", "key": "7"}}
        with pytest.raises(ContractError, match=r"no contract books\.unknown\.json"):
            call(type="books.unknown", data={}, capability="books", **places.get(call, {"to_message": message()}))

    def test_nothing_is_checked_where_nobody_asks(self, settings):
        settings.CHASSIS_VALIDATE = False

        events.publish(capability="books", type="books.unknown", key="7", data={})
        assert OutboxMessage.objects.count() == 1
