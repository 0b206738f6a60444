"""The Celery app of the shop. All its tasks and their queue belong to orders; its worker also takes in messages."""

from __future__ import annotations

import os

from celery import Celery
from chassis import environment
from chassis.servers import celery_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = celery_app.consuming(Celery("monolith"))
app.conf.update(
    environment.celery(queue="orders.tasks"),
    beat_schedule={
        name: {"task": f"orders.tasks.{name}", "schedule": seconds, "options": {"expires": seconds}}
        for name, seconds in (
            ("send_confirmations", 5),
            ("expire_unpaid_orders", 60),
            ("ship_confirmed_orders", 60),
        )
    },
    # It keeps the schedule in memory: the database knows what is due, so beat needs no file.
    beat_scheduler="celery.beat:Scheduler",
)
app.autodiscover_tasks()
