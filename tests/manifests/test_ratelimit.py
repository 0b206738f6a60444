"""The component `ratelimit`: gateways count together, by the limits of strangler.toml and the rates of production."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib

from tests.manifests.edges import edges, outside
from tests.manifests.kustomize import ROOT, Resource, of_kind
from tests.manifests.workloads import workload
from tests.stack import STRANGLER

FOLDER, PLAIN = "tests/ratelimit", "overlays/production"
GATEWAY = tomllib.loads((ROOT / "strangler.toml").read_text())["gateway"]


def config_map(name: str) -> Resource:
    [found] = [each for each in of_kind(FOLDER, "ConfigMap") if each["metadata"]["name"].startswith(f"{name}-")]
    return found


def test_the_service_counts_what_the_gateways_of_production_count() -> None:
    addresses = config_map("addresses")["data"]
    rates = {limit["rate_env"]: addresses[limit["rate_env"]] for limit in GATEWAY["limits"].values()}

    printed = subprocess.run(
        [STRANGLER, "render", "limits"],
        cwd=ROOT,
        env={**os.environ, **rates},
        check=True,
        capture_output=True,
        text=True,
    )

    assert {each["value"] for each in json.loads(printed.stdout)["descriptors"]} == set(GATEWAY["limits"])
    assert json.loads(config_map("limits")["data"]["limits.yaml"]) == json.loads(printed.stdout)


def test_the_gateways_ask_the_service_where_it_listens() -> None:
    address = config_map("addresses")["data"][GATEWAY["limits_service_env"]]
    [service] = [each for each in of_kind(FOLDER, "Service") if each["metadata"]["name"] == "ratelimit"]

    assert address == f"http://ratelimit:{service['spec']['ports'][0]['port']}"
    for name in ("prepare", "agent"):
        named = [each["configMapRef"]["name"] for each in workload(FOLDER, "gateway").container(name)["envFrom"]]
        assert config_map("addresses")["metadata"]["name"] in named


def test_the_service_reads_the_folder_where_its_limits_are() -> None:
    container = workload(FOLDER, "ratelimit").container("ratelimit")
    given = {each["name"]: each["value"] for each in container["env"]}
    [mounted] = container["volumeMounts"]

    assert mounted["mountPath"] == f"{given['RUNTIME_ROOT']}/{given['RUNTIME_SUBDIRECTORY']}/config"
    assert given["RUNTIME_IGNOREDOTFILES"] == "true"  # a ConfigMap's own folders
    [valkey] = [each for each in of_kind(FOLDER, "Service") if each["metadata"]["name"] == "valkey"]
    assert given["REDIS_URL"] == f"valkey:{valkey['spec']['ports'][0]['port']}"


def test_only_gateways_reach_the_service_and_only_the_service_its_counts() -> None:
    assert edges(FOLDER) - edges(PLAIN) == {("gateway", "ratelimit", 8081), ("ratelimit", "valkey", 6379)}
    assert not {each for each in outside(FOLDER, "ingress") if each[0] in ("ratelimit", "valkey")}


def test_no_other_gateway_asks_a_service() -> None:
    for overlay in ("overlays/local", "overlays/staging", PLAIN):
        for each in of_kind(overlay, "ConfigMap"):
            assert GATEWAY["limits_service_env"] not in each["data"]
