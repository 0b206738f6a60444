"""The admin of products: stock is shown here and changed only by sales and deliveries."""

from __future__ import annotations

from typing import Any

from chassis.ownership.admin import OwnedAdmin
from django import forms
from django.contrib import admin
from django.http import HttpRequest

from products import services
from products.models import Category, PriceChange, Product, StockMovement


class History(OwnedAdmin, admin.TabularInline):
    """Rows that the services write and nobody edits."""

    capability = "products"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PriceChangeInline(History):
    model = PriceChange
    raw_id_fields = ("changed_by",)


class StockMovementInline(History):
    model = StockMovement


@admin.register(Category)
class CategoryAdmin(OwnedAdmin, admin.ModelAdmin):
    capability = "products"
    list_display = ("name", "slug", "parent")
    list_select_related = ("parent",)
    search_fields = ("name", "slug")
    autocomplete_fields = ("parent",)
    prepopulated_fields = {"slug": ("name",)}  # noqa: RUF012  # Django's own declaration

    def save_model(self, request: HttpRequest, obj: Category, form: forms.ModelForm, change: bool) -> None:
        services.store_category(category=obj)


@admin.register(Product)
class ProductAdmin(OwnedAdmin, admin.ModelAdmin):
    capability = "products"
    list_display = ("name", "brand", "size", "price", "stock", "is_active", "edited_by", "updated_at")
    list_filter = ("is_active",)
    list_select_related = ("edited_by",)
    search_fields = ("name", "brand")
    show_full_result_count = False
    autocomplete_fields = ("category",)
    readonly_fields = ("stock", "edited_by", "created_at", "updated_at")
    inlines = (PriceChangeInline, StockMovementInline)

    def save_model(self, request: HttpRequest, obj: Product, form: forms.ModelForm, change: bool) -> None:
        services.store(product=obj, by=request.user)
