"""Runs a program, or with ``-m`` a module, and records the requests of its test clients."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from chassis.testing import recording


def main(words: list[str]) -> None:
    """As ``python WORDS`` would run it."""
    recording.install()
    if words[:1] == ["-m"] and len(words) > 1:
        sys.argv = words[1:]
        sys.path.insert(0, "")
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")
    else:
        sys.exit("name a program: python -m chassis.testing.recording manage.py test")


if __name__ == "__main__":
    main(sys.argv[1:])
