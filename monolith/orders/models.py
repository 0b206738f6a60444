"""Orders with their lines, payments, shipments and history; saved payment methods; what is being decided."""

from __future__ import annotations

from chassis.messages.inbox import InboxRow
from chassis.sagas.saga import SagaRow
from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone


class Status(models.TextChoices):
    PENDING = "pending"  # placed; stock is taken, the money is awaited
    CONFIRMED = "confirmed"  # paid
    REJECTED = "rejected"  # no stock, or the payment was declined
    SHIPPED = "shipped"
    CANCELLED = "cancelled"  # by the customer, by staff, or unpaid for too long

    def may_become(self, following: Status) -> bool:
        return following in _FOLLOWING[self]


_FOLLOWING = {
    Status.PENDING: {Status.CONFIRMED, Status.REJECTED, Status.CANCELLED},
    Status.CONFIRMED: {Status.SHIPPED, Status.CANCELLED},
    Status.REJECTED: set(),
    Status.SHIPPED: set(),
    Status.CANCELLED: set(),
}


class PaymentMethod(models.Model):
    """How a customer pays unless the order says otherwise: the provider's token, never a card's number."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        db_index=False,  # the constraint's index serves
        on_delete=models.CASCADE,
        related_name="payment_methods",
    )
    token = models.CharField(max_length=64)
    label = models.CharField(max_length=64, help_text="What the customer knows it by.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "token"), name="orders_paymentmethod_once_per_user"),)

    def __str__(self) -> str:
        return self.label


class Order(models.Model):
    """A purchase. It outlives the account of its customer, because the books need it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        db_index=False,  # the constraint's index serves
        on_delete=models.SET_NULL,
        related_name="orders",
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    total = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    currency = models.CharField(max_length=3, default="USD")
    ship_to = models.TextField(blank=True, help_text="The customer's address when the order was placed.")
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    request_digest = models.CharField(
        max_length=64, blank=True, editable=False, help_text="SHA-256 of the request that placed the order."
    )
    reservation = models.CharField(
        max_length=64,
        null=True,
        editable=False,
        help_text="By what key its stock is reserved; null where it was taken without a reservation.",
    )
    version = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Counts the changes that were told to others."
    )
    confirmation_sent_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "idempotency_key"), name="orders_order_once_per_key"),)
        indexes = (
            models.Index("created_at", name="orders_unpaid", condition=models.Q(status="pending")),
            models.Index("updated_at", name="orders_unshipped", condition=models.Q(status="confirmed")),
            models.Index(
                "id",
                name="orders_unannounced",
                condition=models.Q(status="confirmed", confirmation_sent_at=None),
            ),
        )

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Line(models.Model):
    """A product as it was sold: the name and price stay when the product changes or goes."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey("products.Product", null=True, on_delete=models.SET_NULL, related_name="order_lines")
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"


class StatusChange(models.Model):
    """When an order took on a status, and why."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="history")
    status = models.CharField(max_length=16, choices=Status)
    note = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.status} {self.at:%Y-%m-%d %H:%M}"


class Payment(models.Model):
    """One attempt to be paid for an order."""

    class State(models.TextChoices):
        AUTHORIZED = "authorized"
        AWAITED = "awaited"
        DECLINED = "declined"
        RETURNED = "returned"

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="payments")
    state = models.CharField(max_length=16, choices=State)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    reference = models.CharField(max_length=64, help_text="The provider's name for the payment.")
    reason = models.CharField(max_length=64, blank=True, help_text="Why the provider declined.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.amount} {self.state}"


class Shipment(models.Model):
    """The parcel of an order."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="shipment")
    tracking_number = models.CharField(max_length=40)
    shipped_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.tracking_number


class Saga(SagaRow):
    """A checkout that is under way; it moves with the orders that it decides."""


class Inbox(InboxRow):
    """A message that has had its effect here."""


class ForgottenCustomer(models.Model):
    """A customer whose account is gone; tokens that outlive it open nothing here."""

    user_id = models.BigIntegerField(primary_key=True)
    orders = models.IntegerField(help_text="How many orders pointed to the customer until then.")
    at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"Customer {self.user_id}"
