"""The chassis as a Django app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.module_loading import autodiscover_modules

from chassis.extras import has
from chassis.process import samples

# Here, for models and middleware of any app open files of samples as they are imported.
samples.guard()


class ChassisConfig(AppConfig):
    """Brings the management commands, the outbox and the checks; finds each app's ``handlers``.

    Limits the tries of the admin's login, unless the project has its own form for it. Tells drf-spectacular, where it
    is installed, of the tokens.
    """

    name = "chassis"
    label = "chassis"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Imports what registers itself, and begins to watch what the database refuses, and what is deleted."""
        if has("drf_spectacular", "rest_framework"):
            from chassis.rest import openapi  # noqa: F401
        from chassis import agreement
        from chassis.identity import checks as identity_checks  # noqa: F401
        from chassis.identity import telling
        from chassis.ownership import internal, refusals
        from chassis.references import loose, obeying, sending
        from chassis.servers import surroundings

        if has(*surroundings.MESSAGING):
            from chassis.servers import checks  # noqa: F401

        refusals.install()
        sending.install()
        loose.install()
        internal.views[agreement.DELETIONS] = obeying.answer
        internal.views[telling.PATH] = telling.answer

        if apps.is_installed("django.contrib.admin"):
            _guard_the_admin()
        autodiscover_modules("handlers")


def _guard_the_admin() -> None:
    from django.contrib import admin

    from chassis import settings
    from chassis.identity.logins import LoginForm

    admin.site.login_form = admin.site.login_form or LoginForm
    if settings.owned_admins():
        from chassis.ownership import admin as owned

        owned.own(admin.site)
