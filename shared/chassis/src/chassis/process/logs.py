"""Logs as JSON lines: a constant event name, fields beside it, and the id of the request.

``logger.info("parcel_sent", extra={"parcel": 7})`` becomes
``{"time": …, "level": "info", "service": …, "event": "parcel_sent", "parcel": 7, "request_id": …}``.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponseBase

HEADER = "X-Request-Id"
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django's request logger adds the request itself, its server the connection.
_UNSERIALIZABLE = frozenset({"request", "server_time"})


class JsonFormatter(logging.Formatter):
    """One line of JSON per record; what is passed as ``extra`` becomes fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line.update(_fields(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Complaint:
    """Something that is wrong for some time. It is logged when it begins, when it changes and when it is over, not at
    every try."""

    def __init__(self, logger: logging.Logger, event: str) -> None:
        self._logger = logger
        self._event = event
        self._told = ""
        self._since = 0.0

    def make(self, reason: str, *, exc_info: bool = False, **fields: Any) -> None:
        if not self._told:
            self._since = time.monotonic()
        if reason != self._told:
            self._told = reason
            self._logger.warning(self._event, exc_info=exc_info, extra={"reason": reason, **fields})

    def over(self) -> None:
        """Nothing is wrong any more. Does nothing where nothing was wrong."""
        if self._told:
            self._told = ""
            seconds = round(time.monotonic() - self._since, 1)
            self._logger.info(f"{self._event}_over", extra={"seconds": seconds})


class Seldom(logging.Filter):
    """Celery logs every try to reach a broker that is away: this lets it do so once per minute."""

    EVERY = 60.0
    OF = ("consumer: Cannot connect to", "beat: Connection error", "Message Error")

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        template = str(record.msg)
        if not template.startswith(self.OF):
            return True
        now = time.monotonic()
        if now - self._told.get(template, float("-inf")) < self.EVERY:
            return False
        self._told[template] = now
        return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN | _UNSERIALIZABLE}


class RequestIdMiddleware:
    """Gives every request an id: the caller's where it sent a plain one, a new one otherwise."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        offered = request.headers.get(HEADER, "")
        chosen = offered if _ACCEPTABLE.fullmatch(offered) else uuid.uuid4().hex
        token = request_id.set(chosen)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response.headers[HEADER] = chosen
        return response


def configuration(service: str, *, level: str = "INFO") -> dict[str, Any]:
    """A ``dictConfig`` that writes every record to standard error as one line."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "chassis.process.logs.JsonFormatter", "service": service}},
        "filters": {"seldom": {"()": "chassis.process.logs.Seldom"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "django": {"level": level, "handlers": [], "propagate": True},
            # A 4xx is the client's fault, and the gateway's access log has it.
            "django.request": {"level": "ERROR"},
            "celery.worker.consumer.consumer": {"filters": ["seldom"]},
            "celery.beat": {"filters": ["seldom"]},
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }
