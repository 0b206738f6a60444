"""Settings of the products service; what differs from place to place comes from the environment.

There are no accounts and no admin here: a token that the users service has signed says who acts, and staff edit the
catalogue through the interface.
"""

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
    "django.contrib.postgres",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "chassis",
    "products",
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
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

DATABASES = {"default": environment.database(application="products", atomic_requests=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHASSIS_ACCOUNTS = "remote"
GATEWAY_URL = environment.gateway()
CHASSIS_JWKS_URL = f"{GATEWAY_URL}/.well-known/jwks.json"
CHASSIS_AUDIENCE = "shop"
# A caller with a token of this key is a service and may ask at /internal. Without the key no caller may.
SERVICE_KEY_FILE = os.environ.get("SERVICE_KEY_FILE", "")
# Public halves of the keys that other services sign with. Where none is named, all services have the key above.
CHASSIS_SERVICE_KEYS = environment.listing("SERVICE_KEY_FILES", default="")

# For each capability: the events of others that it listens to. Commands come to its queue without being named here.
# Until a move has filled this service, its messages and tasks are the monolith's. Set it where there was never a
# monolith.
CHASSIS_OPEN_WITHOUT_MOVE = environment.flag("OPEN_WITHOUT_MOVE", default=False)
CHASSIS_CONSUMES = {"products": []}
CHASSIS_INBOXES = {"products": "products.Inbox"}
CHASSIS_UNHEARD = ["products.product.low_stock"]
CHASSIS_CONTRACTS = str(BASE_DIR / "contracts")

# An event tells that stock has fallen below this number; with 0 there is no such event.
LOW_STOCK = environment.number("LOW_STOCK", default=10)

# A request without a token has no user: AnonymousUser would need the tables of accounts.
REST_FRAMEWORK = environment.rest_framework() | {"UNAUTHENTICATED_USER": None}
# Bodies are JSON and are read whole. The limit is the same on every side, so that no side refuses what another takes.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
SPECTACULAR_SETTINGS = {
    "TITLE": "Products",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# The gateway says which scheme the client used.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = logs.configuration("products")
