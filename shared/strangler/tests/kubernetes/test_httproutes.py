"""The route table as HTTPRoutes: every request goes where the kit's gateway would send it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from controller import answering, assert_httproute
from strangler.adapters.kubernetes import Front, httproutes
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable

FRONT = Front(name="depot", gateway="public", ports={"web": 8000, "things": 8001, "parts": 8002})
HALF = {MONOLITH: 50, SERVICE: 50}


def route(text: str) -> Route:
    methods, path = text.split()
    return Route(frozenset() if methods == "*" else frozenset(methods.split(",")), path)


def capability(
    name: str, *routes: str, reads: dict[str, int] = ALL_TO_SERVICE, writes: dict[str, int] = ALL_TO_SERVICE
) -> CapabilityRoutes:
    clusters = {MONOLITH: "web", SERVICE: name.replace("_", "-")}
    return CapabilityRoutes(name, [route(each) for each in routes], clusters, reads, writes)


def table(*capabilities: CapabilityRoutes) -> RouteTable:
    return RouteTable("things@2:service", capabilities, default="web")


THINGS = ("GET,POST /things", "GET,PATCH /things/{id}", "* /things/{id}/tags/*")


@pytest.mark.parametrize(
    ("request_line", "backend"),
    [
        ("GET /things", "things"),
        ("HEAD /things", "things"),
        ("POST /things", "things"),
        ("DELETE /things", "web"),
        ("PATCH /things/7", "things"),
        ("PATCH /things/7/tags", "web"),
        ("PUT /things/7/tags/red", "things"),
        ("GET /thingsandmore", "web"),
        ("GET /", "web"),
        ("GET /elsewhere", "web"),
    ],
)
def test_a_request_goes_where_the_table_says_and_what_nobody_claims_to_the_monolith(
    request_line: str, backend: str
) -> None:
    documents = httproutes(table(capability("things", *THINGS)), FRONT)

    assert answering(documents, *request_line.split()) == {backend: 100}


def test_before_a_move_everything_goes_to_the_monolith() -> None:
    untouched = capability("things", *THINGS, reads=ALL_TO_MONOLITH, writes=ALL_TO_MONOLITH)

    assert answering(httproutes(table(untouched), FRONT), "POST", "/things") == {"web": 100}


def test_reads_and_writes_can_have_different_weights() -> None:
    documents = httproutes(table(capability("things", *THINGS, reads=HALF, writes=ALL_TO_MONOLITH)), FRONT)

    assert answering(documents, "GET", "/things") == {"things": 50, "web": 50}
    assert answering(documents, "POST", "/things") == {"web": 100}


def test_each_document_is_one_that_the_api_takes() -> None:
    documents = httproutes(
        table(capability("things", *THINGS), capability("spare_parts", "GET /parts")), _with("spare-parts")
    )

    for document in documents:
        assert_httproute(document)
    assert [document["metadata"]["name"] for document in documents] == ["depot-things", "depot-spare-parts", "depot"]


def test_many_routes_are_spread_over_as_many_documents_as_it_takes() -> None:
    many = [f"GET,POST /things/{number}" for number in range(70)]

    documents = httproutes(table(capability("things", *many)), FRONT)

    for document in documents:
        assert_httproute(document)
    assert len({document["metadata"]["name"] for document in documents}) == len(documents) == 3
    assert answering(documents, "POST", "/things/69") == {"things": 100}


def test_a_side_that_is_not_the_owner_is_told_to_forward() -> None:
    documents = httproutes(table(capability("things", *THINGS)), FRONT)

    set_by = [
        (header["name"], header["value"])
        for document in documents
        for rule in document["spec"]["rules"]
        for each in rule.get("filters", [])
        for header in each["requestHeaderModifier"]["set"]
    ]
    assert set_by == [("x-strangler-to", "service"), ("x-strangler-to", "monolith")]


def test_a_rule_has_the_time_of_its_routes() -> None:
    things = replace(
        capability("things"), routes=[route("GET /things"), replace(route("GET /things/report"), timeout=120)]
    )
    others = [replace(route("GET /export/*"), timeout=600)]

    documents = httproutes(replace(table(things), others=others), FRONT)

    for document in documents:
        assert_httproute(document)
    assert {path: _time(documents, path) for path in ("/things", "/things/report", "/export/all", "/")} == {
        "/things": "30s",
        "/things/report": "120s",
        "/export/all": "600s",
        "/": "0s",
    }


def test_what_is_closed_leads_nowhere() -> None:
    documents = httproutes(replace(table(capability("things", *THINGS)), closed=["/admin", "/metrics"]), FRONT)

    for document in documents:
        assert_httproute(document)
    assert answering(documents, "GET", "/admin/login/") == answering(documents, "GET", "/metrics") == {}
    assert answering(documents, "GET", "/administration") == {"web": 100}


@pytest.mark.parametrize(
    "path",
    [
        "/%61dmin/",
        "/ADMIN/",
        "//admin/",
        "/admin;x",
        "/admin%2Flogin/",
        "/%2Fadmin",
        "/%6Detrics",
        "//metrics",
        "/metrics;x",
        "/metrics%00",
        "/./metrics",
    ],
)
def test_what_is_closed_is_closed_in_each_spelling_that_a_process_might_take_for_it(path: str) -> None:
    documents = httproutes(replace(table(capability("things", *THINGS)), closed=["/admin", "/metrics"]), FRONT)

    assert answering(documents, "GET", path) == {}


def _time(documents: list[dict[str, Any]], path: str) -> str:
    [found] = [
        rule["timeouts"]["request"]
        for document in documents
        for rule in document["spec"]["rules"]
        if "timeouts" in rule
        if any(match["path"]["value"] == path or _fits(match["path"], path) for match in rule["matches"][:1])
    ]
    return str(found)


def _fits(match: dict[str, str], path: str) -> bool:
    return match["type"] == "RegularExpression" and re.fullmatch(match["value"], path) is not None


def test_gateway_hosts_and_version_are_named() -> None:
    front = Front(name="depot", gateway="infra/public", ports=FRONT.ports, hosts=["depot.example"])

    [document] = httproutes(table(), front)

    assert document["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert document["spec"]["hostnames"] == ["depot.example"]
    assert document["metadata"]["annotations"] == {"strangler/routes": "things@2:service"}


def test_expressions_are_whole_paths() -> None:
    documents = httproutes(table(capability("things", "GET /a.b/{id}")), FRONT)

    pattern = documents[0]["spec"]["rules"][0]["matches"][0]["path"]["value"]
    assert re.fullmatch(pattern, "/a.b/7")
    assert not re.fullmatch(pattern, "/axb/7")


def _with(name: str) -> Front:
    return Front(name="depot", gateway="public", ports={**FRONT.ports, name: 8003})


@pytest.mark.parametrize("weight", [10, 100])
def test_the_copy_knows_its_share_and_writes_have_none(weight: int) -> None:
    reads = {MONOLITH: 100 - weight, SERVICE: weight}
    documents = httproutes(table(capability("things", *THINGS, reads=reads, writes=ALL_TO_MONOLITH)), FRONT)

    for document in documents:
        assert_httproute(document)
    assert (
        answering(documents, "GET", "/things") == {"web": 100 - weight, "things": weight}
        if weight < 100
        else {"things": 100}
    )
    assert answering(documents, "POST", "/things") == {"web": 100}
    told = {"x-strangler-reads": "things", "x-strangler-to": "service"}
    backends = [
        each for document in documents for rule in document["spec"]["rules"] for each in rule.get("backendRefs", ())
    ]
    for backend in backends:
        given = {
            one["name"]: one["value"]
            for each in backend.get("filters", ())
            for one in each["requestHeaderModifier"]["set"]
        }
        assert given == (told if backend["name"] == "things" else {})
