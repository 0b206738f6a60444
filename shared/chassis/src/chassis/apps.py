"""The chassis as a Django app."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ChassisConfig(AppConfig):
    """Brings the management commands, the outbox and the checks; finds each app's ``handlers``.

    Tells drf-spectacular, where installed, of the tokens.
    """

    name = "chassis"
    label = "chassis"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Imports what registers itself, and begins to look at what the database refuses."""
        if find_spec("drf_spectacular"):
            from chassis import openapi  # noqa: F401
        from chassis import checks, refusals  # noqa: F401

        refusals.install()

        autodiscover_modules("handlers")
