"""The route table as an Ingress: what it can say, and what is refused."""

from __future__ import annotations

import pytest
from controller import behind_ingress
from kubernetes_validate import validate
from strangler.adapters.kubernetes import Front, ingress
from strangler.domain.errors import RefusedError
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.routing import ALL_TO_MONOLITH
from test_httproutes import FRONT, THINGS, capability, table


@pytest.mark.parametrize(
    ("path", "backend"),
    [
        ("/things", "things"),
        ("/things/7", "things"),
        ("/things/7/tags/red", "things"),
        ("/things/7/other", "things"),
        ("/thingsandmore", "web"),
        ("/", "web"),
    ],
)
def test_a_path_goes_where_its_writes_go_with_all_that_is_below_its_first_variable(path: str, backend: str) -> None:
    document = ingress(table(capability("things", *THINGS)), FRONT)

    assert behind_ingress(document, path) == backend


@pytest.mark.parametrize("version", ["1.34", "1.37"])
def test_the_api_takes_it(version: str) -> None:
    front = Front(name="depot", gateway="", ports=FRONT.ports, hosts=["a.example", "b.example"], ingress_class="nginx")

    document = ingress(table(capability("things", *THINGS)), front)

    validate(document, version, strict=True)
    assert [rule["host"] for rule in document["spec"]["rules"]] == ["a.example", "b.example"]
    assert document["spec"]["ingressClassName"] == "nginx"


def test_who_claims_everything_gets_everything() -> None:
    document = ingress(table(capability("things", "* /*")), FRONT)

    assert behind_ingress(document, "/whatever") == "things"


def test_two_owners_of_one_path_are_refused_by_name() -> None:
    apart = table(
        capability("things", "GET /shelf"),
        capability("parts", "POST /shelf", reads=ALL_TO_MONOLITH, writes=ALL_TO_MONOLITH),
    )

    with pytest.raises(RefusedError, match="/shelf has two owners in one Ingress, things and web"):
        ingress(apart, FRONT)


def test_a_path_that_would_take_everything_is_refused() -> None:
    with pytest.raises(RefusedError, match="would take everything"):
        ingress(table(capability("things", "GET /{kind}/list")), FRONT)


def test_shares_of_reads_are_refused() -> None:
    reads = {MONOLITH: 90, SERVICE: 10}
    with pytest.raises(RefusedError, match="no shares") as caught:
        ingress(table(capability("things", *THINGS, reads=reads, writes=ALL_TO_MONOLITH)), FRONT)

    assert "strangler canary things 0" in caught.value.remedy
