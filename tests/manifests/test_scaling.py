"""What scales pods and nodes: it must not fight with what else does, and must leave alone what has to stay single."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.manifests.edges import edges, outside
from tests.manifests.kustomize import ROOT, Resource, built, of_kind
from tests.manifests.operated import operated
from tests.manifests.workloads import Workload, matches, workload, workloads

FOLDER = "tests/scaling"
PROJECTS = {"monolith": ROOT / "monolith", "orders": ROOT / "services" / "orders"}
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
STAY = "karpenter.sh/do-not-disrupt"
ACTING = {"Initial", "Recreate", "InPlaceOrRecreate", "InPlace", "Auto"}
UNITS = {"": 1, "m": 0.001, "Mi": 2**20, "Gi": 2**30}


def target(scaler: Resource) -> str:
    spec = scaler["spec"]
    return str((spec.get("scaleTargetRef") or spec["targetRef"])["name"])


def quantity(text: object) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi|)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


# --------------------------------------------------------------------------------------------------- by length of queue


def test_more_workers_come_for_queues_of_tasks_and_never_for_messages_which_have_an_order() -> None:
    for scaler in of_kind(FOLDER, "ScaledObject"):
        asked = {trigger["metadata"]["queueName"] for trigger in scaler["spec"]["triggers"]}
        name = workload(FOLDER, target(scaler)).labels["app.kubernetes.io/name"]
        # As the project's own Celery consumes them.
        consumed = re.findall(
            r'environment\.celery\(queue="([^"]+)"', (PROJECTS[name] / "config/celery.py").read_text()
        )
        assert asked == set(consumed)
        assert all(queue.endswith(".tasks") for queue in asked)


def test_who_asks_for_the_length_of_a_queue_may(secrets: Mapping[str, Mapping[str, str]]) -> None:
    given = {
        each["metadata"]["name"]: each["spec"]["secretTargetRef"] for each in of_kind(FOLDER, "TriggerAuthentication")
    }
    for scaler in of_kind(FOLDER, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            references = given[trigger["authenticationRef"]["name"]]
            assert {each["parameter"] for each in references} == {"username", "password"}
            assert all(each["key"] in secrets[each["name"]] for each in references)
            [definitions] = {secrets[each["name"]]["definitions.json"] for each in references}
            patterns = re.findall(r'"configure": "([^"]+)"', definitions)
            # By what the tool lets this user do with its own queues.
            assert all(re.search(each.replace("\\\\", "\\"), trigger["metadata"]["queueName"]) for each in patterns)


def test_there_is_always_a_worker_and_nobody_else_says_how_many() -> None:
    scalers = of_kind(FOLDER, "ScaledObject")
    by_cpu = {target(each) for each in of_kind(FOLDER, "HorizontalPodAutoscaler")}

    assert {target(each) for each in scalers} == {"monolith-tasks", "orders-tasks"}
    for scaler in scalers:
        assert scaler["spec"]["minReplicaCount"] >= 1
        assert "idleReplicaCount" not in scaler["spec"]
        assert "replicas" not in workload(FOLDER, target(scaler)).spec
        assert target(scaler) not in by_cpu


def test_a_pause_of_a_switch_starts_no_pods() -> None:
    hold_limit_seconds = 30
    for scaler in of_kind(FOLDER, "ScaledObject"):
        behaviour = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behaviour["scaleUp"]["stabilizationWindowSeconds"] > hold_limit_seconds


def test_what_is_scaled_is_the_worker_without_its_beat() -> None:
    for name in PROJECTS:
        original, more = workload(FOLDER, f"{name}-worker"), workload(FOLDER, f"{name}-tasks")
        assert original.spec["replicas"] == 1
        assert "--beat" in original.containers[0]["command"]
        assert more.containers[0] == original.containers[0] | {
            "command": [word for word in original.containers[0]["command"] if word != "--beat"]
        }
        assert {key: value for key, value in more.pod.items() if key != "containers"} == {
            key: value for key, value in original.pod.items() if key != "containers"
        }


def test_more_workers_reach_what_the_worker_does() -> None:
    before = edges("overlays/local")
    added = edges(FOLDER) - before

    assert added == {
        (one.replace("-worker", "-tasks"), other, port)
        for one, other, port in before
        if one in {"monolith-worker", "orders-worker"}
    }
    assert outside(FOLDER, "ingress") - outside("overlays/local", "ingress") == {("rabbitmq", "keda", 5672)}


# ------------------------------------------------------------------------------------------------------ by what is used


def _vertical(folder: str) -> Iterator[tuple[Resource, Workload]]:
    for scaler in of_kind(folder, "VerticalPodAutoscaler"):
        yield scaler, workload(folder, target(scaler), scaler["spec"]["targetRef"]["kind"])


def test_nothing_that_is_scaled_by_cpu_or_memory_is_resized_too(folder: str) -> None:
    measured = {
        target(scaler)
        for scaler in of_kind(folder, "HorizontalPodAutoscaler")
        if any(metric["type"] in {"Resource", "ContainerResource"} for metric in scaler["spec"]["metrics"])
    }
    measured |= {
        target(scaler)
        for scaler in of_kind(folder, "ScaledObject")
        if any(trigger["type"] in {"cpu", "memory"} for trigger in scaler["spec"]["triggers"])
    }
    resized = {
        each.name for scaler, each in _vertical(folder) if scaler["spec"]["updatePolicy"]["updateMode"] in ACTING
    }

    assert not measured & resized


def test_each_process_of_the_shop_is_measured_once() -> None:
    found = [each.name for _, each in _vertical(FOLDER)]

    assert sorted(found) == sorted(
        each.name for each in workloads(FOLDER, "Deployment") if not each.name.endswith("-tasks")
    )


def test_only_single_processes_whose_work_waits_are_resized() -> None:
    resized = {
        each.component for scaler, each in _vertical(FOLDER) if scaler["spec"]["updatePolicy"]["updateMode"] in ACTING
    }

    assert resized == {"worker", "relay", "references"}


def test_no_more_is_requested_than_a_container_may_use_and_each_policy_is_of_a_container() -> None:
    for scaler, each in _vertical(FOLDER):
        policies = scaler["spec"]["resourcePolicy"]["containerPolicies"]
        assert {policy["containerName"] for policy in policies} == {found["name"] for found in each.containers}
        for policy in policies:
            assert policy["controlledValues"] == "RequestsOnly"
            limit = each.container(policy["containerName"])["resources"]["limits"]["memory"]
            assert (
                quantity(policy["minAllowed"]["memory"]) < quantity(policy["maxAllowed"]["memory"]) <= quantity(limit)
            )
            assert quantity(policy["minAllowed"]["cpu"]) < quantity(policy["maxAllowed"]["cpu"])


# ---------------------------------------------------------------------------------------------------------------- nodes


def _budgeted(folder: str) -> Iterator[tuple[str, Mapping[str, str], int]]:
    """(name, labels, fewest pods) of all that is evicted: not Jobs, which end."""
    fewest = {target(each): each["spec"]["minReplicas"] for each in of_kind(folder, "HorizontalPodAutoscaler")}
    fewest |= {target(each): each["spec"]["minReplicaCount"] for each in of_kind(folder, "ScaledObject")}
    for each in workloads(folder, "Deployment", "StatefulSet"):
        yield each.name, each.labels, fewest.get(each.name, each.spec.get("replicas", 1))
    for other in operated(folder):
        yield other.name, other.labels, other.pods


def test_each_node_can_be_drained(folder: str) -> None:
    for name, labels, fewest in _budgeted(folder):
        own = [
            each["spec"] for each in of_kind(folder, "PodDisruptionBudget") if matches(each["spec"]["selector"], labels)
        ]
        # The API refuses to evict a pod with two.
        assert len(own) <= 1, name
        for budget in own:
            assert _may_go(budget, fewest) >= 1, name
            assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name


def _may_go(budget: Mapping[str, Any], pods: int) -> int:
    """How many pods a budget lets go; both numbers are whole in our manifests."""
    if "maxUnavailable" in budget:
        return int(budget["maxUnavailable"])
    return pods - int(budget["minAvailable"])


def test_nodes_may_go_with_all_pods_but_those_of_servers() -> None:
    for each in workloads(FOLDER, "Deployment", "StatefulSet"):
        said = each.spec["template"]["metadata"]["annotations"]
        if each.kind == "Deployment":
            assert said == {SAFE: "true"}, each.name
            assert not each.volumes("persistentVolumeClaim", "hostPath")
        else:
            assert said == {SAFE: "false", STAY: "true"}, each.name


def test_a_node_waits_for_the_slowest_pod_and_goes_alone() -> None:
    [pool] = [each for each in built("components/nodes/karpenter") if each["kind"] == "NodePool"]
    slowest = max(each.pod.get("terminationGracePeriodSeconds", 30) for each in workloads(FOLDER))
    slowest = max(
        [slowest, *(each.spec.get("terminationGracePeriodSeconds", 0) for each in operated("tests/operators"))]
    )

    assert pool["spec"]["template"]["spec"]["terminationGracePeriod"] == "1h"
    assert slowest < 3600
    assert pool["spec"]["disruption"]["budgets"] == [{"nodes": "1"}]


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_pool_has_room_for_the_namespace(resource: str) -> None:
    [pool] = [each for each in built("components/nodes/karpenter") if each["kind"] == "NodePool"]
    [quota] = of_kind(FOLDER, "ResourceQuota")

    assert quantity(pool["spec"]["limits"][resource]) > quantity(quota["spec"]["hard"][f"requests.{resource}"])
