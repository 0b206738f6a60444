# ruff: noqa: DJ008
from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Work(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey("members.Member", models.CASCADE)
    judges = models.ManyToManyField("members.Member", related_name="judged")
    best_at = models.ForeignKey("fairs.Fair", models.SET_NULL, null=True)
    stamp = models.ForeignKey("stamps.Stamp", models.DO_NOTHING, null=True)


class Remark(models.Model):
    kind = models.ForeignKey(ContentType, models.CASCADE)
    row = models.UUIDField()
    about = GenericForeignKey("kind", "row")


class Ranking(models.Model):
    points = models.IntegerField()

    class Meta:
        managed = False
        db_table = "works_ranking"
