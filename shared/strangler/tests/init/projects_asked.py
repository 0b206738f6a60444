"""A project that is asked: a copy of `guild`, in which a test may change what it likes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

GUILD = Path(__file__).parent / "guild"


@dataclass
class Asked:
    """The copy in a folder of its own, and the environment of the commands that are run in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copied(cls, folder: Path) -> Asked:
        shutil.copytree(GUILD, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder)

    @property
    def file(self) -> Path:
        return self.folder / "strangler.toml"

    def strangler(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The tool's command line, as a person runs it in the folder."""
        return self._run(str(Path(sys.executable).with_name("strangler")), *words, stdin=stdin)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(sys.executable, "manage.py", *words)

    def add(self, name: str, text: str) -> None:
        """Writes more at the end of a file."""
        path = self.folder / name
        path.write_text(f"{path.read_text() if path.exists() else ''}\n{text}")

    def _run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_CONFIG"))}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**known, "PYTHONPATH": str(self.folder / "site-packages"), **self.environment},
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
        )
