"""The gateway's spans, with a real Envoy between a client and two servers, and a collector that takes them in."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.adapters.envoy.tracing import callers_header
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable

from tests.otlp import Collector, Span

pytest.importorskip("envoy")

ROUTES = [Route(frozenset({"GET", "POST"}), "/things")]
TABLE = RouteTable(
    "first",
    [CapabilityRoutes("things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, *[ALL_TO_MONOLITH] * 2)],
    default="monolith",
)
THEIRS = f"00-{'a' * 32}-{'b' * 16}-01"
REQUESTS = 40


@dataclass
class Gateway:
    url: str
    admin: str
    monolith: Side
    service: Side
    internal: str = ""

    def post(self, path: str = "/things", url: str = "", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(
            "POST", (url or self.url) + path, body=b"x", headers=named, retries=False, redirect=False, timeout=30
        ).status

    def arrived(self) -> list[dict[str, str]]:
        """The headers of the last request to each side, the monolith's first."""
        return [side.requests[-1].headers for side in (self.monolith, self.service) if side.requests]


@contextmanager
def gateway(directory: Path, environment: dict[str, str], *, trusted_hops: int = 0) -> Iterator[Gateway]:
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    port, internal, admin_port = free_port(), free_port(), free_port()
    warnings: list[str] = []
    traces = envoy.asked_for({"OTEL_BSP_SCHEDULE_DELAY": "100", **environment}, warnings.append)
    assert not warnings
    envoy.write_bootstrap(
        directory,
        port=port,
        internal=("127.0.0.1", internal),
        admin_port=admin_port,
        access_log=None,
        trusted_hops=trusted_hops,
        traces=traces,
    )
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
    envoy.publish(directory, TABLE)
    admin = f"http://127.0.0.1:{admin_port}"
    try:
        with running(directory, admin_port):
            eventually(lambda: envoy.live_version(admin) == TABLE.version)
            yield Gateway(f"http://127.0.0.1:{port}", admin, monolith, service, f"http://127.0.0.1:{internal}")
    finally:
        monolith.stop()
        service.stop()


def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
    """Answers like the fence of the monolith."""
    address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
    to = {"x-strangler-to": SERVICE, "x-strangler-capability": "things", "traceparent": request.headers["traceparent"]}
    return 307, {"location": address, **to}, b""


def many(count: int) -> Callable[[Sequence[Span]], bool]:
    return lambda spans: len(spans) >= count


def parent_of(headers: dict[str, str]) -> tuple[str, str, str]:
    _, trace, span, flags = headers["traceparent"].split("-")
    return trace, span, flags


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


def test_a_request_has_a_span_and_its_process_is_below_the_gateways_way_to_it(
    collector: Collector, tmp_path: Path
) -> None:
    asked = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=depot",
    }
    with gateway(tmp_path, asked) as stage:
        assert stage.post("/things?mail=anna@example.org", x_request_id="no UUID") == 200

        way, root = sorted(collector.await_(many(2)), key=lambda span: span.kind)
        assert (root.name, root.kind, root.parent_id) == ("POST things/writes", "server", "")
        assert (way.name, way.kind, way.parent_id) == ("router monolith egress", "client", root.span_id)
        assert parent_of(stage.arrived()[0]) == (root.trace_id, way.span_id, "01")
        assert {root.service, way.service} == {"gateway"}
        assert root.resource["deployment.environment.name"] == "depot"
        assert root.attributes["http.url"] == f"{stage.url}/things"
        assert "anna" not in f"{root.attributes}{way.attributes}"


def test_a_bounced_request_is_one_trace_that_is_named_for_it_up_to_the_new_owner(
    collector: Collector, tmp_path: Path
) -> None:
    with gateway(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) as stage:
        stage.monolith.reply = bounce
        assert stage.post() == 200

        spans = {span.name: span for span in collector.await_(many(3))}
        root, first, second = (
            spans["POST things/bounced-to-service"],
            spans["router monolith egress"],
            spans["router things egress"],
        )
        assert {span.trace_id for span in spans.values()} == {root.trace_id}
        assert (root.attributes["strangler.to"], root.attributes["strangler.capability"]) == (SERVICE, "things")
        assert (first.parent_id, first.attributes["http.status_code"]) == (root.span_id, "307")
        assert (second.attributes["strangler.to"], second.attributes["http.status_code"]) == (SERVICE, "200")
        # Both processes hang below the gateway's way to them, and keep what the gateway has decided to keep.
        assert [parent_of(headers) for headers in stage.arrived()] == [
            (root.trace_id, first.span_id, "01"),
            (root.trace_id, second.span_id, "01"),
        ]


