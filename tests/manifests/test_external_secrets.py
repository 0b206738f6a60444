"""The component `secrets-external` makes the Secrets that production wants, with their keys, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from tests.manifests.kustomize import K8S, Resource, of_kind
from tests.manifests.workloads import workloads

FOLDER = "tests/secrets-external"
EXAMPLE = K8S / "overlays/production/secrets.example.yaml"


def made() -> dict[str, set[str]]:
    """The keys of each Secret that the operator would make."""
    return {
        each["spec"]["target"].get("name", each["metadata"]["name"]): {
            item["secretKey"] for item in each["spec"]["data"]
        }
        for each in of_kind(FOLDER, "ExternalSecret")
    }


def wanted() -> dict[str, set[str]]:
    """The keys of each Secret of the example, which names others with the same keys beside the first."""
    lines = EXAMPLE.read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines[lines.index("# apiVersion: v1") :])
    return {
        name: set(document["stringData"])
        for part, document in zip(text.split("\n---\n"), yaml.safe_load_all(text), strict=True)
        for name in _names(part)
    }


def _names(part: str) -> Iterator[str]:
    [line] = re.findall(r"^  name: (.*)$", part, flags=re.MULTILINE)
    first, _, comment = line.partition("#")
    yield first.strip()
    yield from re.findall(rf"{first.split('-')[0]}-[a-z]+", comment)


def test_each_secret_of_the_example_is_made_with_the_same_keys_and_no_other() -> None:
    assert len(wanted()) == 18
    assert made() == wanted()


def test_each_key_that_a_pod_asks_for_is_made() -> None:
    asked = set()
    for each in workloads(FOLDER):
        for container in each.all_containers:
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    asked.add((reference["name"], reference["key"]))
        for volume in each.volumes("secret").values():
            asked |= {(volume["secret"]["secretName"], item["key"]) for item in volume["secret"]["items"]}
        for volume in each.volumes("projected").values():
            for source in volume["projected"]["sources"]:
                asked |= {(source["secret"]["name"], item["key"]) for item in source["secret"]["items"]}

    assert asked
    assert asked <= {(secret, key) for secret, keys in made().items() for key in keys}


def each_secret() -> list[Resource]:
    return of_kind(FOLDER, "ExternalSecret")


@pytest.mark.parametrize("each", each_secret(), ids=lambda each: each["metadata"]["name"])
def test_a_value_is_kept_under_the_name_and_key_of_its_secret_in_a_store_that_is_there(each: Resource) -> None:
    [store] = of_kind(FOLDER, "SecretStore")

    assert each["spec"]["secretStoreRef"] == {"kind": "SecretStore", "name": store["metadata"]["name"]}
    for item in each["spec"]["data"]:
        assert item["remoteRef"] == {"key": f"shop/{each['metadata']['name']}", "property": item["secretKey"]}


@pytest.mark.parametrize("each", each_secret(), ids=lambda each: each["metadata"]["name"])
def test_a_secret_outlives_what_made_it(each: Resource) -> None:
    assert each["spec"]["target"] == {"creationPolicy": "Orphan", "deletionPolicy": "Retain"}


def test_the_names_that_are_put_in_leave_no_object_behind() -> None:
    assert {each["metadata"]["name"] for each in of_kind(FOLDER, "ConfigMap")} == {
        each["metadata"]["name"] for each in of_kind("overlays/production", "ConfigMap")
    }
