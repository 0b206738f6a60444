"""Which programs a project consists of, as far as its settings and its Celery app say so."""

from __future__ import annotations

import sys
from ast import literal_eval
from datetime import timedelta
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


def schedule() -> list[dict[str, Any]]:
    """The entries of the Celery app's schedule as Python spells them: ``every`` is an expression, and empty where it
    cannot be told, as are ``args``, ``kwargs`` and ``options``. ``imports`` are statements that it needs."""
    app = _celery()
    entries = getattr(app[1].conf, "beat_schedule", None) if app else None
    return [_entry(str(name), one) for name, one in (entries or {}).items() if isinstance(one, dict)]


def _entry(name: str, one: dict[str, Any]) -> dict[str, Any]:
    every, imports = _every(one.get("schedule"))
    rest = {key: one[key] for key in ("args", "kwargs", "options") if one.get(key)}
    return {
        "name": name,
        "task": str(one.get("task", "")),
        "every": every if _is_plain(rest) else "",
        "imports": imports,
        "rest": {key: repr(value) for key, value in rest.items()} if _is_plain(rest) else {},
    }


def _every(value: Any) -> tuple[str, list[str]]:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}", []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value), []
    parts = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    if type(value).__name__ == "crontab" and all(hasattr(value, f"_orig_{part}") for part in parts):
        given = [(part, getattr(value, f"_orig_{part}")) for part in parts]
        said = ", ".join(f"{part}={one!r}" for part, one in given if one != "*")
        return f"crontab({said})", ["from celery.schedules import crontab"]
    run_every = getattr(value, "run_every", None)
    if type(value).__name__ == "schedule" and isinstance(run_every, timedelta):
        return f"{run_every.total_seconds():g}", []
    return "", []


def _is_plain(value: Any) -> bool:
    try:
        return bool(literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


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
