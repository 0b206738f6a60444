"""Clients of HTTP/2, which send many requests over one connection; and clients that do not read what they asked for."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import urllib3
from envoys import Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.adapters.envoy import bootstrap, routes
from strangler.domain.project import CLOSED
from strangler.domain.routing import RouteTable

pytest.importorskip("envoy")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
CANCEL = struct.pack(">I", 8)
# As HPACK's own table has them.
STATUSES = {0x88: 200, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
LARGE = 64 << 20


@dataclass
class Gateway:
    port: int
    admin: str
    monolith: Side

    def count(self, name: str) -> int:
        text = urllib3.request("GET", f"{self.admin}/stats?filter={name}$").data.decode()
        return sum(int(line.rpartition(":")[2]) for line in text.splitlines())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory, port, admin_port = tmp_path_factory.mktemp("gateway"), free_port(), free_port()
    monolith = Side("monolith", says("monolith"))
    monolith.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "LONG_IDLE_SECONDS", 1.0)
        envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=None)
        envoy.publish_clusters(directory, {"monolith": monolith.address})
        table = RouteTable("first", [], "monolith", closed=CLOSED, internal=("/internal",))
        envoy.publish(directory, table)
        try:
            with running(directory, admin_port):
                yield Gateway(port, f"http://127.0.0.1:{admin_port}", monolith)
        finally:
            monolith.stop()


@dataclass
class Client:
    """A client of HTTP/2 without TLS that can do what it should not."""

    connection: socket.socket
    settings: dict[int, int] = field(default_factory=dict)
    _stream: int = -1

    def __post_init__(self) -> None:
        self.connection.sendall(PREFACE + _frame(SETTINGS, 0, 0, b""))
        kind, _, _, payload = self.read()
        assert kind == SETTINGS
        self.settings = dict(struct.iter_unpack(">HI", payload))
        self.connection.sendall(_frame(SETTINGS, ACK, 0, b""))

    def ask(self, path: str) -> int:
        """Sends a request; returns the number of its stream."""
        return self.ask_exactly(b"GET", path.encode())

    def ask_exactly(self, method: bytes, path: bytes | None) -> int:
        self._stream += 2
        block = b"\x86\x41\x01a" + b"\x42" + bytes([len(method)]) + method
        if path is not None:
            block += b"\x44" + bytes([len(path)]) + path
        self.connection.sendall(_frame(HEADERS, END_STREAM | END_HEADERS, self._stream, block))
        return self._stream

    def take_back(self, stream: int) -> None:
        self.connection.sendall(_frame(RST_STREAM, 0, stream, CANCEL))

    def status(self, stream: int) -> int:
        while True:
            kind, _, number, payload = self.read()
            if (kind, number) == (RST_STREAM, stream) or kind == GOAWAY:
                raise Reset
            if (kind, number) == (HEADERS, stream):
                return _status(payload)

    def read(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and content of the next frame."""
        head = self._exactly(9)
        return head[3], head[4], int.from_bytes(head[5:], "big"), self._exactly(int.from_bytes(head[:3], "big"))

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            more = self.connection.recv(size - len(content))
            if not more:
                raise EOFError
            content += more
        return content


class Reset(Exception):
    """The server has given the stream up, or the connection."""


def _status(block: bytes) -> int:
    """What a block of headers begins with, behind a new size of the table."""
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    if block[0] in STATUSES:
        return STATUSES[block[0]]
    written = block[2 : 2 + (block[1] & 0x7F)]
    return int(_plain(written) if block[1] & 0x80 else written)


def _plain(huffman: bytes) -> str:
    """Digits, as HPACK's code for texts has them."""
    codes = {f"{number:05b}": str(number) for number in range(3)} | {f"{22 + n:06b}": str(n) for n in range(3, 10)}
    bits, digits = "".join(f"{byte:08b}" for byte in huffman), ""
    while found := next((code for code in codes if bits.startswith(code)), None):
        digits, bits = digits + codes[found], bits[len(found) :]
    return digits


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        yield Client(connection)


