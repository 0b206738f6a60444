"""The storefront's own settings in an environment for tests."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "a-key-for-tests-of-more-than-thirty-two-bytes")
os.environ.setdefault("GATEWAY_URL", "http://127.0.0.1:1")

from config.settings import *  # noqa: F403
