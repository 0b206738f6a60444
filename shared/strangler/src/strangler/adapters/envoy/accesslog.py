"""What Envoy logs of requests and of itself.

Note "what a client has written": a log must not have a mail address, a token or a password, and a client may put one
anywhere. So the log has no query and no client's address. A path, and an id that a client has sent, are there only if
they are plain: Envoy can leave out a whole value, but not a part. A path is plain without ``@`` and ``%`` and without
20 letters and digits in a row.
"""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy import files

# What routes say of their requests, for the log.
LOGGED = "strangler"
MASK = "***"
# See the note "what a client has written".
_PLAIN_PATH = "[^A-Za-z0-9/._~-]", "[A-Za-z0-9]{20}"
_PLAIN_ID = "^[A-Za-z0-9._-]+$"

_LOG_FIELDS = {
    "time": "%START_TIME%",
    "level": "info",
    "service": "gateway",
    "event": "request",
    "trace_id": "%RESP(X-TRACE-ID)%",
    "request_id": f"%CEL(request.id.matches('{_PLAIN_ID}') ? request.id : '{MASK}')%",
    "capability": f"%METADATA(ROUTE:{LOGGED}:capability)%",
    "epoch": f"%METADATA(ROUTE:{LOGGED}:epoch)%",
    "side": f"%METADATA(CLUSTER:{LOGGED}:side)%",
    "bounced_to": "%REQ(X-STRANGLER-TO)%",
    "method": "%REQ(:METHOD)%",
    "route": f"%METADATA(ROUTE:{LOGGED}:route)%",
    "path": "%CEL("
    + " || ".join(f"request.url_path.matches('{pattern}')" for pattern in _PLAIN_PATH)
    + f" ? '{MASK}' : request.url_path)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "milliseconds": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "rule": "%ROUTE_NAME%",
}
_ACCESS_LOG = {"json_format": _LOG_FIELDS, "omit_empty_values": True}
# Envoy's clock is the machine's, so its times say their offset.
OWN_LOG = {"time": "%Y-%m-%dT%T.%e%z", "level": "%l", "service": "gateway", "logger": "%n", "event": "%j"}


def access_log(path: Path | None) -> dict[str, object]:
    """The connection manager's log of requests; without a ``path`` on standard output."""
    if path is None:
        # Not the file /dev/stdout: in a container Envoy's user may not be allowed to open it.
        stdout = files.type_url("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")
        return {
            "name": "envoy.access_loggers.stdout",
            "typed_config": {"@type": stdout, "log_format": _ACCESS_LOG},
        }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": str(path),
            "log_format": _ACCESS_LOG,
        },
    }
