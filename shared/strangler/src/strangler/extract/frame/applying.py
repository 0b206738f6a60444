"""Which of the project's settings apply to the service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from strangler.extract.frame.access import Access, Way
from strangler.extract.frame.installed import AUTH, MESSAGES, SESSIONS, STATIC, Installed
from strangler.extract.frame.surroundings import Surroundings

# Those that the frame writes by itself.
STRUCTURE = frozenset(
    {"ALLOWED_HOSTS", "ASGI_APPLICATION", "AUTH_USER_MODEL", "BASE_DIR", "CHASSIS_ACCOUNTS", "CHASSIS_JWKS_URL"}
    | {"CHASSIS_OPEN_WITHOUT_MOVE", "DATABASES", "DEBUG", "GATEWAY_URL", "INSTALLED_APPS", "INTERNAL_URL", "LOGGING"}
    | {"MIDDLEWARE", "ROOT_URLCONF", "SECRET_KEY", "TEMPLATES", "TOKEN_KEY_FILE", "WSGI_APPLICATION"}
)
# What has a meaning on the monolith's side alone, or names places in its code.
ELSEWHERE = frozenset(
    {"CHASSIS_IDENTITY_ATTRIBUTES", "CHASSIS_IDENTITY_TOKENS", "CHASSIS_OWNED_ADMINS"}
    | {"CHASSIS_CHECKED", "CHASSIS_INSTRUMENTORS", "DATABASE_ROUTERS", "FIXTURE_DIRS", "LOCALE_PATHS"}
    | {"MIGRATION_MODULES"}
)
Needs = Callable[[Surroundings, Installed, Access], bool]
_NEEDS: Mapping[str, tuple[str, Needs]] = {
    r"AUTH_PASSWORD_VALIDATORS|PASSWORD_\w+|AUTHENTICATION_BACKENDS": (
        "the service has no accounts",
        lambda here, installed, access: AUTH in installed.modules,
    ),
    r"CHASSIS_LOGIN_TRIES": ("nobody logs in there", lambda here, installed, access: here.owns_accounts),
    r"LOGIN_\w+|LOGOUT_\w+": (
        "it has no login",
        lambda here, installed, access: AUTH in installed.modules or Way.SESSIONS in access.ways,
    ),
    r"SESSION_\w+": (
        "it reads no sessions",
        lambda here, installed, access: SESSIONS in installed.modules or Way.SESSIONS in access.ways,
    ),
    r"MESSAGE_\w+": ("it has no messages", lambda here, installed, access: MESSAGES in installed.modules),
    r"STATIC_\w+|STATICFILES_\w+|WHITENOISE_\w+": (
        "it serves no files",
        lambda here, installed, access: STATIC in installed.modules or here.has_templates,
    ),
    r"MEDIA_\w+|DEFAULT_FILE_STORAGE|STORAGES|FILE_UPLOAD_\w+": (
        "nothing that came along has files",
        lambda here, installed, access: here.mentions(
            "FileField", "ImageField", "default_storage", "storages", "FILES"
        ),
    ),
    r"EMAIL_\w+|DEFAULT_FROM_EMAIL|SERVER_EMAIL|ADMINS|MANAGERS": (
        "nothing that came along sends mail",
        lambda here, installed, access: here.imports_of("django.core.mail") or here.mentions("email_user"),
    ),
    r"CSRF_\w+": (
        "no form is checked there",
        lambda here, installed, access: any("Csrf" in one for one in installed.middleware),
    ),
    r"CACHE_MIDDLEWARE_\w+": (
        "it has no cache for whole pages",
        lambda here, installed, access: any("cache" in one for one in installed.middleware),
    ),
}
_EXACT = {re.compile(pattern): rule for pattern, rule in _NEEDS.items()}


def why_not(name: str, here: Surroundings, installed: Installed, access: Access) -> str:
    """Why a setting is left out; empty where it applies."""
    if name in ELSEWHERE:
        return "it names places of the project"
    for pattern, (why, needs) in _EXACT.items():
        if pattern.fullmatch(name):
            return "" if name in here.source.settings or needs(here, installed, access) else why
    found = here.described.setting(name)
    if found is None or found.django or name in here.source.settings:
        return ""
    if not set(found.readers).isdisjoint(installed.packages):
        return ""
    return "nothing that came along reads it"
