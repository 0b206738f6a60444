from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from chassis.calls import client
from chassis.calls.client import Client
from chassis.identity import tokens
from chassis.process import logs, tracing
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from library.recorded import recording
from library.shelf import Answer, Shelf

pytestmark = pytest.mark.usefixtures("service_key")

BUSY = Answer(503, b"{}")
EVERY_ERROR = [
    client.OpenTransactionError,
    client.CircuitOpenError,
    client.NoAnswerError,
    client.RefusedError,
    client.BrokenError,
]


def calling(shelf: Shelf, **options) -> Client:
    return Client("catalogue", shelf.url, caller="lending", **options)


def arrived(shelf: Shelf, requests: int) -> None:
    """Waits until so many requests are there, answered or not."""
    deadline = time.monotonic() + 60
    while len(shelf.received) < requests:
        assert time.monotonic() < deadline, f"{len(shelf.received)} of {requests} requests have arrived"
        time.sleep(0.005)


def test_an_answer_comes_back_with_what_was_asked():
    with Shelf() as shelf, calling(shelf) as catalogue:
        answer = catalogue.get("/books/7", params={"full": "1"})

    assert answer.json() == {"title": "Emma"}
    assert (shelf.received[0].method, shelf.received[0].path) == ("GET", "/books/7?full=1")


def test_a_body_is_sent_as_json_with_its_key():
    with Shelf(Answer(201)) as shelf, calling(shelf) as catalogue:
        catalogue.post("/books", json={"title": "Emma"}, key="k-1")

    received = shelf.received[0]
    assert json.loads(received.body) == {"title": "Emma"}
    assert received.headers["idempotency-key"] == "k-1"


def test_a_call_bears_a_token_of_the_caller_for_this_service():
    with Shelf() as shelf, calling(shelf) as catalogue:
        catalogue.get("/books/7")

    scheme, token = shelf.received[0].headers["authorization"].split()
    assert scheme == "Bearer"
    assert tokens.verify_service(token, audience="catalogue").name == "lending"


def test_a_call_carries_the_id_of_the_request_that_caused_it():
    current = logs.request_id.set("request-7")
    try:
        with Shelf() as shelf, calling(shelf) as catalogue:
            catalogue.get("/books/7")
    finally:
        logs.request_id.reset(current)

    assert shelf.received[0].headers["x-request-id"] == "request-7"


def test_outside_a_request_no_id_is_made_up():
    with Shelf() as shelf, calling(shelf) as catalogue:
        catalogue.get("/books/7")

    assert "x-request-id" not in shelf.received[0].headers


def test_a_call_carries_the_trace():
    with Shelf(BUSY, Answer()) as shelf, calling(shelf) as catalogue, tracing.following("") as trace:
        catalogue.get("/books/7")

    assert [received.headers["traceparent"] for received in shelf.received] == [trace, trace]


def test_a_call_carries_the_trace_also_under_the_name_that_its_gateway_knows(monkeypatch):
    monkeypatch.setenv("GATEWAY_TRACE_KEY", "secret")
    with Shelf() as shelf, calling(shelf) as catalogue, tracing.following("") as trace:
        catalogue.get("/books/7")

    headers = shelf.received[0].headers
    # The digest of the secret; the gateway of the tool makes the same name.
    assert headers["x-trace-2bb80d537b1da3e38bd30361aa855686"] == headers["traceparent"] == trace
    assert "secret" not in f"{headers}"


def test_the_secret_for_that_name_may_be_in_a_file_and_without_it_calls_are_made_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("secret\n")
    with Shelf() as shelf, calling(shelf) as catalogue:
        for place in (tmp_path / "key", tmp_path / "nowhere"):
            monkeypatch.setenv("GATEWAY_TRACE_KEY_FILE", str(place))
            catalogue.get("/books/7")

    named = [[name for name in received.headers if name.startswith("x-trace-")] for received in shelf.received]
    assert named == [["x-trace-2bb80d537b1da3e38bd30361aa855686"], []]


