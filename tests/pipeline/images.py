"""An image: built, looked into, and scanned for known vulnerabilities."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from tests.pipeline.steps import MADE, ROOT, SkippedError, StepError, Target, Told, read, reference, run

USER = "10001:10001"
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|PRIVATE|API_?KEY|_KEY$|DSN|DATABASE_URL|BROKER_URL", re.IGNORECASE)
# What only belongs to who builds: keys, secrets, histories, tests.
STRAY = re.compile(r"(\.pem|\.key|\.p12|/\.env|/id_[a-z0-9]+|/\.git(/.*)?|/\.netrc|/tests/.*|/conftest\.py)$")
# Whoever breaks into a process may write where it may write: nowhere that code is read from.
LOOK = 'find /app /venv -writable -not -type l 2>/dev/null | sed "s/^/writable /"; find /app -type f | sed "s/^/file /"'
INSTALLED = (
    "import importlib.metadata as m; print(*sorted({f'{d.name}=={d.version}'.lower().replace('_', '-')"
    " for d in m.distributions()}))"
)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def engine() -> None:
    """Raises SkippedError unless a Docker engine with buildx answers."""
    if shutil.which("docker") is None:
        raise SkippedError("docker is not installed")
    for words, missing in ((["info"], "no Docker engine answers"), (["buildx", "version"], "docker has no buildx")):
        if subprocess.run(["docker", *words], capture_output=True, check=False).returncode:
            raise SkippedError(missing)


def image(target: Target, told: Told) -> None:
    """Builds the image: into this machine's engine, or with SBOM and provenance into the registry.

    Layers are kept in the registry, too, where every runner finds them.
    """
    engine()
    named = reference(target, told)
    words = ["--file", f"{target.folder}/Dockerfile", "--tag", named]
    words += ["--label", f"org.opencontainers.image.revision={read('git', 'rev-parse', 'HEAD')}"]
    if told.registry:
        if named.endswith("-dirty"):
            raise StepError("commit first: an image that is pushed is found again by its commit")
        MADE.mkdir(parents=True, exist_ok=True)
        kept = f"type=registry,ref={told.registry}/{target.name}:cache"
        words += ["--push", "--sbom=true", "--provenance=mode=max", "--cache-from", kept]
        words += ["--cache-to", f"{kept},mode=max", "--metadata-file", str(MADE / f"{target.name}.json")]
    else:
        words += ["--load"]
    run("docker", "buildx", "build", *words, ".")
    if not told.registry:
        print(f"{named} stays on this machine, without SBOM and provenance: PIPELINE_REGISTRY names no registry")


def scan(target: Target, told: Told) -> None:
    """Looks into the image, and has known vulnerabilities looked up by Grype or Trivy, whichever is installed."""
    engine()
    named = reference(target, told)
    if told.registry:
        run("docker", "pull", "--quiet", named)
    elif subprocess.run(["docker", "image", "inspect", named], capture_output=True, check=False).returncode:
        raise SkippedError(f"there is no image {named}: run the step `image` first")
    if found := list(problems(target, named)):
        raise StepError("\n".join(found))
    print(f"{named}: user {USER}, no secret in its environment, no stray or writable file, packages as pinned")
    run(*_scanner(named), why="known vulnerabilities that are mended in a later version: see above, then `make lock`")


def _scanner(named: str) -> list[str]:
    for program, words in (
        (os.environ.get("GRYPE", "grype"), ["--fail-on", "high", "--only-fixed", named]),
        ("trivy", ["image", "--exit-code", "1", "--severity", "HIGH,CRITICAL", "--ignore-unfixed", named]),
    ):
        if found := shutil.which(program):
            return [found, *words]
    raise SkippedError("known vulnerabilities: neither grype nor trivy is installed; the rest of the scan is done")


def problems(target: Target, named: str) -> Iterator[str]:
    """What an image should not have, each with what to do."""
    configured = json.loads(read("docker", "image", "inspect", named))[0]["Config"]
    if configured.get("User") != USER:
        yield f"it runs as {configured.get('User') or 'root'}, not as {USER}: set USER in its Dockerfile"
    for variable in configured.get("Env") or ():
        if SECRET.search(variable.partition("=")[0]):
            yield f"its environment has {variable.partition('=')[0]}: give secrets to the container, not to the image"
    for line in _inside(named, "sh", "-c", LOOK).splitlines():
        kind, _, path = line.partition(" ")
        if kind == "writable":
            yield f"its process may write {path}: copy it as root"
        elif STRAY.search(path):
            yield f"it holds {path}: name it in .dockerignore"
    yield from _packages(target, named)


def _packages(target: Target, named: str) -> Iterator[str]:
    """Each package of the image is one that the lock file names."""
    pins = {
        "==".join(pin).lower().replace("_", "-")
        for pin in PIN.findall((ROOT / target.folder / "requirements.txt").read_text())
    }
    for each in _inside(named, "/venv/bin/python", "-I", "-c", INSTALLED).split():
        if each not in pins and not each.startswith("strangler=="):
            yield f"it has {each}, which {target.folder}/requirements.txt does not pin: run `make lock`"


def _inside(named: str, program: str, *words: str) -> str:
    """What a program says in a container that can reach nothing."""
    # Not read-only: then nothing would seem writable.
    contained = ["--rm", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    return read("docker", "run", *contained, "--entrypoint", program, named, *words)
