"""The Celery app of the service; its worker does the tasks of the capability and takes its messages in."""

from __future__ import annotations

import os

from celery import Celery
from chassis import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# By name, for they are read before Django's apps are: what chassis.worker.install does.
app = Celery("products", task_cls="chassis.worker:FencedTask")
app.conf.update(settings.celery(queue="products.tasks"))
app.steps["worker"].add("chassis.worker:MessageStep")
app.steps["consumer"].add("chassis.worker:TaskGate")
app.autodiscover_tasks()
