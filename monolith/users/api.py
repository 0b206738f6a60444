"""Views of the users interface: accounts, addresses, tokens."""

from __future__ import annotations

from chassis.identity import tokens, tries
from chassis.rest.throttles import ClientThrottle
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from users import selectors, serializers, services
from users.models import Address, User


class ServicesOnly(tokens.ServiceTokenAuthentication):
    audience = "users"


# strangler-check: a password is hashed before the one transaction, see chassis.identity.hashing, "hash outside"
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class RegistrationApi(generics.CreateAPIView):
    """Open an account."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ClientThrottle,)
    throttle_scope = "registration"
    serializer_class = serializers.RegistrationSerializer

    def perform_create(self, serializer: BaseSerializer[User]) -> None:
        try:
            serializer.instance = services.register(**serializer.validated_data)
        except services.EmailTakenError as error:
            raise _taken() from error


class MeApi(generics.RetrieveUpdateDestroyAPIView):
    """The caller's own account."""

    http_method_names = ("get", "patch", "delete", "head", "options")
    serializer_class = serializers.UserSerializer

    def get_object(self) -> User:
        return self.request.user

    def perform_update(self, serializer: BaseSerializer[User]) -> None:
        try:
            services.update_profile(user=self.request.user, **serializer.validated_data)
        except services.EmailTakenError as error:
            raise _taken() from error

    def perform_destroy(self, instance: User) -> None:
        services.delete(user=instance)


class AddressesApi(generics.ListCreateAPIView):
    """The caller's addresses, newest first."""

    serializer_class = serializers.AddressSerializer

    def get_queryset(self) -> QuerySet[Address]:
        return selectors.addresses_of(user=self.request.user)

    def perform_create(self, serializer: BaseSerializer[Address]) -> None:
        serializer.instance = services.add_address(user=self.request.user, **serializer.validated_data)


# strangler-check: it reads two rows, which a transaction would make no truer, and a checkout waits for it
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class InternalUserApi(generics.RetrieveAPIView):
    """A user, for other services."""

    authentication_classes = (ServicesOnly,)
    permission_classes = (tokens.IsService,)
    serializer_class = serializers.InternalUserSerializer
    queryset = User.objects.all()


# strangler-check: a password is hashed before the one transaction, see chassis.identity.hashing, "hash outside"
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class TokenApi(APIView):
    """Exchange email and password for a pair of tokens."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ClientThrottle,)
    throttle_scope = "token"

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'  # without one, REST framework would turn the 401 into a 403

    @extend_schema(request=serializers.CredentialsSerializer, responses=serializers.TokenPairSerializer)
    def post(self, request: Request) -> Response:
        credentials = serializers.CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        with tries.throttled(request._request, credentials.validated_data["email"]) as tried:
            user = authenticate(request._request, **credentials.validated_data)
            tried.right = user is not None
        if user is None:
            raise AuthenticationFailed("No active account has this email and password.")
        services.record_login(user=user)
        return Response(tokens.issue(user)._asdict())


class RefreshApi(APIView):
    """Exchange a refresh token for a new pair."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ClientThrottle,)
    throttle_scope = "token"

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    @extend_schema(request=serializers.RefreshSerializer, responses=serializers.TokenPairSerializer)
    def post(self, request: Request) -> Response:
        body = serializers.RefreshSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            user = tokens.bearer(body.validated_data["refresh"], use="refresh", request=request._request)
        except tokens.TokenError as error:
            raise AuthenticationFailed(str(error)) from error
        return Response(tokens.issue(user)._asdict())


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class JwksApi(APIView):
    """The keys that verify tokens."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="jwks_retrieve", tags=["auth"], responses=serializers.JsonWebKeySetSerializer)
    def get(self, request: Request) -> Response:
        return Response(tokens.jwks(), headers={"Cache-Control": "public, max-age=300"})


def _taken() -> ValidationError:
    return ValidationError({"email": ["A user with this email already exists."]}, code="unique")
