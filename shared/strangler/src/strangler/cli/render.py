"""``strangler render``: routes for a gateway that is not the kit's, limits for a rate limit service, and what a
Prometheus and a Grafana need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from strangler import configuration
from strangler.adapters import envoy, kubernetes, observability
from strangler.application import routes
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Project
from strangler.domain.routing import RouteTable
from strangler.stack import observation, state

HTTPROUTE, INGRESS = "httproute", "ingress"
K8S, LIMITS, OBSERVABILITY = "k8s", "limits", "observability"

EPILOG = """\b
Examples:
  strangler render k8s --kind httproute --gateway infra/public | kubectl apply -f -
  strangler render k8s --kind ingress --ingress-class nginx --host example.com
  strangler render limits > limits.yaml
  strangler render observability monitoring/

For `k8s` the documents are JSON, which is YAML too. They say who answers now, so they have to be rendered and applied
anew after each switch and reverse. An Ingress cannot tell methods apart: a path goes where its writes go.

For `limits` it is the configuration of Envoy's rate limit service, with the rates of this environment.

For `observability` it writes into the folder `prometheus.yml`, which asks all processes whose addresses are known here,
the alerts under rules/, `alertmanager.yml` to begin with, and three dashboards for Grafana under dashboards/.
"""


@click.command(epilog=EPILOG)
@click.argument("target", type=click.Choice([K8S, LIMITS, OBSERVABILITY]))
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice([HTTPROUTE, INGRESS]), help="This alone; both unless given.")
@click.option(
    "--gateway",
    default="gateway",
    show_default=True,
    metavar="[NAMESPACE/]NAME",
    help="The Gateway that the HTTPRoutes belong to.",
)
@click.option("--ingress-class", metavar="NAME", help="The Ingress's class; the cluster's own unless given.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Only for this host; may be repeated.")
@click.option(
    "--runbooks",
    default=observability.RUNBOOKS,
    show_default=True,
    metavar="URL/",
    help="Where the alerts' links lead: the folder of when-something-is-wrong.md.",
)
def command(
    *,
    target: str,
    folder: Path | None,
    kind: str | None,
    gateway: str,
    ingress_class: str | None,
    hosts: tuple[str, ...],
    runbooks: str,
) -> None:
    """Prints the present routes for Kubernetes, or the limits for a rate limit service; or writes what a Prometheus and
    a Grafana need.

    Routes are printed as Gateway API HTTPRoutes and as an Ingress.
    """
    if (target == OBSERVABILITY) != (folder is not None):
        raise click.UsageError("observability needs the FOLDER to write into; all else is printed, and needs none")
    project = configuration.project()
    if folder is not None:
        _write(project, folder, runbooks)
        return
    if target == LIMITS:
        click.echo(json.dumps(envoy.service_configuration(project.gateway.limits), indent=2))
        return
    endpoints = state.endpoints_behind(project)
    front = kubernetes.Front(
        name=project.name,
        gateway=gateway,
        ports=kubernetes.backends(endpoints.addresses),
        hosts=hosts,
        ingress_class=ingress_class,
    )
    ledger = configuration.ledger(project, endpoints)
    try:
        table = routes.table(project, ledger.moves())
    finally:
        ledger.close()
    for document in _documents(table, front, kind):
        click.echo(f"---\n{json.dumps(document, indent=2)}")


def _write(project: Project, folder: Path, runbooks: str) -> None:
    present = state.read(project)
    jobs = observation.jobs(project, present, observation.assigned(project) if present else {})
    try:
        written = observability.write(folder, jobs, runbooks=runbooks)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", place=str(folder), remedy="name a folder that you may write to"
        ) from error
    for path in written:
        click.echo(path)
    unknown = [target.process for targets in jobs.values() for target in targets if target.address is None]
    if unknown:
        click.echo(
            f"{observability.CONFIGURATION} has a place for the addresses of: {', '.join(unknown)}. "
            'They are not known here; for pods see the how-to "Watch a move".',
            err=True,
        )


def _documents(table: RouteTable, front: kubernetes.Front, kind: str | None) -> Iterator[dict[str, Any]]:
    if kind in {None, HTTPROUTE}:
        yield from kubernetes.httproutes(table, front)
    if kind in {None, INGRESS}:
        yield kubernetes.ingress(table, front)
