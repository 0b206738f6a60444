from __future__ import annotations

from celery import Celery

app = Celery("guild")
app.conf.beat_schedule = {"open": {"task": "fairs.open", "schedule": 60}}
