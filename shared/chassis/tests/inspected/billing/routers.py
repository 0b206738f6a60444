from __future__ import annotations

from typing import Any


class Archive:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "second" if model._meta.label == "billing.Archive" else None
