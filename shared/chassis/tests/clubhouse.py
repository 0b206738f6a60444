"""The club as a server serves it, on both sides of its move."""

from __future__ import annotations

import os

from served import *  # noqa: F403
from served import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "club"]
ROOT_URLCONF = "club.urls"
CHASSIS_HOLD_SECONDS = float(os.environ.get("HOLD_SECONDS", "5"))
