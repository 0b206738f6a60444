"""The project that has the users."""

from __future__ import annotations

from chassis import environment
from chassis.process import logs

SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "chassis",
]
MIDDLEWARE = [
    "chassis.servers.health.HealthMiddleware",
    "chassis.process.logs.RequestIdMiddleware",
    "chassis.process.admission.AdmissionMiddleware",
    "chassis.ownership.fence.FenceMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "theatre.doors"
DATABASES = {"default": environment.database(application="house")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = logs.configuration("house")
CHASSIS_IDENTITY_SECRETS = environment.listing("IDENTITY_SECRETS", default="")
CHASSIS_IDENTITY_ATTRIBUTES = ["email", "date_joined"]
CHASSIS_IDENTITY_SECONDS = 3600  # the stage says for how long
