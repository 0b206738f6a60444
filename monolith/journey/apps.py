"""Loads a year of a real grocer's trade into the shop: the Complete Journey data set."""

from __future__ import annotations

from django.apps import AppConfig


class JourneyConfig(AppConfig):
    name = "journey"
