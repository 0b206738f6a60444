"""The present routes as a Kubernetes cluster's own objects, for a controller other than the kit's gateway."""

from strangler.adapters.kubernetes.front import Front, backends
from strangler.adapters.kubernetes.httproute import httproutes
from strangler.adapters.kubernetes.ingress import ingress

__all__ = ["Front", "backends", "httproutes", "ingress"]
