"""gunicorn's line of a request: what it has, and what a client cannot put into it."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from chassis.process.logs import NOTED
from chassis.servers.access import Logger
from gunicorn.config import Config

TOLD = {"route": "/books/<int:pk>", "request_id": "r1", "trace_id": "ab" * 16, "user": "0123456789abcdef"}


@pytest.fixture
def log(caplog, monkeypatch):
    """Logs a request and returns its records."""
    logger = Logger(Config())
    # As the kit's configuration of gunicorn has it; gunicorn sets it otherwise when the logger is made.
    monkeypatch.setattr(logging.getLogger("gunicorn.access"), "propagate", True)
    caplog.set_level(logging.INFO, logger="gunicorn.access")

    def access(status: str, path: str = "/books/7", **environ):
        caplog.clear()
        answer = SimpleNamespace(status=status, sent=42)
        base = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "token=opensesame", NOTED: dict(TOLD)}
        logger.access(answer, None, base | environ, timedelta(milliseconds=12.34))
        return [record for record in caplog.records if record.name == "gunicorn.access"]

    return access


def test_a_request_is_one_line_with_what_was_noted_of_it(log):
    [record] = log("201 Created")

    assert (record.message, record.levelname) == ("request", "INFO")
    assert (record.method, record.status, record.milliseconds, record.bytes_sent) == ("GET", 201, 12.3, 42)
    assert {name: getattr(record, name) for name in TOLD} == TOLD


def test_neither_the_path_nor_the_query_is_logged(log):
    [record] = log("200 OK", "/readers/anna@post.example")

    assert not [value for value in vars(record).values() if "anna" in str(value) or "opensesame" in str(value)]


def test_an_error_of_the_server_is_a_warning(log):
    assert [record.levelname for record in log("503 Service Unavailable")] == ["WARNING"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_is_logged_only_when_it_fails_badly(log, path):
    assert log("200 OK", path) == []
    assert len(log("503 Service Unavailable", path)) == 1


def test_a_request_that_did_not_reach_django_is_logged_too(log):
    [record] = log("400 Bad Request", **{NOTED: {}})

    assert record.status == 400


def test_where_a_bounced_request_was_led_is_logged(log):
    [record] = log("200 OK", HTTP_X_STRANGLER_TO="service")

    assert record.bounced_to == "service"
