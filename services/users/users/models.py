"""Accounts and their addresses."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Upper
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, email: str | None) -> User:
        return self.get(email__iexact=email)

    def create_superuser(self, email: str, password: str, full_name: str, **fields: Any) -> User:
        """For ``manage.py createsuperuser``; all other accounts are made by the services."""
        from users import services

        return services.create_superuser(email=email, password=password, full_name=full_name, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who can log in, by e-mail address: a customer, or staff."""

    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=200)
    phone = models.CharField(max_length=32, blank=True)
    language = models.CharField(max_length=8, default="en")
    newsletter = models.BooleanField(default=False, help_text="Agreed to receive offers by mail.")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May log into the admin and change products.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    # It grows with every change of which an event tells. The database has the default, too: so a version of the code
    # that does not know the column can still register users.
    version = models.BigIntegerField(default=0, db_default=0, editable=False)

    renewed = False  # whether a login has hashed the password anew, and not saved it yet

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ("full_name",)

    class Meta:
        constraints = (
            # `unique=True` above satisfies Django's checks. This constraint makes A@x and a@x one account. It uses the
            # expression of Django's iexact, so a login also finds its row by its index.
            models.UniqueConstraint(Upper("email"), name="users_user_email_any_case"),
        )

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.full_name

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0]


class Address(models.Model):
    """An address to which a user's parcels go; the oldest one is the default."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="addresses")
    line1 = models.CharField(max_length=200)
    line2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=100)
    postal_code = models.CharField(max_length=20)
    country = models.CharField(
        max_length=2,
        validators=[RegexValidator(r"^[A-Z]{2}\Z", "Two capital letters, as in ISO 3166.")],
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "addresses"

    def __str__(self) -> str:
        return f"{self.line1}, {self.postal_code} {self.city}"
