import datetime
import time

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from books.models import Copy
from branches.models import Branch
from common.models import Stamped
from common.money import fee


class Reason(models.Model):
    """Why a copy came back late or harmed; the desk ticks some of them."""

    code = models.SlugField(max_length=20, unique=True)
    says = models.CharField(max_length=100)

    def __str__(self):
        return self.says


class LoanQuerySet(models.QuerySet):
    def out(self):
        return self.filter(returned_at=None)

    def late(self, today=None):
        return self.out().filter(due_on__lt=today or timezone.localdate())


class Loan(Stamped):
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="loans")
    copy = models.ForeignKey(Copy, on_delete=models.PROTECT, related_name="loans")
    branch = models.ForeignKey(Branch, on_delete=models.PROTECT, related_name="+")
    slip = models.CharField(_("as printed on the slip"), max_length=200)
    note = models.CharField(max_length=80, blank=True)
    borrowed_on = models.DateField(default=timezone.localdate)
    due_on = models.DateField()
    returned_at = models.DateTimeField(null=True, blank=True)
    reasons = models.ManyToManyField(Reason, blank=True, related_name="loans")

    objects = LoanQuerySet.as_manager()

    class Meta:
        unique_together = [("reader", "copy", "borrowed_on", "returned_at")]
        constraints = [
            # One copy is with one reader at a time.
            models.UniqueConstraint(fields=["copy"], condition=models.Q(returned_at=None), name="one_loan_per_copy"),
            models.CheckConstraint(condition=models.Q(due_on__gte=models.F("borrowed_on")), name="due_after_borrowed"),
        ]
        indexes = [models.Index(fields=["reader", "returned_at"], name="loans_of_reader")]
        ordering = ["due_on", "id"]

    def __str__(self):
        return self.slip

    def fee(self, today=None):
        """In cents."""
        return fee(((today or timezone.localdate()) - self.due_on).days)

    def extend(self, days):
        self.due_on += datetime.timedelta(days=days)
        self.save()
        return Extension.objects.create(loan=self, number=self.extensions.count() + 1, days=days)


class Extension(models.Model):
    loan = models.ForeignKey(Loan, on_delete=models.CASCADE, related_name="extensions")
    number = models.PositiveSmallIntegerField()
    days = models.PositiveSmallIntegerField()

    class Meta:
        unique_together = [("loan", "number")]

    def __str__(self):
        return f"{self.loan_id} +{self.days}"


class Remark(Stamped):
    """What the desk has written about a loan, or about a reader."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    about = GenericForeignKey("content_type", "object_id")
    text = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["content_type", "object_id"], name="remarks_about")]

    def __str__(self):
        return self.text


class Passage(models.Model):
    """A copy passed the desk; a partition per year, made by hand in the migrations."""

    pk = models.CompositePrimaryKey("year", "number")
    year = models.PositiveSmallIntegerField()
    number = models.BigIntegerField(default=time.time_ns)
    copy_id = models.UUIDField()
    out = models.BooleanField()
    at = models.DateTimeField(default=timezone.now)

    def __str__(self):
        return f"{self.year}/{self.number}"
