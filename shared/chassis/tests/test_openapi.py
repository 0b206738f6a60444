"""What an OpenAPI document says of who may ask."""

from __future__ import annotations

import pytest
from chassis.identity.tokens import TokenAuthentication
from chassis.rest.openapi import AutoSchema
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import SAFE_METHODS, AllowAny, BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.views import APIView


class StaffOrReadOnly(IsAdminUser):
    def has_permission(self, request, view):
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class OfASession(BasePermission):
    def has_permission(self, request, view):
        return bool(request.session["basket"])


def ways(permissions: list[type[BasePermission]]) -> dict[str, list[dict[str, list[str]]]]:
    """What a document says of a view with these permissions: the ways to sign in, by method."""

    class Books(APIView):
        schema = AutoSchema()
        authentication_classes = (TokenAuthentication,)
        permission_classes = permissions

        @extend_schema(responses=None)
        def get(self, request): ...

        @extend_schema(request=None, responses=None)
        def post(self, request): ...

    document = SchemaGenerator(patterns=[path("books", Books.as_view())]).get_schema(request=None, public=True)
    return {method: operation["security"] for method, operation in document["paths"]["/books"].items()}


@pytest.mark.parametrize(
    ("permissions", "get", "post"),
    [
        ([AllowAny], True, True),
        ([StaffOrReadOnly], True, False),
        ([StaffOrReadOnly | IsAuthenticated], True, False),
        ([StaffOrReadOnly, AllowAny], True, False),
        ([IsAuthenticated], False, False),
        ([OfASession], False, False),
        ([OfASession, AllowAny], True, True),  # nobody knows, so it stays as the library has it
    ],
)
def test_what_permissions_open_to_everybody_is_described_as_open(permissions, get, post):
    token = {"token": []}

    assert ways(permissions) == {
        "get": [token, {}] if get else [token],
        "post": [token, {}] if post else [token],
    }
