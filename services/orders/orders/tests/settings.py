"""The service's own settings in an environment for tests; only DATABASE_URL has to be given."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "a-key-for-tests-of-more-than-thirty-two-bytes")
os.environ.setdefault("SERVICE_KEY_FILE", "each-test-gets-its-own.pem")
os.environ.setdefault("BROKER_URL", "memory://")
os.environ.setdefault("PASSWORD_ITERATIONS", "1")
os.environ.setdefault("GATEWAY_URL", "http://127.0.0.1:9")
os.environ.setdefault("INTERNAL_URL", "http://127.0.0.1:9")
os.environ.setdefault("OPEN_WITHOUT_MOVE", "1")

from config.settings import *  # noqa: F403

CHASSIS_VALIDATE = True
