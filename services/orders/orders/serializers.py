"""Shapes of the orders interface."""

from __future__ import annotations

from rest_framework import serializers

from orders.models import Line, Order, Status

GREATEST_ID = 2**63 - 1


class WishSerializer(serializers.Serializer):
    product_id = serializers.IntegerField(min_value=1, max_value=GREATEST_ID)
    quantity = serializers.IntegerField(min_value=1, max_value=10_000)


class NewOrderSerializer(serializers.Serializer):
    lines = WishSerializer(many=True, allow_empty=False, max_length=200)
    payment_token = serializers.CharField(
        required=False, max_length=64, help_text="Of the payment provider; otherwise the saved method pays."
    )
    save_payment_method = serializers.BooleanField(default=False)


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
