"""The club as a server serves it, on both sides of its move."""

from __future__ import annotations

from served import *  # noqa: F403

ROOT_URLCONF = "club.urls"