def test_a_client_is_told_how_many_requests_it_may_have_at_a_time(client: Client) -> None:
    assert client.settings[MAX_CONCURRENT_STREAMS] == bootstrap.STREAMS
    assert client.settings.get(INITIAL_WINDOW_SIZE, 65535) <= bootstrap.STREAM_BYTES


def test_a_request_is_answered(client: Client) -> None:
    assert client.status(client.ask("/things")) == 200


@pytest.mark.parametrize("path", ["/internal/things", "//internal/things", "/%69nternal", "/admin/", "/METRICS"])
def test_what_is_not_there_for_strangers_is_not_there_by_http_2(client: Client, gateway: Gateway, path: str) -> None:
    gateway.monolith.requests.clear()

    assert client.status(client.ask(path)) == 404
    assert gateway.monolith.requests == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"get", b"/things"),
        (b"Post", b"/things"),
        (b"FOO", b"/things"),
        (b"GETS", b"/things"),
        (b"G\xe9T", b"/things"),
        (b"GET POST", b"/things"),
        (b"PRI", b"/things"),
        (b"GET", b"/things/\x7f"),
        (b"GET", b"/things?a=\xff"),
        (b"GET", "/things?caf\u00e9".encode()),
        (b"GET", b"/things a"),
        (b"GET", b"/things HTTP/1.1"),
        (b"post", "/caf\u00e9".encode()),
    ],
)
def test_what_no_process_could_read_reaches_none(gateway: Gateway, method: bytes, path: bytes) -> None:
    gateway.monolith.requests.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        client = Client(connection)
        try:
            status = client.status(client.ask_exactly(method, path))
        except (Reset, EOFError):
            status = 400

    assert status == 400
    assert gateway.monolith.requests == []


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/things/\u00e9".encode(), "/things/%C3%A9"),
        (b"/things/\xe9", "/things/%E9"),
        (b"/things/\xe2\x28", "/things/%E2("),
        (b"/\xff/../things", "/things"),
    ],
)
def test_bytes_of_a_path_come_to_a_process_written_out(gateway: Gateway, path: bytes, read: str) -> None:
    gateway.monolith.requests.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        client = Client(connection)
        assert client.status(client.ask_exactly(b"GET", path)) == 200

    assert [request.path for request in gateway.monolith.requests] == [read]


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
def test_no_tunnel_begins_by_http_2(gateway: Gateway, method: bytes) -> None:
    gateway.monolith.requests.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        client = Client(connection)
        stream = client.ask_exactly(method, None if method == b"CONNECT" else b"/things")
        try:
            assert client.status(stream) == 403
        except (Reset, EOFError):
            assert method == b"CONNECT"
    assert gateway.monolith.requests == []


def test_who_takes_all_requests_back_at_once_loses_the_connection(client: Client, gateway: Gateway) -> None:
    with pytest.raises((EOFError, ConnectionError)):
        flood(client)

    assert gateway.count("downstream_rq_too_many_premature_resets") > 0
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        other = Client(connection)
        assert other.status(other.ask("/things")) == 200


def flood(client: Client) -> None:
    """Ends only with the connection."""
    for _ in range(20 * bootstrap.RESETS):
        client.take_back(client.ask("/things"))
    while client.read():
        pass


def test_who_does_not_read_is_given_up_and_costs_no_more(gateway: Gateway) -> None:
    gateway.monolith.reply = lambda request: (200, {}, bytes(LARGE))
    before = gateway.count("downstream_rq_idle_timeout")
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as reader:
        reader.sendall(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        assert reader.recv(100).startswith(b"HTTP/1.1 200")

        eventually(lambda: gateway.count("downstream_rq_idle_timeout") > before)
        got = 0
        with suppress(ConnectionError):
            while piece := reader.recv(1 << 20):
                got += len(piece)
    gateway.monolith.reply = says("monolith")

    assert got < LARGE
