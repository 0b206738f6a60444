import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Readers(BaseUserManager):
    def create_user(self, card, password=None, **extra):
        reader = self.model(card=card, **extra)
        reader.set_password(password)
        reader.save(using=self._db)
        return reader

    def create_superuser(self, card, password, **extra):
        return self.create_user(card, password, is_staff=True, is_superuser=True, **extra)


class Reader(AbstractBaseUser, PermissionsMixin):
    """Somebody with a library card. Cards are deleted, with all that hangs on them, when a reader asks for it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    card = models.CharField(max_length=12, unique=True)
    name = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    home = models.ForeignKey(
        "branches.Branch", on_delete=models.SET_NULL, null=True, blank=True, related_name="readers"
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects = Readers()

    USERNAME_FIELD = "card"

    def __str__(self):
        return self.name or self.card
