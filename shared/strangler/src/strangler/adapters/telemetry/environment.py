"""OpenTelemetry's standard environment variables, as the gateway and the tool follow them.

Note "never a reason": a value that cannot be used is told in one line. What depends on it is off, or has its default;
nothing else is changed by it.

The chassis reads the same variables in `chassis.process.telemetry` and `chassis.process.export`. It cannot share this:
a Django process does not install the tool, and the tool imports nothing of Django. And it reads few of them, for there
the library does it; Envoy has no such library, and the tool's spans are not sent by the library's exporter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE = "OTEL_SERVICE_NAME"
TRACES_PATH = "v1/traces"
SPOKEN = "http/protobuf"
DELAY_MS = 5000
_LEAST_DELAY_MS, _MOST_DELAY_MS = 50, 60_000

# The share of traces that is kept where OTEL_TRACES_SAMPLER_ARG does not say it.
SAMPLERS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": 1.0}
PARENT_BASED = "parentbased_"
DEFAULT_SAMPLER = "parentbased_always_on"

Warn = Callable[[str], None]
"""Called with a line that names a variable, what is wrong with it, and what follows."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What is asked for.

    ``url`` takes OTLP over HTTP. ``ratio``, from 0 to 1, is the share of new traces that is kept; where
    ``parent_based``, a trace that comes from elsewhere stays as it was decided there. ``delay_ms`` is how long
    finished spans may wait for others before they are sent. ``key`` is the secret by which the gateway knows calls of
    the stack's own services.
    """

    url: str
    service: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    resource: Mapping[str, str] = field(default_factory=dict)
    ratio: float = 1.0
    parent_based: bool = True
    delay_ms: int = DELAY_MS
    key: str = field(default="", repr=False)

    @property
    def collector(self) -> str:
        """Host and port: an address may have a password in it."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def read(environ: Mapping[str, str], *, service: str, warn: Warn) -> Traces | None:
    """What the environment asks for; None if it asks for no traces, or for such as cannot be sent.

    ``service`` is the name of the process unless OTEL_SERVICE_NAME says another. Raises nothing; see the note.
    """
    url = _url(environ, warn)
    if url is None or not _wanted(environ, warn):
        return None
    ratio, parent_based = _sampler(environ, warn)
    resource = dict(_pairs(environ, "OTEL_RESOURCE_ATTRIBUTES", warn))
    return Traces(
        url=url,
        service=environ.get(SERVICE) or resource.pop("service.name", "") or service,
        headers={name.lower(): value for name, value in _headers(environ, warn)},
        resource=resource,
        ratio=ratio,
        parent_based=parent_based,
        delay_ms=_delay(environ, warn),
    )


def asked(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a collector for traces."""
    return bool(environ.get(TRACES_ENDPOINT) or environ.get(ENDPOINT))


def _wanted(environ: Mapping[str, str], warn: Warn) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter != "otlp":
        if exporter != "none":
            warn(f"OTEL_TRACES_EXPORTER: {exporter!r} is neither otlp nor none; nothing is traced")
        return False
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(name, "").strip()
        if protocol and protocol != SPOKEN:
            warn(f"{name}: only {SPOKEN} is spoken here, mostly at port 4318, not {protocol!r}; nothing is traced")
        if protocol:
            return protocol == SPOKEN
    return True


def _url(environ: Mapping[str, str], warn: Warn) -> str | None:
    name = TRACES_ENDPOINT if environ.get(TRACES_ENDPOINT) else ENDPOINT
    given = environ.get(name, "").strip()
    if not given:
        return None
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        warn(f"{name}: this is no address like http://127.0.0.1:4318; nothing is traced")
        return None
    if name == TRACES_ENDPOINT:
        return given if parts.path else f"{given}/"
    return f"{given.rstrip('/')}/{TRACES_PATH}"


def _sampler(environ: Mapping[str, str], warn: Warn) -> tuple[float, bool]:
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or DEFAULT_SAMPLER
    if name.removeprefix(PARENT_BASED) not in SAMPLERS:
        warn(f"OTEL_TRACES_SAMPLER: {name!r} is not known here; {DEFAULT_SAMPLER} is used")
        name = DEFAULT_SAMPLER
    ratio, parent_based = SAMPLERS[name.removeprefix(PARENT_BASED)], name.startswith(PARENT_BASED)
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if argument and name.endswith("traceidratio"):
        try:
            given = float(argument)
        except ValueError:
            given = -1.0
        if 0 <= given <= 1:
            return given, parent_based
        warn(f"OTEL_TRACES_SAMPLER_ARG: {argument!r} is no share from 0 to 1; every trace is kept")
    return ratio, parent_based


def _delay(environ: Mapping[str, str], warn: Warn) -> int:
    given = environ.get("OTEL_BSP_SCHEDULE_DELAY", "").strip()
    if not given:
        return DELAY_MS
    if not given.isdecimal():
        warn(f"OTEL_BSP_SCHEDULE_DELAY: {given!r} is no number of milliseconds; {DELAY_MS} is used")
        return DELAY_MS
    return min(max(int(given), _LEAST_DELAY_MS), _MOST_DELAY_MS)


def _headers(environ: Mapping[str, str], warn: Warn) -> Iterator[tuple[str, str]]:
    """Those for traces stand before those for all signals."""
    traces = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    for name, value in _pairs(environ, traces if environ.get(traces) else "OTEL_EXPORTER_OTLP_HEADERS", warn):
        if name.replace("-", "").replace("_", "").isalnum() and value.isprintable():
            yield name, value
        else:
            warn("OTEL_EXPORTER_OTLP_HEADERS: a header has characters that none may have; it is left out")


def _pairs(environ: Mapping[str, str], variable: str, warn: Warn) -> Iterator[tuple[str, str]]:
    """``name=value`` with commas between, percent-encoded; a pair that is none is told without its value."""
    for number, pair in enumerate(filter(str.strip, environ.get(variable, "").split(",")), start=1):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            yield unquote(name.strip()), unquote(value.strip())
        else:
            warn(f"{variable}: entry {number} is not name=value; it is left out")
