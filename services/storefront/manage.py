#!/usr/bin/env python
"""Django's command line for the storefront."""

from __future__ import annotations

import os
import signal
import sys

from chassis.management.refusing import run

if __name__ == "__main__":
    # The first process of a container ignores a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    run(sys.argv)
