"""Traces are never a reason: whatever the environment and the collector do, requests are answered as without them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from statistics import median
from typing import Any

import pytest
from chassis.process import telemetry
from library.programs import WEB, Running
from traced.processes import Processes, ask

from tests.otlp import Collector

on_postgresql = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL names no PostgreSQL")
MEMORY_BYTES = 15 << 20
REQUESTS = 60
# Requests in turn to a process with and to one without: what slows the machine slows both.
SLOWER = 1.5
END_SECONDS = 25.0  # the library's own wait is 30; without any, a busy machine takes some of it


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def complaints(said: str) -> list[str]:
    return [line["event"] for line in lines(said) if line["logger"] == "chassis.process.telemetry"]


def seconds(web: Running) -> float:
    began = time.perf_counter()
    assert ask(web, "/books").status_code == 200
    return time.perf_counter() - began


def ratio(tried: Running, plain: Running) -> float:
    """How much slower the one answers, of requests in turn."""
    for web in (tried, plain):
        web.await_status("/readyz", 200)
        seconds(web)
    pairs = [(seconds(tried), seconds(plain)) for _ in range(REQUESTS)]
    return median(one for one, _ in pairs) / median(other for _, other in pairs)


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "library"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "TRUE "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_environment_says_whether_there_are_traces(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: bool
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert telemetry.is_asked_for() is asked


@on_postgresql
@pytest.mark.parametrize("off", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}], ids=str)
def test_where_they_are_off_nothing_is_imported_begun_or_sent(processes: Processes, off: dict[str, str]) -> None:
    with Collector() as collector:
        web = processes.start(WEB, **({**off, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint} if off else {}))
        web.await_status("/readyz", 200)
        ask(web, "/books")
        about = ask(web, "/about").json()
        assert web.end() == 0

        assert about["modules"] == []
        assert not [name for name in about["threads"] if "otel" in name.lower() or "telemetry" in name]
        assert collector.requests == 0
        assert complaints(web.said) == []


@on_postgresql
def test_they_cost_a_web_process_little_memory(processes: Processes) -> None:
    """Measured where nobody takes the spans, so that as many wait as may."""
    with Collector(hangs=True) as collector:
        plain = processes.start(WEB)
        traced = processes.start(WEB, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        grown = []
        for web in (plain, traced):
            web.await_status("/readyz", 200)
            for _ in range(180):  # of six spans each, which is more than may wait
                ask(web, "/books")
            grown.append(ask(web, "/about").json()["memory_bytes"])

        assert grown[1] - grown[0] <= MEMORY_BYTES, f"{(grown[1] - grown[0]) / (1 << 20):.1f} MiB"
        print(f"memory: {(grown[1] - grown[0]) / (1 << 20):.1f} MiB")


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@on_postgresql
@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("how", ["healthy", "failing", "away", "slow", "silent"])
def test_no_request_waits_for_the_collector(processes: Processes, how: str) -> None:
    kinds = {"failing": {"status": 500}, "slow": {"delay": 3.0}, "silent": {"hangs": True}}
    with Collector(**kinds.get(how, {})) as collector:
        plain = processes.start(WEB, TRACED="1")
        endpoint = nobody() if how == "away" else collector.endpoint
        web = processes.start(WEB, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="1")

        slower = ratio(web, plain)
        if how in ("away", "failing", "silent"):
            until_complained(web)
        began = time.monotonic()
        assert web.end() == 0

        assert slower < SLOWER
        assert time.monotonic() - began < END_SECONDS
        assert complaints(web.said) == ({"healthy": [], "slow": complaints(web.said)[:1]}.get(how, ["spans_not_sent"]))


def until_complained(web: Running) -> None:
    from library.waiting import until

    until(lambda: "spans_not_sent" in web.said)


@on_postgresql
def test_a_collector_that_comes_back_is_told_once(processes: Processes) -> None:
    with Collector(status=400) as collector:
        web = processes.start(WEB, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        web.await_status("/readyz", 200)
        collector_takes = [ask(web, "/books") and time.sleep(0.15) for _ in range(5)]
        assert len(collector_takes) == 5
        until_complained(web)
        collector.status = 200
        ask(web, "/about")
        collector.await_(lambda spans: any(span.name == "GET /about" for span in spans))
        assert web.end() == 0

        assert complaints(web.said) == ["spans_not_sent", "spans_not_sent_over"]
        (line,) = [line for line in lines(web.said) if line["event"] == "spans_not_sent"]
        assert line["collector"] == f"127.0.0.1:{collector.port}"


PROGRAM = """
import os, sys
import django
from django.conf import settings
from chassis.process import logs
settings.configure(LOGGING=logs.configuration("small"), DATABASES={})
django.setup()
if os.environ.get("MISSING"):
    sys.modules["opentelemetry"] = None
