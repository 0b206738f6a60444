"""Shapes of the products interface."""

from __future__ import annotations

from rest_framework import serializers

from products.models import Category, Product


class CategorySerializer(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = ("id", "name", "slug", "parent")


class ProductSerializer(serializers.ModelSerializer):
    class Meta:
        model = Product
        fields = ("id", "name", "category", "brand", "size", "price", "currency", "stock", "updated_at")
        read_only_fields = ("id", "stock", "updated_at")


class NewProductSerializer(ProductSerializer):
    """Stock can be given once; afterwards it changes by deltas only."""

    stock = serializers.IntegerField(min_value=0, max_value=1_000_000_000, default=0)

    class Meta(ProductSerializer.Meta):
        read_only_fields = ("id", "updated_at")


class CatalogueQuerySerializer(serializers.Serializer):
    search = serializers.CharField(
        required=False, allow_blank=True, max_length=200, help_text="Words in the name or brand."
    )
    category = serializers.CharField(
        required=False, allow_blank=True, max_length=120, help_text="Id or slug of a category."
    )


class StockDeltaSerializer(serializers.Serializer):
    delta = serializers.IntegerField(min_value=-1_000_000_000, max_value=1_000_000_000)
