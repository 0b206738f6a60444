"""What every pipeline runs for one target, here as there.

python -m tests.pipeline NAME             all steps: check, test, image, scan, bump; for `packages` check, test, build,
                                          install
python -m tests.pipeline NAME STEP …      some of them
python -m tests.pipeline NAME bump --write     writes the overlay's new line instead of showing it alone

The environment: PIPELINE_REGISTRY, PIPELINE_BASE, PIPELINE_OVERLAY, CI: docs/how-to/pipelines.md.
Exit codes: 0 done, 1 a step has failed, 2 no such target, step or overlay.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.manifests.kustomize import BuildError
from tests.pipeline import images, manifest, packages, steps
from tests.pipeline.steps import TARGETS, SkippedError, StepError, Target, Told

Step = Callable[[Target, Told], None]
IMAGE: Mapping[str, Step] = {
    "check": steps.check,
    "test": steps.test,
    "image": images.image,
    "scan": images.scan,
    "bump": manifest.bump,
}
PACKAGES: Mapping[str, Step] = {
    "check": steps.check,
    "test": steps.test,
    "build": packages.build,
    "install": packages.install,
}


class UnknownError(Exception):
    """No such target, step or overlay; the text has the known names."""


def known(name: str, names: Sequence[str], what: str) -> str:
    """The name. Raises UnknownError, which says what may have been meant."""
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UnknownError(f"no {what} {name or '(SERVICE is empty)'}.{meant} There are: {', '.join(names)}")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.pipeline", description="Runs a pipeline's steps here.")
    parser.add_argument("name", metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join({**IMAGE, **PACKAGES}))
    parser.add_argument("--write", action="store_true", help="`bump` changes the overlay")
    asked = parser.parse_args(arguments)
    try:
        target = TARGETS[known(asked.name, list(TARGETS), "target")]
        offered = PACKAGES if target.name == "packages" else IMAGE
        chosen = [known(step, list(offered), f"step of {target.name}") for step in asked.steps] or list(offered)
        told = steps.environment()
        if "bump" in chosen:
            known(told.overlay, manifest.overlays(), "overlay")
    except UnknownError as error:
        print(error, file=sys.stderr)
        return 2
    doing = {**offered, "bump": partial(manifest.bump, write=True)} if asked.write else offered
    return run({step: doing[step] for step in chosen}, target, told)


def run(chosen: Mapping[str, Step], target: Target, told: Told) -> int:
    """One step after the other; the first that fails is the last."""
    ended, code = [], 0
    for name, step in chosen.items():
        print(f"--- {target.name}: {name}", flush=True)
        began = time.monotonic()
        try:
            step(target, told)
            outcome = "done"
        except SkippedError as error:
            outcome = f"not done: {error}"
            code = 1 if told.ci else 0
        except (StepError, BuildError) as error:
            print(error, file=sys.stderr)
            outcome, code = "failed", 1
        ended.append(f"{name}: {outcome} ({time.monotonic() - began:.0f} s)")
        if code:
            break
    ended += [f"{name}: not reached" for name in list(chosen)[len(ended) :]]
    print(f"--- {target.name}", *ended, sep="\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
