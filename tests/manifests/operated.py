"""The pods that operators make of custom resources, with the labels that their documentation names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.manifests.kustomize import Resource, of_kind


@dataclass(frozen=True)
class Operated:
    """A Cluster of CloudNativePG, or a RabbitmqCluster."""

    resource: Resource

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.resource["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """The pods' labels."""
        if self.resource["kind"] == "Cluster":
            return {
                "cnpg.io/cluster": self.name,
                "cnpg.io/podRole": "instance",
                "app.kubernetes.io/name": "postgresql",
                "app.kubernetes.io/component": "database",
            }
        return {
            "app.kubernetes.io/name": self.name,
            "app.kubernetes.io/component": "rabbitmq",
            "app.kubernetes.io/part-of": "rabbitmq",
        }

    @property
    def pods(self) -> int:
        return int(self.spec["instances" if self.resource["kind"] == "Cluster" else "replicas"])


def operated(folder: str) -> Iterator[Operated]:
    """What operators run of a kustomization."""
    return (Operated(resource) for resource in of_kind(folder, "Cluster", "RabbitmqCluster"))
