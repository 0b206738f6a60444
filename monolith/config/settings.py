"""Settings of the shop; what differs from place to place comes from the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from chassis import environment
from chassis.process import logs

SECRET_KEY = environment.secret("SECRET_KEY")
DEBUG = environment.flag("DEBUG", default=False)
ALLOWED_HOSTS = environment.listing("ALLOWED_HOSTS", default="localhost,127.0.0.1")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "chassis",
    "users",
    "products",
    "orders",
    "journey",
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

DATABASES = {"default": environment.database(application="monolith", atomic_requests=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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
# The addresses to ask, in the caller's name, for a row that has not arrived from the side that owns it.
CHASSIS_OWNER_PATHS = {"users.User": "/api/v1/users/me", "products.Product": "/api/v1/products/{pk}"}

# For each capability that may be owned here: the events of others that it listens to, and its inbox.
CHASSIS_CONSUMES = {"orders": ["users.user.deleted"], "products": []}
CHASSIS_INBOXES = {"orders": "orders.Inbox", "products": "products.Inbox"}
CHASSIS_UNHEARD = [
    "products.product.low_stock",
    *(f"orders.order.{status}" for status in ("confirmed", "rejected", "cancelled", "shipped")),
]
CHASSIS_CONTRACTS = str(Path(__file__).parents[1] / "contracts")
CHASSIS_VALIDATE = environment.flag("CHASSIS_VALIDATE", default=False)

REST_FRAMEWORK = environment.rest_framework(
    registration=environment.rate("THROTTLE_REGISTRATION", default="20/min"),
    token=environment.rate("THROTTLE_TOKEN", default="60/min"),
)
CHASSIS_LOGIN_TRIES = environment.number("LOGIN_TRIES", default=10)
# Bodies are JSON and are read whole. The limit is the same on every side, so that no side refuses what another takes.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
SPECTACULAR_SETTINGS = {
    "TITLE": "Shop",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
DEFAULT_FROM_EMAIL = "shop@example.com"

# An event tells that stock has fallen below this number; with 0 there is no such event.
LOW_STOCK = environment.number("LOW_STOCK", default=10)

UNPAID_ORDERS_LIVE = timedelta(minutes=30)
ORDERS_SHIP_AFTER = timedelta(hours=1)

# The password of all accounts that `manage.py load_journey` makes. The data are public, and so are these accounts.
JOURNEY_PASSWORD = "journey-2017"  # noqa: S105
JOURNEY_STAFF_EMAIL = "staff@example.com"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# The admin's files are served from the installed packages, so nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The gateway says which scheme the client used.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = logs.configuration("monolith")
