from __future__ import annotations

from typing import Any

from chassis.ownership.admin import OwnedAdmin
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path

from inspected.billing.models import Archive, Counter, Invoice, Line, Note


@admin.register(Invoice)
class InvoiceAdmin(OwnedAdmin, admin.ModelAdmin):
    capability = "billing"
    actions = ("settle", "remind")

    @admin.action(permissions=["change"])
    def settle(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        queryset.update(paid=True)

    @admin.action(description="offered to all who may look")
    def remind(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:  # -> admin-writes
        for invoice in queryset:
            invoice.pay()


@admin.register(Line)
class LineAdmin(admin.ModelAdmin):  # -> admin-writes
    pass


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """Nobody can write here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Note | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Note | None = None) -> bool:
        return False


@admin.register(Archive)
class ArchiveAdmin(OwnedAdmin, admin.ModelAdmin):  # -> copy-is-read
    """Views of its own: an OwnedAdmin refuses a POST, but no GET, and no URL that is said to read."""

    capability = "billing"

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("import/", wrap(self.take_in), name="billing_archive_import"),
            path("thin/", wrap(self.thin_out), name="billing_archive_thin"),
            path("export/", wrap(self.hand_out), name="billing_archive_export"),
            *super().get_urls(),
        ]

    def take_in(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            Archive.objects.create(text="taken in")
        return HttpResponse()

    def thin_out(self, request: HttpRequest) -> HttpResponse:  # -> admin-writes
        Archive.objects.filter(text="").delete()
        return HttpResponse()

    def hand_out(self, request: HttpRequest) -> HttpResponse:  # -> admin-writes
        if request.method == "POST":
            Archive.objects.update(text="handed out")
        return HttpResponse()


@admin.register(Counter)
class CounterAdmin(OwnedAdmin, admin.ModelAdmin):  # -> admin-writes
    capability = "lending"
