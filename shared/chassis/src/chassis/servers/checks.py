"""Checks the settings of messages, before a process starts (``manage.py check``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from celery import current_app  # type: ignore[import-untyped]
from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from chassis import settings
from chassis.messages import broker, inbox


@register("chassis")
def messages(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """All that can be checked without a broker; nothing where the project has no messages."""
    if not settings.consumes() and not settings.inboxes():
        return []
    return [*_inboxes(), *_days(), *_confirms(), *_production(), *_handlers()]


def _inboxes() -> Iterator[CheckMessage]:
    for capability in settings.consumes():
        try:
            inbox.model_of(capability)
        except ImproperlyConfigured as error:
            yield Error(
                f"{capability} is consumed without an inbox: a message that comes twice would have two effects",
                hint=str(error),
                id="chassis.E001",
            )


def _days() -> Iterator[CheckMessage]:
    if settings.inbox_days() < settings.replay_days():
        yield Error(
            "the inbox forgets messages that can still be replayed",
            hint=f"CHASSIS_INBOX_DAYS ({settings.inbox_days()}) must not be below CHASSIS_REPLAY_DAYS "
            f"({settings.replay_days()})",
            id="chassis.E002",
        )


def _confirms() -> Iterator[CheckMessage]:
    """Checks the publication of tasks: messages are published with confirms in any case."""
    configuration = current_app.conf
    if not broker.confirms(str(configuration.broker_url or "")):
        return
    if not (configuration.broker_transport_options or {}).get("confirm_publish"):
        yield Error(
            "tasks are published without confirms: what the broker loses, nobody misses",
            hint="take Celery's configuration from chassis.environment.celery, or set "
            'broker_transport_options = {"confirm_publish": True}',
            id="chassis.E003",
        )


def _production() -> Iterator[CheckMessage]:
    if getattr(django_settings, "CHASSIS_PRODUCTION", False) and not broker.confirms(settings.broker_url()):
        yield Error(
            "the broker promises too little for production: no confirms, no dead-letter exchange, no delivery limit",
            hint="give a RabbitMQ by BROKER_URL (amqp:// or amqps://), or take CHASSIS_PRODUCTION away",
            id="chassis.E004",
        )


def _handlers() -> Iterator[CheckMessage]:
    for capability, types in settings.consumes().items():
        for type in sorted(set(types) - set(inbox.handled_types(capability))):
            yield Error(
                f"{capability} is sent {type}, which nothing handles: each would be a dead letter",
                hint=f'write a handler (@handles("{type}", capability="{capability}") in an app\'s handlers.py), '
                "or take the type out of CHASSIS_CONSUMES",
                id="chassis.E005",
            )
