"""Servers that operators run: what is promised of the plain ones holds of them, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from strangler.adapters.postgres.session import roles

from tests.manifests.edges import edges, outside
from tests.manifests.kustomize import K8S, Resource, built, of_kind
from tests.manifests.operated import operated
from tests.manifests.test_network import DATABASE, everywhere, in_the_cluster
from tests.manifests.workloads import workload
from tests.suites import postgres

FOLDER = "tests/operators"
SIDES = ("monolith", "users", "products", "orders")
STATE, MANAGEMENT = 8000, 15672
ERLANG = (4369, 25672)
DATABASES = K8S / "components" / "postgres-cloudnativepg"
# What CloudNativePG sets unless told otherwise (1.30).
DEFAULTS = {"wal_level": "logical"}


def cluster(side: str) -> Resource:
    return next(each for each in of_kind(FOLDER, "Cluster") if each["metadata"]["name"] == f"postgres-{side}")


# -------------------------------------------------------------------------------------------------------------- network


def test_there_are_the_ways_of_plain_servers_and_those_between_copies() -> None:
    tasks = {
        (f"{name}-tasks", other, port)
        for name in ("monolith", "orders")
        for one, other, port in {*everywhere(), *in_the_cluster()}
        if one == f"{name}-worker"
    }
    copies = {(f"postgres-{side}", f"postgres-{side}", port) for side in SIDES for port in (DATABASE, STATE)}
    nodes = {("rabbitmq", "rabbitmq", port) for port in ERLANG}

    # Who may go anywhere for the API also reaches what accepts anybody.
    assert edges(FOLDER) == {*everywhere(), *in_the_cluster(), *tasks, *copies, *nodes, ("secrets", "gateway", 8080)}


def test_operators_come_in_and_nobody_else() -> None:
    assert outside(FOLDER, "ingress") == {
        ("gateway", "anywhere", 8080),
        *((f"postgres-{side}", "cnpg-system", port) for side in SIDES for port in (DATABASE, STATE)),
        ("rabbitmq", "rabbitmq-system", MANAGEMENT),
        ("rabbitmq", "keda", 5672),
    }


def test_addresses_are_those_of_plain_servers(secrets: Mapping[str, Mapping[str, str]]) -> None:
    made = {(each["metadata"]["name"], 5672) for each in of_kind(FOLDER, "RabbitmqCluster")}
    for each in of_kind(FOLDER, "Cluster"):
        for service in each["spec"]["managed"]["services"]["additional"]:
            assert service["selectorType"] == "rw"
            made.add((service["serviceTemplate"]["metadata"]["name"], DATABASE))
    asked = {
        (urlsplit(keys["url"]).hostname, urlsplit(keys["url"]).port)
        for name, keys in secrets.items()
        if name.startswith(("app-", "mover-", "agent-", "broker-"))
    }

    assert asked == made


# ------------------------------------------------------------------------------------------------------------ databases


@pytest.mark.parametrize("side", SIDES)
def test_a_cluster_is_set_up_as_the_plain_server_is(side: str) -> None:
    plain = workload("tests/in-cluster", f"postgres-{side}", "StatefulSet").containers[0]["args"]
    wanted = dict(argument.removeprefix("--").split("=") for argument in plain if argument.startswith("--"))
    parameters = DEFAULTS | cluster(side)["spec"]["postgresql"]["parameters"]

    assert {key: parameters.get(key) for key in wanted} == wanted
    assert all(isinstance(value, str) for value in parameters.values())


@pytest.mark.parametrize("side", SIDES)
def test_what_was_acknowledged_survives_a_failover(side: str) -> None:
    spec = cluster(side)["spec"]

    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    assert spec.get("enableSuperuserAccess", False) is False


@pytest.mark.parametrize("side", SIDES)
def test_each_role_has_a_secret_with_its_name(side: str, secrets: Mapping[str, Mapping[str, str]]) -> None:
    for role in cluster(side)["spec"]["managed"]["roles"]:
        assert secrets[role["passwordSecret"]["name"]]["username"] == role["name"]
        assert not {"superuser", "createdb", "createrole", "bypassrls"} & set(role)


def test_the_rights_are_given_by_the_tool_s_own_file() -> None:
    [found] = [each for each in of_kind(FOLDER, "ConfigMap") if each["metadata"]["name"] == "postgres-rights"]

    assert found["data"]["rights.sql"] in roles.shell()
    assert len(found["data"]["rights.sql"].splitlines()) > 100


@pytest.mark.parametrize("side", ["monolith", "users"])
def test_the_roles_of_a_cluster_may_what_those_of_a_plain_server_may(side: str) -> None:
    passwords = {role["name"]: f"p-{role['name']}" for role in cluster(side)["spec"]["managed"]["roles"]}
    with server() as plain:
        plain.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(side)))
        with connected(plain, side) as superuser:
            roles.give(superuser, passwords, extensions=extensions(side))
        with connected(plain, side) as superuser:
            wanted = rights(superuser, passwords)
    with server() as operated_by:
        make_as_the_operator_does(operated_by, cluster(side)["spec"], passwords)
        with connected(operated_by, side) as superuser:
            found = rights(superuser, passwords)
        for role, password in passwords.items():
            with psycopg.connect(operated_by.info.dsn, dbname=side, user=role, password=password) as own:
                assert own.execute("SELECT current_user").fetchone() == (role,)

    assert wanted["mover"], "something is compared"
    assert found == wanted


def extensions(side: str) -> str:
    [found] = [
        literal.partition("=")[2]
        for each in of_kind("tests/in-cluster", "ConfigMap")
        if each["metadata"]["name"].startswith(f"postgres-{side}-")
        for literal in [f"EXTENSIONS={each['data'].get('EXTENSIONS', '')}"]
    ]
    return found


@contextmanager
def server() -> Iterator[psycopg.Connection[Any]]:
    """A server of its own, for roles belong to a whole server; its superuser's session."""
    with postgres() as environment, psycopg.connect(environment["DATABASE_URL"], autocommit=True) as superuser:
        yield superuser


