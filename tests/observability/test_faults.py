"""Each fault does what it says, and goes away; each test begins and ends with none on."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.observability.watched import Watched
from tests.scenario.upkeep import STAFF_EMAIL
from tests.stack import Stack
from tests.waiting import eventually

PASSWORD = "a-long-Passphrase-7"


@dataclass
class Customer:
    """Somebody with an account, through the gateway."""

    client: httpx.Client
    id: int
    headers: dict[str, str]

    def rename(self, name: str) -> int:
        return self.client.patch("/api/v1/users/me", headers=self.headers, json={"full_name": name}).status_code

    def look(self) -> httpx.Response:
        return self.client.get("/api/v1/users/me", headers=self.headers)

    def leave(self) -> None:
        assert self.client.delete("/api/v1/users/me", headers=self.headers).status_code == 204

    def order_seconds(self, product: int) -> float:
        began = time.monotonic()
        placed = self.client.post(
            "/api/v1/orders",
            headers={**self.headers, "Idempotency-Key": uuid.uuid4().hex},
            json={"lines": [{"product_id": product, "quantity": 1}]},
        )
        assert placed.status_code == 201, placed.text
        return time.monotonic() - began


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A stack of its own: others may have moved the session's."""
    with Watched(tmp_path_factory.mktemp("faults")).running() as found:
        yield found


@pytest.fixture(scope="module")
def owned_by_monolith(stack: Watched) -> Watched:
    """Users stream to their service, and are still the monolith's."""
    stack.run("start", "users")
    stack.run("verify", "users")
    return stack


@pytest.fixture
def quiet(owned_by_monolith: Watched) -> Iterator[Watched]:
    yield owned_by_monolith
    owned_by_monolith.run("fault", "off")


@pytest.fixture
def customer(quiet: Watched) -> Iterator[Customer]:
    with quiet.client() as client:
        mail = f"{uuid.uuid4().hex[:12]}@example.org"
        made = client.post("/api/v1/users", json={"email": mail, "password": PASSWORD, "full_name": "Ada"})
        assert made.status_code == 201, made.text
        token = client.post("/api/v1/auth/token", json={"email": mail, "password": PASSWORD}).json()["access"]
        yield Customer(client, made.json()["id"], {"Authorization": f"Bearer {token}"})


def on(stack: Stack) -> dict[str, dict[str, object]]:
    """The faults that are on, as `list` shows them."""
    return {each["name"]: each["on"] for each in stack.json("fault", "list")["faults"] if each["on"]}


def scalar(stack: Stack, database: str, query: str, *values: object) -> object:
    with stack.database(database) as session:
        row = session.execute(query, values).fetchone()
    return row[0] if row else None


def test_a_slow_call_takes_its_time_until_it_is_switched_off(quiet: Watched, customer: Customer) -> None:
    product = int(
        str(scalar(quiet, "monolith", "SELECT id FROM products_product WHERE stock > 50 ORDER BY id LIMIT 1"))
    )
    quiet.run("fault", "on", "slow-call", "--milliseconds", "1500")
    assert on(quiet)["slow-call"]["milliseconds"] == 1500

    eventually(lambda: customer.order_seconds(product) >= 1.5, "an order that waits for the provider")
    slow = min(customer.order_seconds(product) for _ in range(2))
    orders = 'method="POST",route="/api/v1/orders"'
    quiet.see(
        f'sum(chassis_http_request_duration_seconds_bucket{{{orders},le="+Inf"}})'
        f' - sum(chassis_http_request_duration_seconds_bucket{{{orders},le="1.0"}}) > 0'
    )

    quiet.run("fault", "off", "slow-call")
    assert slow >= 1.5
    eventually(lambda: customer.order_seconds(product) < slow, "an order that does not wait")


def test_a_handler_raises_for_one_thing_and_for_no_other(quiet: Watched, customer: Customer) -> None:
    log = quiet.folder / "log" / "monolith-worker.log"
    quiet.run("fault", "on", "raising-handler", "--capability", "orders", "--where", f"user_id={customer.id}")
    time_of_look = 2 * 0.5
    time.sleep(time_of_look)

    customer.leave()

    def told() -> list[dict[str, object]]:
        return [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "message_dead"]

    dead = eventually(told, "a dead letter")
    quiet.see('sum(chassis_consumer_retries_total{capability="orders",reason="fault"}) > 0')
    quiet.see('sum(chassis_consumer_messages_total{capability="orders",outcome="dead"}) > 0')
    assert f"user_id={customer.id}" in str(dead[-1]["exception"])
    quiet.run("fault", "off", "raising-handler")
    forgotten = "SELECT count(*) FROM orders_forgottencustomer WHERE user_id = %s"
    assert scalar(quiet, "monolith", forgotten, customer.id) == 0
    replay = ("events", "replay", "--source", "dead", "--capability", "orders", "--yes")
    quiet.run("manage", "monolith", *replay)
    eventually(lambda: scalar(quiet, "monolith", forgotten, customer.id) == 1, "the message to be handled")