def test_where_there_is_no_trace_one_begins_with_the_call():
    with Shelf(BUSY, Answer()) as shelf, calling(shelf) as catalogue:
        catalogue.get("/books/7")

    first, second = (received.headers["traceparent"] for received in shelf.received)
    assert first == second
    assert tracing.follow(first)[:35] == first[:35]


def test_each_attempt_is_a_span_and_what_is_sent_is_that_span():
    with recording() as recorded, Shelf(BUSY, Answer()) as shelf, calling(shelf) as catalogue:
        catalogue.get("/books/7")

    sent = [received.headers["traceparent"] for received in shelf.received]
    spans = recorded.named("GET catalogue")
    assert sent == [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01" for span in spans]
    assert len({span.context.trace_id for span in spans}) == 1
    assert [span.attributes["http.response.status_code"] for span in spans] == [BUSY.status, 200]


def test_a_call_that_would_outlive_its_token_is_refused_at_once():
    with pytest.raises(ValueError, match="catalogue: a call of 90 seconds"):
        Client("catalogue", "http://127.0.0.1:1", caller="lending", within=90)


def test_a_connection_is_used_again_and_again():
    with Shelf() as shelf, calling(shelf) as catalogue:
        for _ in range(5):
            catalogue.get("/books/7")

    assert len(shelf.received) == 5
    assert len(shelf.connections) == 1


def test_calls_of_several_threads_run_at_the_same_time():
    together = threading.Event()
    with Shelf(Answer(until=together)) as shelf, calling(shelf) as catalogue, ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(catalogue.get, "/books/7") for _ in range(4)]
        arrived(shelf, 4)
        together.set()

        assert [call.result().status_code for call in calls] == [200] * 4


class TestTime:
    def test_a_service_that_does_not_answer_in_time_is_given_up(self):
        never = threading.Event()
        with Shelf(Answer(until=never)) as shelf, calling(shelf, timeout=0.2, attempts=1) as catalogue:
            began = time.monotonic()
            with pytest.raises(client.NoAnswerError, match=r"catalogue: ReadTimeout"):
                catalogue.get("/books/7")
            never.set()

        assert 0.2 <= time.monotonic() - began < 8

    def test_an_answer_that_comes_byte_by_byte_is_given_up_too(self):
        drop = Answer(body=b"x" * 1000, drip=0.05)
        with Shelf(drop) as shelf, calling(shelf, timeout=1, attempts=1) as catalogue:
            began = time.monotonic()
            with pytest.raises(client.NoAnswerError, match="did not end in time"):
                catalogue.get("/books/7")

        assert time.monotonic() - began < 20

    def test_all_attempts_together_end_in_time(self):
        never = threading.Event()
        slow = Answer(until=never)
        with Shelf(slow) as shelf, calling(shelf, timeout=0.2, within=0.5, attempts=100, failures=100) as catalogue:
            began = time.monotonic()
            with pytest.raises(client.NoAnswerError):
                catalogue.get("/books/7")
            never.set()

        assert time.monotonic() - began < 8

    def test_a_service_that_is_not_there_is_no_answer(self):
        with Shelf() as shelf:
            url = shelf.url
        with (
            Client("catalogue", url, caller="lending", attempts=1) as catalogue,
            pytest.raises(client.NoAnswerError, match="ConnectError"),
        ):
            catalogue.get("/books/7")


