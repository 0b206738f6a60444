"""Writes down the requests of a project's own tests, for `strangler traffic draft`: the project's code stays as it is.

`python -m chassis.testing.recording manage.py test …` runs a program with it, and `pytest -p chassis.testing.recording`
a project's pytest. Beside the file that ``STRANGLER_RECORDING`` names each process writes one with its number, a line
for each request; without the variable nothing happens.
No password, token or cookie is written: where one came from an earlier answer, the line says from which.
"""

from __future__ import annotations

import os

VARIABLE = "STRANGLER_RECORDING"


def install() -> None:
    """Records from now on, in this process and those that it forks. Called twice, it does nothing more."""
    if path := os.environ.get(VARIABLE):
        from chassis.testing.recording import calls

        calls.install(path)


def pytest_configure(config: object) -> None:
    """Pytest calls it where this module is a plugin."""
    install()
