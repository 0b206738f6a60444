"""Checks what is around the fence, before a process starts (``manage.py check``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register

from chassis import extras, settings
from chassis.ownership import asynchronous

FENCE = "chassis.ownership.fence.FenceMiddleware"
MESSAGING = ("celery", "kombu")


@register("chassis")
def asynchronous_views(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """What the fence cannot do for asynchronous views, and under the project's ASGI server."""
    return list(asynchronous.look()) if FENCE in django_settings.MIDDLEWARE else []


@register("chassis")
def drivers(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refusals are seen where psycopg 3 waits for the server, so no other driver will do."""
    found: list[CheckMessage] = []
    if find_spec("psycopg2"):
        found.append(
            Warning(
                "psycopg2 is installed beside psycopg: a fence that is met on a connection of its is not seen, and a "
                "request that swallows the error is answered as if it were done",
                hint="make connections with psycopg (version 3), and uninstall psycopg2",
                id="chassis.W006",
            )
        )
    return found


@register("chassis")
def installed(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Messages are the one part that the settings alone ask for."""
    if not (settings.consumes() or settings.inboxes()) or extras.has(*MESSAGING):
        return []
    return [
        Error(
            "CHASSIS_CONSUMES or CHASSIS_INBOXES names capabilities, and celery or kombu is not installed: nothing is "
            "published or handled",
            hint=f"install {extras.DISTRIBUTION}[messages], or take the settings away",
            id="chassis.E016",
        )
    ]
