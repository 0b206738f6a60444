"""``celery -A worker worker --pool threads``"""

from __future__ import annotations

from celery import Celery
from chassis import settings

app = settings.consuming(Celery("benchmark"))
app.conf.update(settings.celery(queue="counting.tasks"))
