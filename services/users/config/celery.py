"""The Celery app of the service; only tasks of the capability go to its queue."""

from __future__ import annotations

import os

from celery import Celery
from chassis import environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("users")
app.conf.update(environment.celery(queue="users"))
app.autodiscover_tasks()
