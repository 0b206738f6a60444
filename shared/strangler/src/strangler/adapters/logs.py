"""The log of the tool's long-lived processes: JSON lines on standard output, with the same fields as the chassis' logs
(docs/reference/logs.md). On a terminal a person reads, and gets the text alone."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Any

import click

from strangler.domain.masking import Masker, secrets_of

SERVICE = "strangler"

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def line(event: str, *, level: str = "info", **fields: Any) -> str:
    """One record as JSON; fields that are None are left out, and what must not be in a log is masked."""
    masker = _masker()
    record: dict[str, Any] = {"time": _now(), "level": level, "service": SERVICE, "event": masker.text(event)}
    for name, value in fields.items():
        if value is not None:
            record.setdefault(name, masker.field(name, value))
    return json.dumps(record)


def tell(event: str, text: str, *, level: str = "info", **fields: Any) -> None:
    """Logs ``event`` with its fields; a person at a terminal gets ``text``, on standard error."""
    if sys.stdout.isatty():
        click.echo(text, err=True)
    else:
        click.echo(line(event, level=level, **fields))


class Handler(logging.Handler):
    """Gives what libraries log to `tell`."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line, with the record's own fields and its traceback."""
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        text = record.getMessage()
        tell(text, text, level=record.levelname.lower(), logger=record.name, **fields)


def serve() -> None:
    """From now on this process logs: what libraries log as well, and what nobody has caught."""
    root = logging.getLogger()
    if not any(isinstance(handler, Handler) for handler in root.handlers):
        root.setLevel(logging.INFO)
        root.addHandler(Handler())
    logging.captureWarnings(True)
    threading.excepthook = crashed


def crashed(died: threading.ExceptHookArgs) -> None:
    """Logs an error that nobody has caught; on a terminal with its traceback, as Python does it."""
    if sys.stdout.isatty():
        threading.__excepthook__(died)
    elif died.exc_value is not None:
        trace = logging.Formatter().formatException((died.exc_type, died.exc_value, died.exc_traceback))
        click.echo(line("crashed", level="critical", exception=trace))


@cache
def _masker() -> Masker:
    return Masker(secrets_of())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
