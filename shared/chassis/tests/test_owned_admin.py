"""The views that a project or a package adds to an admin, while another side owns the model."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.ownership import admin as owned
from chassis.ownership import owners
from chassis.ownership.admin import OwnedAdmin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, include, path


class Importing(ModelAdmin):
    """Adds views as django-import-export does: they ask a permission of their own, and write."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("import/", view(self.act), name="auth_user_import"),
            path("process_import/", view(self.act), name="auth_user_process_import"),
            path("export/", view(self.act), name="auth_user_export"),
            *super().get_urls(),
        ]

    def act(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("done")


class UserAdmin(OwnedAdmin, Importing):
    """Has a view of its own, before those of its bases, and one behind another list of URLs."""

    capability = "users"

    def get_urls(self) -> list[Any]:
        more = [path("deeper/", self.admin_site.admin_view(self.act), name="deeper")]
        return [path("own/", self.act, name="own"), path("more/", include(more)), *super().get_urls()]


def named(patterns: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in patterns:
        if isinstance(one, URLResolver):
            found |= named(one.url_patterns)
        elif isinstance(one, URLPattern):
            found[one.name or "redirect"] = one.callback
    return found


@pytest.fixture
def views() -> dict[str, Any]:
    return named(UserAdmin(User, AdminSite()).urls)


def ask(view: Any, method: str, **arguments: str) -> HttpResponse:
    request = RequestFactory().generic(method, "/admin/")
    request.user = User(is_staff=True, is_active=True, is_superuser=True)
    request._dont_enforce_csrf_checks = True
    return view(request, **arguments)


@pytest.mark.parametrize("names", [["auth"], ["auth.User"], ["auth.user"]])
def test_a_setting_makes_an_admin_an_owned_one_before_and_after_it_is_registered(settings, monkeypatch, names):
    settings.CHASSIS_OWNED_ADMINS = {"users": names}
    monkeypatch.setattr(owners, "is_open", lambda capability: capability != "users")
    before, after = AdminSite(), AdminSite()
    before.register(User, Importing)
    owned.own(before)
    owned.own(after)
    after.register([User], Importing)

    for site in (before, after):
        found = site._registry[User]
        assert isinstance(found, OwnedAdmin)
        assert (type(found).__name__, type(found).__module__) == ("Importing", __name__)
        request = RequestFactory().get("/admin/")
        request.user = User(is_staff=True, is_active=True, is_superuser=True)
        assert not found.has_change_permission(request)
        assert found.has_view_permission(request)


def test_an_admin_that_the_setting_does_not_name_stays_as_it_is(settings):
    settings.CHASSIS_OWNED_ADMINS = {"users": ["auth.Group", "books"]}
    site = AdminSite()
    site.register(User, Importing)
    owned.own(site)

    assert type(site._registry[User]) is Importing


@pytest.mark.parametrize("value", ["users", {"users": "auth"}, {"users": [1]}])
def test_a_setting_that_names_no_admins_is_refused(settings, value):
    settings.CHASSIS_OWNED_ADMINS = value

    with pytest.raises(ImproperlyConfigured, match="CHASSIS_OWNED_ADMINS"):
        owned.own(AdminSite())


ADDED = ["auth_user_import", "auth_user_process_import", "own", "deeper"]


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_an_added_view_writes_nothing_that_is_owned_elsewhere(views, monkeypatch, name, method):
    monkeypatch.setattr(owners, "is_open", lambda capability: capability != "users")

    with pytest.raises(PermissionDenied, match="users is owned elsewhere"):
        ask(views[name], method)


@pytest.mark.parametrize("name", ADDED)
def test_an_added_view_can_be_looked_at_everywhere_and_acts_at_the_owner(views, monkeypatch, name):
    monkeypatch.setattr(owners, "is_open", lambda capability: False)
    assert ask(views[name], "GET").content == b"done"

    monkeypatch.setattr(owners, "is_open", lambda capability: True)
    assert ask(views[name], "POST").content == b"done"


def test_what_is_said_to_read_answers_a_post_everywhere(views, monkeypatch):
    monkeypatch.setattr(owners, "is_open", lambda capability: False)

    assert ask(views["auth_user_export"], "POST").content == b"done"


def test_djangos_own_views_ask_for_permissions_as_before(monkeypatch):
    admin = UserAdmin(User, AdminSite())
    monkeypatch.setattr(owners, "is_open", lambda capability: False)
    before, after = named(Importing(User, AdminSite()).urls), named(admin.urls)

    assert before.keys() <= after.keys()
    assert not admin.has_change_permission(HttpRequest())
    for name in ("changelist", "add", "history", "delete", "change"):
        assert admin.asks_by_itself(path("", after[f"auth_user_{name}"], name=f"auth_user_{name}"))
