"""Each pod under the Pod Security Standard `restricted`, and under what the kit asks of itself besides."""

from __future__ import annotations

from tests.manifests.workloads import Workload, workload, workloads

ENVOY_LETS_REQUESTS_END = 30
GUNICORN_LETS_REQUESTS_END = 30


def test_each_pod_is_restricted(folder: str) -> None:
    for each in workloads(folder):
        assert not _looser_than_restricted(each), each.name


def _looser_than_restricted(each: Workload) -> list[str]:
    pod, context = each.pod, each.pod["securityContext"]
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    if context.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot")
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("seccompProfile")
    for container in each.all_containers:
        own = container["securityContext"]
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{container['name']}: allowPrivilegeEscalation")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append(f"{container['name']}: capabilities")
        if own.get("privileged") or own.get("seccompProfile") or own.get("runAsNonRoot") is False:
            found.append(f"{container['name']}: takes it back")
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append(f"{container['name']}: hostPort")
    kinds = ("configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret")
    allowed = each.volumes(*kinds)
    found += [f"volume {volume['name']}" for volume in pod.get("volumes", []) if volume["name"] not in allowed]
    return found


def test_each_container_has_a_user_by_number_and_a_filesystem_that_it_cannot_write(folder: str) -> None:
    for each in workloads(folder):
        for container in each.all_containers:
            user = container["securityContext"].get("runAsUser", each.pod["securityContext"]["runAsUser"])
            assert user > 0, each.name
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, each.name


def test_what_a_container_may_write_is_of_its_pod_or_a_claim(folder: str) -> None:
    for each in workloads(folder):
        writable = each.volumes("emptyDir", "persistentVolumeClaim")
        for container in each.all_containers:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in writable or mount["readOnly"], f"{each.name}: {mount['mountPath']}"


def test_each_volume_of_a_pod_has_a_limit(folder: str) -> None:
    for each in workloads(folder):
        assert all("sizeLimit" in volume["emptyDir"] for volume in each.volumes("emptyDir").values()), each.name


def test_no_pod_is_given_the_addresses_of_services_as_variables(folder: str) -> None:
    assert all(each.pod["enableServiceLinks"] is False for each in workloads(folder))


def test_no_pod_has_a_token_but_the_one_that_makes_secrets(folder: str) -> None:
    with_token = {each.name for each in workloads(folder) if each.pod["automountServiceAccountToken"]}

    assert with_token <= {"secrets"}


def test_each_image_has_a_tag_that_stays(folder: str) -> None:
    for each in workloads(folder):
        for container in each.all_containers:
            image, _, tag = container["image"].rpartition(":")
            assert image, container["image"]
            assert tag != "latest"
            assert container["imagePullPolicy"] == "IfNotPresent"


def test_each_container_asks_for_what_it_needs_and_has_a_limit_of_memory(folder: str) -> None:
    for each in workloads(folder):
        for container in each.all_containers:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, each.name
            # A limit of CPU would hold a process up in the middle of a transaction.
            assert set(container["resources"]["limits"]) == {"memory"}, each.name


def test_each_container_that_goes_on_running_is_probed(folder: str) -> None:
    for each in workloads(folder, "Deployment", "StatefulSet"):
        for container in each.containers:
            # The agent's readiness counts until it has begun: later requests go on by the routes that there are.
            told = "startupProbe" if container["name"] == "agent" else "readinessProbe"
            assert {"livenessProbe", told} <= set(container), f"{each.name}: {container['name']}"


def test_jobs_try_again_and_go_away(folder: str) -> None:
    for each in workloads(folder, "Job"):
        # Argo CD keeps them, and prunes those of the tag before.
        if folder != "tests/gitops-argocd":
            assert each.spec["ttlSecondsAfterFinished"] > 0
        if each.name != "rehearsal":
            assert each.pod["restartPolicy"] == "OnFailure"
            assert each.spec["backoffLimit"] >= 10


def test_a_web_process_is_left_alone_before_it_is_stopped_and_has_time_to_end(folder: str) -> None:
    for each in workloads(folder, "Deployment"):
        if each.component in {"web", "front"}:
            sleep = each.container("app")["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert sleep > 10, "the gateway keeps a connection for so long"
            assert each.pod["terminationGracePeriodSeconds"] > sleep + GUNICORN_LETS_REQUESTS_END


def test_envoy_outlives_what_its_agent_has_told_to_close() -> None:
    gateway = workload("overlays/local", "gateway")
    agent, envoy = (gateway.container(name)["lifecycle"]["preStop"]["sleep"]["seconds"] for name in ("agent", "envoy"))

    assert envoy >= agent + ENVOY_LETS_REQUESTS_END
    assert gateway.pod["terminationGracePeriodSeconds"] > envoy


def test_a_rollout_takes_nothing_away_before_its_replacement_is_there(folder: str) -> None:
    for each in workloads(folder, "Deployment"):
        strategy = each.spec["strategy"]
        assert (
            strategy["type"] == "Recreate"
            if each.name == "strangler"
            else strategy["rollingUpdate"]
            == {
                "maxSurge": 1,
                "maxUnavailable": 0,
            }
        )
