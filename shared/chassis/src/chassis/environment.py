"""Settings read from the environment, the same way in every Django process.

Each function raises ImproperlyConfigured with the variable's name and what to do about it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from psycopg import IsolationLevel

from chassis import addresses, extras

HASHERS = {
    "pbkdf2": "chassis.identity.passwords.PBKDF2PasswordHasher",
    "argon2": "chassis.identity.passwords.Argon2PasswordHasher",
}
_RATE = re.compile(r"\d+/(s|sec|second|m|min|minute|h|hour|d|day)")
_SWITCH = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def text(name: str) -> str:
    """The value of the variable, or the content of the file that ``<name>_FILE`` names; empty where neither is set.

    A line break at the end of the file is not part of the value.
    """
    value, file = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if not file:
        return value
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: leave one")
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        # The error does not name the file: somebody may have given the secret itself as the name, and it must not get
        # into a log.
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ImproperlyConfigured(
            f"the file that {name}_FILE names cannot be read: {reason}: see that it is there, and who may read it"
        ) from None


def secret(name: str) -> str:
    """A value without which the process must not start, given as `text` says."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: give it in the environment, or name its file by {name}_FILE")
    return value


def flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name, "").lower()
    if not value:
        return default
    if value not in _SWITCH:
        raise ImproperlyConfigured(f"{name}={value!r} is neither 0 nor 1")
    return _SWITCH[value]


def number(name: str, *, default: int) -> int:
    value = os.environ.get(name, "")
    if not value:
        return default
    if not value.isdecimal():
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number")
    return int(value)


def listing(name: str, *, default: str) -> list[str]:
    """The items of a list with commas, without blanks."""
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def rate(name: str, *, default: str) -> str:
    """A REST framework rate such as ``20/min``."""
    value = os.environ.get(name) or default
    if not _RATE.fullmatch(value):
        raise ImproperlyConfigured(f"{name}={value!r} is not a rate: write it like 20/min")
    return value


def password_hashers() -> list[str]:
    """``PASSWORD_HASHERS`` with the one first that ``PASSWORD_HASHER`` names, ``pbkdf2`` or ``argon2``. Where
    argon2-cffi is installed, hashes of both are read.

    Raises ImproperlyConfigured, also where Argon2 is asked for and not installed.
    """
    wanted = os.environ.get("PASSWORD_HASHER") or "pbkdf2"
    if wanted not in HASHERS:
        raise ImproperlyConfigured(f"PASSWORD_HASHER={wanted!r} is none of {', '.join(HASHERS)}")
    if extras.has("argon2"):
        return [HASHERS[wanted], *(path for name, path in HASHERS.items() if name != wanted)]
    if wanted == "argon2":
        raise ImproperlyConfigured(
            "PASSWORD_HASHER=argon2, but argon2-cffi is not installed, so nobody could log in: install "
            f"{extras.DISTRIBUTION}[argon2], here and on the other side of a move"
        )
    return [HASHERS[wanted]]


def database(*, application: str, atomic_requests: bool = False) -> dict[str, Any]:
    """The database of ``DATABASE_URL``; ``application`` is what ``pg_stat_activity`` shows.

    ``atomic_requests`` is Django's ``ATOMIC_REQUESTS``: whether each view runs in one transaction. It changes what a
    project keeps of a request that fails, so it is as Django has it unless the project asks. Connections are kept and
    are tried
    before a request uses them, so that a server that was restarted costs no request. A server that has vanished
    silently is noticed after 15 seconds, also by requests that wait for its answer: that is before the gateway gives
    the request up. Transactions are READ COMMITTED, whatever the server's default is.
    """
    url = secret("DATABASE_URL")
    addresses.check_database("DATABASE_URL", url)
    settings: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=600))
    addresses.check_options("DATABASE_URL", settings.get("OPTIONS", {}))
    defaults = {
        "application_name": application,
        "isolation_level": IsolationLevel.READ_COMMITTED,
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 15_000,
    }
    settings["CONN_HEALTH_CHECKS"] = True
    settings["ATOMIC_REQUESTS"] = atomic_requests
    settings["OPTIONS"] = defaults | settings.get("OPTIONS", {})
    return settings


def gateway() -> str:
    """``GATEWAY_URL``: where clients reach everything, and where the keys are published that verify their tokens."""
    return _web("GATEWAY_URL")


def internal() -> str:
    """``INTERNAL_URL``: where services ask each other. It is the gateway too, which knows who owns what; paths that are
    not for clients are reached only there."""
    return _web("INTERNAL_URL")


def _web(variable: str) -> str:
    url = secret(variable)
    addresses.check_web(variable, url)
    return url


def rest_framework(**rates: str) -> dict[str, Any]:
    """``REST_FRAMEWORK`` of every service: JSON in and out, tokens, and views that are closed unless they say
    otherwise.

    ``rates`` are the throttle rates by scope.
    """
    return {
        "DEFAULT_AUTHENTICATION_CLASSES": ["chassis.identity.tokens.TokenAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_PARSER_CLASSES": ["chassis.rest.parsers.JSONParser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PAGINATION_CLASS": "chassis.rest.pagination.CursorPagination",
        "DEFAULT_CONTENT_NEGOTIATION_CLASS": "chassis.rest.negotiation.ContentNegotiation",
        "DEFAULT_SCHEMA_CLASS": "chassis.rest.openapi.AutoSchema",
        "EXCEPTION_HANDLER": "chassis.rest.answers.exception_handler",
        # There is only one format, so ``?format=`` must not choose another.
        "URL_FORMAT_OVERRIDE": None,
        "DEFAULT_THROTTLE_RATES": rates,
        # The client's address is the last one in X-Forwarded-For. The kit's gateway sends only that one.
        "NUM_PROXIES": 1,
        "TEST_REQUEST_DEFAULT_FORMAT": "json",
    }


def celery(*, queue: str) -> dict[str, Any]:
    """Celery's configuration: one durable queue, tasks that are acknowledged after the work and confirmed when
    published, and no remote control, by which every client that may publish could control the workers.

    Only a RabbitMQ broker (``amqp://``) knows quorum queues and confirms; others get neither.
    """
    broker = secret("BROKER_URL")
    addresses.check_broker("BROKER_URL", broker)
    common: dict[str, Any] = {
        "broker_url": broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_timeout": 3,
        "broker_connection_max_retries": None,
        "task_default_queue": queue,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2},
        "worker_prefetch_multiplier": 1,
        # The queue of remote control can be reached through the default exchange, which every service needs.
        "worker_enable_remote_control": False,
        "worker_soft_shutdown_timeout": 10,
        "worker_hijack_root_logger": False,
    }
    if not broker.startswith(("amqp://", "amqps://")):
        return common
    return common | {
        "broker_transport_options": {"confirm_publish": True},
        # Only from here does Celery hand the limit on to every publication. Without a limit the wait for a confirm has
        # no end.
        "task_routes": {"*": {"confirm_timeout": 5}},
        "task_default_queue_type": "quorum",
    }