def test_a_full_queue_keeps_its_messages_in_the_outbox(quiet: Watched, customer: Customer) -> None:
    kept = "SELECT count(*) FROM chassis_outbox WHERE type = 'users.user.deleted' AND error LIKE '%%full-queue%%'"
    quiet.run("fault", "on", "full-queue", "--capability", "orders")
    time.sleep(1.0)

    customer.leave()

    eventually(lambda: scalar(quiet, "monolith", kept) == 1, "the message to be kept")
    quiet.see('sum(chassis_relay_put_off_total{reason="refused"}) > 0')
    quiet.see("max(chassis_outbox_rows) > 0 and max(chassis_outbox_age_seconds) > 0")
    quiet.run("fault", "off", "full-queue")
    waits = "SELECT count(*) FROM chassis_outbox WHERE type = 'users.user.deleted'"
    eventually(lambda: scalar(quiet, "monolith", waits) == 0, "the outbox to be empty", within=120)


def test_a_slow_stream_lags_until_it_is_switched_off(quiet: Watched, customer: Customer) -> None:
    name = "SELECT full_name FROM users_user WHERE id = %s"
    eventually(lambda: scalar(quiet, "users", name, customer.id) == "Ada", "the account in the copy")
    quiet.run("fault", "on", "slow-stream", "--capability", "users", "--milliseconds", "5000")

    assert {customer.rename(f"Ada {number}") for number in range(6)} == {200}

    assert scalar(quiet, "users", name, customer.id) != "Ada 5"
    eventually(lambda: quiet.status("users")["streams"][0]["lag_bytes"], "lag")
    quiet.see('max(strangler_lag_bytes{capability="users"}) > 0')
    quiet.run("fault", "off", "slow-stream")
    eventually(lambda: scalar(quiet, "users", name, customer.id) == "Ada 5", "the copy to catch up")
    left = "SELECT count(*) FROM pg_trigger WHERE tgname = 'strangler_fault'"
    assert [scalar(quiet, database, left) for database in ("users", "monolith")] == [0, 0]
    assert scalar(quiet, "users", "SELECT to_regnamespace('strangler_faults')::text") is None


def test_a_share_of_a_service_s_requests_fails_before_anything_is_done(quiet: Watched, customer: Customer) -> None:
    quiet.run("switch", "users", "--yes")
    quiet.run("fault", "on", "errors", "--capability", "users", "--percent", "50")
    eventually(lambda: customer.look().status_code == 500, "an error")

    answers = [customer.look() for _ in range(40)]

    failed = [answer for answer in answers if answer.status_code == 500]
    quiet.see('sum(chassis_http_requests_total{capability="users",side="service",status="500"}) > 0')
    quiet.see('sum(envoy_cluster_upstream_rq_xx{envoy_cluster_name="users",envoy_response_code_class="5"}) > 0')
    # Each of the service's processes counts its own.
    assert 18 <= len(failed) <= 22
    assert all("strangler fault off errors" in answer.json()["detail"] for answer in failed)
    products = [customer.client.get("/api/v1/categories").status_code for _ in range(10)]
    assert set(products) == {200}
    quiet.run("fault", "off", "errors")
    eventually(lambda: {customer.look().status_code for _ in range(10)} == {200}, "no errors any more")


def test_what_is_on_is_forgotten_when_the_stack_goes_down(quiet: Watched) -> None:
    quiet.run("fault", "on", "errors", "--capability", "users", "--percent", "100")
    assert set(on(quiet)) == {"errors"}

    quiet.down()
    quiet.up()

    assert on(quiet) == {}
    with quiet.client() as client:
        refused = client.post("/api/v1/auth/token", json={"email": STAFF_EMAIL, "password": "wrong"})
    assert refused.status_code == 401


@pytest.mark.parametrize("action", [("list",), ("on", "errors", "--capability", "users"), ("off",)])
def test_it_is_refused_where_no_stack_of_its_own_is_up(tmp_path: Path, action: tuple[str, ...]) -> None:
    refused = Stack(tmp_path).run("fault", *action, "--json", code=2)

    assert [finding["id"] for finding in json.loads(refused.stdout)["findings"]] == ["fault-not-here"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("on",), "which fault?"),
        (("on", "nonsense"), "there is no fault nonsense"),
        (("on", "errors"), "give --capability with one of"),
        (("on", "errors", "--capability", "nobody"), "there is no capability nobody"),
        (("on", "errors", "--capability", "users", "--where", "a=b"), "--where means nothing to it"),
        (("on", "raising-handler", "--capability", "users"), "give --where FIELD=VALUE"),
        (("on", "slow-call", "--call", "nobody"), "there is no call nobody"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(quiet: Watched, words: tuple[str, ...], told: str) -> None:
    refused = quiet.run("fault", *words, code=2)

    assert told in refused.stderr
    assert on(quiet) == {}
