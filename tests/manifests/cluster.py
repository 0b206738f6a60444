"""Asks a real API server whether it takes the manifests; it must know the kinds that operators bring.

python -m tests.manifests.cluster FOLDER…            a strict dry run; it changes nothing
python -m tests.manifests.cluster --apply FOLDER…    applies twice, then nothing may differ: for a cluster to throw away

The cluster is that of kubectl's current context, or of --context. Exit code 1 if the server refuses something, 2 if it
could not be asked.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.manifests.kustomize import KUBECTL, ROOT, BuildError, build

DRY_RUN = ("--dry-run=server", "--validate=strict")
# Of Jobs, whose names contain the image's tag; and of a namespace that somebody has made by hand.
EXPECTED = ("must not contain dots", "is missing the kubectl.kubernetes.io/last-applied-configuration annotation")
WARNING = "Warning: "
BEGINNINGS = (WARNING, "Error from server", "error: ", "The ", "Unable to ", "no matches for ")
# How the line begins that says of a refused patch what was refused.
REASON = "for: "
JOB = re.compile(r'Job\.batch "([^"]+)"')
IMMUTABLE = "field is immutable"
VALUE = re.compile(r"Invalid value: .*(?=: )", re.DOTALL)
SECONDS_TO_ANSWER = 10


class NotAsked(Exception):
    """Why the server could not be asked, and what to do."""


def problems(folder: Path, context: Sequence[str], *, apply: bool) -> Iterator[str]:
    """What the server refuses of a kustomization, warns of, or does not keep as it was sent. Raises NotAsked."""
    resources = _built(folder)
    _require_namespaces({each["metadata"].get("namespace") for each in resources} - {None}, folder, context)
    tried = _kubectl("apply", *DRY_RUN, "--filename=-", context=context, stdin=_text(folder))
    yield from _said(tried)
    if not apply or tried.returncode:
        return
    for _ in range(2):
        yield from _said(_kubectl("apply", "--filename=-", context=context, stdin=_text(folder)))
    differs = _kubectl("diff", "--filename=-", context=context, stdin=_text(folder))
    yield from (differs.stdout + differs.stderr).splitlines() if differs.returncode else ()


def _built(folder: Path) -> list[dict[str, object]]:
    if not (folder / "kustomization.yaml").exists():
        raise NotAsked(f"{folder}: no kustomization is there; name a folder such as k8s/overlays/production")
    try:
        return build(folder)
    except BuildError as error:
        raise NotAsked(str(error)) from error


def _text(folder: Path) -> str:
    return subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=True).stdout


def _require_namespaces(names: set[object], folder: Path, context: Sequence[str]) -> None:
    """Nothing can be tried in a namespace that is not there, even if the same manifests make it."""
    for name in sorted(map(str, names)):
        found = _kubectl("get", "namespace", name, f"--request-timeout={SECONDS_TO_ANSWER}s", context=context)
        if "NotFound" in found.stderr:
            raise NotAsked(f"{folder}: namespace {name} is not there; kubectl create namespace {name}, and try again")
        if found.returncode:
            raise NotAsked(f"no cluster answers: {found.stderr.strip()}; see kubectl config current-context")


def _said(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    told = [each for each in said(done.stderr) if not any(known in each for known in EXPECTED)]
    yield from told
    if done.returncode and not told:
        yield f"kubectl ended with {done.returncode}"


def said(text: str) -> list[str]:
    """What kubectl says, a line for each warning and each refused resource.

    A refused resource takes many lines, with the whole patch and the whole object; only the line that names it and the
    reason is kept, and of a value that is refused only where it stands.
    """
    blocks: list[list[str]] = []
    for line in filter(None, text.splitlines()):
        if not blocks or line.startswith(BEGINNINGS):
            blocks.append([])
        blocks[-1].append(line)
    return [_shortened(block) for block in blocks]


def _shortened(block: list[str]) -> str:
    reason = next((line for line in block if line.startswith(REASON)), " ".join(block))
    if IMMUTABLE in reason and (job := JOB.search(reason)):
        return f"Job {job[1]} of this tag has run already, and cannot change: delete it first, or give a new tag"
    return VALUE.sub("Invalid value", reason)


def _kubectl(*arguments: str, context: Sequence[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KUBECTL, *context, *arguments], input=stdin, capture_output=True, text=True, check=False, cwd=ROOT
    )


def main(arguments: Sequence[str]) -> int:
    """Asks for each folder, and says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.manifests.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--context", help="of kubectl; default: the current one")
    parser.add_argument("--apply", action="store_true", help="really apply, and compare")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    context = [f"--context={options.context}"] if options.context else []
    wrong = 0
    try:
        for folder in options.folders:
            found = list(problems(folder, context, apply=options.apply))
            refused = [problem for problem in found if not problem.startswith(WARNING)]
            wrong += len(refused)
            for problem in dict.fromkeys(found):
                print(f"{folder}: {problem}")
            print(f"{folder}: {len(refused) or 'no'} problems")
    except NotAsked as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
