"""The admin of users: what it changes goes through the services."""

from __future__ import annotations

from chassis.ownership.admin import OwnedAdmin
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.db.models import QuerySet
from django.http import HttpRequest

from users import services
from users.models import Address, User


class NewUserForm(BaseUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "full_name")


class AddressInline(OwnedAdmin, admin.TabularInline):
    capability = "users"
    model = Address
    extra = 0


@admin.register(User)
class UserAdmin(OwnedAdmin, DjangoUserAdmin):
    capability = "users"
    add_form = NewUserForm
    inlines = (AddressInline,)
    list_display = ("email", "full_name", "is_staff", "is_active", "created_at")
    list_filter = ("is_staff", "is_active", "newsletter")
    search_fields = ("email", "full_name")
    ordering = ("-pk",)
    readonly_fields = ("last_login", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Profile", {"fields": ("full_name", "phone", "language", "newsletter")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "created_at", "updated_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "full_name", "password1", "password2")}),)

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        services.store(user=obj)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete(user=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            services.delete(user=user)
