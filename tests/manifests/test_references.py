"""Names that refer to other objects: selectors, ports, ConfigMaps, Secrets, accounts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping

import pytest
import yaml
from strangler.adapters.postgres.session import roles

from tests.manifests.kustomize import ROOT, built, of_kind
from tests.manifests.operated import operated
from tests.manifests.workloads import Workload, matches, workloads
from tests.stack import STRANGLER

PATTERN = {"app-service", "mover-service", "broker-service", "service-service", "database-service", "roles-service"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """The Secrets that the tool makes, and the keys of each."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([STRANGLER, "secrets", "--to", folder], cwd=ROOT, check=True, capture_output=True)
    return {each.name: {key.name for key in each.iterdir()} for each in folder.iterdir()}


def test_each_selector_is_that_of_its_own_pods_and_of_no_others(folder: str) -> None:
    everything = list(workloads(folder))
    for each in workloads(folder, "Deployment", "StatefulSet"):
        chosen = [other.name for other in everything if matches(each.spec["selector"], other.labels)]
        assert chosen == [each.name]


def test_each_workload_is_labelled_by_name_component_and_whole(folder: str) -> None:
    for each in workloads(folder):
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of"} <= set(
            each.labels
        )
        own = each.resource["metadata"]["labels"]
        assert all(own[key] == each.labels[key] for key in own), each.name


def test_each_service_has_pods_that_listen_at_the_port_it_names(folder: str) -> None:
    retired = {"monolith"} if folder == "tests/retired-monolith" else set()
    for service in of_kind(folder, "Service"):
        behind = [
            each for each in workloads(folder) if matches({"matchLabels": service["spec"]["selector"]}, each.labels)
        ]
        assert len(behind) == 1 or service["metadata"]["name"] in retired, service["metadata"]["name"]
        for each in behind:
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(_ports(each))


def _ports(each: Workload) -> Iterator[str]:
    return (port["name"] for container in each.containers for port in container.get("ports", []))


def test_each_probe_asks_a_port_that_is_named(folder: str) -> None:
    for each in workloads(folder):
        for container in each.containers:
            own = {port["name"] for port in container.get("ports", [])}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind, {})
                asked = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
                assert asked is None or asked in own, f"{each.name}: {kind}"


def test_each_config_map_that_is_named_is_there(folder: str) -> None:
    there = {resource["metadata"]["name"] for resource in of_kind(folder, "ConfigMap")}
    for each in workloads(folder):
        for container in each.all_containers:
            named = {source["configMapRef"]["name"] for source in container.get("envFrom", [])}
            assert named <= there, each.name


def test_each_secret_that_is_named_is_one_that_the_tool_makes(folder: str, made: Mapping[str, set[str]]) -> None:
    known = {**made, **{name.replace("-users", "-invoices"): keys for name, keys in made.items() if "-users" in name}}
    for each in workloads(folder):
        for secret, key in _secrets(each):
            assert key in known[secret], f"{each.name}: {secret}/{key}"


def _secrets(each: Workload) -> Iterator[tuple[str, str]]:
    for container in each.all_containers:
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]
    for volume in each.volumes("secret").values():
        # Without items a whole Secret would be mounted, also the keys that are not for this pod.
        for item in volume["secret"]["items"]:
            yield volume["secret"]["secretName"], item["key"]
    for volume in each.volumes("projected").values():
        for source in volume["projected"]["sources"]:
            yield from ((source["secret"]["name"], item["key"]) for item in source["secret"]["items"])


def test_who_makes_the_secrets_may_look_at_these_and_no_others(made: Mapping[str, set[str]]) -> None:
    role = of_kind("overlays/local", "Role")[0]
    looking = next(rule for rule in role["rules"] if "get" in rule["verbs"])

    assert set(looking["resourceNames"]) == set(made)
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"create", "get"}


def test_a_role_is_given_to_an_account_of_its_own_namespace() -> None:
    [binding] = of_kind("overlays/local", "RoleBinding")

    assert [each["namespace"] for each in binding["subjects"]] == [binding["metadata"]["namespace"]]


def test_only_who_has_accounts_and_answers_requests_sees_the_keys_that_sign_their_tokens(folder: str) -> None:
    seeing = {each.name for each in workloads(folder) if ("application", "TOKEN_KEY_FILE") in _secrets(each)}

    assert seeing == {"monolith", "users"} - ({"monolith"} if folder == "tests/retired-monolith" else set())


def test_each_service_has_a_key_of_its_own_for_what_django_signs(folder: str) -> None:
    for each in workloads(folder):
        keys = {secret for secret, key in _secrets(each) if key == "SECRET_KEY"}
        assert keys <= {f"service-{each.labels['app.kubernetes.io/name']}"}, each.name


def test_nobody_but_a_server_sees_its_superuser(folder: str) -> None:
    for each in workloads(folder):
        seen = {secret for secret, _ in _secrets(each)}
        admins = {secret for secret in seen if secret == "broker" or secret.startswith("database-")}
        own = {"database": {f"database-{each.name.removeprefix('postgres-')}"}, "broker": {"broker"}}
        assert admins == own.get(each.component, set()), each.name


def test_each_pod_sees_what_is_its_own_and_of_others_no_more_than_public_keys(folder: str) -> None:
    for each in workloads(folder):
        if each.component in {"database", "broker", "strangler", "gateway", "secrets"}:
            continue
        service = each.labels["app.kubernetes.io/name"]
        private = {(secret, key) for secret, key in _secrets(each) if not key.endswith(".pub")}
        names = {secret for secret, _ in private}
        own = {"application", *(f"{kind}-{service}" for kind in ("app", "broker", "service"))}
        assert names <= own, each.name


