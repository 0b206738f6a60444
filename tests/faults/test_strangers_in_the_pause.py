"""Strangers who flood the door in the pause of a switch: some are slow, some leave, some say whither they are led."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import httpx

from tests.faults.coordinator import paused
from tests.faults.shop import FROM, TOWARDS, Shop
from tests.faults.test_requests_at_the_fence import COUNT, crowd, send, waiting
from tests.waiting import eventually

STRANGERS = 120
HEAD = b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# No body registers anybody: each is refused as soon as an owner reads it.
KINDS = [
    HEAD + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"X-Strangler-To: service\r\nX-Strangler-Forwarded: 1\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"X-Forwarded-For: 203.0.113.7\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 900\r\n\r\n{",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{",
    HEAD,
]


def test_customers_are_answered_or_told_to_come_again_and_nothing_is_half_done(shop: Shop) -> None:
    verb = next(verb for verb in TOWARDS if FROM[verb] == shop.owner())
    lines = [f"flooded {uuid4().hex}" for _ in range(4)]
    url = httpx.URL(shop.gateway)
    with crowd(shop, len(lines)) as customers, ThreadPoolExecutor(len(lines)) as pool, ExitStack() as strangers:
        with paused(shop, verb):
            for number in range(STRANGERS):
                stranger = strangers.enter_context(socket.create_connection((url.host, url.port or 80), 60))
                stranger.sendall(KINDS[number % len(KINDS)])
                if number % 3 == 0:
                    stranger.close()
            sent = [pool.submit(send, *pair) for pair in zip(customers, lines, strict=True)]
            stays = customers[0].client.get("/api/v1/products")
        answers = [each.result() for each in sent]
        for customer, line in zip(customers, lines, strict=True):
            assert send(customer, f"after {line}").status_code == 201

    assert stays.status_code == 200
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    written = [shop.ask(TOWARDS[verb], COUNT, line) for line in lines]
    assert written == [int(answer.status_code == 201) for answer in answers]
    eventually(lambda: waiting(shop, "switch") + waiting(shop, "reverse") == 0, "nobody is held any more")
