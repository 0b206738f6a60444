"""The processes themselves: web, worker and beat, what each has warm, what it is asked for, and how it ends.

The top of the chassis: knows all else, and nothing else knows it.
Public: `gunicorn`, `celery_app.consuming`, `health.HealthMiddleware`, `worker`, `timers`.
"""