@contextmanager
def connected(superuser: psycopg.Connection[Any], database: str) -> Iterator[psycopg.Connection[Any]]:
    password = superuser.info.password
    with psycopg.connect(superuser.info.dsn, dbname=database, password=password, autocommit=True) as connection:
        yield connection


def make_as_the_operator_does(
    superuser: psycopg.Connection[Any], spec: Mapping[str, Any], passwords: Mapping[str, str]
) -> None:
    """First the database and its statements, then the managed roles: attributes, and exactly the memberships named."""
    initdb = spec["bootstrap"]["initdb"]
    database, owner = sql.Identifier(initdb["database"]), sql.Identifier(initdb["owner"])
    superuser.execute(sql.SQL("CREATE ROLE {} LOGIN").format(owner))
    superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
    with connected(superuser, initdb["database"]) as connection:
        for statement in initdb["postInitApplicationSQL"]:
            connection.execute(statement.encode())
        for reference in initdb["postInitApplicationSQLRefs"]["configMapRefs"]:
            connection.execute((DATABASES / reference["key"]).read_bytes())
    with connected(superuser, initdb["database"]) as connection:
        for role in spec["managed"]["roles"]:
            name = sql.Identifier(role["name"])
            attributes = " ".join(
                f"{'' if role.get(key) else 'NO'}{key.upper()}"
                for key in ("login", "superuser", "createdb", "createrole", "bypassrls", "replication")
            )
            connection.execute(
                sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(
                    name,
                    sql.SQL(attributes),
                    sql.Literal(passwords[role["name"]]),  # type: ignore[arg-type]
                )
            )
            had = {
                group
                for (group,) in connection.execute(
                    "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", [role["name"]]
                )
            }
            for group in had - set(role.get("inRoles", ())):
                connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(group), name))
            for group in set(role.get("inRoles", ())) - had:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), name))


def rights(superuser: psycopg.Connection[Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What each role is and may, as the catalog says it."""
    found: dict[str, Any] = {}
    for name in (*names, "strangler_agent", "public"):
        found[name] = superuser.execute(
            """
            SELECT CASE WHEN rolname IS NOT NULL THEN row(rolcanlogin, rolsuper, rolcreatedb, rolcreaterole,
                                                          rolreplication, rolbypassrls, rolinherit)::text END,
                   array(SELECT row(roleid::regrole, inherit_option, set_option, admin_option)::text
                         FROM pg_auth_members WHERE member = r.oid ORDER BY 1),
                   array(SELECT p FROM unnest('{CREATE,CONNECT,TEMPORARY}'::text[]) p
                         WHERE has_database_privilege(given.name, current_database(), p)),
                   array(SELECT p FROM unnest('{CREATE,USAGE}'::text[]) p
                         WHERE has_schema_privilege(given.name, 'public', p)),
                   has_parameter_privilege(given.name, 'session_replication_role', 'SET'),
                   array(SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'pg_replication_origin%%'
                         AND has_function_privilege(given.name, oid, 'EXECUTE') ORDER BY 1)
            FROM (SELECT %s::name AS name) given LEFT JOIN pg_roles r ON r.rolname = given.name
            """,
            [name],
        ).fetchone()
    found["extensions"] = superuser.execute(
        "SELECT extname, nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1"
    ).fetchall()
    return found


# --------------------------------------------------------------------------------------------------------------- broker


def test_each_user_of_the_broker_may_what_the_tool_writes_for_it(secrets: Mapping[str, Mapping[str, str]]) -> None:
    users = {each["metadata"]["name"]: each["spec"] for each in of_kind(FOLDER, "User")}
    given = {each["spec"]["userReference"]["name"]: each["spec"] for each in of_kind(FOLDER, "Permission")}

    assert set(users) == set(given) == set(SIDES)
    for side in SIDES:
        secret = secrets[f"broker-{side}"]
        definitions = json.loads(secret["definitions.json"])
        [permission], [user] = definitions["permissions"], definitions["users"]
        assert users[side]["importCredentialsSecret"] == {"name": f"broker-{side}"}
        assert (users[side].get("tags", []), secret["username"]) == (user["tags"], user["name"])
        assert (secret["username"], secret["password"]) == (side, user["password"])
        assert given[side]["vhost"] == permission["vhost"]
        assert given[side]["permissions"] == {key: permission[key] for key in ("configure", "write", "read")}
        assert set(definitions) == {"vhosts", "users", "permissions"}, "nothing else is to be made"


def test_the_broker_s_nodes_are_a_majority_when_one_is_away() -> None:
    [broker] = of_kind(FOLDER, "RabbitmqCluster")
    [budget] = [each for each in of_kind(FOLDER, "PodDisruptionBudget") if each["metadata"]["name"] == "rabbitmq"]

    assert broker["spec"]["replicas"] == 3
    assert budget["spec"]["maxUnavailable"] == 1
    # From here on the nodes need no way to the API to find each other.
    major, minor = map(int, re.findall(r"\d+", broker["spec"]["image"])[:2])
    assert (major, minor) >= (4, 1)
    assert broker["spec"]["resources"]["limits"].keys() == {"memory"}


def test_no_plain_server_stands_beside_them() -> None:
    assert not [each for each in built(FOLDER) if each["kind"] == "StatefulSet"]
    assert {each.name for each in operated(FOLDER)} == {"rabbitmq", *(f"postgres-{side}" for side in SIDES)}