def test_a_clients_own_trace_is_an_attribute_and_decides_nothing(collector: Collector, tmp_path: Path) -> None:
    with gateway(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) as stage:
        assert stage.post(traceparent=THEIRS[:-1] + "0", tracestate="a=b", baggage="c=d") == 200

        root = next(span for span in collector.await_(many(2)) if not span.parent_id)
        assert root.trace_id != "a" * 32
        assert root.attributes["strangler.client_traceparent"] == THEIRS[:-1] + "0"
        [arrived] = stage.arrived()
        assert not arrived.get("tracestate")
        assert "baggage" not in arrived


def test_a_call_of_a_service_of_the_stack_goes_on_in_its_trace_and_its_secret_goes_no_further(
    collector: Collector, tmp_path: Path
) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "GATEWAY_TRACE_KEY": "secret"}
    with gateway(tmp_path, asked) as stage:
        assert stage.post(**{callers_header("secret"): THEIRS, "traceparent": THEIRS}) == 200
        assert stage.post(**{callers_header("guessed"): THEIRS, "traceparent": THEIRS}) == 200

        roots = [span for span in collector.await_(many(4)) if span.kind == "server"]
        assert [(root.trace_id == "a" * 32, root.parent_id == "b" * 16) for root in roots] == [
            (True, True),
            (False, False),
        ]
        assert callers_header("secret") not in stage.monolith.requests[0].headers


@pytest.mark.parametrize("key", [{}, {"GATEWAY_TRACE_KEY": "secret"}])
def test_a_call_that_comes_in_where_only_processes_do_goes_on_in_its_caller_s_trace(
    collector: Collector, tmp_path: Path, key: dict[str, str]
) -> None:
    with gateway(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, **key}) as stage:
        assert stage.post(url=stage.internal, **{callers_header("secret"): THEIRS, "traceparent": THEIRS}) == 200
        assert stage.post(traceparent=THEIRS) == 200

        [caller, stranger] = [request.headers for request in stage.monolith.requests]
        assert parent_of(caller)[0] == "a" * 32
        assert parent_of(stranger)[0] != "a" * 32
        assert not key or callers_header("secret") not in caller
        collector.await_(many(4))


def test_a_trusted_proxys_trace_goes_on(collector: Collector, tmp_path: Path) -> None:
    with gateway(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}, trusted_hops=1) as stage:
        assert stage.post(traceparent=THEIRS) == 200

        spans = collector.await_(many(2))
        assert {span.trace_id for span in spans} == {"a" * 32}
        assert "b" * 16 in {span.parent_id for span in spans}


@pytest.mark.parametrize(
    ("sampler", "share"),
    [({"OTEL_TRACES_SAMPLER": "always_off"}, 0.0), ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, 0.5)],
)
def test_what_is_not_sampled_is_not_sent_and_processes_are_told_so(
    collector: Collector, tmp_path: Path, sampler: dict[str, str], share: float
) -> None:
    asked = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.endpoint}/v1/traces",
        "OTEL_TRACES_SAMPLER_ARG": f"{share}",
        **sampler,
    }
    with gateway(tmp_path, asked) as stage:
        stage.monolith.reply = bounce
        for _ in range(REQUESTS):
            assert stage.post() == 200

        told = [parent_of(request.headers) for side in (stage.monolith, stage.service) for request in side.requests]
        kept = {trace for trace, _, flags in told if flags == "01"}
        assert all((trace in kept) == (flags == "01") for trace, _, flags in told)
        assert (0 < len(kept) < REQUESTS) if share else not kept
        spans = collector.await_(many(3 * len(kept)))
        assert {span.trace_id for span in spans} == kept


