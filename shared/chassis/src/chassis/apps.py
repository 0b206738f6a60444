"""The chassis as a Django app."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig


class ChassisConfig(AppConfig):
    """Brings the management commands; tells drf-spectacular, where installed, of the tokens."""

    name = "chassis"
    label = "chassis"

    def ready(self) -> None:
        if find_spec("drf_spectacular"):
            from chassis import openapi  # noqa: F401
