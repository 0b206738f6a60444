"""The smallest Django project in which the chassis runs; on PostgreSQL where DATABASE_URL names one."""

from __future__ import annotations

import os
from pathlib import Path

from chassis import environment as chassis

SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
ALLOWED_HOSTS = ["library.example"]
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "chassis",
    "library",
    "ties",
    "club",
]
MIDDLEWARE = ["chassis.servers.health.HealthMiddleware", "chassis.process.logs.RequestIdMiddleware"]
ROOT_URLCONF = "project"
urlpatterns: list[object] = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
if "DATABASE_URL" in os.environ:
    DATABASES = {"default": chassis.database(application="chassis-tests", atomic_requests=True)}
    # Another way to the same database, as projects have them for reports or long work.
    DATABASES["second"] = DATABASES["default"] | {"ATOMIC_REQUESTS": False, "TEST": {"MIRROR": "default"}}

REST_FRAMEWORK = chassis.rest_framework(token="20/min", shelf="20/hour")
PASSWORD_HASHERS = ["chassis.identity.passwords.PBKDF2PasswordHasher"]
PASSWORD_ITERATIONS = 1000
CHASSIS_AUDIENCE = "library"
TOKEN_KEY_FILE = str(Path(__file__).with_name("no-such-key.pem"))
CHASSIS_CONSUMES = {"books": ["visits.visit.noted"]}
CHASSIS_INBOXES = {"books": "library.Inbox"}
CHASSIS_INBOX_DAYS = int(os.environ.get("INBOX_DAYS", "30"))
CHASSIS_OPEN_WITHOUT_MOVE = chassis.flag("OPEN_WITHOUT_MOVE", default=True)
