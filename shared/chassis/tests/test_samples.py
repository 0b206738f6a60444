"""A full disk costs samples, and no process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COUNT = """
import logging, sys
logging.basicConfig(stream=sys.stderr, format="%(message)s")
from chassis.process import samples
samples.guard()
from prometheus_client import Counter
asked = Counter("asked", "Asked.", ["by"])
print("began", flush=True)
for number in range(int(sys.argv[1])):
    asked.labels(f"{number:0>1000}").inc()
print(sum(sample.value for sample in list(asked.collect())[0].samples if sample.name == "asked_total"))
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def count(folder: Path, samples: int) -> subprocess.CompletedProcess[str]:
    """A process that counts, with as many samples of a thousand bytes each."""
    return subprocess.run(
        [sys.executable, "-c", COUNT, str(samples)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_process_that_begins_on_a_full_disk(small: Path) -> None:
    (small / "other").write_bytes(bytes(256 * 1024))

    done = count(small, 3)

    assert (done.returncode, done.stdout) == (0, "began\n3.0\n")
    assert "samples_kept_in_memory" in done.stderr
    assert [path.name for path in small.iterdir()] == ["other"]


def test_a_disk_that_becomes_full_as_the_samples_grow(small: Path) -> None:
    done = count(small, 400)

    assert (done.returncode, done.stdout) == (0, "began\n400.0\n")
    assert done.stderr.count("samples_kept_in_memory") == 1


def test_on_a_disk_with_room_the_samples_are_in_its_file(tmp_path: Path) -> None:
    done = count(tmp_path, 100)

    (file,) = tmp_path.glob("counter_*.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert file.stat().st_blocks * 512 >= file.stat().st_size
