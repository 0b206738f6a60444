"""gunicorn's logger, with a line of JSON for each request after its end."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from gunicorn import glogging  # type: ignore[import-untyped]

from chassis import agreement
from chassis.process.logs import NOTED
from chassis.process.tracing import QUIET

SERVER_ERROR = 500

logger = logging.getLogger("gunicorn.access")
_TO = agreement.environ_key(agreement.TO)


class Logger(glogging.Logger):  # type: ignore[misc]
    """The line names the route and not the path: in a path, and in its query, there is whatever a client has put
    there."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Called after the last byte of the answer."""
        status = int(str(resp.status).split(None, 1)[0])
        if environ.get("PATH_INFO") in QUIET and status < SERVER_ERROR:
            return
        fields = {
            "method": environ.get("REQUEST_METHOD"),
            "status": status,
            "milliseconds": round(request_time.total_seconds() * 1000, 1),
            "bytes_sent": getattr(resp, "sent", None),
            "bounced_to": environ.get(_TO),
            **environ.get(NOTED, {}),
        }
        logger.log(logging.INFO if status < SERVER_ERROR else logging.WARNING, "request", extra=fields)
