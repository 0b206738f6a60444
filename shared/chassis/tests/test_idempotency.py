"""Requests that come again, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from chassis.identity.principals import Principal, ServicePrincipal
from chassis.rest import idempotency
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.utils import timezone
from library.answers import pause
from library.models import Answer, Visit
from rest_framework.test import APIClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("library.answers"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

HELD = 0.3  # seconds after which a request that has not been answered counts as held
ADA = Principal(pk=7)


@pytest.fixture(autouse=True)
def no_pause() -> Iterator[None]:
    pause.wanted = False
    pause.reached.clear()
    pause.over.clear()
    yield
    pause.over.set()


def send(
    body: Any = None, *, key: str | None = "k1", caller: Any = ADA, path: str = "/visits", method: str = "post"
) -> Any:
    client = APIClient(raise_request_exception=False, headers={"host": "library.example"})
    client.force_authenticate(caller)
    headers = {} if key is None else {"Idempotency-Key": key}
    return getattr(client, method)(path, body or {"note": "hello"}, format="json", headers=headers)


def in_thread(*arguments: Any, **options: Any) -> Any:
    try:
        return send(*arguments, **options)
    finally:
        connections.close_all()


def test_a_request_that_comes_again_has_one_effect_and_the_same_answer_byte_for_byte() -> None:
    first, second = send(), send()

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert first["Content-Type"] == second["Content-Type"]
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert Visit.objects.count() == 1


def test_json_is_the_same_in_another_order_and_with_other_blanks() -> None:
    send({"note": "hello", "more": 1})

    client = APIClient(headers={"host": "library.example", "Idempotency-Key": "k1"})
    client.force_authenticate(ADA)
    again = client.generic("POST", "/visits", b'{"more":1,  "note":"hello"}', content_type="application/json")

    assert again["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "other",
    [{"body": {"note": "goodbye"}}, {"path": "/visits?loud=1"}, {"path": "/free"}, {"method": "patch"}],
    ids=["body", "query", "path", "method"],
)
def test_a_key_that_is_used_for_another_request_is_refused(other: dict[str, Any]) -> None:
    send()

    answer = send(**other)

    assert answer.status_code == 422
    assert answer.json() == {"detail": "This Idempotency-Key was used for another request."}
    assert Visit.objects.count() == 1


def test_a_request_is_the_same_however_a_gateway_writes_its_query_anew() -> None:
    first, second = send(path="/visits?q=%e9%zz|%"), send(path="/visits?q=%E9%25zz%7C%25")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second[idempotency.REPLAYED] == "true"


def test_a_form_is_compared_byte_for_byte() -> None:
    client = APIClient(headers={"host": "library.example", "Idempotency-Key": "k1"})
    client.force_authenticate(ADA)
    form = "application/x-www-form-urlencoded"

    codes = [
        client.generic("POST", "/visits", body, content_type=form).status_code
        for body in (b"note=a", b"note=a", b"note=b")
    ]

    assert codes == [201, 201, 422]
    assert [visit.note for visit in Visit.objects.all()] == ["a"]


def test_keys_belong_to_their_caller() -> None:
    callers = [ADA, Principal(pk=8), ServicePrincipal("lending"), ServicePrincipal("7")]

    answers = [send(caller=caller) for caller in callers for _ in range(2)]

    assert [answer.get("Idempotent-Replayed") for answer in answers] == [None, "true"] * 4
    assert Visit.objects.count() == 4
    assert set(Answer.objects.values_list("caller", flat=True)) == {
        "account:7",
        "account:8",
        "service:lending",
        "service:7",
    }


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", "a\tb"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    answer = send(key=key)

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()
    assert not Visit.objects.exists()


def test_the_longest_key_is_taken() -> None:
    assert send(key="k" * 255).status_code == 201


def test_a_request_without_a_key_is_refused_where_one_is_required() -> None:
    answer = send(key=None)

    assert (answer.status_code, answer.json()) == (400, {"Idempotency-Key": ["This header is required."]})


def test_a_request_without_a_key_is_taken_each_time_where_none_is_required() -> None:
    assert [send(key=None, path="/free").status_code for _ in range(2)] == [201, 201]
    assert Visit.objects.count() == 2


def test_reads_need_no_key() -> None:
    assert send(key=None, method="get").status_code == 200


def test_a_refusal_that_the_view_returns_is_an_answer_like_any_other() -> None:
    first, second = send({"then": 409}), send({"then": 409})

    assert (first.status_code, second.status_code) == (409, 409)
    assert second["Idempotent-Replayed"] == "true"
    assert Visit.objects.count() == 1


@pytest.mark.parametrize(("then", "status"), [("conflict", 409), ("crash", 500), (503, 503), ("undo", 201)])
def test_an_answer_whose_transaction_is_rolled_back_is_not_kept(then: Any, status: int) -> None:
    answers = [send({"then": then}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [status, status]
    assert "Idempotent-Replayed" not in answers[1]
    assert not Visit.objects.exists()
    assert not Answer.objects.exists()


@pytest.mark.parametrize("then", ["conflict", 503])
def test_nothing_is_kept_of_a_failure_where_another_opened_the_transaction(
    settings: Any, monkeypatch: pytest.MonkeyPatch, then: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)

    with transaction.atomic():
        send({"then": then})

    assert not Visit.objects.exists()
    assert not Answer.objects.exists()


@pytest.mark.parametrize(("then", "status", "kept"), [(None, 201, 1), ("conflict", 409, 0), (503, 503, 0)])
def test_a_view_without_a_transaction_gets_one(
    monkeypatch: pytest.MonkeyPatch, then: Any, status: int, kept: int
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)

    answers = [send({"note": "hello", "then": then}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [status, status]
    assert (Visit.objects.count(), Answer.objects.count()) == (kept, kept)


def test_a_claim_without_a_transaction_is_a_fault_that_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"transaction\.atomic"):
        idempotency.claim(Answer, caller="account:7", key="k1", digest="d")


def test_a_view_that_lets_anybody_in_has_no_callers_and_is_a_fault_that_is_named() -> None:
    client = APIClient(headers={"host": "library.example", "Idempotency-Key": "k1"})

    with pytest.raises(ImproperlyConfigured, match="needs a caller"):
        client.post("/visits", {}, format="json")


def test_of_two_at_once_the_second_waits_and_gets_the_first_one_s_answer() -> None:
    pause.wanted = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread)
        assert pause.reached.wait(60)
        second = pool.submit(in_thread)
        with pytest.raises(TimeoutError):
            second.result(HELD)
        pause.over.set()
        answers = first.result(60), second.result(60)

    assert answers[0].content == answers[1].content
    assert answers[1]["Idempotent-Replayed"] == "true"
    assert Visit.objects.count() == 1


def test_the_second_takes_over_when_the_first_fails() -> None:
    pause.wanted = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread, {"then": "conflict"})
        assert pause.reached.wait(60)
        second = pool.submit(in_thread, {"note": "hello"})
        with pytest.raises(TimeoutError):
            second.result(HELD)
        pause.over.set()
        answers = first.result(60), second.result(60)

    assert [answer.status_code for answer in answers] == [409, 201]
    assert "Idempotent-Replayed" not in answers[1]
    assert [visit.note for visit in Visit.objects.all()] == ["hello"]


def test_the_second_is_refused_when_the_first_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT", timedelta(milliseconds=100))
    pause.wanted = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread)
        assert pause.reached.wait(60)
        second = pool.submit(in_thread).result(60)
        pause.over.set()

    assert (second.status_code, first.result().status_code) == (409, 201)
    assert "still being answered" in second.json()["detail"]
    assert Visit.objects.count() == 1


def test_many_at_once_have_one_effect() -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [future.result(60) for future in [pool.submit(in_thread) for _ in range(24)]]

    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.get("Idempotent-Replayed") for answer in answers].count("true") == 23
    assert Visit.objects.count() == 1


def test_how_long_other_locks_are_waited_for_stays_as_it_was() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '777ms'")
        idempotency.claim(Answer, caller="account:7", key="k1", digest="d")
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone()[0] == "777ms"


def test_a_claim_alone_serves_a_view_that_answers_after_its_transaction() -> None:
    with transaction.atomic():
        assert idempotency.claim(Answer, caller="account:7", key="k1", digest="d") is None
    with transaction.atomic():
        earlier = idempotency.claim(Answer, caller="account:7", key="k1", digest="d")

    assert earlier is not None
    assert earlier.status == 0


def test_old_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "BATCH_ROWS", 2)
    for number in range(5):
        send(key=f"k{number}")
    Answer.objects.exclude(key="k4").update(created_at=timezone.now() - timedelta(days=2))

    assert idempotency.purge(timedelta(days=1)) == 4

    assert [answer.key for answer in Answer.objects.all()] == ["k4"]
    assert "Idempotent-Replayed" not in send(key="k0")


def test_answers_that_another_side_owns_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    send()
    monkeypatch.setattr(idempotency.owners, "closed_by_table", lambda table: "elsewhere")

    assert idempotency.purge(timedelta(0)) == 0
