"""Settings of the orders service; what differs from place to place comes from the environment."""

from __future__ import annotations

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
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "chassis",
    "orders",
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

DATABASES = {"default": environment.database(application="orders", atomic_requests=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Customers have no accounts here: this service knows of them only what their tokens say. Django's own accounts are for
# people who use the admin.
CHASSIS_ACCOUNTS = "remote"
# Other services are called through the gateway, because it knows who owns what: at its internal address.
INTERNAL_URL = environment.internal()
GATEWAY_URL = environment.gateway()
CHASSIS_JWKS_URL = f"{GATEWAY_URL}/.well-known/jwks.json"
CHASSIS_AUDIENCE = "shop"
PASSWORD_HASHERS = environment.password_hashers()
PASSWORD_ITERATIONS = environment.number("PASSWORD_ITERATIONS", default=1_000_000)
# This key signs the tokens with which the service calls others.
SERVICE_KEY_FILE = environment.secret("SERVICE_KEY_FILE")
# Public halves of the keys that other services sign with. Where none is named, all services have the key above.
CHASSIS_SERVICE_KEYS = environment.listing("SERVICE_KEY_FILES", default="")

# Until a move has filled this service, its messages and tasks are the monolith's. Set it where there was never a
# monolith.
CHASSIS_OPEN_WITHOUT_MOVE = environment.flag("OPEN_WITHOUT_MOVE", default=False)
CHASSIS_CONSUMES = {"orders": ["users.user.deleted"]}
CHASSIS_INBOXES = {"orders": "orders.Inbox"}
CHASSIS_UNHEARD = [f"orders.order.{status}" for status in ("confirmed", "rejected", "cancelled", "shipped")]
CHASSIS_CONTRACTS = str(Path(__file__).parents[1] / "contracts")

REST_FRAMEWORK = environment.rest_framework()
# Bodies are JSON and are read whole. The limit is the same on every side, so that no side refuses what another takes.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
SPECTACULAR_SETTINGS = {
    "TITLE": "Orders",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
DEFAULT_FROM_EMAIL = "shop@example.com"

UNPAID_ORDERS_LIVE = timedelta(minutes=30)
ORDERS_SHIP_AFTER = timedelta(hours=1)

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# The admin's files are served from the installed packages, so nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The gateway says which scheme the client used.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = logs.configuration("orders")
