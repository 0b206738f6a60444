"""Requests that arrive in the pause: held, then answered by the new owner, and never doubled."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from tests.faults.coordinator import paused
from tests.faults.customers import Customer, address
from tests.faults.shop import FROM, TOWARDS, Shop
from tests.waiting import eventually

ADDRESSES = "/api/v1/users/me/addresses"
COUNT = "SELECT count(*) FROM users_address WHERE line1 = %s"


@contextmanager
def crowd(shop: Shop, count: int) -> Iterator[list[Customer]]:
    """So many customers, with a connection each."""
    clients = [shop.client() for _ in range(count)]
    try:
        yield [Customer(client).register() for client in clients]
    finally:
        for client in clients:
            client.close()


def send(customer: Customer, line1: str, size: int = 0) -> httpx.Response:
    body = address(line1, note="x" * size)
    return customer.client.post(ADDRESSES, json=body, headers=customer.headers)


@pytest.mark.parametrize("verb", TOWARDS)
def test_ten_requests_at_the_moment_of_the_fence_are_answered_by_the_new_owner(shop: Shop, verb: str) -> None:
    shop.owned_by(FROM[verb])
    lines = [f"fence {uuid4().hex}" for _ in range(10)]

    with crowd(shop, len(lines)) as customers, ThreadPoolExecutor(len(lines)) as pool:
        before = bounces(shop)
        with paused(shop, verb):
            sent = [pool.submit(send, *pair) for pair in zip(customers, lines, strict=True)]
            eventually(lambda: waiting(shop, verb) >= len(lines), "all requests wait at the old owner")
        answers = [each.result() for each in sent]

    assert [answer.status_code for answer in answers] == [201] * len(lines)
    assert {shop.ask(TOWARDS[verb], COUNT, line) for line in lines} == {1}
    assert bounces(shop) - before >= len(lines)


@pytest.mark.parametrize("verb", TOWARDS)
@pytest.mark.parametrize("size", [500_000, 3_000_000])
def test_a_large_body_at_the_moment_of_the_fence_arrives_whole(shop: Shop, size: int, verb: str) -> None:
    shop.owned_by(FROM[verb])
    line = f"large {uuid4().hex}"

    with crowd(shop, 1) as [customer], ThreadPoolExecutor(1) as pool:
        with paused(shop, verb):
            sent = pool.submit(send, customer, line, size)
            eventually(lambda: waiting(shop, verb) >= 1, "the request waits at the old owner")
        answer = sent.result()

    assert answer.status_code == 201, answer.text
    assert shop.ask(TOWARDS[verb], COUNT, line) == 1


def test_a_large_body_is_no_trouble_at_rest(shop: Shop) -> None:
    line = f"large {uuid4().hex}"

    with crowd(shop, 1) as [customer]:
        answer = send(customer, line, 3_000_000)

    assert answer.status_code == 201, answer.text
    assert shop.ask(shop.owner(), COUNT, line) == 1


@pytest.mark.parametrize("verb", TOWARDS)
def test_clients_that_hang_up_while_they_are_held_block_nobody(shop: Shop, verb: str) -> None:
    shop.owned_by(FROM[verb])
    lines = [f"gone {uuid4().hex}" for _ in range(6)]

    with crowd(shop, 1) as [customer]:
        with paused(shop, verb):
            sockets = [open_request(shop, customer, line) for line in lines]
            eventually(lambda: waiting(shop, verb) >= len(lines), "all requests wait at the old owner")
            for each in sockets:
                each.close()
        eventually(lambda: waiting(shop, "switch") + waiting(shop, "reverse") == 0, "the gateway has no request left")
        customer.add_address(f"after {uuid4().hex}")

    assert {shop.ask(TOWARDS[verb], COUNT, line) for line in lines} <= {0, 1}


def test_requests_for_what_stays_are_answered_in_the_pause(shop: Shop) -> None:
    verb = next(verb for verb, side in FROM.items() if side == shop.owner())

    with crowd(shop, 1) as [customer], paused(shop, verb):
        order = customer.order(shop.some_product())
        profile = customer.client.get("/api/v1/users/me", headers=customer.headers)

    assert order["status"] == "confirmed"
    assert profile.status_code == 200


def open_request(shop: Shop, customer: Customer, line1: str) -> socket.socket:
    """Sends a request, and leaves its answer to the owner of the socket."""
    url = httpx.URL(shop.gateway)
    request = httpx.Request("POST", url.join(ADDRESSES), json=address(line1), headers=customer.headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    connection = socket.create_connection((url.host, url.port or 80))
    connection.sendall(f"POST {ADDRESSES} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
    return connection


def waiting(shop: Shop, verb: str) -> int:
    """Requests that the gateway has sent to the old owner, and that are not answered yet."""
    process = {"switch": "monolith", "reverse": "users"}[verb]
    return _counter(shop, f"cluster.{process}.upstream_rq_active")


def bounces(shop: Shop) -> int:
    """Requests that were sent on to another side inside the gateway."""
    return sum(
        _counter(shop, f"cluster.{process}.upstream_internal_redirect_succeeded_total")
        for process in ("monolith", "users")
    )


def _counter(shop: Shop, name: str) -> int:
    stats = httpx.get(f"{shop.envoy_admin}/stats", params={"filter": f"^{re.escape(name)}$"}).text
    found = re.search(r": (\d+)", stats)
    return int(found[1]) if found else 0
