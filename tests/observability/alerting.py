"""A Prometheus and an Alertmanager of one's own, set up as the how-to "Watch a move" says, and somebody who is told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.programs import Running, program
from tests.stack import Stack

# The waits of rules and of the Alertmanager are cut short, for people wait for minutes: promtool tests the rules' own.
EVERY = "1s"


@dataclass(frozen=True)
class Told:
    """What a receiver was told of one alert."""

    receiver: str
    name: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Receiver:
    """Takes what an Alertmanager posts to it, as a pager or a chat does."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._told))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def last(self, alert: str) -> Told | None:
        """What it was told last of the alert with that name."""
        return next((told for told in reversed(self._told) if told.name == alert), None)


def _handler(told: list[Told]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in content["alerts"]:
                name, labels = alert["labels"]["alertname"], alert["labels"]
                told.append(Told(content["receiver"], name, alert["status"], labels, alert["annotations"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def alarmed(stack: Stack, folder: Path) -> Iterator[Receiver]:
    """Somebody who is told of the alerts of an observed stack, by all that `render observability` writes."""
    stack.run("render", "observability", str(folder))
    with Receiver() as receiver:
        _rewrite(folder / "alertmanager.yml", lambda text: _with_receiver(text, receiver.url))
        with Running(_alertmanager(folder), folder / "alertmanager") as alertmanager:
            _rewrite(folder / "prometheus.yml", lambda text: _with_alertmanager(text, alertmanager.address))
            _rewrite(folder / "rules" / "strangler.yml", lambda text: re.sub(r"for: \d+[mh]\b", f"for: {EVERY}", text))
            with Running(_prometheus(folder), folder / "prometheus"):
                yield receiver


def _rewrite(path: Path, change: Any) -> None:
    path.write_text(change(path.read_text()))


def _with_receiver(text: str, url: str) -> str:
    settings = yaml.safe_load(text)
    for receiver in settings["receivers"]:
        receiver["webhook_configs"] = [{"url": url, "send_resolved": True}]
    settings["route"] |= {"group_wait": EVERY, "group_interval": EVERY}
    return yaml.safe_dump(settings)


def _with_alertmanager(text: str, address: str) -> str:
    """With the line that is a comment there."""
    assert "# alerting: " in text
    return text.replace("# alerting: ", "alerting: ").replace("HOST:9093", address).replace("15s", EVERY)


def _alertmanager(folder: Path) -> list[object]:
    return [
        program("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager' / 'data'}",
        "--cluster.listen-address=",
    ]


def _prometheus(folder: Path) -> list[object]:
    return [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus' / 'data'}",
    ]
