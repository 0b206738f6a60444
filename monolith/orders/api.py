"""Views of the orders interface: customers see and change their own orders only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chassis.errors import Conflict, Unprocessable
from chassis.pagination import CursorPagination
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from orders import selectors, serializers, services
from orders.models import Order

MAX_KEY_LENGTH = 255

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=True,
    description="Chosen by the caller; the same key and body give the same order again.",
)
PREFER = OpenApiParameter(
    "Prefer",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="wait=N: how many seconds to wait for the outcome before the order is given as pending.",
)


class OrderCursor(CursorPagination):
    ordering = ("-created_at", "-id")


class OrdersApi(generics.ListCreateAPIView):
    """The caller's orders, newest first."""

    pagination_class = OrderCursor
    serializer_class = serializers.OrderSerializer

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.orders_of(user=self.request.user)

    @extend_schema(
        description="Place an order. It is confirmed or rejected within this request.",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=serializers.NewOrderSerializer,
        responses={201: serializers.OrderSerializer},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = _idempotency_key(request)
        body = serializers.NewOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wishes = [services.Wish(**line) for line in body.validated_data.pop("lines")]
        try:
            order = services.place(
                user=request.user, key=key, digest=_digest(request.data), wishes=wishes, **body.validated_data
            )
        except services.KeyReusedError as error:
            raise Unprocessable("This Idempotency-Key was used with another body.") from error
        except services.UnknownProductsError as error:
            raise ValidationError({"lines": [_unknown(pk) for pk in error.product_ids]}) from error
        return Response(serializers.OrderSerializer(order).data, status=status.HTTP_201_CREATED)


class OrderApi(generics.RetrieveAPIView):
    """One of the caller's orders."""

    serializer_class = serializers.OrderSerializer

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.orders_of(user=self.request.user)


class CancellationApi(generics.GenericAPIView):
    """Cancel an order that has not been shipped; stock and money go back."""

    serializer_class = serializers.OrderSerializer

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.orders_of(user=self.request.user)

    @extend_schema(request=None, responses={200: serializers.OrderSerializer})
    def post(self, request: Request, pk: int) -> Response:
        try:
            order = services.cancel(order_id=self.get_object().pk, note="by the customer")
        except services.IllegalChangeError as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(order).data)


def _idempotency_key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise ValidationError({"Idempotency-Key": [f"This header is required, with 1 to {MAX_KEY_LENGTH} characters."]})
    return key


def _digest(body: Any) -> str:
    """The same for bodies that differ in the order of keys and in blanks only."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _unknown(product_id: int) -> str:
    return f"Product {product_id} cannot be ordered."
