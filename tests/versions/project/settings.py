"""The smallest project that a move can take apart: only what the chassis itself requires, unless more is installed."""

from __future__ import annotations

from importlib.util import find_spec

from chassis import environment

SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "chassis", "shelf"]
MIDDLEWARE = [
    "chassis.servers.health.HealthMiddleware",
    "chassis.process.tracing.TraceMiddleware",
    "chassis.process.admission.AdmissionMiddleware",
    "chassis.ownership.fence.FenceMiddleware",
]
ROOT_URLCONF = "shelf.urls"
ASGI_APPLICATION = "shelf.asgi.application"
DATABASES = {"default": environment.database(application="small") | {"CONN_MAX_AGE": 0, "TEST": {"NAME": "small"}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if find_spec("axes"):
    INSTALLED_APPS += ["rest_framework", "axes"]
    MIDDLEWARE += ["axes.middleware.AxesMiddleware"]
    AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    AXES_FAILURE_LIMIT = 3
