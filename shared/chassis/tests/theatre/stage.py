"""A project that was taken out of the house: it has neither users nor sessions; its database is empty."""

from __future__ import annotations

import os

from chassis import environment
from chassis.process import logs

SECRET_KEY = "another-key-for-tests-of-more-than-thirty-two-bytes"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "chassis"]
MIDDLEWARE = [
    "chassis.servers.health.HealthMiddleware",
    "chassis.process.logs.RequestIdMiddleware",
    "chassis.identity.sessions.IdentityMiddleware",
    "chassis.process.admission.AdmissionMiddleware",
    "chassis.ownership.fence.FenceMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "theatre.scenes.curtain",
]
ROOT_URLCONF = "theatre.scenes"
ASGI_APPLICATION = "theatre.asgi.application"
DATABASES = {"default": environment.database(application="stage") | {"CONN_MAX_AGE": 0}}
LOGIN_URL = "/login"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "chassis.identity.authtokens.RemoteTokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
LOGGING = logs.configuration("stage")
CHASSIS_IDENTITY_URL = os.environ.get("IDENTITY_URL", "")
CHASSIS_IDENTITY_SECRETS = environment.listing("IDENTITY_SECRETS", default="")
CHASSIS_IDENTITY_SECONDS = float(os.environ.get("IDENTITY_SECONDS", "0"))
CHASSIS_IDENTITY_TIMEOUT = 5.0
