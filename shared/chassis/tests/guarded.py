"""A process with accounts' tokens and without a database."""

from __future__ import annotations

import os

from chassis import environment
from chassis.process import logs

SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "chassis"]
MIDDLEWARE = ["chassis.servers.health.HealthMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
REST_FRAMEWORK = environment.rest_framework() | {"UNAUTHENTICATED_USER": None}
ROOT_URLCONF = "library.doors"
LOGGING = logs.configuration("library")
CHASSIS_ACCOUNTS = "remote"
CHASSIS_AUDIENCE = "library"
CHASSIS_JWKS_AGE = 1.0
CHASSIS_JWKS_URL = os.environ.get("JWKS_URL", "")
TOKEN_KEY_FILE = os.environ.get("TOKEN_KEY_FILE", "")
SERVICE_KEY_FILE = os.environ.get("SERVICE_KEY_FILE", "")
CHASSIS_SERVICE_KEYS = environment.listing("SERVICE_KEY_FILES", default="")
