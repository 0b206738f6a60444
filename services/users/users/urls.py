"""Paths of the users interface."""

from __future__ import annotations

from django.urls import path

from users import api

urlpatterns = [
    path("api/v1/users", api.RegistrationApi.as_view(), name="registration"),
    path("api/v1/users/me", api.MeApi.as_view(), name="me"),
    path("api/v1/users/me/addresses", api.AddressesApi.as_view(), name="addresses"),
    path("api/v1/auth/token", api.TokenApi.as_view(), name="token"),
    path("api/v1/auth/refresh", api.RefreshApi.as_view(), name="refresh"),
    path("internal/users/<int:pk>", api.InternalUserApi.as_view(), name="internal-user"),
    path(".well-known/jwks.json", api.JwksApi.as_view(), name="jwks"),
]
