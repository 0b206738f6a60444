"""Reads ``strangler.toml`` into a ``Project``; an error names its place and a remedy."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from strangler.adapters import toml_canary, toml_headers, toml_limits, toml_routes
from strangler.adapters.toml_addresses import Addresses, is_written
from strangler.adapters.toml_section import Section
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import (
    AUTHORITIES,
    JWKS_AGE,
    MAX_BODY,
    Capability,
    Database,
    Gateway,
    Issuer,
    Loader,
    Parent,
    Process,
    Project,
    Reference,
)

FILE_NAME = "strangler.toml"
# More proxies than anybody has: a larger number is a mistake, such as a port under the wrong key.
MOST_HOPS = 10
SECRET_KINDS = ("text", "ed25519", "ed25519-each", "text-each")
GIVEN = frozenset({"BROKER_URL", "DATABASE_URL", "PATH", "PORT", "PROMETHEUS_MULTIPROC_DIR"})
RESERVED_NAMES = frozenset({"broker", "epmd", "gateway", "serve", "supervisor"})

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_CAPABILITY = re.compile(r"[a-z][a-z0-9_]{0,39}")
# As the catalog spells them, without quotes: capitals matter, and a name outside `public` has its schema.
_TABLE = re.compile(r'(?:[^".*?]+\.)?[^".*?]+')
_TABLE_PATTERN = re.compile(r'(?:[^".]+\.)?[^".]+')
_JWKS = re.compile(r"(?:https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)?/[^\s?#@]*")
_COLUMN = re.compile(r'[^"]+')


def load(path: Path | None = None, *, addresses: bool = True) -> Project:
    """The project that ``path`` describes, or without a path ``$STRANGLER_CONFIG``, or else ``./strangler.toml``.

    ``$STRANGLER_STATE`` puts the local stack's files elsewhere: so a second stack can run beside the first. Without
    ``addresses`` the addresses that the file leaves to the environment are not read.

    Raises ``ConfigurationError`` with place and remedy. Outside the file it reads only the
    environment variables that the file names, and the files that those name.
    """
    path = path or Path(os.environ.get("STRANGLER_CONFIG") or FILE_NAME)
    path = path.parent.resolve() / path.name
    root = Section(_document(path), label=path.name)
    project = _project(root, path, Addresses(os.environ if addresses else None))
    root.close()
    _check_tables(project, path.name)
    _check_sequences(project, path.name)
    toml_routes.check(project, path.name)
    return project


def _document(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}",
            place=str(path),
            remedy="run the command in the project's folder, or set STRANGLER_CONFIG to the file",
            id="file-unreadable",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"is not TOML: {error}", place=path.name, remedy="mend the file at that line", id="file-unreadable"
        ) from error


def _project(root: Section, path: Path, addresses: Addresses) -> Project:
    head = root.section("project")
    python = _path(head, "python", path.parent)
    databases = {name: _database(name, part, addresses) for name, part in root.named_sections("databases").items()}
    processes = {
        name: _process(name, part, path.parent, databases, addresses, python=python)
        for name, part in root.named_sections("processes").items()
    }
    ledger = head.one_of("ledger", databases)
    project = Project(
        path=path,
        name=head.text("name", matching=_NAME),
        state=_state(head, path),
        ledger=ledger,
        monolith=head.one_of("monolith", processes),
        databases=databases,
        processes=processes,
        capabilities={
            name: _capability(name, part, processes, databases, ledger)
            for name, part in root.named_sections("capabilities", required=False).items()
        },
        **_stays(root),
        gateway=_gateway(root.section("gateway", required=False), path.parent, addresses),
        sharing=toml_canary.read(root),
        **_secrets(root.section("secrets", required=False), databases),
        loader=_loader(root, processes),
        **_traffic(root, path.parent),
        **_broker(root, addresses),
        slow_calls=_slow_calls(root),
        postgres=_path(head, "postgres", path.parent),
    )
    head.close()
    return project


def _state(head: Section, path: Path) -> Path:
    written = path.parent / head.text("state", "var")
    return Path(os.environ.get("STRANGLER_STATE") or written).resolve()


def _database(name: str, part: Section, addresses: Addresses) -> Database:
    embedded = part.boolean("embedded", default=False)
    if (embedded and part.optional_text("url")) or not (embedded or is_written(part, "url")):
        raise part.error(
            "needs either embedded = true or an address",
            remedy='write one of: embedded = true, url = "postgresql://…", url_env = "NAME" (alone, or with embedded)',
        )
    url = addresses.database(part, "url", required=not embedded)
    database = Database(
        name=name,
        embedded=embedded and url is None,
        url=url,
        replication_url=addresses.database(part, "replication_url", required=url is not None),
        app_url=addresses.database(part, "app_url", required=False),
        outbox=_outbox(part),
        variable=part.optional_text("url_env"),
    )
    if database.app_url and not database.url:
        raise part.error(
            "is for a server that runs elsewhere, and the database has no url",
            key="app_url",
            remedy="remove it: the local stack makes a role for applications itself; or give the url, too",
        )
    part.close()
    return database


def _outbox(part: Section) -> str | None:
    table = part.optional_text("outbox")
    if table is None:
        return None
    if not _TABLE.fullmatch(table):
        raise part.error(f"{table!r} is not a table", key="outbox", remedy=f"it must match {_TABLE.pattern}")
    return table.removeprefix("public.")


def _path(part: Section, key: str, base: Path) -> Path | None:
    """A path as it is written, for a link to an interpreter is how an environment is known."""
    written = part.optional_text(key)
    return base / Path(written).expanduser() if written else None


def _process(
    name: str,
    part: Section,
    base: Path,
    databases: Mapping[str, Database],
    addresses: Addresses,
    *,
    python: Path | None,
) -> Process:
    if name in RESERVED_NAMES or name.startswith("postgres-"):
        raise part.error("is a name that the local stack uses itself", remedy="choose another name")
    directory, command = part.optional_text("directory"), part.texts("command", [])
    if (command and part.optional_text("address")) or not (command or is_written(part, "address")):
        raise part.error(
            "needs either a command or an address",
            remedy="give the command the local stack runs, or the address of one that runs elsewhere "
            "(address_env may stand beside a command)",
        )
    if command and not directory:
        raise part.error("has a command but no directory", remedy='write directory = "…", or "."')
    address = addresses.web(part, "address", required=not command)
    process = Process(
        name=name,
        directory=base / directory if directory else None,
        command=() if address else command,
        python=_path(part, "python", base) or python,
        database=part.one_of("database", databases, required=False),
        migrate=part.texts("migrate", []),
        http=part.boolean("http", default=False),
        health=part.text("health", "/readyz"),
        address=address,
        address_variable=part.optional_text("address_env"),
        environment=part.variables("environment"),
    )
    part.close()
    return process


def _capability(
    name: str,
    part: Section,
    processes: Mapping[str, Process],
    databases: Mapping[str, Database],
    ledger: str,
) -> Capability:
    if not _CAPABILITY.fullmatch(name):
        raise part.error(
            "cannot name a replication slot", remedy="use lower-case letters, digits and _, and no more than 40 of them"
        )
    capability = Capability(
        name=name,
        tables=[name.removeprefix("public.") for name in part.texts("tables", matching=_TABLE, kind="table")],
        routes=toml_routes.read(part, "routes"),
        process=part.one_of("process", processes),
        database=part.one_of("database", databases),
        references=[_reference(each) for each in part.sections("references")],
        sequences=[
            name.removeprefix("public.") for name in part.texts("sequences", [], matching=_TABLE, kind="sequence")
        ],
        parents=[_parent(each) for each in part.sections("parents")],
    )
    for parent in capability.parents:
        if parent.table not in capability.tables:
            raise part.error(
                f"{parent.table} is no table of this capability",
                key="parents",
                remedy="name the moved table that has the foreign key, and its column",
            )
    process = processes[capability.process]
    if not (process.http or process.address):
        raise part.error(
            f"process {process.name} does not speak HTTP",
            key="process",
            remedy=f"set http = true in processes.{process.name}, or name the service's web process",
        )
    if capability.database == ledger:
        raise part.error(
            f"would move into {ledger}, the database it lives in",
            key="database",
            remedy="name the service's own database",
        )
    part.close()
    return capability


def _reference(part: Section) -> Reference:
    table = part.text("table", matching=_TABLE).removeprefix("public.")
    column, deletes = part.text("column", matching=_COLUMN), part.boolean("deletes", default=True)
    to = part.text("to", matching=_COLUMN).removeprefix("public.") if "to" in part else None
    reference = Reference(table=table, column=column, deletes=deletes, to=to)
    part.close()
    return reference


def _parent(part: Section) -> Parent:
    table, column = part.text("table", matching=_TABLE).removeprefix("public."), part.text("column", matching=_COLUMN)
    parent = Parent(table=table, column=column, deletes=part.boolean("deletes", default=True))
    part.close()
    return parent


def _gateway(part: Section, base: Path, addresses: Addresses) -> Gateway:
    directory = part.optional_text("directory")
    gateway = Gateway(
        port=part.port("port"),
        admin_port=part.port("admin_port"),
        internal_port=part.port("internal_port"),
        address=addresses.web(part, "address", required=False),
        internal_address=addresses.web(part, "internal_address", required=False),
        admin=addresses.web(part, "admin", required=False),
        directory=base / directory if directory else None,
        trusted_hops=addresses.number(part, "trusted_hops", most=MOST_HOPS),
        max_body=toml_routes.max_body(part) or MAX_BODY,
        routes=tuple(toml_routes.read(part, "routes", required=False)),
        **toml_routes.doors(part),
        issuers=tuple(_issuer(name, each) for name, each in part.named_sections("tokens", required=False).items()),
        limits=tuple(toml_limits.read(part, addresses)),
        headers=toml_headers.read(part),
        tell_sides=bool(addresses.number(part, "tell_sides", most=1)),
    )
    toml_limits.check(gateway, part)
    if gateway.admin and not gateway.address:
        raise part.error("has an admin but no address", remedy="give both for a gateway that runs elsewhere")
    _check_listeners(gateway, part)
    part.close()
    return gateway


def _check_listeners(gateway: Gateway, part: Section) -> None:
    """Raises ConfigurationError if two listeners are at one port, or the internal one has an address and none asks
    there, or is asked and has no address."""
    ports = {"port": gateway.port, "admin_port": gateway.admin_port, "internal_port": gateway.internal_port}
    given = [(key, port) for key, port in ports.items() if port]
    for position, (key, port) in enumerate(given):
        if same := next((before for before, other in given[:position] if other == port), None):
            raise part.error(
                f"is {port}, as {same} is: Envoy could not listen at both",
                key=key,
                remedy="give each its own, or 0 for any free one",
            )
    if gateway.internal_address and not gateway.address:
        raise part.error(
            "is of a gateway that runs elsewhere, and [gateway] has no address",
            key="internal_address",
            remedy="give both; without them the local stack runs the gateway, and knows both addresses",
        )
    if gateway.internal_address == gateway.address and gateway.address:
        raise part.error(
            "is the public address, where internal paths are closed",
            key="internal_address",
            remedy="give the address of the internal listener: another port, which only the project's processes reach",
        )
    if gateway.internal and gateway.address and not gateway.internal_address:
        raise part.error(
            "is missing: the gateway runs elsewhere, and nothing says where processes ask for internal paths",
            key="internal_address",
            remedy='write internal_address, or internal_address_env = "VARIABLE" and set the variable',
        )


def _issuer(name: str, part: Section) -> Issuer:
    jwks = part.text("jwks")
    if not _JWKS.fullmatch(jwks) or "//" in urlsplit(jwks).path:
        raise part.error(
            f"{jwks!r} is neither a path nor an address",
            key="jwks",
            remedy='write a path at this gateway, "/.well-known/jwks.json", or "https://host/path"',
        )
    issuer = Issuer(
        name=name,
        jwks=jwks,
        audiences=tuple(part.texts("audiences", [])),
        issuer=part.optional_text("issuer"),
        jwks_age=toml_routes.seconds(part, "jwks_age", "an age") or JWKS_AGE,
        ca=part.text("ca", AUTHORITIES),
    )
    part.close()
    return issuer


def _secrets(part: Section, databases: Mapping[str, Database]) -> dict[str, Any]:
    """``NAME = "kind"``, or a table with ``kind`` and, under ``for``, the databases whose processes get it."""
    kinds, holders = {}, {}
    for name in part:
        if part.variable(name) in GIVEN:
            raise part.error("is a variable that the kit sets itself", key=name, remedy="choose another name")
        if not part.is_table(name):
            kinds[name] = _kind_of_secret(part, name)
            continue
        table = part.section(name)
        kinds[name] = _kind_of_secret(table, "kind")
        holders[name] = table.some_of("for", databases)
        table.close()
    return {"secrets": kinds, "holders": holders}


def _kind_of_secret(part: Section, key: str) -> str:
    kind = part.text(key)
    if kind not in SECRET_KINDS:
        # The message leaves out the value, for somebody may have written the secret itself.
        raise part.error(
            "is not a kind of secret",
            key=key,
            remedy=f"known: {', '.join(sorted(SECRET_KINDS))}; the value itself does not belong here",
        )
    return kind


def _loader(root: Section, processes: Mapping[str, Process]) -> Loader | None:
    if "loader" not in root:
        return None
    part = root.section("loader")
    loader = Loader(
        process=part.one_of("process", processes),
        command=part.texts("command"),
        sample=part.texts("sample", []),
    )
    part.close()
    return loader


def _traffic(root: Section, base: Path) -> dict[str, Any]:
    part = root.section("traffic", required=False)
    scenario = part.optional_text("scenario")
    script = part.optional_text("script")
    part.close()
    return {"scenario": scenario, "script": base / script if script else None}


def _broker(root: Section, addresses: Addresses) -> dict[str, Any]:
    part = root.section("broker", required=False)
    embedded = part.boolean("embedded", default=False)
    if embedded and part.optional_text("url"):
        raise part.error("needs either embedded = true or an address", remedy="keep one of the two")
    url, variable = addresses.broker(part, "url", required=not embedded), part.optional_text("url_env")
    # Only who writes it out has none: a project without the section may well have messages.
    none = "embedded" in part and not embedded and not url and not variable
    part.close()
    return {"broker_url": url, "broker_variable": variable, "brokered": not none}


def _slow_calls(root: Section) -> list[str]:
    part = root.section("faults", required=False)
    calls = part.texts("calls", [], matching=_NAME, kind="name")
    part.close()
    return calls


def _stays(root: Section) -> dict[str, Any]:
    part = root.section("stays", required=False)
    tables = part.texts("tables", [], matching=_TABLE_PATTERN, kind="table or pattern")
    sequences = part.texts("sequences", [], matching=_TABLE_PATTERN, kind="sequence or pattern")
    part.close()
    return {"stays": tables, "staying_sequences": sequences}


def _check_tables(project: Project, label: str) -> None:
    seen: dict[str, str] = {
        database.outbox: f"databases.{name}.outbox, which never moves"
        for name, database in project.databases.items()
        if database.outbox
    }
    for name, capability in project.capabilities.items():
        for index, table in enumerate(capability.tables):
            place = f"{label}: capabilities.{name}.tables[{index}]"
            if table in seen:
                raise ConfigurationError(
                    f"{table} is also at {seen[table]}",
                    place=place,
                    remedy="a table moves with one capability: remove it from the other",
                    id="named-twice",
                )
            seen[table] = f"capabilities.{name}.tables[{index}]"


def _check_sequences(project: Project, label: str) -> None:
    seen: dict[str, str] = {}
    for name, capability in project.capabilities.items():
        for index, sequence in enumerate(capability.sequences):
            if sequence in seen:
                raise ConfigurationError(
                    f"{sequence} is also at {seen[sequence]}",
                    place=f"{label}: capabilities.{name}.sequences[{index}]",
                    remedy="a sequence that two owners ask gives a number out twice: give each its own",
                    id="named-twice",
                )
            seen[sequence] = f"capabilities.{name}.sequences[{index}]"
