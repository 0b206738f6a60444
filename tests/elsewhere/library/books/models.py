from django.db import models

from branches.models import Branch
from common.models import Stamped


class Subject(models.Model):
    name = models.CharField(max_length=60, unique=True)

    def __str__(self):
        return self.name


class Title(Stamped):
    isbn = models.CharField(max_length=13, unique=True)
    name = models.CharField(max_length=200)
    subjects = models.ManyToManyField(Subject, blank=True, related_name="titles")

    def __str__(self):
        return self.name


class Copy(Stamped):
    title = models.ForeignKey(Title, on_delete=models.PROTECT, related_name="copies")
    branch = models.ForeignKey(Branch, on_delete=models.PROTECT, related_name="copies")
    shelf = models.CharField(max_length=20)
    number = models.PositiveSmallIntegerField()

    class Meta:
        unique_together = [("title", "branch", "number")]

    def __str__(self):
        return f"{self.title} ({self.branch_id} {self.number})"
