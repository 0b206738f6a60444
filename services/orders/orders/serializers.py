"""Shapes of the orders interface."""

from __future__ import annotations

from rest_framework import serializers

from orders.models import Line, Order, Status

GREATEST_ID = 2**63 - 1
# The column of the total can hold this many pieces of the dearest product. Prices are not known on every side when an
# order comes, so this limit keeps the total within the column.
MOST_PIECES = 10_000


class WishSerializer(serializers.Serializer):
    product_id = serializers.IntegerField(min_value=1, max_value=GREATEST_ID)
    quantity = serializers.IntegerField(min_value=1, max_value=MOST_PIECES)


class NewOrderSerializer(serializers.Serializer):
    lines = WishSerializer(
        many=True, allow_empty=False, max_length=200, help_text=f"At most {MOST_PIECES} pieces in all."
    )
    payment_token = serializers.CharField(
        required=False, max_length=64, help_text="Of the payment provider; otherwise the saved method pays."
    )
    save_payment_method = serializers.BooleanField(default=False)

    def validate_lines(self, lines: list[dict[str, int]]) -> list[dict[str, int]]:
        if sum(line["quantity"] for line in lines) > MOST_PIECES:
            raise serializers.ValidationError(f"At most {MOST_PIECES} pieces in all.")
        return lines


class LineSerializer(serializers.ModelSerializer):
    product_id = serializers.IntegerField(
        allow_null=True, read_only=True, help_text="Null when the product is no longer known."
    )

    class Meta:
        model = Line
        fields = ("product_id", "name", "quantity", "unit_price")
        read_only_fields = fields


class OrderSerializer(serializers.ModelSerializer):
    status = serializers.ChoiceField(choices=Status.choices, read_only=True)
    lines = LineSerializer(many=True, read_only=True)

    class Meta:
        model = Order
        fields = ("id", "status", "total", "currency", "created_at", "lines")
        read_only_fields = fields
