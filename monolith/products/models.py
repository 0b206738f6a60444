"""Categories, products, the history of their prices and stock, and reservations."""

from __future__ import annotations

from decimal import Decimal

from chassis.messages.inbox import InboxRow
from chassis.rest.idempotency import IdempotencyRow
from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Upper
from django.utils import timezone


class Category(models.Model):
    """A department of the shop, or a shelf in one."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=120, unique=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")

    class Meta:
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """Something that can be bought. Stock is what is on hand and promised to nobody."""

    name = models.CharField(max_length=200)
    category = models.ForeignKey(Category, null=True, blank=True, on_delete=models.PROTECT, related_name="products")
    brand = models.CharField(max_length=100, blank=True)
    size = models.CharField(max_length=50, blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(Decimal("0.00"))])
    currency = models.CharField(
        max_length=3,
        default="USD",
        validators=[RegexValidator(r"^[A-Z]{3}\Z", "Three capital letters, as in ISO 4217.")],
    )
    stock = models.BigIntegerField(default=0)
    is_active = models.BooleanField(default=True, help_text="Only active products are shown and sold.")
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who last changed the product by hand.",
    )
    version = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Counts up with every change that others are told of."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(stock__gte=0), name="products_stock_not_negative"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="products_price_not_negative"),
        )
        indexes = (
            models.Index("name", "id", name="products_by_name"),
            models.Index("price", "id", name="products_by_price"),
            # Django's icontains compares UPPER(…), so only an index on the same expression can serve a search.
            GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="products_name_search"),
            GinIndex(OpClass(Upper("brand"), name="gin_trgm_ops"), name="products_brand_search"),
        )

    def __str__(self) -> str:
        return self.name


class PriceChange(models.Model):
    """A price that was set by hand, and by whom."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="price_changes")
    old_price = models.DecimalField(max_digits=10, decimal_places=2)
    new_price = models.DecimalField(max_digits=10, decimal_places=2)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.old_price} → {self.new_price}"


class StockMovement(models.Model):
    """One change of a product's stock, and why. The sum of all is what the stock gained since the product was
    loaded."""

    class Reason(models.TextChoices):
        DELIVERY = "delivery"
        CORRECTION = "correction"
        SALE = "sale"
        RETURN = "return"

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="stock_movements")
    delta = models.BigIntegerField()
    reason = models.CharField(max_length=16, choices=Reason)
    reference = models.CharField(max_length=64, blank=True, help_text="For instance the order.")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.delta:+d} {self.reason}"


class Reservation(models.Model):
    """What became of a caller's wish for stock, by the caller's key. A second wish with the key gets the same
    answer."""

    class State(models.TextChoices):
        RESERVED = "reserved"
        REFUSED = "refused"
        RELEASED = "released"  # also before it was ever asked for: a later wish is refused

    class Reason(models.TextChoices):
        NOT_ENOUGH_STOCK = "not enough stock"
        UNKNOWN_PRODUCT = "unknown product"
        RELEASED = "released"

    key = models.TextField(primary_key=True)
    reference = models.CharField(max_length=64, blank=True, help_text="For instance the order.")
    lines = models.JSONField(
        default=list, help_text="product_id and quantity; of what is reserved also name, unit_price and currency."
    )
    state = models.CharField(max_length=16, choices=State, default=State.RESERVED)
    reason = models.CharField(max_length=32, choices=Reason, blank=True, help_text="Why who asks is refused.")
    product_ids = models.JSONField(default=list, help_text="Of which products it was refused.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class Inbox(InboxRow):
    """The messages that products have handled."""

    class Meta(InboxRow.Meta):
        db_table = "products_inbox"


class IdempotencyKey(IdempotencyRow):
    """The answers that callers of the interface got, by the keys that they gave."""

    class Meta(IdempotencyRow.Meta):
        db_table = "products_idempotencykey"
