from __future__ import annotations

from chassis.ownership.admin import OwnedAdmin
from django import forms
from django.contrib import admin
from django.http import HttpRequest

from inspected.billing.models import Invoice
from inspected.lending.models import Loan, Reader, Shelf


class InvoiceInline(admin.TabularInline):  # -> admin-writes
    model = Invoice


class OwnedInline(OwnedAdmin, admin.TabularInline):
    capability = "billing"
    model = Invoice


@admin.register(Loan)
class LoanAdmin(admin.ModelAdmin):  # -> copy-is-read
    inlines = (InvoiceInline, OwnedInline)


@admin.register(Shelf)
class ShelfAdmin(admin.ModelAdmin):
    """Reads what stays."""

    list_display = ("name", "sign")

    def sign(self, shelf: Shelf) -> str:
        return shelf.name


@admin.register(Reader)
class ReaderAdmin(admin.ModelAdmin):  # -> admin-writes
    def save_model(self, request: HttpRequest, obj: Reader, form: forms.ModelForm, change: bool) -> None:
        obj.save()
        Invoice.objects.filter(reader=obj).update(paid=True)
