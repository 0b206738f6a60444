"""A PostgreSQL that tests may stop; the one that serves Django in the tests stays up."""

from __future__ import annotations

from pathlib import Path

import psycopg
from server_node import ServerNode
from strangler.stack import ports
from strangler.stack.postgres import Server

NAME = "own"


def node(folder: Path) -> ServerNode:
    """A server that has not been started; its database is made by `renew`."""
    port = ports.assign([NAME], {}, folder / "ports.json")[NAME]
    server = Server(NAME, folder, port, "only-for-tests")
    server.create()
    return ServerNode([server.program()], server.dsn)


def renew(node: ServerNode) -> None:
    """Leaves the database empty, whoever uses it."""
    maintenance = node.url.removesuffix(NAME) + "postgres"
    with psycopg.connect(maintenance, autocommit=True) as session:
        session.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        session.execute(f"CREATE DATABASE {NAME}")
