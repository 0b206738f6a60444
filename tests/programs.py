"""Other people's programs that tests start: each on a port of its own of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import urllib3
from strangler.stack import ports

from tests.waiting import eventually

READY = "/-/ready"


def program(name: str) -> str:
    """Its path; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Running:
    """A Prometheus or an Alertmanager until the block ends; its log and port are kept in ``folder``, which must be its
    own."""

    def __init__(self, command: Sequence[object], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = ports.assign(["any"], {}, folder / "ports.json")["any"]
        self.address = f"127.0.0.1:{port}"
        self._command = [*map(str, command), f"--web.listen-address={self.address}"]
        self._log = folder / "log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            eventually(self._is_ready, f"{self._command[0]} is ready")
        except AssertionError:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def ask(self, path: str) -> Any:
        """What it answers, read as JSON."""
        return urllib3.request("GET", f"http://{self.address}{path}", retries=False).json()

    def post(self, path: str, content: object) -> None:
        """Sends JSON, which must be taken."""
        answer = urllib3.request("POST", f"http://{self.address}{path}", json=content, retries=False)
        assert answer.status == 200, answer.data

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return urllib3.request("GET", f"http://{self.address}{READY}", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False
