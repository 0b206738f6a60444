"""The Celery app of the service; its worker does the tasks of the capability and takes in its messages."""

from __future__ import annotations

import os

from celery import Celery
from chassis import environment
from chassis.servers import celery_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = celery_app.consuming(Celery("products"))
app.conf.update(environment.celery(queue="products.tasks"))
app.autodiscover_tasks()
