"""What watches the shop, in the cluster and in compose. Prometheus and Alertmanager are run; of all others the files
are compared with what is documented, and with each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.manifests import documents
from tests.manifests.edges import edges, outside
from tests.manifests.kustomize import K8S, ROOT, built, of_kind
from tests.manifests.workloads import workload, workloads
from tests.programs import Running, program
from tests.waiting import eventually

FOLDER = "tests/observability"
MONITORING, TRACING, LOGGING = (K8S / "components" / name for name in ("monitoring", "tracing", "logging"))
WATCHING = {"prometheus", "alertmanager", "grafana", "collector", "jaeger", "loki"}
PROCESSES = {"web": 8000, "worker": 9100, "relay": 9100, "references": 9100, "gateway": 9100, "strangler": 9100}
PROMETHEUS = {"k8s": MONITORING / "prometheus.yml", "compose": ROOT / "observability" / "prometheus.yml"}
READERS = {"k8s": K8S / "node-logs" / "reader.yaml", "compose": ROOT / "observability" / "reader.yaml"}
FILES: Mapping[Path, Mapping[str, Any]] = {
    TRACING / "traces.yaml": documents.COLLECTOR,
    TRACING / "storage.yaml": documents.COLLECTOR,
    LOGGING / "logs.yaml": documents.COLLECTOR,
    LOGGING / "storage.yaml": documents.LOKI,
    **dict.fromkeys(READERS.values(), documents.COLLECTOR),
    MONITORING / "data-sources.yaml": documents.DATA_SOURCES,
    MONITORING / "providers.yaml": documents.PROVIDERS,
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def compose() -> dict[str, Any]:
    found: dict[str, Any] = read(ROOT / "docker-compose.yml")["services"]
    return {name: each for name, each in found.items() if "observability" in each.get("profiles", ())}


# ------------------------------------------------------------------------------------------------------ in the cluster


def test_it_is_reached_by_no_other_ways_than_it_needs() -> None:
    processes = {each.name: each.component for each in workloads(FOLDER) if each.component in PROCESSES}
    asked = {("prometheus", name, port) for name, component in processes.items() for port in (8000, 9100)}
    sent = {(name, "collector", 4318) for name in processes}

    added = edges(FOLDER) - edges("overlays/local")

    assert added == asked | sent | {
        ("prometheus", "alertmanager", 9093),
        ("grafana", "prometheus", 9090),
        ("grafana", "alertmanager", 9093),
        ("grafana", "jaeger", 16686),
        ("grafana", "loki", 3100),
        ("collector", "jaeger", 4317),
        ("collector", "loki", 3100),
    }
    assert outside(FOLDER, "ingress") - outside("overlays/local", "ingress") == {("collector", "node-logs", 4318)}


def test_what_keeps_something_has_a_volume_and_everything_else_none() -> None:
    keeping = {each.name for each in workloads(FOLDER) if each.volumes("persistentVolumeClaim")}

    assert keeping & WATCHING == {"prometheus", "alertmanager", "jaeger", "loki"}


def test_prometheus_finds_each_pod_of_each_process_at_the_port_at_which_it_answers() -> None:
    names = {
        job["job_name"]: {(name, found["port"]) for found in job["dns_sd_configs"] for name in found["names"]}
        for job in read(PROMETHEUS["k8s"])["scrape_configs"]
    }
    headless = {
        each["metadata"]["name"]: each["spec"]["ports"][0]["port"]
        for each in of_kind(FOLDER, "Service")
        if each["spec"].get("clusterIP") == "None"
    }

    assert {found for each in names.values() for found in each} == set(headless.items())
    assert headless == {
        f"metrics-{each.name}": PROCESSES[each.component] for each in workloads(FOLDER) if each.component in PROCESSES
    }
    assert all(job.startswith("strangler-") for job in names), "alerts go by that"


def test_processes_gateway_and_tool_are_told_where_the_collector_is() -> None:
    there = {resource["metadata"]["name"]: resource["data"] for resource in of_kind(FOLDER, "ConfigMap")}
    for each in workloads(FOLDER, "Deployment"):
        if each.component not in PROCESSES:
            continue
        for container in each.all_containers:
            if container["name"] == "envoy":
                continue
            told = [there[source["configMapRef"]["name"]] for source in container["envFrom"]]
            addresses = {each["OTEL_EXPORTER_OTLP_ENDPOINT"] for each in told if "OTEL_EXPORTER_OTLP_ENDPOINT" in each}
            assert addresses == {"http://collector:4318"}, f"{each.name}: {container['name']}"


def test_who_reads_the_nodes_files_is_the_only_exception_and_may_do_nothing_else() -> None:
    [daemon] = of_kind("node-logs", "DaemonSet")
    pod = daemon["spec"]["template"]["spec"]
    [container] = pod["containers"]

    assert {resource["metadata"].get("namespace", "node-logs") for resource in built("node-logs")} == {"node-logs"}
    assert [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume] == ["/var/log/pods"]
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    assert not [each for each in ("privileged", "hostPort") if each in json.dumps(container)]
    [policy] = of_kind("node-logs", "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    # No kustomization of the shop has any of this.
    assert not [each for folder in ("overlays/production", FOLDER) for each in of_kind(folder, "DaemonSet")]


# ---------------------------------------------------------------------------------------------------------- in compose


def test_each_container_that_watches_is_nobody_and_may_do_nothing_but_the_one_that_reads_dockers_files() -> None:
    root = {name for name, each in compose().items() if each.get("user", "10001").split(":")[0] == "0"}

    assert set(compose()) == WATCHING | {"own-volumes", "log-reader"}
    assert root == {"log-reader"}
    for name, each in compose().items():
        assert each["read_only"], name
        assert (each["cap_drop"], each.get("cap_add")) == (["ALL"], None), name
        assert "no-new-privileges:true" in each["security_opt"], name
        assert each["mem_limit"], name
        bound = [volume for volume in each.get("volumes", []) if volume.startswith((".", "/"))]
        assert all(volume.endswith(":ro") for volume in bound), name
    assert {name: each["ports"] for name, each in compose().items() if "ports" in each} == {
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    }


def test_compose_has_the_images_and_arguments_of_the_cluster() -> None:
    for name in WATCHING:
        kind = "Deployment" if name in {"grafana", "collector"} else "StatefulSet"
        [container] = workload(FOLDER, name, kind).containers
        assert compose()[name]["image"] == container["image"]
        flags = [argument for argument in container.get("args", []) if "config" not in argument]
        assert [word for word in compose()[name].get("command", []) if "config" not in word] == flags
        variables = {each["name"]: each["value"] for each in container.get("env", [])}
        assert compose()[name].get("environment", {}) == variables


def test_what_compose_mounts_is_there() -> None:
    for name, each in compose().items():
        for volume in each.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), f"{name}: {volume}"


def test_prometheus_in_compose_asks_every_process() -> None:
    asked = {
        target
        for job in read(PROMETHEUS["compose"])["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    everything = read(ROOT / "docker-compose.yml")["services"]
    answering = {
        f"{name}:{each['healthcheck']['test'][-1]}"
        for name, each in everything.items()
        if each.get("healthcheck", {}).get("test", [])[:2] == ["CMD", "ready"]
    }

    assert asked == answering | {"gateway:9901"}


# ------------------------------------------------------------------------------------------------------------ the files


def test_rules_and_dashboards_are_those_of_the_tool() -> None:
    source = Path(str(files("strangler"))) / "observability"
    for folder in ("rules", "dashboards"):
        ours, copied = (
            {path.name: path.read_text() for path in place.iterdir() if path.suffix in {".yml", ".json"}}
            for place in (source / folder, MONITORING / folder)
        )
        assert copied == ours, "`make boards` copies them"
        listed = read(MONITORING / "kustomization.yaml")["configMapGenerator"]
        named = {name for each in listed for name in each["files"] if name.startswith(f"{folder}/")}
        assert named == {f"{folder}/{name}" for name in ours}
    assert (MONITORING / "alertmanager.yml").read_text() == (source / "alertmanager.yml").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_file_has_only_what_is_documented(path: Path) -> None:
    jsonschema.validate(read(path), FILES[path])


@pytest.mark.parametrize(
    "paths",
    [
        [TRACING / "traces.yaml"],
        [TRACING / "traces.yaml", LOGGING / "logs.yaml"],
        [TRACING / "storage.yaml"],
        [READERS["k8s"]],
        [READERS["compose"]],
    ],
    ids=["traces", "traces-and-logs", "jaeger", "node-logs", "compose-logs"],
)
def test_each_pipeline_has_only_parts_that_are_there_and_each_part_is_used(paths: list[Path]) -> None:
    whole: dict[str, Any] = {}
    for path in paths:
        _merge(whole, read(path))

    for part in ("receivers", "processors", "exporters"):
        used = {name for pipeline in whole["service"]["pipelines"].values() for name in pipeline.get(part, ())}
        assert used == set(whole[part]), part
    assert set(whole["service"].get("extensions", ())) == set(whole.get("extensions", {}))


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """As the collector merges files: objects are merged, everything else is replaced."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def test_each_address_in_a_file_is_one_of_a_service_in_the_cluster_and_in_compose() -> None:
    services = {
        f"{each['metadata']['name']}:{port['port']}"
        for each in of_kind(FOLDER, "Service")
        for port in each["spec"]["ports"]
    }
    wanted = {
        address
        for path in (*FILES, MONITORING / "prometheus.yml", MONITORING / "alertmanager.yml")
        for address in re.findall(rf"\b(?:{'|'.join(WATCHING)}):\d+", path.read_text())
    }

    assert wanted
    assert wanted <= services
    assert {address.split(":")[0] for address in wanted} <= set(compose())
    # And each listens where it is asked.
    assert read(LOGGING / "storage.yaml")["server"]["http_listen_port"] == 3100
    assert read(TRACING / "storage.yaml")["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"
    assert read(TRACING / "storage.yaml")["extensions"]["jaeger_query"]["http"]["endpoint"] == "0.0.0.0:16686"


def test_a_trace_leads_to_its_lines_and_a_line_to_its_trace() -> None:
    sources = {each["uid"]: each for each in read(MONITORING / "data-sources.yaml")["datasources"]}
    logs = sources["jaeger"]["jsonData"]["tracesToLogsV2"]
    [field] = sources["loki"]["jsonData"]["derivedFields"]

    assert {each["type"] for each in sources.values()} == {"prometheus", "alertmanager", "jaeger", "loki"}
    assert sources[logs["datasourceUid"]]["type"] == "loki"
    # Grafana takes one dollar for a variable of its environment.
    assert 'trace_id="$${__trace.traceId}"' in logs["query"]
    assert (sources[field["datasourceUid"]]["type"], field["matcherRegex"]) == ("jaeger", "trace_id")
    for reader in READERS.values():
        parsed = {each["type"]: each for each in read(reader)["receivers"]["filelog"]["operators"]}
        assert parsed["trace_parser"]["trace_id"]["parse_from"] == "attributes.trace_id"


@pytest.mark.parametrize("where", PROMETHEUS)
def test_promtool_takes_configuration_and_rules(where: str, tmp_path: Path) -> None:
    promtool = program("promtool")
    place = _laid_out(PROMETHEUS[where], tmp_path)

    for words in (["config", place], ["rules", tmp_path / "rules" / "strangler.yml"]):
        done = subprocess.run([promtool, "check", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_takes_the_configuration() -> None:
    done = subprocess.run(
        [program("amtool"), "check-config", MONITORING / "alertmanager.yml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------------ what can be run


@pytest.mark.parametrize("where", PROMETHEUS)
def test_prometheus_starts_with_it_and_has_the_rules_the_jobs_and_the_alertmanager(where: str, tmp_path: Path) -> None:
    place = _laid_out(PROMETHEUS[where], tmp_path)
    command = [program("prometheus"), f"--config.file={place}", f"--storage.tsdb.path={tmp_path / 'data'}"]

    with Running(command, tmp_path) as prometheus:
        ask = prometheus.ask
        groups = ask("/api/v1/rules")["data"]["groups"]
        named = {job["job_name"] for job in read(place)["scrape_configs"]}

        assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
        assert sum(len(group["rules"]) for group in groups) > 0
        eventually(lambda: set(ask("/api/v1/scrape_pools")["data"]["scrapePools"]) == named, "all jobs are there")
        known = eventually(
            lambda: [each["url"] for each in ask("/api/v1/alertmanagers")["data"]["activeAlertmanagers"]],
            "the Alertmanager is known",
        )
        assert known == ["http://alertmanager:9093/api/v2/alerts"]


def test_alertmanager_starts_with_it_and_takes_an_alert(tmp_path: Path) -> None:
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={MONITORING / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'data'}",
        "--cluster.listen-address=",
    ]

    with Running(command, tmp_path) as alertmanager:
        alert = {"labels": {"alertname": "any", "capability": "orders", "severity": "page"}}
        alertmanager.post("/api/v2/alerts", [alert])
        found = eventually(lambda: alertmanager.ask("/api/v2/alerts"), "the alert is there")

        assert [each["receivers"] for each in found] == [[{"name": "page"}]]


def _laid_out(configuration: Path, folder: Path) -> Path:
    """The configuration beside its rules, as it is mounted."""
    shutil.copytree(MONITORING / "rules", folder / "rules")
    return Path(shutil.copy(configuration, folder / "prometheus.yml"))
