"""Shapes of the products interface."""

from __future__ import annotations

from rest_framework import serializers

from products.models import Category, Product

MOST_IDS = 500
GREATEST_ID = 2**63 - 1


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


class OfferSerializer(serializers.ModelSerializer):
    class Meta:
        model = Product
        fields = ("id", "name", "price", "currency", "is_active")
        read_only_fields = fields


class IdsQuerySerializer(serializers.Serializer):
    ids = serializers.CharField(help_text=f"Up to {MOST_IDS} ids, with commas between.")

    def validate_ids(self, text: str) -> list[int]:
        words = text.split(",")
        if len(words) > MOST_IDS:
            raise serializers.ValidationError(f"At most {MOST_IDS} ids.")
        if not all(_is_id(word) for word in words):
            raise serializers.ValidationError("Ids are whole numbers with commas between.")
        return [int(word) for word in words]


def _is_id(word: str) -> bool:
    # The length is checked first, because the time to read a number grows with the square of its digits.
    return word.isascii() and word.isdecimal() and len(word) <= 19 and int(word) <= GREATEST_ID
