from __future__ import annotations

from chassis.ownership.admin import OwnedAdmin
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

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
class ArchiveAdmin(OwnedAdmin, admin.ModelAdmin):
    capability = "billing"


@admin.register(Counter)
class CounterAdmin(OwnedAdmin, admin.ModelAdmin):  # -> admin-writes
    capability = "lending"
