"""Views of the orders interface: customers see and change their own orders only."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, ClassVar

from chassis.rest import idempotency
from chassis.rest.errors import Conflict, Unprocessable
from chassis.rest.pagination import CursorPagination
from django.db import transaction
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from orders import checkout, selectors, serializers, services
from orders.models import Order
from orders.shelves import UnknownProductsError

# Seconds. The longest wait and the pause of a switch together end well before the time that the gateway allows for an
# answer.
WAIT, LONGEST_WAIT = 5, 20

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


class CustomersApi(generics.GenericAPIView):
    """Refuses customers who have left: a token outlives its account by some minutes."""

    serializer_class = serializers.OrderSerializer

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if request.user and request.user.is_authenticated and selectors.is_forgotten(user_id=request.user.pk):
            raise _forgotten()

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.orders_of(user_id=self.request.user.pk)


# strangler-check: it places in one transaction, and waits for other services outside of any transaction
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class OrdersApi(CustomersApi, generics.ListCreateAPIView):
    """The caller's orders, newest first."""

    pagination_class = OrderCursor
    refusals: ClassVar = {"POST": (422,)}

    @extend_schema(
        description="Place an order. It is confirmed or rejected within this request, unless that takes too long.",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=serializers.NewOrderSerializer,
        responses={201: serializers.OrderSerializer},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        order = self._place(request)
        checkout.await_outcome(order_id=order.pk, wait=_wait(request))
        order = selectors.order(order_id=order.pk)
        return Response(self.get_serializer(order).data, status=status.HTTP_201_CREATED)

    def _place(self, request: Request) -> Order:
        key = idempotency.required_key_of(request)
        body = serializers.NewOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wishes = [services.Wish(**line) for line in body.validated_data.pop("lines")]
        try:
            return checkout.place(
                user_id=request.user.pk, key=key, digest=_digest(request.data), wishes=wishes, **body.validated_data
            )
        except services.KeyReusedError as error:
            raise Unprocessable("This Idempotency-Key was used with another body.") from error
        except services.ForgottenCustomerError as error:
            raise _forgotten() from error
        except UnknownProductsError as error:
            raise ValidationError({"lines": [_unknown(pk) for pk in error.product_ids]}) from error


class OrderApi(CustomersApi, generics.RetrieveAPIView):
    """One of the caller's orders."""


# strangler-check: it cancels in one transaction, and waits for other services before it
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class CancellationApi(CustomersApi):
    """Cancel an order that has not been shipped; stock and money go back."""

    refusals: ClassVar = {"POST": (409,)}

    @extend_schema(parameters=[PREFER], request=None, responses={200: serializers.OrderSerializer})
    def post(self, request: Request, pk: int) -> Response:
        order_id = self.get_object().pk
        checkout.await_outcome(order_id=order_id, wait=_wait(request))
        try:
            checkout.cancel(order_id=order_id, note="by the customer")
        except services.IllegalChangeError as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(selectors.order(order_id=order_id)).data)


def _wait(request: Request) -> float:
    """How many seconds the caller is ready to wait for an outcome, as its Prefer header says (RFC 7240)."""
    asked = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\b", request.headers.get("Prefer", ""), re.IGNORECASE)
    return min(int(asked[1]), LONGEST_WAIT) if asked else WAIT


def _forgotten() -> AuthenticationFailed:
    return AuthenticationFailed("User not found or inactive.")


def _digest(body: Any) -> str:
    """A digest that is the same for bodies which differ only in the order of keys and in blanks."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _unknown(product_id: int) -> str:
    return f"Product {product_id} cannot be ordered."
