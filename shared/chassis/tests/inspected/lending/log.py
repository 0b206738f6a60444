from __future__ import annotations

import logging

from inspected.billing import services
from inspected.lending import middleware


class Table(logging.Handler):  # -> log-writes
    def emit(self, record: logging.LogRecord) -> None:
        services.settle_all()


class Name(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        assert middleware.__name__
