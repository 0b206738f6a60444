"""Addresses for tokens: where the process has the key it signs and publishes, and everywhere it verifies."""

from __future__ import annotations

from chassis.identity import tokens
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Open(APIView):
    authentication_classes = ()
    permission_classes = ()


class Sign(Open):
    """A token of an account, and one of a service."""

    def get(self, request: Request) -> Response:
        service = tokens.issue_service("books", "lending") if settings.SERVICE_KEY_FILE else None
        return Response({"access": tokens.issue(User(pk=7)).access, "service": service})


class Publish(Open):
    def get(self, request: Request) -> Response:
        return Response(tokens.jwks())


class Enter(APIView):
    def get(self, request: Request) -> Response:
        return Response({"user": request.user.pk})


class ServicesOnly(tokens.ServiceTokenAuthentication):
    audience = "books"


class Serve(APIView):
    authentication_classes = (ServicesOnly,)
    permission_classes = (tokens.IsService,)

    def get(self, request: Request) -> Response:
        return Response({"service": request.user.name})


urlpatterns = [
    path("sign", Sign.as_view()),
    path(".well-known/jwks.json", Publish.as_view()),
    path("enter", Enter.as_view()),
    path("serve", Serve.as_view()),
]