def test_only_the_tool_sees_the_role_that_moves_and_only_agents_theirs(folder: str) -> None:
    for each in workloads(folder):
        kinds = {secret.split("-")[0] for secret, key in _secrets(each) if key == "url"}
        assert ("mover" in kinds) == (each.component == "strangler"), each.name
        assert ("agent" in kinds) == (each.component == "gateway"), each.name


def test_each_service_s_word_is_taken_by_all(folder: str) -> None:
    if folder == "tests/further-service":
        return  # its own pods are of the pattern, which lists the shop's
    for each in workloads(folder, "Deployment"):
        if each.component in {"web", "worker", "relay", "references"}:
            paths = {
                item["path"]
                for source in each.volumes("projected")["keys"]["projected"]["sources"]
                for item in source["secret"]["items"]
            }
            told = next(
                found["data"]["SERVICE_KEY_FILES"].split(",")
                for found in of_kind(folder, "ConfigMap")
                if found["metadata"]["name"].startswith("environment-")
            )
            assert {path.rpartition("/")[2] for path in told} == {path for path in paths if path.endswith(".pub")}


def test_the_roles_are_made_as_the_tool_makes_them() -> None:
    assert (ROOT / "k8s/components/postgres/server/roles.sh").read_text() == roles.shell()


def test_the_namespace_has_a_limit_that_all_of_it_fits_in(folder: str) -> None:
    [quota] = of_kind(folder, "ResourceQuota")
    most = sum(_memory(each) * _pods(folder, each) for each in workloads(folder))
    most += sum(_bytes(each.spec["resources"]["limits"]["memory"]) * each.pods for each in operated(folder))
    pods = sum(_pods(folder, each) for each in workloads(folder)) + sum(each.pods for each in operated(folder))

    assert most * 1.5 < _bytes(quota["spec"]["hard"]["limits.memory"])
    assert pods * 1.5 < int(quota["spec"]["hard"]["pods"])
    assert of_kind(folder, "LimitRange")


def _pods(folder: str, each: Workload) -> int:
    for scaler in of_kind(folder, "HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == each.name:
            return int(scaler["spec"]["maxReplicas"])
    for scaler in of_kind(folder, "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == each.name:
            return int(scaler["spec"]["maxReplicaCount"])
    return int(each.spec.get("replicas", 1))


def _memory(each: Workload) -> int:
    return sum(_bytes(container["resources"]["limits"]["memory"]) for container in each.all_containers)


def _bytes(text: str) -> int:
    return int(text[:-2]) * {"Mi": 2**20, "Gi": 2**30}[text[-2:]]


def test_each_account_that_is_named_is_there_and_gives_no_token(folder: str) -> None:
    accounts = {account["metadata"]["name"]: account for account in of_kind(folder, "ServiceAccount")}
    for each in workloads(folder):
        assert accounts[each.pod["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_no_two_workloads_have_the_same_account(folder: str) -> None:
    """A mesh knows a workload by its account. Further workers for tasks are the worker, and go the same ways."""
    accounts = [each.pod["serviceAccountName"] for each in workloads(folder) if each.component != "tasks"]

    assert len(accounts) == len(set(accounts))


def test_what_an_autoscaler_scales_says_no_number_and_can_lose_a_pod(folder: str) -> None:
    deployments = {each.name: each for each in workloads(folder, "Deployment")}
    scaled = {scaler["spec"]["scaleTargetRef"]["name"]: scaler for scaler in of_kind(folder, "HorizontalPodAutoscaler")}
    several = {each for each, found in deployments.items() if found.spec.get("replicas", 1) > 1} | set(scaled)
    guarded = {
        each.name
        for each in deployments.values()
        for budget in of_kind(folder, "PodDisruptionBudget")
        if matches(budget["spec"]["selector"], each.labels)
    }

    assert set(scaled) == {each for each, found in deployments.items() if found.component in {"web", "front"}}
    assert not any("replicas" in deployments[each].spec for each in scaled)
    assert all(scaler["spec"]["minReplicas"] > 1 for scaler in scaled.values())
    # A budget for a single pod would hold up every drain of its node.
    assert guarded == several


def test_what_has_several_pods_spreads_them(folder: str) -> None:
    for each in workloads(folder, "Deployment"):
        for constraint in each.pod.get("topologySpreadConstraints", []):
            assert matches(constraint["labelSelector"], each.labels), each.name
        spread = {constraint["topologyKey"] for constraint in each.pod.get("topologySpreadConstraints", [])}
        wanted = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert spread == (wanted if each.component in {"web", "front", "gateway"} else set()), each.name


def test_no_name_of_the_pattern_is_left(folder: str) -> None:
    for resource in built(folder):
        assert not _left(resource), f"{resource['kind']} {resource['metadata']['name']}"


def _left(value: object) -> bool:
    if isinstance(value, dict):
        return any(_left(each) for each in value.values())
    if isinstance(value, list):
        return any(_left(each) for each in value)
    return isinstance(value, str) and value in {"service", "strangler/service", "postgres-service"} | PATTERN


def test_replacements_name_one_kind_each_as_kubectl_before_1_36_knows_no_patterns_there() -> None:
    """Kustomize 5.8 brought them; an older one finds nothing by them, and says nothing."""
    kinds = [
        target["select"]["kind"]
        for file in (ROOT / "k8s").rglob("replacements.yaml")
        for replacement in yaml.safe_load(file.read_text())
        for target in replacement["targets"]
    ]

    assert kinds
    assert all(kind.isalpha() for kind in kinds)
