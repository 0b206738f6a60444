"""A whole move as a team does it, and the same again by the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.compose.containers import Containers
from tests.faults.customers import Customer


def test_a_move_under_writers_loses_and_doubles_nothing(up: Containers, users_moved: Mapping[str, Any]) -> None:
    writers = users_moved["writers"]

    assert writers.failures == []
    writers.check(up.database("users"))


def test_each_verb_says_what_it_says_on_a_laptop(users_moved: Mapping[str, Any]) -> None:
    said = users_moved["said"]

    assert "0 differ" in said["verify"]
    assert "users: the service owns it at epoch" in said["switch"]
    assert "users: the monolith owns it at epoch" in said["reverse"]
    assert "users: completed" in said["complete"]


def test_the_gateway_follows(up: Containers, users_moved: Mapping[str, Any]) -> None:
    found = up.status()["users"]

    assert found["owner"] == "service"
    assert list(found["gateway"].values()) == [found["epoch"]]
    assert up.execute("strangler", "strangler", "doctor").returncode == 0


def test_a_rehearsal_on_the_running_stack_proves_the_rest(all_moved: Mapping[str, Any]) -> None:
    assert all_moved["ok"], all_moved["errors"]
    assert [(move["verb"], move["capability"]) for move in all_moved["moves"]] == [
        ("switch", "products"),
        ("switch", "orders"),
    ]
    assert (all_moved["failed"], all_moved["lost"], all_moved["doubled"]) == (0, 0, 0)
    assert set(all_moved["owners"].values()) == {"service"}
    assert all_moved["broker"] == "rabbitmq"


def test_a_checkout_goes_through_all_three_services(retired: Containers) -> None:
    with retired.client() as client:
        customer = Customer(client).register()
        product = next(each for each in client.get("/api/v1/products").json()["results"] if each["stock"] > 0)
        order = customer.order(product["id"])

    assert order["status"] == "confirmed"
    lines = "SELECT product_id, quantity FROM orders_line WHERE order_id = %s"
    stock = "SELECT stock FROM products_product WHERE id = %s"
    account = "SELECT id FROM users_user WHERE email = %s"
    assert retired.database("orders").execute(lines, [order["id"]]).fetchall() == [(product["id"], 1)]
    assert retired.database("products").execute(stock, [product["id"]]).fetchone() == (product["stock"] - 1,)
    assert retired.database("users").execute(account, [customer.email]).fetchone() == (customer.id,)


def test_the_owners_outlive_a_restart_of_gateway_and_tool(retired: Containers) -> None:
    with retired.client() as client:
        customer = Customer(client).register()
    retired.compose("restart", "gateway", "gateway-agent", "strangler")
    retired.wait("gateway", "gateway-agent", "strangler")

    assert set(retired.owners().values()) == {"service"}
    with retired.client() as client:
        customer.client = client
        assert customer.log_in().rename("Ada after the restart")["full_name"] == "Ada after the restart"


def test_data_and_secrets_outlive_the_containers(retired: Containers) -> None:
    with retired.client() as client:
        customer = Customer(client).register()
    secret = retired.execute("users", "cat", "/run/secrets/SECRET_KEY").stdout
    retired.down()
    retired.compose("up", "--detach", "--wait", seconds=600)

    assert retired.execute("users", "cat", "/run/secrets/SECRET_KEY").stdout == secret
    assert set(retired.owners().values()) == {"service"}
    with retired.client() as client:
        customer.client = client
        headers = customer.headers
        assert client.get("/api/v1/users/me", headers=headers).json()["id"] == customer.id
        assert "nothing to load" in retired.compose("logs", "load").stdout
