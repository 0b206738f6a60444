"""The library as a server serves it: with the fence, and its addresses."""

from __future__ import annotations

from chassis.process import logs
from project import *  # noqa: F403
from project import MIDDLEWARE

ALLOWED_HOSTS = ["127.0.0.1"]
MIDDLEWARE = [*MIDDLEWARE, "chassis.process.admission.AdmissionMiddleware", "chassis.ownership.fence.FenceMiddleware"]
ROOT_URLCONF = "library.urls"
LOGGING = logs.configuration("library")
