"""The admin of orders: they are read here, and moved on by actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.ownership.admin import OwnedAdmin
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from orders import checkout, services
from orders.models import ForgottenCustomer, Line, Order, Payment, PaymentMethod, Shipment, StatusChange


class WrittenByServices(OwnedAdmin):
    """Rows that no form adds."""

    capability = "orders"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OrderInline(WrittenByServices, admin.TabularInline):
    extra = 0
    can_delete = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LineInline(OrderInline):
    model = Line
    raw_id_fields = ("product",)


class PaymentInline(OrderInline):
    model = Payment


class ShipmentInline(OrderInline):
    model = Shipment


class StatusChangeInline(OrderInline):
    model = StatusChange


@admin.register(Order)
class OrderAdmin(WrittenByServices, admin.ModelAdmin):
    list_display = ("id", "user", "status", "total", "currency", "created_at")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("=id", "=user__email")
    show_full_result_count = False
    readonly_fields = (
        "user", "status", "total", "currency", "confirmation_sent_at", "created_at", "updated_at",
    )  # fmt: skip
    fields = (*readonly_fields, "ship_to")
    inlines = (LineInline, PaymentInline, ShipmentInline, StatusChangeInline)
    actions = ("confirm", "ship", "cancel")

    @admin.action(description="The money has come", permissions=("change",))
    def confirm(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._each(request, queryset, lambda pk: services.confirm(order_id=pk, note=f"by {request.user}"))

    @admin.action(description="Ship", permissions=("change",))
    def ship(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._each(request, queryset, lambda pk: services.ship(order_id=pk))

    @admin.action(description="Cancel", permissions=("change",))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._each(request, queryset, lambda pk: checkout.cancel(order_id=pk, note=f"by {request.user}"))

    def has_delete_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Order, form: forms.ModelForm, change: bool) -> None:
        services.store(order=obj)

    def _each(self, request: HttpRequest, queryset: QuerySet[Order], act: Callable[[int], Order]) -> None:
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                act(pk)
            except services.IllegalChangeError as error:
                self.message_user(request, f"Order {pk}: {error}", messages.WARNING)


@admin.register(PaymentMethod)
class PaymentMethodAdmin(WrittenByServices, admin.ModelAdmin):
    list_display = ("label", "user", "created_at")
    list_select_related = ("user",)
    search_fields = ("=user__email",)
    readonly_fields = ("user", "label", "token", "created_at")

    def delete_model(self, request: HttpRequest, obj: PaymentMethod) -> None:
        services.forget_payment_method(method=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PaymentMethod]) -> None:
        for method in queryset:
            services.forget_payment_method(method=method)


@admin.register(ForgottenCustomer)
class ForgottenCustomerAdmin(WrittenByServices, admin.ModelAdmin):
    list_display = ("user_id", "orders", "at")
    search_fields = ("=user_id",)
    readonly_fields = ("user_id", "orders", "at")

    def has_delete_permission(self, request: HttpRequest, obj: ForgottenCustomer | None = None) -> bool:
        return False
