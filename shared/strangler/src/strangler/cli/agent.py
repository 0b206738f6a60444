"""``strangler agent``: runs beside one gateway, and keeps it at what the ledger says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

import click
from prometheus_client import Gauge

from strangler import configuration
from strangler.adapters import envoy, health, logs
from strangler.adapters.envoy.gateway import EnvoyGateway
from strangler.application.agent import DRAIN_SECONDS, Agent, prepare
from strangler.cli.rounds import LAST_SECONDS, Rounds, own_name
from strangler.domain.errors import StranglerError
from strangler.domain.project import Endpoints
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler agent --prepare       # before Envoy starts, as an init container
  strangler agent                 # beside it, from then on
  envoy -c $STRANGLER_STATE/gateway/bootstrap.json

Knows the ledger's database and the processes from strangler.toml, and no more. With METRICS_PORT it answers /healthz,
/readyz (the gateway has the present table live) and /metrics. On SIGTERM it has the gateway tell its clients to close
their connections, and follows the ledger for as long as it has requests under way. An admin port that is not on a
loopback address shows statistics and obeys nobody; so nothing is drained there.

Where the agent does not reach the admin port at that place, gateway.admin in strangler.toml says where.
"""


LIVE = Gauge("strangler_agent_live", "1 while the gateway has the present routes live, as far as the agent knows.")
FOLLOWED = Gauge("strangler_agent_followed_timestamp_seconds", "When the agent last looked at ledger and gateway.")


class Place(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``, at which something listens."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Accepts ``0.0.0.0:8080`` and ``[::]:8080``."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(\d{1,5})", str(value))
        if match is None or int(match[2]) > 65535:
            self.fail(f"{value!r} is not a place: write it like 0.0.0.0:8080", param, ctx)
        return match[1].strip("[]"), int(match[2])


@click.command(epilog=EPILOG)
@click.option("--prepare", "only_prepare", is_flag=True, help="Write Envoy's files and end.")
@click.option("--listen", type=Place(), default="0.0.0.0:8080", show_default=True, help="Where Envoy takes requests.")
@click.option(
    "--listen-internal",
    type=Place(),
    default="0.0.0.0:8081",
    show_default=True,
    help="Where Envoy takes requests of the project's own processes, if the project has internal paths.",
)
@click.option("--admin", type=Place(), default="127.0.0.1:9901", show_default=True, help="Where its admin port is.")
def command(
    *, only_prepare: bool, listen: tuple[str, int], listen_internal: tuple[str, int], admin: tuple[str, int]
) -> None:
    """Waits for the ledger, writes Envoy's files with the present routes, and keeps them present."""
    project = configuration.project()
    internal = {"--listen-internal": listen_internal} if project.gateway.internal else {}
    _require_apart({"--listen": listen, "--admin": admin, **internal})
    endpoints = state.endpoints_behind(project)
    gateway = EnvoyGateway(configuration.gateway_folder(project), project.gateway.admin or _url(admin))
    agent = Agent(own_name(), project, configuration.ledger(project, endpoints), gateway)
    rounds = Rounds()
    keeper = Keeper(agent, gateway, endpoints, listen=listen, internal=listen_internal, admin=admin)
    if only_prepare:
        rounds.go("prepare", lambda: rounds.last(keeper.prepare))
    else:
        health.serve(alive=rounds.standing, ready=lambda: "leaving" if rounds.stop.is_set() else keeper.unready())
        rounds.go("agent", keeper.keep, at_the_end=keeper.leave)
    rounds.until_told(within=DRAIN_SECONDS + LAST_SECONDS)
    if not keeper.prepared:
        raise SystemExit(1)


class Keeper:
    """One gateway, from before its start to after its end."""

    def __init__(
        self,
        agent: Agent,
        gateway: EnvoyGateway,
        endpoints: Endpoints,
        *,
        listen: tuple[str, int],
        internal: tuple[str, int],
        admin: tuple[str, int],
    ) -> None:
        self.prepared = False
        self._agent = agent
        self._gateway = gateway
        self._endpoints = endpoints
        self._listen = listen
        self._internal = internal
        self._admin = admin

    def keep(self) -> None:
        """One turn; raises StranglerError while ledger or gateway is away."""
        if not self.prepared:
            self.prepare()
        self._agent.follow()
        FOLLOWED.set(time.time())
        LIVE.set(self._agent.live is not None)

    def prepare(self) -> None:
        """Writes Envoy's files, and last the file with which Envoy starts; raises StranglerError while the ledger is
        away."""
        version = prepare(self._agent.project, self._agent.ledger, self._gateway)
        folder = self._gateway.directory
        envoy.publish_clusters(folder, self._endpoints.addresses, self._agent.project.monolith)
        (host, port), (admin_host, admin_port) = self._listen, self._admin
        envoy.write_bootstrap(
            folder,
            host=host,
            port=port,
            admin_host=admin_host,
            admin_port=admin_port,
            access_log=None,
            internal=self._internal if self._agent.project.gateway.internal else None,
            traces=envoy.asked_for(os.environ, lambda text: click.echo(text, err=True)),
            **envoy.as_said(self._agent.project),
        )
        self.prepared = True
        logs.tell("prepared", f"prepared {folder} with the routes {version}", folder=str(folder), routes=version)

    def unready(self) -> str | None:
        """The reason why the gateway must not get requests yet; None if it may.

        A ledger that is away is no such reason: without it no owner changes, so the routes stay right.
        """
        if self._agent.live is None:
            return "the present routes are not live yet"
        try:
            live = self._gateway.live_version()
        except StranglerError as error:
            return error.message
        return None if live == self._agent.live else f"routes by {live} and not by {self._agent.live}"

    def leave(self) -> None:
        """Has clients go to another gateway; raises StranglerError if Envoy or the ledger is away already."""
        try:
            self._agent.drain()
        finally:
            self._agent.leave()


def _require_apart(places: Mapping[str, tuple[str, int]]) -> None:
    taken: dict[int, str] = {}
    for option, (_, port) in places.items():
        if port and (other := taken.get(port)):
            raise click.UsageError(f"{option} and {other} name the same port, {port}: Envoy could not start. Give two")
        taken[port] = option


def _url(place: tuple[str, int]) -> str:
    host, port = place
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
