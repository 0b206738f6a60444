"""The processes themselves: web, worker and beat; how each is warmed, which probes it answers, and how it ends.

The top of the chassis: it knows all other packages, and none of them knows it.
Public: `gunicorn`, `celery_app.consuming`, `health.HealthMiddleware`, `worker`, `timers`.
"""
