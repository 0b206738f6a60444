"""Shapes of the users interface."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from rest_framework import serializers

from users import selectors
from users.models import Address, User


class UniqueEmail:
    """Refuses an address that another account has. The constraint catches races."""

    requires_context = True

    def __call__(self, email: str, field: serializers.Field) -> None:
        if selectors.email_taken(email=email, except_for=field.parent.instance):
            raise serializers.ValidationError("A user with this email already exists.", code="unique")


class UserSerializer(serializers.ModelSerializer):
    email = serializers.EmailField(max_length=254, validators=[UniqueEmail()])

    class Meta:
        model = User
        fields = ("id", "email", "full_name", "created_at")
        read_only_fields = ("id", "created_at")


class RegistrationSerializer(UserSerializer):
    password = serializers.CharField(
        write_only=True, max_length=128, trim_whitespace=False, validators=[validate_password]
    )

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "password")


class CredentialsSerializer(serializers.Serializer):
    email = serializers.EmailField()
    password = serializers.CharField(max_length=128, trim_whitespace=False)


class RefreshSerializer(serializers.Serializer):
    refresh = serializers.CharField()


class TokenPairSerializer(serializers.Serializer):
    access = serializers.CharField()
    refresh = serializers.CharField()


class JsonWebKeySetSerializer(serializers.Serializer):
    keys = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))


class InternalUserSerializer(serializers.ModelSerializer):
    """What other services may know of a user."""

    address = serializers.SerializerMethodField(help_text="The default address in one line; empty where there is none.")

    class Meta:
        model = User
        fields = ("id", "email", "full_name", "is_active", "address")
        read_only_fields = fields

    def get_address(self, user: User) -> str:
        return str(selectors.default_address(user_id=user.pk) or "")


class AddressSerializer(serializers.ModelSerializer):
    class Meta:
        model = Address
        fields = ("id", "line1", "line2", "city", "postal_code", "country")
        read_only_fields = ("id",)
