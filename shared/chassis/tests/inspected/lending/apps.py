from __future__ import annotations

from django.apps import AppConfig


class LendingConfig(AppConfig):
    name = "inspected.lending"

    def ready(self) -> None:
        import logging

        from inspected.lending import log, signals, tasks

        logging.getLogger("inspected").addHandler(log.Table())
        logging.getLogger("inspected").addHandler(log.Name())

        assert signals
        assert tasks
