"""The faults that a presenter can switch on: what each does, what it needs to know, and where it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from strangler.domain.errors import ConfigurationError, RefusedError
from strangler.domain.project import Project

VARIABLE = "STRANGLER_FAULTS"
MOST_MILLISECONDS = 30_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. ``seen`` names the metrics that show it; ``everywhere`` says that it is switched on in each
    database of the project, and not in those of its capability alone."""

    name: str
    does: str
    needs: tuple[str, ...]
    seen: tuple[str, ...]
    defaults: Mapping[str, float] = field(default_factory=dict)
    everywhere: bool = False


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "slow-call",
            "a call that the project makes to somebody else is slow",
            ("call",),
            ("chassis_http_request_duration_seconds", "envoy_cluster_upstream_rq_time"),
            {"milliseconds": 2000},
            everywhere=True,
        ),
        Fault(
            "raising-handler",
            "a worker raises at each message of one thing, and lays it aside after five tries",
            ("capability", "where"),
            ("chassis_consumer_retries_total", "chassis_consumer_messages_total"),
        ),
        Fault(
            "slow-stream",
            "each row that a stream brings takes its time",
            ("capability",),
            ("strangler_lag_bytes",),
            {"milliseconds": 50},
        ),
        Fault(
            "errors",
            "a capability's service answers a share of its requests with 500",
            ("capability",),
            ("chassis_http_requests_total", "envoy_cluster_upstream_rq_xx"),
            {"percent": 5},
        ),
        Fault(
            "full-queue",
            "no message gets into a capability's queue, and relays keep theirs",
            ("capability",),
            ("chassis_relay_put_off_total", "chassis_outbox_rows", "chassis_outbox_age_seconds"),
            everywhere=True,
        ),
    )
}


def absent(project: Project, fault: Fault) -> str | None:
    """Why the project has no such fault; None where it has."""
    if "call" in fault.needs and not project.slow_calls:
        return "the project names no call: [faults] calls in strangler.toml"
    if "capability" in fault.needs and not project.capabilities:
        return "the project has no capability"
    return None


def settings(project: Project, fault: Fault, given: Mapping[str, str | float | None]) -> dict[str, str | float]:
    """What the processes are told of the fault.

    Raises:
        RefusedError: something is missing, or is too much; nothing was changed.
        ConfigurationError: the project has no such capability or call.
    """
    if (why := absent(project, fault)) is not None:
        raise _refused(fault, f"this project has no such fault: {why}", "see `strangler fault list`")
    told: dict[str, str | float] = dict(fault.defaults)
    for name, value in given.items():
        if value is None:
            continue
        if name not in (*fault.needs, *fault.defaults):
            known = ", ".join(f"--{each}" for each in (*fault.needs, *fault.defaults))
            raise _refused(fault, f"--{name} means nothing to it", f"it takes: {known}")
        told[name] = value
    for name in fault.needs:
        told.update(_needed(project, fault, name, told.pop(name, None)))
    return told


def databases(project: Project, fault: Fault, capability: str | None) -> list[str]:
    """The databases whose processes are concerned."""
    if fault.everywhere or capability is None:
        return sorted(project.databases)
    own = project.capabilities[capability].database
    return [own] if fault.name == "errors" else sorted({own, project.ledger})


def _needed(project: Project, fault: Fault, name: str, value: str | float | None) -> Mapping[str, str]:
    known = {"capability": list(project.capabilities), "call": list(project.slow_calls)}.get(name)
    if name == "where":
        column, _, wanted = str(value or "").partition("=")
        if not column or not wanted:
            raise _refused(fault, "it has to be said of what", "give --where FIELD=VALUE, as --where number=7")
        return {"field": column, "value": wanted}
    assert known is not None
    if value is None and len(known) == 1:
        return {name: known[0]}
    if value is None:
        raise _refused(fault, f"it has to be said of which {name}", f"give --{name} with one of: {', '.join(known)}")
    if value not in known:
        raise ConfigurationError(
            f"there is no {name} {value}", place=str(project.path), remedy=f"there are: {', '.join(known)}"
        )
    return {name: str(value)}


def _refused(fault: Fault, message: str, remedy: str) -> RefusedError:
    return RefusedError(message, place=f"fault {fault.name}", remedy=remedy)
