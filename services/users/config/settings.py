"""Settings of the users service; what differs from place to place comes from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from chassis import environment
from chassis.process import logs

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = environment.secret("SECRET_KEY")
DEBUG = environment.flag("DEBUG", default=False)
ALLOWED_HOSTS = environment.listing("ALLOWED_HOSTS", default="localhost,127.0.0.1")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "chassis",
    "users",
]

MIDDLEWARE = [
    "chassis.servers.health.HealthMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "chassis.process.logs.RequestIdMiddleware",
    "chassis.process.tracing.TraceMiddleware",
    "chassis.rest.answers.AnswersMiddleware",
    "chassis.process.admission.AdmissionMiddleware",
    # It stands outside everything that may touch the database: a request that it bounces must have left no trace.
    "chassis.ownership.fence.FenceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "chassis.rest.answers.csrf_failure"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": environment.database(application="users", atomic_requests=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Hasher and rounds are the monolith's: so a login on either side changes nothing but last_login.
AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.backends.EmailBackend"]
PASSWORD_HASHERS = environment.password_hashers()
PASSWORD_ITERATIONS = environment.number("PASSWORD_ITERATIONS", default=1_000_000)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
TOKEN_KEY_FILE = environment.secret("TOKEN_KEY_FILE")
CHASSIS_AUDIENCE = "shop"
# A caller with a token of this key is a service and may ask at /internal. Without the key no caller may.
SERVICE_KEY_FILE = os.environ.get("SERVICE_KEY_FILE", "")
# Public halves of the keys that other services sign with. Where none is named, all services have the key above.
CHASSIS_SERVICE_KEYS = environment.listing("SERVICE_KEY_FILES", default="")
CHASSIS_CONTRACTS = str(BASE_DIR / "contracts")
# Until a move has filled this service, the accounts are the monolith's, and this service takes no writes.
CHASSIS_OPEN_WITHOUT_MOVE = environment.flag("OPEN_WITHOUT_MOVE", default=False)
CHASSIS_OWNER_PATHS = {"users.User": "/api/v1/users/me"}

REST_FRAMEWORK = environment.rest_framework(
    registration=environment.rate("THROTTLE_REGISTRATION", default="20/min"),
    token=environment.rate("THROTTLE_TOKEN", default="60/min"),
)
CHASSIS_LOGIN_TRIES = environment.number("LOGIN_TRIES", default=10)
# Bodies are JSON and are read whole. The limit is the same on every side, so that no side refuses what another takes.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
SPECTACULAR_SETTINGS = {
    "TITLE": "Users",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# The admin's files are served from the installed packages, so nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The gateway says which scheme the client used.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = logs.configuration("users")
