"""A stack that a Prometheus watches, where this machine has one."""

from __future__ import annotations

import shutil
from typing import Any

import httpx

from tests.stack import UP_SECONDS, Stack
from tests.waiting import eventually

HAS_PROMETHEUS = shutil.which("prometheus") is not None


class Watched(Stack):
    """Without a Prometheus on the PATH nobody watches it."""

    def up(self) -> None:
        observed = ("--observe",) if HAS_PROMETHEUS else ()
        self.run("up", "--detach", *observed, "--data", "sample", seconds=UP_SECONDS)

    def ask(self, what: str, **query: Any) -> Any:
        """An answer of Prometheus' HTTP API."""
        answer = httpx.get(f"{self.environment()['prometheus']}/api/v1/{what}", params=query, timeout=60).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        return answer["data"]

    def see(self, condition: str) -> None:
        """Waits until the condition, in Prometheus' language, holds for some series; does nothing without one."""
        if HAS_PROMETHEUS:
            eventually(lambda: self.ask("query", query=condition)["result"], condition)
