"""``strangler fault``: faults that a presenter switches on in a stack that may break."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from strangler import configuration
from strangler.adapters.postgres import faults as rows
from strangler.cli.console import as_json
from strangler.domain import faults
from strangler.domain.errors import ConfigurationError, RefusedError
from strangler.domain.faults import FAULTS, VARIABLE, Fault
from strangler.domain.project import Endpoints, Project
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler fault list
  strangler fault on slow-call --milliseconds 3000
  strangler fault on errors --capability NAME --percent 5
  strangler fault on raising-handler --capability NAME --where FIELD=VALUE
  strangler fault off

Refused but in the local stack, in compose and in the overlay `local`; docs/how-to/faults.md says what one sees. Without
a NAME `off` ends all. A stack that goes down forgets them.
"""


@click.command(epilog=EPILOG)
@click.argument("action", type=click.Choice(["list", "on", "off"]))
@click.argument("name", required=False)
@click.option("--capability", help="Whose service, worker, stream or queue.")
@click.option("--call", help="Which call is slow.")
@click.option("--where", metavar="FIELD=VALUE", help="Messages whose data hold this raise.")
@click.option("--percent", type=click.FloatRange(0, 100, min_open=True), help="So many requests fail.  [default: 5]")
@click.option(
    "--milliseconds",
    type=click.FloatRange(0, faults.MOST_MILLISECONDS, min_open=True),
    help="So long a call, or a row, takes.  [default: 2000, or 50]",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, action: str, name: str | None, json_wanted: bool, **given: str | float | None) -> None:
    """Shows, switches on or switches off what goes wrong."""
    project = configuration.project()
    require_allowed(project)
    endpoints = state.endpoints(project)
    if action == "list":
        _show(project, endpoints, json_wanted)
        return
    if action == "off":
        names = _off(endpoints, None if name is None else _known(name).name)
        click.echo(
            as_json({"verb": "fault", "off": names}) if json_wanted else f"off: {', '.join(names) or 'none was on'}"
        )
        return
    fault = _known(name)
    told = faults.settings(project, fault, given)
    _on(project, endpoints, fault, told)
    next = [f"strangler fault off {fault.name}"]
    text = f"on: {fault.name} {_told(told)}: {fault.does}; seen in {', '.join(fault.seen)}. Next: {next[0]}"
    click.echo(as_json({"verb": "fault", "on": fault.name, "settings": told}, next=next) if json_wanted else text)


def require_allowed(project: Project) -> None:
    """Nothing is broken on purpose where clients may be.

    Raises:
        RefusedError: neither the stack nor the environment says that faults may be switched on here.
    """
    if os.environ.get(VARIABLE) == "1":
        return
    present = state.read(project)
    elsewhere = [name for name, database in project.databases.items() if not database.embedded]
    if present is not None and present.is_alive() and not elsewhere:
        return
    why = f"the databases {', '.join(elsewhere)} run elsewhere" if elsewhere else "no local stack is up"
    raise RefusedError(
        f"faults are for the local stack, compose and the overlay `local`, and this is none of them: {why}",
        place="fault",
        remedy=f"where it is one of them, its processes and this command have {VARIABLE}=1",
        id="fault-not-here",
    )


def _known(name: str | None) -> Fault:
    if name not in FAULTS:
        known = ", ".join(FAULTS)
        raise ConfigurationError(f"there is no fault {name}" if name else "which fault?", place="fault", remedy=known)
    return FAULTS[name]


def _on(project: Project, endpoints: Endpoints, fault: Fault, told: Mapping[str, Any]) -> None:
    capability = told.get("capability")
    tables = project.capabilities[capability].tables if capability else ()
    for database in faults.databases(project, fault, capability):
        rows.switch_on(endpoints.databases[database], fault.name, told, tables)
    # It was perhaps on for another capability before.
    for database in project.databases.keys() - set(faults.databases(project, fault, capability)):
        rows.switch_off(endpoints.databases[database], fault.name)


def _off(endpoints: Endpoints, name: str | None) -> list[str]:
    was_on: set[str] = set()
    for dsn in endpoints.databases.values():
        was_on |= rows.switch_off(dsn, name)
    return sorted(was_on)


def _show(project: Project, endpoints: Endpoints, json_wanted: bool) -> None:
    on = {name: told for dsn in endpoints.databases.values() for name, told in rows.present(dsn).items()}
    found: list[dict[str, Any]] = [
        {
            "name": fault.name,
            "does": fault.does,
            "on": on.get(fault.name),
            "absent": faults.absent(project, fault),
            "seen": list(fault.seen),
        }
        for fault in FAULTS.values()
    ]
    if json_wanted:
        click.echo(as_json({"verb": "fault", "faults": found}))
        return
    for each in found:
        how = f"on: {_told(each['on'])}" if each["on"] else (each["absent"] or "off")
        click.echo(f"{each['name']}: {each['does']}\n  {how}\n  seen in {', '.join(each['seen'])}")


def _told(settings: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())
