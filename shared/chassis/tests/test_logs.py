from __future__ import annotations

import json
import logging
import logging.config
import sys

import pytest
from chassis.process import logs


@pytest.fixture
def formatter():
    return logs.JsonFormatter("library")


def record(message: str, **extra) -> logging.LogRecord:
    return logging.getLogger("shelf").makeRecord("shelf", logging.INFO, __file__, 1, message, (), None, extra=extra)


def test_a_record_is_one_line_with_its_event_and_fields(formatter):
    line = formatter.format(record("book_lent", book=7, title="Emma\n"))

    assert "\n" not in line
    fields = json.loads(line)
    assert fields["event"] == "book_lent"
    assert fields["service"] == "library"
    assert (fields["book"], fields["title"]) == (7, "Emma\n")
    assert fields["time"].endswith("+00:00")


def test_an_exception_is_a_field(formatter):
    entry = record("book_lost")
    try:
        int("torn page")
    except ValueError:
        entry.exc_info = sys.exc_info()

    line = formatter.format(entry)

    assert "\n" not in line
    assert "torn page" in json.loads(line)["exception"]


def test_a_value_that_json_does_not_know_becomes_text(formatter):
    assert json.loads(formatter.format(record("book_lent", shelf={1})))["shelf"] == "{1}"


def test_the_request_id_is_in_every_line_of_the_request(formatter, rf):
    lines = []

    def view(request):
        from django.http import HttpResponse

        lines.append(json.loads(formatter.format(record("book_lent"))))
        return HttpResponse()

    response = logs.RequestIdMiddleware(view)(rf.get("/", headers={"x-request-id": "abc-1"}))

    assert lines[0]["request_id"] == "abc-1"
    assert response.headers["X-Request-Id"] == "abc-1"
    assert "request_id" not in json.loads(formatter.format(record("later")))


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "{}"])
def test_an_id_that_could_forge_a_log_line_is_replaced(client, offered):
    answer = client.get("/", headers={"x-request-id": offered})

    assert answer.headers["X-Request-Id"] != offered
    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_complaint_is_told_when_it_begins_when_it_changes_and_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    complaint = logs.Complaint(logging.getLogger("library"), "shelf_away")

    for reason in ("moved", "moved", "painted", "painted"):
        complaint.make(reason)
    for _ in range(2):
        complaint.over()

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "shelf_away"),
        ("WARNING", "shelf_away"),
        ("INFO", "shelf_away_over"),
    ]
    assert [record.reason for record in caplog.records[:2]] == ["moved", "painted"]


def test_what_is_wrong_again_is_told_again(caplog):
    complaint = logs.Complaint(logging.getLogger("library"), "shelf_away")
    complaint.make("moved")
    complaint.over()

    complaint.make("moved")

    assert [record.message for record in caplog.records] == ["shelf_away"] * 2


def test_celery_tells_of_its_tries_once_a_minute_and_of_all_else_each_time(monkeypatch):
    seldom = logs.Seldom()
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])

    def passes(template: str) -> bool:
        return seldom.filter(logging.LogRecord("celery.beat", logging.ERROR, "", 0, template, (), None))

    assert [passes("beat: Connection error: %s.") for _ in range(3)] == [True, False, False]
    assert [passes("beat: something else") for _ in range(2)] == [True, True]
    now[0] += logs.Seldom.EVERY
    assert passes("beat: Connection error: %s.")


def test_the_configuration_is_what_logging_accepts():
    logging.config.DictConfigurator(logs.configuration("library"))
