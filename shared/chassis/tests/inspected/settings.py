from __future__ import annotations

SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
USE_TZ = True
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "chassis",
    "inspected.billing",
    "inspected.lending",
]
MIDDLEWARE = [
    "chassis.servers.health.HealthMiddleware",
    "inspected.lending.middleware.VersionMiddleware",
    "inspected.lending.middleware.SeenMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "chassis.ownership.fence.FenceMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "inspected.lending.middleware.count",
]
ROOT_URLCONF = "inspected.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "inspected.lending.context.visits",
                "inspected.lending.context.known",
            ]
        },
    }
]
# Nothing may connect: there is no server at this address.
NOWHERE = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": "1", "NAME": "none"}
DATABASES = {"default": {**NOWHERE, "ATOMIC_REQUESTS": True}, "second": {**NOWHERE, "AUTOCOMMIT": False}}
DATABASE_ROUTERS = ["inspected.billing.routers.Archive"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHASSIS_BROKER_URL = "memory://"
