"""Views of the products interface: the catalogue for anyone, its upkeep for staff."""

from __future__ import annotations

from chassis.identity import tokens
from chassis.rest.errors import Conflict
from chassis.rest.idempotency import Idempotent
from django.db import transaction
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, permissions
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from products import selectors, serializers, services
from products.models import Category, Product
from products.pagination import CatalogueCursor

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Chosen by the caller, if at all; the same key and body change the stock once.",
)


class ServicesOnly(tokens.ServiceTokenAuthentication):
    audience = "products"


class StaffOrReadOnly(permissions.IsAdminUser):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in permissions.SAFE_METHODS or super().has_permission(request, view)


class CategoriesApi(generics.ListAPIView):
    """All categories, by name."""

    permission_classes = (permissions.AllowAny,)
    serializer_class = serializers.CategorySerializer
    pagination_class = CatalogueCursor
    filter_backends = (OrderingFilter,)
    ordering_fields = ("name", "id")
    ordering = ("name",)

    def get_queryset(self) -> QuerySet[Category]:
        return selectors.categories()


class ProductsApi(generics.ListCreateAPIView):
    """The catalogue."""

    permission_classes = (StaffOrReadOnly,)
    pagination_class = CatalogueCursor
    filter_backends = (OrderingFilter,)
    ordering_fields = ("name", "price", "updated_at", "id")
    ordering = ("name",)

    def get_queryset(self) -> QuerySet[Product]:
        asked = serializers.CatalogueQuerySerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        return selectors.products(**asked.validated_data)

    def get_serializer_class(self) -> type[serializers.ProductSerializer]:
        is_new = self.request.method == "POST"
        return serializers.NewProductSerializer if is_new else serializers.ProductSerializer

    def perform_create(self, serializer: BaseSerializer[Product]) -> None:
        serializer.instance = services.create_product(by=self.request.user, **serializer.validated_data)

    @extend_schema(parameters=[serializers.CatalogueQuerySerializer])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)


class ProductApi(generics.RetrieveUpdateAPIView):
    """One product."""

    http_method_names = ("get", "patch", "head", "options")
    permission_classes = (StaffOrReadOnly,)
    serializer_class = serializers.ProductSerializer

    def get_queryset(self) -> QuerySet[Product]:
        return selectors.products()

    def perform_update(self, serializer: BaseSerializer[Product]) -> None:
        serializer.instance = services.update_product(
            product=serializer.instance, by=self.request.user, **serializer.validated_data
        )


class StockApi(Idempotent, generics.GenericAPIView):
    """Add to the stock of a product, or take from it; below zero it is a conflict."""

    permission_classes = (permissions.IsAdminUser,)
    serializer_class = serializers.StockDeltaSerializer
    idempotency_model = "products.IdempotencyKey"
    idempotency_required = False

    def get_queryset(self) -> QuerySet[Product]:
        return selectors.products()

    @extend_schema(parameters=[IDEMPOTENCY_KEY], responses={200: serializers.ProductSerializer})
    def post(self, request: Request, pk: int) -> Response:
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            product = services.adjust_stock(
                product=self.get_object(), delta=body.validated_data["delta"], by=request.user
            )
        except services.NotEnoughStockError as error:
            raise Conflict("Stock would fall below zero.") from error
        except services.TooMuchStockError as error:
            raise Conflict("Stock would rise above what can be counted.") from error
        return Response(serializers.ProductSerializer(product).data)


# strangler-check: it reads with one statement, and a checkout waits for it
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class OffersApi(generics.GenericAPIView):
    """Names and prices, for other services: of withdrawn products too, and nothing of those that are unknown."""

    authentication_classes = (ServicesOnly,)
    permission_classes = (tokens.IsService,)
    pagination_class = None
    serializer_class = serializers.OfferSerializer

    @extend_schema(parameters=[serializers.IdsQuerySerializer], responses=serializers.OfferSerializer(many=True))
    def get(self, request: Request) -> Response:
        asked = serializers.IdsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return Response(self.get_serializer(selectors.offers(**asked.validated_data), many=True).data)
