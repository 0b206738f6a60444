"""A rate limit service, for an Envoy: as much of gRPC, and of Envoy's own service, as is needed to count.

It counts by the configuration that the tool renders for that service, so both have to name descriptors alike. Of HTTP/2
it knows frames, and no compressed header: it has one method, and need not read which was called.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM = ACK = 1
END_HEADERS = 4
OK, OVER_LIMIT = 1, 2

Descriptor = tuple[tuple[str, str], ...]


@dataclass
class RateService:
    """Counts what gateways ask, each value of a descriptor by itself; while it is ``silent`` it never answers."""

    configuration: Mapping[str, Any]
    silent: bool = False
    asked: list[Descriptor] = field(default_factory=list)
    counts: Counter[Descriptor] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        service = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    _serve(service, self.rfile, self.wfile)
                except OSError:
                    return  # the gateway has ended

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def judged(self, request: bytes) -> bool:
        """Whether a RateLimitRequest is within all limits; it counts."""
        read = list(_fields(request))
        assert dict(read)[1] == self.configuration["domain"].encode()
        descriptors = [_descriptor(value) for number, value in read if number == 2]
        with self.lock:
            self.asked += descriptors
            self.counts.update(descriptors)
            return all(self.counts[each] <= self._most(each) for each in descriptors)

    def _most(self, descriptor: Descriptor) -> int:
        (key, value), (inner, _) = descriptor
        [limit] = [each for each in self.configuration["descriptors"] if (each["key"], each["value"]) == (key, value)]
        [found] = [each for each in limit["descriptors"] if each["key"] == inner]
        assert set(found["rate_limit"]) == {"unit", "requests_per_unit"}
        return int(found["rate_limit"]["requests_per_unit"])


def _serve(service: RateService, incoming: Any, outgoing: Any) -> None:
    assert incoming.read(len(PREFACE)) == PREFACE
    _send(outgoing, SETTINGS)
    bodies: dict[int, bytes] = {}
    while head := incoming.read(9):
        length, kind, flags, stream = struct.unpack(">I", b"\0" + head[:3])[0], head[3], head[4], head[5:]
        payload, number = incoming.read(length), struct.unpack(">I", stream)[0]
        if kind in (SETTINGS, PING) and not flags & ACK:
            _send(outgoing, kind, ACK, payload=payload if kind == PING else b"")
        if kind == DATA:
            bodies[number] = bodies.get(number, b"") + payload
            _send(outgoing, WINDOW_UPDATE, payload=struct.pack(">I", max(length, 1)))
            if flags & END_STREAM and not service.silent:
                allowed = service.judged(bodies.pop(number)[5:])
                _answer(outgoing, number, bytes([8, OK if allowed else OVER_LIMIT]))


def _answer(outgoing: Any, stream: int, message: bytes) -> None:
    status_200 = b"\x88"
    _send(outgoing, HEADERS, END_HEADERS, stream, status_200 + _literal(b"content-type", b"application/grpc"))
    _send(outgoing, DATA, 0, stream, b"\0" + struct.pack(">I", len(message)) + message)
    _send(outgoing, HEADERS, END_HEADERS | END_STREAM, stream, _literal(b"grpc-status", b"0"))


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that is not compressed, and not remembered."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _send(outgoing: Any, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
    outgoing.write(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)
    outgoing.flush()


def _descriptor(message: bytes) -> Descriptor:
    entries = (dict(_fields(value)) for number, value in _fields(message) if number == 1)
    return tuple((entry[1].decode(), entry[2].decode()) for entry in entries)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of each field that is a text or a message."""
    position = 0
    while position < len(message):
        tag, position = _number(message, position)
        length, position = _number(message, position)
        if tag & 7 == 2:
            yield tag >> 3, message[position : position + length]
            position += length


def _number(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
