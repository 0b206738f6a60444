"""Envoy as the gateway: files that are renamed into place configure it, and its admin port tells its state."""

from strangler.adapters.envoy.admin import bounces, live_version
from strangler.adapters.envoy.bootstrap import BOOTSTRAP_FILE, BUFFER_BYTES, write_bootstrap
from strangler.adapters.envoy.clusters import publish_clusters
from strangler.adapters.envoy.files import CLUSTERS_FILE, ROUTES_FILE
from strangler.adapters.envoy.routes import publish, render_routes
from strangler.adapters.envoy.shared_limits import service_configuration
from strangler.adapters.envoy.tracing import SERVICE, asked_for

__all__ = [
    "BOOTSTRAP_FILE",
    "BUFFER_BYTES",
    "CLUSTERS_FILE",
    "ROUTES_FILE",
    "SERVICE",
    "asked_for",
    "bounces",
    "live_version",
    "publish",
    "publish_clusters",
    "render_routes",
    "service_configuration",
    "write_bootstrap",
]
