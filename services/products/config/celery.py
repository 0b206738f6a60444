"""The Celery app of the service; its worker does the tasks of the capability and takes its messages in."""

from __future__ import annotations

import os

from celery import Celery
from chassis import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = settings.consuming(Celery("products"))
app.conf.update(settings.celery(queue="products.tasks"))
app.autodiscover_tasks()
