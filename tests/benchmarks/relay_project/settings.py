"""The smallest project that has an outbox."""

from __future__ import annotations

from chassis import environment as chassis

SECRET_KEY = "a-key-for-benchmarks-of-more-than-thirty-two-bytes"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "chassis", "filling"]
DATABASES = {"default": chassis.database(application="benchmark")}
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}