from chassis.process import telemetry, tracing
told = telemetry.start("web")
assert telemetry.start("web") == told == tracing.is_on()
with tracing.span("work"):
    tracing.event("done")
if os.environ.get("FORK"):
    child = os.fork()
    with tracing.span("child" if not child else "parent"):
        pass
    if child:
        os.waitpid(child, 0)
    else:
        telemetry.stop()
        os._exit(0)
print("ON" if told else "OFF")
"""


def program(**environment: str) -> tuple[str, list[dict[str, Any]]]:
    """Whether a small program has traces, and what it logs; it ends well in any case."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip(), lines(done.stderr)


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "most"}, True),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-3"}, False),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, True),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, True),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "few"}, False),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "long"}, False),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_PROPAGATORS": "pigeon"}, None),
        ({"OTEL_RESOURCE_ATTRIBUTES": "no pairs"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "not an address"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:99999"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector\nother:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "key=a%0Aother:b"}, False),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "key=\u20ac"}, False),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a key=b"}, False),
        ({"OTEL_BSP_SCHEDULE_DELAY": "-5"}, False),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100000"}, False),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}, True),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "no pairs"}, False),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"}, True),
        ({"MISSING": "1"}, False),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_environment_is_told_once(environment: dict[str, str], on: bool | None) -> None:
    with Collector() as collector:
        told, said = program(**{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, **environment})

    assert told == {True: "ON", False: "OFF", None: told}[on]
    reasons = [line["reason"] for line in said]
    assert len(set(reasons)) == len(reasons) <= 2
    assert told == "ON" or [line["event"] for line in said] == ["tracing_off"]
    assert all(line["event"] != "tracing_off" or "OTEL_" in line["reason"] or "MISSING" in environment for line in said)
    assert "spans_not_sent" not in {line["event"] for line in said}


def test_the_environment_s_headers_and_compression_are_used() -> None:
    with Collector() as collector:
        told, said = program(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.endpoint}/v1/traces",
            OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b, x-other=c",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )

        assert (told, said) == ("ON", [])
        assert [span.name for span in collector.spans()] == ["work"]
        assert collector.headers.items() >= {"x-key": "a b", "x-other": "c", "content-encoding": "gzip"}.items()


def test_without_the_extra_it_says_what_to_install() -> None:
    _, (line,) = program(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", MISSING="1")

    assert line["event"] == "tracing_off"
    assert "strangler-chassis[tracing]" in line["reason"]


def test_no_password_of_the_environment_is_logged() -> None:
    told, said = program(
        OTEL_EXPORTER_OTLP_ENDPOINT=nobody().replace("//", "//ada:s3cret@"), OTEL_EXPORTER_OTLP_HEADERS="key=s3cret"
    )

    assert told == "ON"
    assert "s3cret" not in json.dumps(said)


def test_spans_of_both_sides_of_a_fork_arrive() -> None:
    with Collector() as collector:
        told, said = program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, FORK="1")

        assert (told, said) == ("ON", [])
        assert sorted(span.name for span in collector.spans()) == ["child", "parent", "work"]


def test_the_name_of_the_service_is_the_environment_s_or_that_of_the_logs() -> None:
    with Collector() as collector:
        program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SERVICE_NAME="named")
        program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_RESOURCE_ATTRIBUTES="service.name=listed,zone=a")

        assert [span.service for span in collector.spans()] == ["small", "named", "listed"]
        assert collector.spans()[2].resource["zone"] == "a"


def test_a_silent_collector_does_not_hold_up_the_end() -> None:
    with Collector(hangs=True) as collector:
        began = time.monotonic()
        told, _ = program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)

        assert told == "ON"
        assert time.monotonic() - began < END_SECONDS
