from __future__ import annotations

import threading

import pytest
from strangler.cli import serve
from strangler.domain.errors import StackError


def test_a_thread_that_fails_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    stop = threading.Event()
    failed = serve._end_on_a_bug(stop)

    def work() -> None:
        raise ZeroDivisionError("a mistake")

    thread = threading.Thread(target=serve._again, args=(stop, work))
    thread.start()
    thread.join()

    assert stop.is_set()
    assert failed.is_set()
    assert "a mistake" in capsys.readouterr().err


def test_a_server_that_is_away_is_waited_for_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "RETRY_SECONDS", 0)
    stop = threading.Event()
    tries = iter([StackError("away"), StackError("away"), None, StackError("away")])

    def work() -> None:
        error = next(tries, stop)
        if error is stop:
            stop.set()
        elif error is not None:
            raise error

    serve._again(stop, work)

    assert capsys.readouterr().err == "away\naway\n"