class TestRepetition:
    @pytest.mark.parametrize("first", [BUSY, Answer(502), Answer(504), Answer(429), Answer(cut=True)])
    def test_a_read_is_tried_again_when_it_may_help(self, first):
        with Shelf(first, Answer()) as shelf, calling(shelf) as catalogue:
            assert catalogue.get("/books/7").status_code == 200

        assert len(shelf.received) == 2

    @pytest.mark.parametrize("first", [BUSY, Answer(cut=True)])
    def test_a_write_with_a_key_is_tried_again_with_the_same_key(self, first):
        with Shelf(first, Answer(201)) as shelf, calling(shelf) as catalogue:
            assert catalogue.post("/books", json={}, key="k-1").status_code == 201

        assert [received.headers["idempotency-key"] for received in shelf.received] == ["k-1", "k-1"]

    @pytest.mark.parametrize("first", [BUSY, Answer(cut=True)])
    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_a_write_without_a_key_is_not_tried_again(self, method, first):
        with Shelf(first, Answer()) as shelf, calling(shelf) as catalogue, pytest.raises(client.CallError):
            catalogue.request(method, "/books")

        assert len(shelf.received) == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
    def test_what_would_come_out_the_same_is_not_tried_again(self, status):
        with Shelf(Answer(status), Answer()) as shelf, calling(shelf) as catalogue, pytest.raises(client.StatusError):
            catalogue.get("/books/7")

        assert len(shelf.received) == 1

    def test_attempts_have_an_end(self):
        with (
            Shelf(BUSY) as shelf,
            calling(shelf, attempts=3) as catalogue,
            pytest.raises(client.BrokenError) as caught,
        ):
            catalogue.get("/books/7")

        assert caught.value.status == 503
        assert len(shelf.received) == 3

    def test_a_service_that_says_when_to_come_again_is_obeyed(self):
        wait = Answer(503, b"{}", {"Retry-After": "1"})
        with Shelf(wait, Answer()) as shelf, calling(shelf) as catalogue:
            catalogue.get("/books/7")

        first, second = shelf.arrivals
        assert 0.95 <= second - first < 8

    def test_it_may_say_so_by_a_date(self):
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
        wait = Answer(503, b"{}", {"Retry-After": format_datetime(at, usegmt=True)})
        with Shelf(wait, Answer()) as shelf, calling(shelf) as catalogue:
            catalogue.get("/books/7")

        assert datetime.now(UTC) >= at
        assert len(shelf.received) == 2

    def test_who_says_to_come_when_it_is_too_late_is_not_waited_for(self):
        wait = Answer(503, b"{}", {"Retry-After": "60"})
        with Shelf(wait, Answer()) as shelf, calling(shelf) as catalogue, pytest.raises(client.BrokenError):
            catalogue.get("/books/7")

        assert len(shelf.received) == 1

    def test_a_time_that_cannot_be_read_is_as_good_as_none(self):
        wait = Answer(503, b"{}", {"Retry-After": "soon"})
        with Shelf(wait, Answer()) as shelf, calling(shelf) as catalogue:
            assert catalogue.get("/books/7").status_code == 200


