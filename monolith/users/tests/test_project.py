"""The project as a whole."""

from __future__ import annotations

import pytest
from django.conf import settings


def test_the_fence_stands_outside_everything_that_may_touch_the_database():
    position = settings.MIDDLEWARE.index("chassis.fence.FenceMiddleware")

    assert settings.MIDDLEWARE[:position] == [
        "chassis.health.HealthMiddleware",
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        "chassis.logs.RequestIdMiddleware",
        "chassis.tracing.TraceMiddleware",
        "chassis.answers.AnswersMiddleware",
        "chassis.admission.AdmissionMiddleware",
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_may_come_by_the_address_of_a_pod(client, path):
    assert client.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200
