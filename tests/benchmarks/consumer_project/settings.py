"""The smallest project with an outbox, a relay and a consumer."""

from __future__ import annotations

from chassis import environment
from chassis.process import logs

SECRET_KEY = "only-for-a-benchmark"
USE_TZ = True
INSTALLED_APPS = ["chassis", "counting"]
DATABASES = {"default": environment.database(application="benchmark")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = logs.configuration("benchmark", level="WARNING")
CHASSIS_CONSUMES = {"counting": ["benchmark.thing.done"]}
CHASSIS_INBOXES = {"counting": "counting.Inbox"}