class TestCircuit:
    def broken(self, catalogue: Client, times: int) -> None:
        for _ in range(times):
            with pytest.raises(client.CallError):
                catalogue.get("/books/7")

    def test_after_enough_failures_the_service_is_left_alone(self):
        with Shelf(Answer(500)) as shelf, calling(shelf, failures=3, rest=60) as catalogue:
            self.broken(catalogue, 3)
            with pytest.raises(client.CircuitOpenError, match="catalogue: not called"):
                catalogue.get("/books/7")

        assert len(shelf.received) == 3

    def test_an_attempt_that_opens_it_is_the_last_of_its_call(self):
        with (
            Shelf(BUSY) as shelf,
            calling(shelf, failures=2, attempts=5) as catalogue,
            pytest.raises(client.CircuitOpenError),
        ):
            catalogue.get("/books/7")

        assert len(shelf.received) == 2

    def test_refusals_are_the_caller_s_fault_and_open_nothing(self):
        with Shelf(Answer(404)) as shelf, calling(shelf, failures=2) as catalogue:
            self.broken(catalogue, 5)

            assert catalogue.circuit == "closed"
        assert len(shelf.received) == 5

    def test_a_success_between_them_starts_the_count_anew(self):
        with (
            Shelf(Answer(500), Answer(), Answer(500), Answer()) as shelf,
            calling(shelf, failures=2) as catalogue,
        ):
            self.broken(catalogue, 1)
            catalogue.get("/books/7")
            self.broken(catalogue, 1)

            assert catalogue.circuit == "closed"

    def test_after_a_rest_one_call_is_tried_and_closes_it(self):
        with Shelf(Answer(500), Answer()) as shelf, calling(shelf, failures=1, rest=0) as catalogue:
            self.broken(catalogue, 1)
            assert catalogue.circuit == "open"

            catalogue.get("/books/7")

            assert catalogue.circuit == "closed"

    def test_while_one_is_tried_the_others_are_refused(self):
        answered = threading.Event()
        with (
            Shelf(Answer(500), Answer(until=answered)) as shelf,
            calling(shelf, failures=1, rest=0) as catalogue,
            ThreadPoolExecutor(1) as pool,
        ):
            self.broken(catalogue, 1)
            trial = pool.submit(catalogue.get, "/books/7")
            arrived(shelf, 2)

            assert catalogue.circuit == "half-open"
            with pytest.raises(client.CircuitOpenError):
                catalogue.get("/books/7")
            answered.set()
            assert trial.result().status_code == 200
            assert catalogue.circuit == "closed"

    def test_a_trial_that_fails_opens_it_again(self):
        with Shelf(Answer(500)) as shelf, calling(shelf, failures=2, rest=0) as catalogue:
            self.broken(catalogue, 3)

            assert catalogue.circuit == "open"


class TestErrors:
    @pytest.mark.parametrize("error", EVERY_ERROR)
    def test_all_are_of_one_family(self, error):
        assert issubclass(error, client.CallError)

    def test_a_refusal_names_the_service_and_has_the_answer(self):
        with (
            Shelf(Answer(404, b'{"detail": "No book."}')) as shelf,
            calling(shelf) as catalogue,
            pytest.raises(client.RefusedError, match=r"^catalogue: GET /books/7 was answered with 404$") as caught,
        ):
            catalogue.get("/books/7")

        assert caught.value.service == "catalogue"
        assert caught.value.answer.json() == {"detail": "No book."}

    def test_a_redirect_is_not_followed(self):
        with (
            Shelf(Answer(307, b"", {"Location": "/elsewhere"})) as shelf,
            calling(shelf) as catalogue,
            pytest.raises(client.RefusedError),
        ):
            catalogue.get("/books/7")

        assert [received.path for received in shelf.received] == ["/books/7"]

    def test_without_a_key_to_sign_with_the_setting_is_named(self, settings):
        settings.SERVICE_KEY_FILE = ""
        with (
            Shelf() as shelf,
            calling(shelf) as catalogue,
            pytest.raises(ImproperlyConfigured, match="SERVICE_KEY_FILE"),
        ):
            catalogue.get("/books/7")

        assert shelf.received == []


@pytest.mark.django_db
class TestTransactions:
    def test_a_call_inside_one_is_refused_and_not_made(self):
        with (
            Shelf() as shelf,
            calling(shelf) as catalogue,
            transaction.atomic(),
            pytest.raises(client.OpenTransactionError, match="inside a transaction"),
        ):
            catalogue.get("/books/7")

        assert shelf.received == []

    def test_a_setting_allows_it(self, settings):
        settings.CHASSIS_CALLS_IN_TRANSACTIONS = True
        with Shelf() as shelf, calling(shelf) as catalogue, transaction.atomic():
            assert catalogue.get("/books/7").status_code == 200

    def test_the_one_around_a_test_does_not_count(self):
        with Shelf() as shelf, calling(shelf) as catalogue:
            assert catalogue.get("/books/7").status_code == 200

    @pytest.mark.django_db(transaction=True)
    def test_after_one_has_ended_a_call_is_made(self):
        with Shelf() as shelf, calling(shelf) as catalogue:
            with transaction.atomic():
                pass
            assert catalogue.get("/books/7").status_code == 200
