"""gunicorn's configuration: ``gunicorn config.wsgi:application --config python:chassis.gunicorn``.

The module is read by gunicorn's master before Django exists, so it imports no setting of Django.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from chassis import logs, warmth

SWITCH_SECONDS = 0.001

bind = os.environ.get("BIND") or f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "32"))
# The workers ask for it too: half of the threads may hold requests.
raw_env = [f"WEB_THREADS={threads}"]
warm_connections = int(os.environ.get("WEB_WARM_CONNECTIONS", "4"))

# Longer than the gateway keeps an idle connection: the side that closes first must be the one that
# knows whether it has just sent a request.
keepalive = 75
graceful_timeout = 30
timeout = 60

preload_app = False
control_socket_disable = True
# Heartbeats are file times; on a disk that is busy a worker would look dead.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
logconfig_dict = logs.configuration("gunicorn")


def on_starting(server: Any) -> None:
    """Forget the samples of an earlier run: their process ids may be used again."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
        Path(directory).mkdir(parents=True, exist_ok=True)


def post_worker_init(worker: Any) -> None:
    """Do before the first request what it would otherwise wait for."""
    # A thread that comes back from the database waits this long for one that computes, at each of its statements,
    # and holds its locks meanwhile.
    sys.setswitchinterval(SWITCH_SECONDS)
    warmth.warm(worker.tpool, connections=min(warm_connections, threads))


def child_exit(server: Any, worker: Any) -> None:
    """Drop the gauges of a worker that is gone."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
