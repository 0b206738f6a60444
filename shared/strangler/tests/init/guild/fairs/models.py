# ruff: noqa: DJ008
from __future__ import annotations

import uuid

from django.db import models


class Fair(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    slug = models.SlugField()


class Entry(models.Model):
    fair = models.ForeignKey(Fair, models.CASCADE)
    work = models.ForeignKey("works.Work", models.PROTECT, db_constraint=False)
