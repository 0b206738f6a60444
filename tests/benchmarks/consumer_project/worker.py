"""``celery -A worker worker --pool threads``"""

from __future__ import annotations

from celery import Celery
from chassis import environment
from chassis.servers import celery_app

app = celery_app.consuming(Celery("benchmark"))
app.conf.update(environment.celery(queue="counting.tasks"))
