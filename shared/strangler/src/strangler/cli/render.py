"""``strangler render``: the present routes for a gateway that is not the kit's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from strangler import configuration
from strangler.adapters import kubernetes
from strangler.application import routes
from strangler.domain.routing import RouteTable
from strangler.stack import state

HTTPROUTE, INGRESS = "httproute", "ingress"

EPILOG = """\b
Examples:
  strangler render k8s --kind httproute --gateway infra/public | kubectl apply -f -
  strangler render k8s --kind ingress --ingress-class nginx --host example.com

The documents are JSON, which is YAML too. They say who answers now, so they have to be rendered and applied anew after
each switch and reverse. An Ingress cannot tell methods apart: a path goes where its writes go.
"""


@click.command(epilog=EPILOG)
@click.argument("target", type=click.Choice(["k8s"]))
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
def command(*, target: str, kind: str | None, gateway: str, ingress_class: str | None, hosts: tuple[str, ...]) -> None:
    """Prints the present routes as Gateway API HTTPRoutes and as an Ingress."""
    project = configuration.project()
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


def _documents(table: RouteTable, front: kubernetes.Front, kind: str | None) -> Iterator[dict[str, Any]]:
    if kind in {None, HTTPROUTE}:
        yield from kubernetes.httproutes(table, front)
    if kind in {None, INGRESS}:
        yield kubernetes.ingress(table, front)
