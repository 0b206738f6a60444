from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import broker_node
import postgres_node
import pytest
from chassis.ownership import fence, owners
from chassis.ownership.holding import Holding
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from django.core.management.commands import flush
from django.db import connection, connections
from django.db.backends.postgresql.operations import DatabaseOperations
from library import lending
from library.handlers import moment
from library.lending import plan
from library.post import Post
from library.pump import Pump
from library.recorded import Recorded, recording
from library.side import Side
from modules import Writer
from server_node import ServerNode
from traced.processes import Processes, database

from tests.lists import pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_collection_modifyitems", "pytest_configure"]  # hooks

MIGRATED = ("django_content_type", "auth_permission")


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """After a test that commits, deletes the rows that are there, and leaves what `migrate` has written.

    Django would truncate every table, and then write content types and permissions anew: half of the time of a test.
    """

    def sql_flush(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        name = self.quote_name
        looks = [f"SELECT '{one}' WHERE EXISTS (SELECT FROM {name(one)})" for one in tables if one not in MIGRATED]
        with self.connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(looks))
            return [f"DELETE FROM {name(row[0])}" for row in cursor.fetchall()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
        yield


@pytest.fixture
def key_file(tmp_path: Path, settings) -> Path:
    """A fresh signing key, in use for the test."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem(Ed25519PrivateKey.generate()))
    settings.TOKEN_KEY_FILE = str(path)
    return path


@pytest.fixture
def service_key(tmp_path: Path, settings) -> Path:
    """A fresh key of a service, which signs and is trusted for the test."""
    path = tmp_path / "service.pem"
    path.write_bytes(pem(Ed25519PrivateKey.generate()))
    settings.SERVICE_KEY_FILE = str(path)
    return path


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Holding:
    """Those who wait in the middleware that the test makes."""
    found = Holding()
    monkeypatch.setattr(fence, "Holding", lambda: found)
    return found


@pytest.fixture
def reader(db) -> User:
    return User.objects.create_user("ada", password="correct horse")


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerNode]:
    """One RabbitMQ for the session; what a test stops is running again for the next."""
    node = broker_node.node(tmp_path_factory.mktemp("broker"))
    if node is None:
        pytest.skip("rabbitmq-server is not installed")
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerNode]:
    """One PostgreSQL beside Django's for the session; what a test stops is running again for the next."""
    node = postgres_node.node(tmp_path_factory.mktemp("postgres"))
    yield node
    node.stop()


@pytest.fixture(scope="module")
def traced_url(shared_server: ServerNode) -> Iterator[str]:
    """The database that the traced processes of a module share; its tables have no rows at first."""
    with database(shared_server) as found:
        yield found


@pytest.fixture
def processes(traced_url: str, tmp_path: Path) -> Iterator[Processes]:
    """Starts processes of the traced library; none is left after the test."""
    with Processes(traced_url, tmp_path) as found:
        yield found


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """The spans of this process."""
    with recording() as found:
        yield found


@pytest.fixture
def server(shared_server: ServerNode) -> ServerNode:
    """The server itself, for tests that stop and start it; its database is empty."""
    shared_server.start()
    postgres_node.renew(shared_server)
    return shared_server


@pytest.fixture
def rabbitmq_node(shared_broker: ServerNode) -> Iterator[ServerNode]:
    """The node itself, for tests that stop and start it."""
    shared_broker.start()
    yield shared_broker
    shared_broker.start()


@pytest.fixture
def rabbitmq(rabbitmq_node: ServerNode) -> str:
    """The amqp URL of a running node; queues of earlier tests may still be there, so name your own."""
    return rabbitmq_node.url


@pytest.fixture
def post(rabbitmq: str, settings) -> Iterator[Post]:
    """Puts messages into the library's queue, and looks into it."""
    settings.CHASSIS_BROKER_URL = rabbitmq
    with Post(rabbitmq) as post:
        yield post


@pytest.fixture
def side(db, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """The library's side of a move, open."""
    monkeypatch.setattr(owners, "_present", set())
    side = Side("http://127.0.0.1:1")
    yield side
    side.remove()


@pytest.fixture
def no_atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views have the transactions that they open themselves, as Django has it."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", False)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)


@pytest.fixture
def no_moment() -> Iterator[None]:
    """Nothing is planned for the handlers, neither before nor after."""
    moment.clear()
    yield
    moment.clear()


@pytest.fixture
def places(settings) -> Iterator[None]:
    """Those that lend a book, and nothing is planned for them."""
    settings.CHASSIS_INBOXES = lending.INBOXES
    plan.reset()
    yield
    plan.reset()


@pytest.fixture
def pump() -> Pump:
    return Pump()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return Writer(tmp_path, monkeypatch)
