"""gunicorn's configuration: ``gunicorn config.wsgi:application --config python:chassis.servers.gunicorn``.

gunicorn's master reads the module before Django is set up, so it imports no setting of Django.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import gunicorn as installed  # type: ignore[import-untyped]

from chassis.process import logs, telemetry
from chassis.servers import warmth

SWITCH_SECONDS = 0.001
LEAST_VERSION = (25, 2)  # the first whose worker defers a connection, on which `chassis.servers.web` is built


def refuse_older(version: str) -> None:
    """Ends the program with a sentence where gunicorn is too old: its workers would die at each request.

    Raises:
        SystemExit: it is.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise SystemExit(
            f"chassis.servers.gunicorn needs gunicorn {least} or later, and here is {version}: install a later one, or "
            "leave this configuration out and set --keep-alive 75 and WEB_THREADS"
        )


refuse_older(installed.__version__)

bind = os.environ.get("BIND") or f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "chassis.servers.web.Worker"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "32"))
# The workers read it, too: half of the threads may hold requests.
raw_env = [f"WEB_THREADS={threads}"]
warm_connections = int(os.environ.get("WEB_WARM_CONNECTIONS", "4"))

# Longer than the gateway keeps an idle connection: the side that closes first must know whether it has just sent a
# request.
keepalive = 75
graceful_timeout = 30
timeout = 60
# Otherwise a client could say where the application is mounted, and so get past the gateway's closed paths. Or it could
# contradict the gateway, which tells by one header how the client came.
forwarder_headers = ""
header_map = "drop"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
# More than the kit's gateway lets in: so the gateway refuses a request with too many, and not this server after a move
# has added some.
limit_request_fields = 128
limit_request_field_size = 64 * 1024
limit_request_line = 8190
# With it, writes would not respect the limit to a wait for the client; see `chassis.process.patience`.
sendfile = False

preload_app = False
control_socket_disable = True
# Heartbeats are file times. On a busy disk a worker would look dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
logs.serve()
logger_class = "chassis.servers.access.Logger"
logconfig_dict = logs.configuration(logs.service_name())


def on_starting(server: Any) -> None:
    """Give the workers a folder for their samples. Delete those of an earlier run, because its process ids may come
    again."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not directory:
        # The workers inherit the variable. prometheus_client reads it once, and nothing has imported that library yet.
        server.own_metrics = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
        return
    shutil.rmtree(directory, ignore_errors=True)
    Path(directory).mkdir(parents=True, exist_ok=True)


def post_worker_init(worker: Any) -> None:
    """Do now what the first request would otherwise wait for."""
    # At each of its statements, a thread that comes back from the database waits this long for a thread that computes,
    # and holds its locks meanwhile.
    sys.setswitchinterval(SWITCH_SECONDS)
    # Before the first connections, which are to be watched.
    telemetry.start("web")
    warmth.warm(worker.tpool, connections=min(warm_connections, threads))


def child_exit(server: Any, worker: Any) -> None:
    """Drop the gauges of a worker that is gone."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Delete the folder that this process has made."""
    shutil.rmtree(getattr(server, "own_metrics", ""), ignore_errors=True)
