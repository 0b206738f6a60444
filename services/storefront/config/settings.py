"""Settings of the storefront; what differs from place to place comes from the environment.

It has no database: what it must remember of a visitor is in cookies that it has signed.
"""

from __future__ import annotations

from pathlib import Path

from chassis import environment
from chassis.process import logs
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
MOST_HOPS = 10

SECRET_KEY = environment.secret("SECRET_KEY")
DEBUG = environment.flag("DEBUG", default=False)
ALLOWED_HOSTS = environment.listing("ALLOWED_HOSTS", default="localhost,127.0.0.1")

INSTALLED_APPS = [
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "storefront",
]

MIDDLEWARE = [
    "storefront.policy.InsideMiddleware",
    "chassis.servers.health.HealthMiddleware",
    "chassis.process.logs.RequestIdMiddleware",
    "chassis.process.tracing.TraceMiddleware",
    "storefront.policy.PolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "chassis.process.admission.AdmissionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "storefront.visitor.VisitorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "storefront.pages.FailureMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "storefront.pages.csrf_failure"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "storefront.pages.surroundings",
            ],
        },
    },
]

# Where customers of the interface ask: the storefront is one of them, and may do nothing that others may not.
GATEWAY_URL = environment.gateway()
# Seconds that a page may wait for the interface in all.
API_SECONDS = environment.number("API_SECONDS", default=12)
# Whether the page shows which side answered. The gateway must tell it, see `tell_sides` in strangler.toml.
RIBBON = environment.flag("RIBBON", default=False)


def _hops(variable: str) -> int:
    hops = environment.number(variable, default=0)
    if hops > MOST_HOPS:
        raise ImproperlyConfigured(f"{variable}={hops} is more than {MOST_HOPS}: give the number of proxies of yours")
    return hops


# How many proxies stand before the storefront, each of which appends to X-Forwarded-For.
STOREFRONT_TRUSTED_HOPS = _hops("STOREFRONT_TRUSTED_HOPS")
# How many the gateway believes: to it the storefront is such a proxy.
GATEWAY_TRUSTED_HOPS = _hops("GATEWAY_TRUSTED_HOPS")
if STOREFRONT_TRUSTED_HOPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Cookies that a browser sends back by https alone, unless somebody says that there is none.
SECURE_COOKIES = not environment.flag("COOKIES_WITHOUT_TLS", default=False)
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE_COOKIES else "csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
# Messages have the attributes of sessions' cookies; there are no sessions.
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Forms of a shop are small.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20
DATA_UPLOAD_MAX_NUMBER_FILES = 0

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "/static/"
# Served from where they stand, so nothing has to be collected first; their addresses change with what is in them.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 86_400

LOGGING = logs.configuration("storefront")
