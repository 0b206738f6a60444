"""Durations as people write them: ``30s``, ``500ms``, ``2m``, ``1h``."""

from __future__ import annotations

import re
from typing import Any

import click

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


class Duration(click.ParamType[float]):
    """Seconds, from a number with a unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Accepts ``30s``, ``500ms``, ``2m`` or plain seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration: write it like 30s, 500ms or 2m", param, ctx)
        return float(match[1]) * UNITS[match[2]]