def test_a_collector_that_is_away_or_hangs_fails_and_holds_up_no_request(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
        quickest = {
            name: _quickest(tmp_path / name, environment)
            for name, environment in {
                "off": {},
                "refused": {"OTEL_EXPORTER_OTLP_ENDPOINT": refused},
                "no-such-host": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"},
            }.items()
        }
        with Collector(hangs=True) as silent:
            quickest["hangs"] = _quickest(tmp_path / "hangs", {"OTEL_EXPORTER_OTLP_ENDPOINT": silent.endpoint})

    # An export may take five seconds, and so would a request that waited for it.
    assert all(seconds < quickest["off"] + 1 for seconds in quickest.values()), quickest


def _quickest(directory: Path, environment: dict[str, str]) -> float:
    """Seconds of the slowest of many requests, of the better of two rounds: the machine may have other things to do."""
    rounds = []
    with gateway(directory, environment) as stage:
        for _ in range(2):
            slowest = 0.0
            for _ in range(REQUESTS):
                began = time.monotonic()
                assert stage.post() == 200
                slowest = max(slowest, time.monotonic() - began)
            rounds.append(slowest)
    return min(rounds)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SERVICE_NAME": "gateway"},
    ],
)
def test_nothing_of_traces_is_in_the_file_where_nobody_asks_for_them(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    warnings: list[str] = []

    traces = envoy.asked_for(environment, warnings.append)
    envoy.write_bootstrap(tmp_path, port=1, admin_port=2, access_log=None, traces=traces)

    written = (tmp_path / envoy.BOOTSTRAP_FILE).read_text()
    assert not warnings
    assert not [word for word in ("tracing", "opentelemetry", "request_id_extension") if word in written]
    assert "clusters" not in json.loads(written)["static_resources"]


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:99999"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://c:4317"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:secret@c:4318"}, "without TLS"),
    ],
)
def test_what_cannot_be_used_is_one_line_without_secrets_and_no_traces(environment: dict[str, str], named: str) -> None:
    warnings: list[str] = []

    assert envoy.asked_for(environment, warnings.append) is None

    [line] = warnings
    assert named in line
    assert "\n" not in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "OTEL_BSP_SCHEDULE_DELAY"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=secret%0Anext"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "secret"}, "OTEL_RESOURCE_ATTRIBUTES"),
    ],
)
def test_what_is_broken_beside_the_address_is_one_line_and_has_its_default(
    environment: dict[str, str], named: str
) -> None:
    warnings: list[str] = []

    traces = envoy.asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", **environment}, warnings.append)

    assert traces is not None
    assert (traces.url, traces.ratio, traces.headers, traces.resource) == ("http://c:4318/v1/traces", 1.0, {}, {})
    [line] = warnings
    assert line.startswith(named)
    assert "secret" not in line


def test_headers_and_resource_are_those_of_the_environment() -> None:
    traces = envoy.asked_for(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/collect/",
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc,x-team=1",
            "OTEL_RESOURCE_ATTRIBUTES": "a=1,b=2%2C3",
            "OTEL_SERVICE_NAME": "front",
        },
        pytest.fail,
    )

    assert traces is not None
    assert (traces.url, traces.service) == ("http://c:4318/collect/v1/traces", "front")
    assert traces.headers == {"authorization": "Basic abc", "x-team": "1"}
    assert traces.resource == {"a": "1", "b": "2,3"}
    assert "abc" not in repr(traces)


def test_the_secret_of_services_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "GATEWAY_TRACE_KEY_FILE": str(tmp_path / "key")}

    traces = envoy.asked_for(asked, pytest.fail)

    assert traces is not None
    assert traces.key == "secret"
    assert "secret" not in repr(traces)


def test_a_file_of_that_secret_that_cannot_be_read_is_one_line_without_its_name() -> None:
    warnings: list[str] = []
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "GATEWAY_TRACE_KEY_FILE": "/the secret itself"}

    traces = envoy.asked_for(asked, warnings.append)

    assert traces is not None
    assert traces.key == ""
    [line] = warnings
    assert "GATEWAY_TRACE_KEY_FILE" in line
    assert "the secret itself" not in line
