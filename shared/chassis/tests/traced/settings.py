"""Two services of one library: ``PLACES`` says which of its capabilities a worker has."""

from __future__ import annotations

import os

from served import *  # noqa: F403
from served import INSTALLED_APPS as APPS
from served import MIDDLEWARE as SERVED

TRACED = os.environ.get("TRACED", "1") == "1"
TRACING = ["chassis.process.tracing.TraceMiddleware"] if TRACED else []
MIDDLEWARE = [*SERVED[:2], *TRACING, *SERVED[2:]]
INSTALLED_APPS = [*APPS, "traced"]
ROOT_URLCONF = "traced.urls"
CHASSIS_CONSUMES = {place: [] for place in os.environ.get("PLACES", "desk,stacks,till,printer").split(",")}
CHASSIS_INBOXES = dict.fromkeys(("books", "desk", "stacks", "till", "printer"), "library.Inbox")
ASGI_APPLICATION = "traced.asgi.application"
