"""What gunicorn serves."""

from __future__ import annotations

import os

from chassis.process.doorstep import guarded
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = guarded(get_wsgi_application())
