"""Requests that strangers send over the wire, to each side: they are refused, and never cause a server's error.

Each project's own suite compares the form of the answers with the documents; here servers and gateway are in between,
and answer some requests themselves.
"""

from __future__ import annotations

import http.client
from collections import Counter
from urllib.parse import urlsplit

import pytest
from chassis.testing import hostile

from tests.contract.sides import CAPABILITIES
from tests.contract.test_openapi import document

COUNT = 150


@pytest.fixture(params=CAPABILITIES)
def capability(request: pytest.FixtureRequest) -> str:
    return request.param


def ask_over_the_wire(connection: http.client.HTTPConnection, ask: hostile.Ask, headers: dict[str, str]) -> int:
    """The status; a connection that the server has closed is made anew."""
    connection.putrequest(ask.method, ask.path, skip_host="Host" in ask.headers, skip_accept_encoding=True)
    for name, value in {**headers, **ask.headers, "Content-Length": str(len(ask.body))}.items():
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(ask.body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_what_strangers_send_is_no_error_of_a_server(started, side, capability, account, staff):
    known = staff if capability == "products" else account
    asked = hostile.some(document(f"services/{capability}"), COUNT)
    with started.connect(side, capability) as client:
        address = urlsplit(str(client.base_url))
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    statuses: Counter[int] = Counter()
    wrong = []

    for ask in asked:
        if ask.method == "DELETE":
            continue  # the caller would be gone
        status = ask_over_the_wire(connection, ask, {"Prefer": "wait=0", **known.headers})
        statuses[status] += 1
        if status >= 500:
            wrong.append(f"{status} to {ask}")
    connection.close()

    assert wrong == []
    assert statuses[400]
    assert statuses[200]
