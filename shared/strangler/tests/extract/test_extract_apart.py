"""An app of which only some tables move is cut apart; and what its code asks across the seam is listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import Small
from strangler.extract.draft import Kind

FILES = {
    "site_of/urls.py": """
        from django.urls import path
        from house import views
        from gate.views import enter

        urlpatterns = [
            path("rooms/<int:pk>", views.room, name="room"),
            path("tenants/<int:pk>", views.tenant, name="tenant"),
            path("enter/<slug:slug>", enter, name="enter"),
        ]
    """,
    "house/apps.py": """
        from django.apps import AppConfig

        class HouseConfig(AppConfig):
            name = "house"

            def ready(self):
                from . import hearing  # noqa
    """,
    "house/models/__init__.py": """
        from .room import Key, Room
        from .tenant import Contract, Tenant

        __all__ = ["Contract", "Key", "Room", "Tenant"]
    """,
    "house/models/base.py": """
        from django.db import models

        class Named(models.Model):
            name = models.CharField(max_length=10)

            class Meta:
                abstract = True
    """,
    "house/models/room.py": """
        from django.db import models

        from .base import Named

        # A room.
        class Room(Named):
            tenant = models.ForeignKey("Tenant", null=True, on_delete=models.SET_NULL, related_name="rooms")

            @property
            def holder(self):
                return self.tenant.name if self.tenant else ""


        class Key(models.Model):
            room = models.ForeignKey(Room, on_delete=models.CASCADE)
    """,
    "house/models/tenant.py": """
        from django.db import models

        from .base import Named

        class Tenant(Named):
            pass


        class Contract(models.Model):
            room = models.ForeignKey("house.Room", on_delete=models.CASCADE, related_name="contracts")
            tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    """,
    "house/admin.py": """
        from django.contrib import admin

        from .models import Contract, Key, Room, Tenant


        class KeyInline(admin.TabularInline):
            model = Key


        @admin.register(Room)
        class RoomAdmin(admin.ModelAdmin):
            list_display = ("name", "tenant")
            search_fields = ("name", "tenant__name")
            list_filter = ("tenant",)
            autocomplete_fields = ("tenant",)
            inlines = (KeyInline,)


        @admin.register(Tenant)
        class TenantAdmin(admin.ModelAdmin):
            search_fields = ("name",)


        admin.site.register(Contract)
    """,
    "house/hearing.py": """
        from django.db.models.signals import post_save
        from django.dispatch import Signal, receiver

        from .models import Room, Tenant

        moved_in = Signal()

        @receiver(post_save, sender=Room)
        def on_room(sender, instance, **kwargs):
            moved_in.send(sender=sender)

        @receiver(post_save, sender=Tenant)
        def on_tenant(sender, instance, **kwargs):
            Room.objects.filter(tenant=instance).update(name="")
    """,
    "house/views.py": """
        from django.conf import settings
        from django.core.cache import cache
        from django.db import connection
        from django.http import HttpResponse
        from django.shortcuts import get_object_or_404, redirect, render
        from django.urls import reverse

        from .models import Contract, Room, Tenant


        def room(request, pk):
            found = get_object_or_404(Room.objects.select_related("tenant"), pk=pk)
            cache.set(f"house-room-{pk}", settings.HOUSE_WORDS, 60)
            with connection.cursor() as cursor:
                cursor.execute("SELECT name FROM house_tenant")
            others = Room.objects.filter(tenant__name=request.user.username).order_by("-tenant__name")
            if found.tenant.pk or found.contracts.filter(tenant=found.tenant).exists():
                return redirect("tenant", pk=1)
            if Tenant.objects.exists():
                found.tenant = None
            return render(request, "house/room.html", {"others": others, "next": reverse("room", args=[pk])})


        def tenant(request, pk):
            return HttpResponse(str(Tenant.objects.get(pk=pk)) + ",".join(_sorted(Contract.objects.all())))


        def _sorted(found):
            return sorted(map(str, found))
    """,
    "house/tasks.py": """
        from house.models import Room


        def sweep():
            Room.objects.filter(name="").delete()
    """,
    "house/forms.py": """
        from django import forms
        from house.models import Tenant


        class TenantForm(forms.ModelForm):
            class Meta:
                model = Tenant
                fields = ["name"]
    """,
    "house/templates/house/room.html": """
        {% extends "frame.html" %}
        {% load gates %}
        <a href="{% url 'tenant' 1 %}">t</a> <a href="{% url 'room' 1 %}">r</a>
    """,
    "house/static/house/door.css": "body {}\n",
    "house/fixtures/rooms.json": "[]\n",
    "house/tests/__init__.py": "",
    "house/tests/test_room.py": """
        from house.models import Room
        from gate.models import Gate


        def test_room():
            assert Room and Gate
    """,
    "gate/models.py": """
        from django.db import models


        class Gate(models.Model):
            name = models.CharField(max_length=10)
    """,
    "gate/views.py": """
        from django.http import HttpResponse
        from gate.models import Gate
        from house.models import Room


        def enter(request, slug):
            return HttpResponse(_label(Room.objects.get(name=slug)))


        def _label(room):
            return room.name


        def leave(request):
            return HttpResponse(Gate.objects.count())
    """,
    "gate/listening.py": """
        from django.core.cache import cache
        from django.db.models.signals import post_delete
        from django.dispatch import receiver
        from house.hearing import moved_in
        from house.models import Room


        @receiver(post_delete, sender=Room)
        def on_delete(sender, **kwargs):
            cache.delete("house-room-1")


        @receiver(moved_in)
        def on_moved_in(sender, **kwargs):
            pass
    """,
    "gate/templatetags/__init__.py": "",
    "gate/templatetags/gates.py": "from django import template\nregister = template.Library()\n",
    "templates/frame.html": "<html></html>\n",
}
ROUTES = ("GET /rooms/{id}", "GET /enter/{id}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.written(tmp_path_factory.mktemp("house"), FILES, "house", "gate")


def test_models_that_stay_are_cut_and_the_rest_sets_up(small: Small, tmp_path: Path) -> None:
    cut = small.drafted("house_room house_key", *ROUTES)

    room = cut.text("house/models/room.py")
    assert "# A room.\nclass Room(Named):" in room
    assert 'models.ForeignKey("standins.Tenant", db_constraint=False, null=True' in room
    assert not cut.has("house/models/tenant.py")
    init = cut.text("house/models/__init__.py")
    assert "from .room import Key, Room" in init
    assert ".tenant" not in init
    assert '__all__ = ["Key", "Room"]' in init
    assert "Create model Room" in cut.migration(tmp_path)
    assert cut.said(Kind.IMPORT, "house.models.tenant")[0].open is False


def test_admins_of_what_stays_are_cut_and_names_of_fields_follow(small: Small) -> None:
    admin = small.drafted("house_room house_key", *ROUTES).text("house/admin.py")

    assert "class KeyInline" in admin
    assert 'list_display = ("name", "tenant_id")' in admin
    assert 'search_fields = ("name",)' in admin
    assert "list_filter = ()" in admin
    assert "autocomplete_fields = ()" in admin
    assert "TenantAdmin" not in admin
    assert "Contract" not in admin


def test_views_of_routes_come_along_and_others_do_not(small: Small) -> None:
    cut = small.drafted("house_room house_key", *ROUTES)

    views = cut.text("house/views.py")
    assert "def room(request, pk):" in views
    assert "def tenant(" not in views
    assert "_sorted" not in views
    assert "from standins.models import Tenant" in views
    gate = cut.text("gate/views.py")
    assert "def _label(room):" in gate
    assert "leave" not in gate
    assert "Gate" not in gate
    assert [one.view for one in cut.source.routes] == ["house.views.room", "gate.views.enter"]
    assert cut.is_same("house/tasks.py")
    assert not cut.has("house/forms.py")


def test_each_query_across_the_seam_is_listed(small: Small) -> None:
    cut = small.drafted("house_room house_key", *ROUTES)

    for words in (
        'select_related("tenant") joins house_tenant',
        "filter(tenant__name=…) joins house_tenant",
        'order_by("-tenant__name") joins house_tenant',
        "found.tenant.pk loads the row",
        "found.contracts.filter asks for rows of house.Contract.room",
        "found.tenant is set",
        "self.tenant.name reads a row of house_tenant",
        "SQL names house_tenant",
    ):
        found = cut.said(Kind.QUERY, words)
        assert found, words
        assert all(one.open and one.place.startswith("house/") for one in found)
    assert cut.said(Kind.IMPORT, "house.models.tenant.Tenant stays")[0].open


def test_signals_routes_settings_and_caches_are_listed(small: Small) -> None:
    cut = small.drafted("house_room house_key", *ROUTES)

    assert "on_tenant" not in cut.text("house/hearing.py") or cut.said(Kind.SIGNAL, "of house.Tenant")
    assert cut.said(Kind.SIGNAL, "gate/listening.py:8")
    assert cut.said(Kind.SIGNAL, "hears moved_in")[0].place == "gate/listening.py:13"
    assert not cut.said(Kind.ROUTE, 'redirect("tenant")')[0].open
    assert not cut.said(Kind.ROUTE, 'reverse("room")')
    assert cut.source.settings == ("HOUSE_WORDS",)
    assert cut.said(Kind.SETTING, "HOUSE_WORDS")
    assert cut.said(Kind.CACHE, "gate/listening.py:10")[0].open


def test_files_come_along_and_what_templates_name_is_listed(small: Small) -> None:
    cut = small.drafted("house_room house_key", *ROUTES)

    assert cut.is_same("house/templates/house/room.html")
    assert cut.is_same("house/static/house/door.css")
    assert cut.is_same("templates/frame.html")
    assert cut.said(Kind.ROUTE, "names routes that stay: tenant (line 3)")
    assert cut.source.libraries == {"gates": "gate.templatetags.gates"}
    assert cut.has("gate/templatetags/gates.py")
    assert cut.said(Kind.FILE, "a fixture came along")
    assert cut.is_same("house/tests/test_room.py")
    assert cut.said(Kind.IMPORT, "the test uses gate.models.Gate")[0].open


def test_numbers_cut_the_same_app(small: Small, tmp_path: Path) -> None:
    cut = small.drafted("house_room house_key", *ROUTES, relations="numbers")

    assert "tenant_id = models.BigIntegerField(db_index=True, null=True)" in cut.text("house/models/room.py")
    assert 'search_fields = ("name", "=tenant_id")' in cut.text("house/admin.py")
    assert "Create model Room" in cut.migration(tmp_path)
