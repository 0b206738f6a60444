"""The smallest project with both peers' outboxes; it runs in an environment of its own, without the chassis."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

_database, _broker = urlsplit(os.environ["DATABASE_URL"]), urlsplit(os.environ["BROKER_URL"])

SECRET_KEY = "a-key-for-benchmarks-of-more-than-thirty-two-bytes"
USE_TZ = True
INSTALLED_APPS = ["django_outbox_pattern", "django_celery_outbox", "filling"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path[1:],
        "USER": _database.username,
        "PASSWORD": _database.password,
        "HOST": _database.hostname,
        "PORT": _database.port,
        "CONN_MAX_AGE": None,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}

DJANGO_OUTBOX_PATTERN = {
    "DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", int(os.environ["STOMP_PORT"]))],
    "DEFAULT_STOMP_USERNAME": _broker.username,
    "DEFAULT_STOMP_PASSCODE": _broker.password,
    "DEFAULT_PUBLISHED_CHUNK_SIZE": 1000,
}
CELERY_OUTBOX_APP = "sending.app"
