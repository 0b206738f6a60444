"""What the pipeline's scan sees in an image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline import images
from tests.pipeline.steps import TARGETS

NAME = "strangler/scanned:test"
DOCKERFILE = """
FROM python:3.13-slim
RUN useradd --uid 10001 service && python -m venv --without-pip /venv && mkdir -p /app/.git
{lines}
USER {user}
"""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A folder whose Dockerfile is built to an image that is removed at the end."""
    yield tmp_path
    subprocess.run(["docker", "image", "rm", "--force", NAME], capture_output=True, check=False)


def scanned(folder: Path, *lines: str, user: str = images.USER) -> str:
    (folder / "Dockerfile").write_text(DOCKERFILE.format(lines="\n".join(lines), user=user))
    subprocess.run(["docker", "buildx", "build", "--load", "--quiet", "--tag", NAME, folder], check=True)
    return "\n".join(images.problems(TARGETS["orders"], NAME))


def test_an_image_that_is_as_it_should_be_has_no_problem(image):
    assert not scanned(image)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ENV SECRET_KEY=abc", "its environment has SECRET_KEY"),
        ("RUN touch /app/key.pem", "it holds /app/key.pem"),
        ("RUN touch /app/.git/HEAD", "it holds /app/.git/HEAD"),
        ("RUN touch /app/settings.py && chmod 666 /app/settings.py", "its process may write /app/settings.py"),
        (
            "RUN p=$(echo /venv/lib/python*/site-packages)/left_pad-9.dist-info && mkdir $p"
            " && printf 'Name: left-pad\\nVersion: 9\\n' > $p/METADATA",
            "it has left-pad==9, which services/orders/requirements.txt does not pin",
        ),
    ],
)
def test_what_should_not_be_in_an_image_is_told(image, line, told):
    assert told in scanned(image, line)


def test_an_image_that_runs_as_root_is_told(image):
    assert "it runs as 0, not as 10001:10001" in scanned(image, user="0")
