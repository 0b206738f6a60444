"""Defaults of columns, as far as Django can name them."""

from __future__ import annotations

from typing import Any

import django
from django.db.models.functions import Now
from django.utils import timezone

# Before Django 5 a model cannot name a column's default: the migration makes it, and Django fills the column itself.
NAMED = django.VERSION >= (5,)
NOW: dict[str, Any] = {"db_default": Now()} if NAMED else {"default": timezone.now}
ZERO: dict[str, Any] = {"default": 0} | ({"db_default": 0} if NAMED else {})
EMPTY: dict[str, Any] = {"default": ""} | ({"db_default": ""} if NAMED else {})
