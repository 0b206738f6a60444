"""Which programs a project consists of, as far as its settings and its Celery app say so."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings


def programs() -> dict[str, Any]:
    """``wsgi`` and ``asgi`` as servers are told of them, ``celery`` as Celery is; None for what is not there."""
    app = _celery()
    return {
        "wsgi": _application("WSGI_APPLICATION"),
        "asgi": _application("ASGI_APPLICATION"),
        "celery": app[0] if app else None,
        "schedule": bool(app and getattr(app[1].conf, "beat_schedule", None)),
    }


def _application(setting: str) -> str | None:
    module, _, name = str(getattr(settings, setting, None) or "").rpartition(".")
    return f"{module}:{name}" if module else None


def _celery() -> tuple[str, Any] | None:
    """The outermost module that has the project's app, which is what ``celery --app`` takes, and the app."""
    celery = sys.modules.get("celery")
    kind = getattr(celery, "Celery", None)
    if not isinstance(kind, type):
        return None
    for name, module in sorted(sys.modules.items(), key=lambda pair: (pair[0].count("."), pair[0])):
        if name == "__main__" or name.split(".")[0] in ("celery", "chassis"):
            continue
        for value in list(getattr(module, "__dict__", {}).values()):
            if issubclass(type(value), kind):  # `isinstance` would wake lazy objects
                return name, value
    return None
