"""The Celery app whose tasks go by the outbox; each is confirmed by the broker before its row is taken away."""

from __future__ import annotations

import os

from django_celery_outbox import OutboxCelery
from kombu import Queue

QUEUE = os.environ["QUEUE"]

app = OutboxCelery("benchmark", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_ignore_result=True,
    task_queues=[Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
)
