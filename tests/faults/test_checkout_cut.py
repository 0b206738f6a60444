"""A link that is cut lets nothing through, and afterwards everything or nothing of what was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.cut import LOOPBACK, Link
from tests.waiting import GENEROUS_SECONDS, eventually

BRIEF_SECONDS = 0.3


@pytest.fixture
def link() -> Iterator[Link]:
    """To a server that says everything back."""
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        threading.Thread(target=_echo_all, args=(server,), daemon=True).start()
        found = Link(lambda: server.getsockname()[1])
        yield found
        found.close()
        server.shutdown(socket.SHUT_RDWR)


def test_a_whole_link_forwards(link: Link) -> None:
    with _connected(link) as end:
        end.sendall(b"there")

        assert end.recv(5) == b"there"


def test_what_is_sent_over_a_silent_cut_arrives_after_it(link: Link) -> None:
    with _connected(link) as end:
        end.sendall(b"before")
        assert end.recv(6) == b"before"
        with link.cut(closing=False):
            end.sendall(b"during")
            end.settimeout(BRIEF_SECONDS)
            with pytest.raises(TimeoutError):
                end.recv(6)
        end.settimeout(GENEROUS_SECONDS)

        assert end.recv(6) == b"during"


def test_a_silent_cut_lets_nobody_in_before_it_ends(link: Link) -> None:
    with link.cut(closing=False):
        end = _connected(link)
        end.sendall(b"new")
        end.settimeout(BRIEF_SECONDS)
        with pytest.raises(TimeoutError):
            end.recv(3)
    end.settimeout(GENEROUS_SECONDS)

    assert end.recv(3) == b"new"
    end.close()


def test_a_closing_cut_ends_connections_and_refuses_new_ones(link: Link) -> None:
    with _connected(link) as end:
        end.sendall(b"before")
        assert end.recv(6) == b"before"
        with link.cut(closing=True):
            assert _is_dead(end)
            with _connected(link) as another:
                assert _is_dead(another)

    with _connected(link) as end:
        end.sendall(b"again")
        assert end.recv(5) == b"again"


def test_a_connection_ends_on_both_sides(link: Link) -> None:
    with _connected(link) as end:
        end.shutdown(socket.SHUT_WR)

        assert end.recv(1) == b""
    assert eventually(lambda: link.accepted == 1, "one connection was made")


def _connected(link: Link) -> socket.socket:
    end = socket.create_connection((LOOPBACK, link.port))
    end.settimeout(GENEROUS_SECONDS)
    return end


def _is_dead(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def _echo_all(server: socket.socket) -> None:
    while True:
        try:
            end, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(end,), daemon=True).start()


def _echo(end: socket.socket) -> None:
    with closing(end):
        try:
            while piece := end.recv(65536):
                end.sendall(piece)
        except OSError:
            return
