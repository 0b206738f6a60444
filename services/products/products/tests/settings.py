"""The service's own settings in an environment for tests; only DATABASE_URL has to be given."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "a-key-for-tests-of-more-than-thirty-two-bytes")
os.environ.setdefault("BROKER_URL", "memory://")
os.environ.setdefault("GATEWAY_URL", "http://127.0.0.1:1")  # each run gets its own
os.environ.setdefault("OPEN_WITHOUT_MOVE", "1")

from config.settings import *  # noqa: F403

# Each message is checked against its contract before it is sent.
CHASSIS_VALIDATE = True
