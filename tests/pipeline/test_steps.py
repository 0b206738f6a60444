"""What a pipeline's command says, and how the overlay's line changes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.manifests.kustomize import K8S
from tests.pipeline import manifest, packages
from tests.pipeline.__main__ import IMAGE, PACKAGES, run
from tests.pipeline.steps import ROOT, TARGETS, SkippedError, StepError, Told, reference, tag

HERE = Told.by({})
THERE = Told.by({"CI": "true", "PIPELINE_REGISTRY": "ghcr.io/Some-Team/shop/"})


def pipeline(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.pipeline", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ordrs"], "no target ordrs. Did you mean orders? There are: monolith, users, products, orders"),
        ([""], "no target (SERVICE is empty). There are: monolith"),
        (["orders", "imag"], "no step of orders imag. Did you mean image? There are: check, test, image, scan, bump"),
        (["packages", "bump"], "no step of packages bump. There are: check, test, build, install"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_are_known(words, told):
    done = pipeline(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_the_bump_is_shown_and_nothing_is_changed():
    before = (K8S / "overlays/staging/kustomization.yaml").read_text()

    done = pipeline("orders", "bump")

    assert done.returncode == 0, done.stderr
    assert f"+    newTag: {tag()}" in done.stdout
    assert "Deployment orders, Deployment orders-relay, Deployment orders-worker" in done.stdout
    assert "bump: done" in done.stdout
    assert (K8S / "overlays/staging/kustomization.yaml").read_text() == before


def test_an_unknown_overlay_is_refused(monkeypatch):
    monkeypatch.setenv("PIPELINE_OVERLAY", "stagin")

    done = pipeline("orders", "bump")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no overlay stagin. Did you mean staging? There are: local, production, staging" in done.stderr


@pytest.mark.parametrize("overlay", ["local", "staging", "production"])
@pytest.mark.parametrize("name", [name for name in TARGETS if name != "packages"])
def test_a_bump_changes_one_image_and_leaves_the_rest_of_the_file(overlay, name):
    text = (K8S / "overlays" / overlay / "kustomization.yaml").read_text()

    new = manifest.bumped(text, name, "0.2.0-abc", f"ghcr.io/team/{name}")

    before, after = yaml.safe_load(text), yaml.safe_load(new)
    changed = [(one, other) for one, other in zip(before["images"], after["images"], strict=True) if one != other]
    assert [other for _, other in changed] == [
        {"name": f"strangler/{name}", "newName": f"ghcr.io/team/{name}", "newTag": "0.2.0-abc"}
    ]
    assert {**before, "images": ()} == {**after, "images": ()}
    assert text.count("#") == new.count("#")
    assert manifest.bumped(new, name, "0.2.0-abc") == new


def test_an_overlay_without_the_image_is_refused():
    with pytest.raises(StepError, match="no entry strangler/users"):
        manifest.bumped("images:\n  - name: strangler/orders\n    newTag: 1\n", "users", "2")


def test_more_than_images_does_not_pass_as_a_bump():
    text = (K8S / "overlays/staging/kustomization.yaml").read_text()

    with pytest.raises(StepError, match="more than images"):
        manifest.changed("staging", text.replace("ALLOWED_HOSTS=", "ALLOWED_HOSTS=elsewhere,"))


def test_a_registry_with_a_port_is_not_taken_into_the_name_of_a_job():
    text = (K8S / "overlays/staging/kustomization.yaml").read_text()

    with pytest.raises(StepError, match="which is no name: see k8s/transformers"):
        manifest.changed("staging", manifest.bumped(text, "orders", "0.2.0", "localhost:5001/shop/orders"))


def test_an_image_is_named_for_its_commit_and_a_registry_is_written_small():
    assert reference(TARGETS["orders"], THERE) == f"ghcr.io/some-team/shop/orders:{tag()}"
    assert reference(TARGETS["orders"], HERE) == f"strangler/orders:{tag()}"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert head[:12] in tag()


def skipped(target, told):
    raise SkippedError("there is no engine")


def refused(target, told):
    raise StepError("it leaks")


def done(target, told):
    pass


def test_what_cannot_run_is_told_to_a_person_and_fails_where_nobody_reads(capsys):
    steps = {"image": skipped, "bump": done}

    assert run(steps, TARGETS["orders"], HERE) == 0
    assert "image: not done: there is no engine" in capsys.readouterr().out
    assert run(steps, TARGETS["orders"], THERE) == 1
    assert "bump: not reached" in capsys.readouterr().out


def test_the_first_step_that_fails_is_the_last(capsys):
    assert run({"scan": refused, "bump": done}, TARGETS["orders"], HERE) == 1

    said = capsys.readouterr()
    assert "it leaks" in said.err
    assert "scan: failed" in said.out
    assert "bump: not reached" in said.out


def test_a_release_of_another_version_than_its_tag_is_refused():
    with pytest.raises(StepError, match=r"the tag is v9\.9\.9, shared/strangler/pyproject\.toml says"):
        packages.build(TARGETS["packages"], Told.by({"PIPELINE_RELEASE": "v9.9.9"}))


def test_each_target_has_its_folder_and_its_steps():
    assert all((ROOT / target.folder).is_dir() for target in TARGETS.values())
    assert list(IMAGE) == ["check", "test", "image", "scan", "bump"]
    assert list(PACKAGES) == ["check", "test", "build", "install"]
