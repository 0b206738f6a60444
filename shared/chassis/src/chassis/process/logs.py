"""Logs as JSON lines: a constant event name, fields beside it, and what the present work is about.

``logger.info("parcel_sent", extra={"parcel": 7})`` becomes
``{"time": …, "level": "info", "service": …, "event": "parcel_sent", "parcel": 7, "request_id": …}``.
docs/reference/logs.md has the fields.

Note "two outputs": a process that serves writes its log to standard output, as containers have it. A command's
standard output is its answer, which others read, so its log goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from django.http import HttpRequest, HttpResponseBase

from chassis.process import about, masking, routes, tracing

HEADER = "X-Request-Id"
NOTED = "chassis.noted"  # in a request's environment: what was noted of it
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django's request logger adds the request itself, its server the connection.
_UNSERIALIZABLE = frozenset({"request", "server_time"})


class JsonFormatter(logging.Formatter):
    """One line of JSON per record, whatever is in it; what is passed as ``extra`` becomes fields. `masking` says what
    is left out."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service
        self._masker = masking.Masker(masking.secrets_of())

    def format(self, record: logging.LogRecord) -> str:
        masker = self._masker
        line = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "event": masker.text(_message(record)),
        }
        fields = {"trace_id": tracing.trace_id(), "request_id": request_id.get(), **about.present(), **_fields(record)}
        for name, value in fields.items():
            if value is not None:
                line.setdefault(name, _pseudonym(value) if name in _PEOPLE else masker.field(name, value))
        if record.exc_info or record.exc_text:
            line["exception"] = masker.text(record.exc_text or self.formatException(record.exc_info or _NO_ERROR))
        if record.stack_info:
            line["stack"] = masker.text(record.stack_info)
        # ASCII alone: no character can end the line, and no encoding of the output can refuse one.
        return json.dumps(line)


# Fields that name a user; whoever logs a number gets the pseudonym.
_PEOPLE = frozenset({"user", "user_id", "account", "account_id"})
_PSEUDONYM = re.compile(rf"[0-9a-f]{{{about.PSEUDONYM_CHARACTERS}}}")


def _pseudonym(value: Any) -> str:
    told = str(getattr(value, "pk", value))
    return told if _PSEUDONYM.fullmatch(told) else about.pseudonym(told)


_NO_ERROR = (None, None, None)


def stamp(seconds: float) -> str:
    """A time as RFC 3339 has it: UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class Output(logging.StreamHandler[TextIO]):
    """Writes to the output that is the process's present one for logs; see the note "two outputs"."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Standard output where the process serves, standard error otherwise.

        Celery puts objects in their places that log what is printed, and so would log each line again.
        """
        return (sys.__stdout__ or sys.stdout) if _serving else sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Nobody may choose another."""


_serving = os.environ.get("LOG_STREAM", "").lower() == "stdout"


def is_configured() -> bool:
    """Whether the process logs as `configuration` has it, and not in a way of the project's own."""
    return any(isinstance(handler, Output) for handler in logging.getLogger().handlers)


def serve() -> None:
    """From now on this process serves: its log goes to standard output; what nobody has caught is logged, too.

    Set ``LOG_STREAM=stdout`` for a server of your own that does not call this.
    """
    global _serving  # noqa: PLW0603  there is one standard output
    _serving = True
    logging.captureWarnings(True)
    sys.excepthook = _crash
    threading.excepthook = lambda died: _crash(died.exc_type, died.exc_value, died.exc_traceback)


def _crash(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    if error is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    logger = logging.getLogger("chassis.process")
    if logger.hasHandlers():
        logger.critical("crashed", exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)


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


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  arguments that do not fit their text: the line is written all the same
        return f"{record.msg} ({type(error).__name__} in its arguments)"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN | _UNSERIALIZABLE}


class RequestIdMiddleware:
    """Gives every request an id: the caller's where it sent a plain one, a new one otherwise.

    Log lines of the request have it, and what is noted by `chassis.process.about`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        offered = request.headers.get(HEADER, "")
        chosen = offered if _ACCEPTABLE.fullmatch(offered) else uuid.uuid4().hex
        token = request_id.set(chosen)
        try:
            with about.about(request_id=chosen) as noted:
                # gunicorn logs the request after its end, and has only the environment then.
                request.META[NOTED] = noted
                response = self.get_response(request)
                _note_end(request)
        finally:
            request_id.reset(token)
        response.headers[HEADER] = chosen
        return response


def _note_end(request: HttpRequest) -> None:
    route = routes.name(request.resolver_match)
    if route is not None:
        about.note(route=route)
    # Not `request.user`, which would ask the database.
    user = getattr(request, "_cached_user", None)
    if user is not None and user.pk is not None:
        about.note_user(user.pk)


def service_name() -> str:
    """What a process is called before it knows its settings: ``LOG_SERVICE`` (of a path its last part), or
    ``OTEL_SERVICE_NAME``, or the name of its folder."""
    named = os.environ.get("LOG_SERVICE", "").rpartition("/")[2]
    return named or os.environ.get("OTEL_SERVICE_NAME") or Path.cwd().name


def configuration(service: str, *, level: str = "INFO") -> dict[str, Any]:
    """A ``dictConfig`` that writes every record as one line, to the output of the note "two outputs"."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "chassis.process.logs.JsonFormatter", "service": service}},
        "filters": {"seldom": {"()": "chassis.process.logs.Seldom"}},
        "handlers": {"output": {"class": "chassis.process.logs.Output", "formatter": "json"}},
        "root": {"level": level, "handlers": ["output"]},
        "loggers": {
            "django": {"level": level, "handlers": [], "propagate": True},
            # A 4xx is the client's fault, and the line of the request has it.
            "django.request": {"level": "ERROR"},
            # They name the client's host, and its path, as it was sent.
            "django.security": {"level": "ERROR"},
            "celery.worker.consumer.consumer": {"filters": ["seldom"]},
            "celery.beat": {"filters": ["seldom"]},
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            "gunicorn.access": {"level": level, "handlers": [], "propagate": True},
        },
    }
