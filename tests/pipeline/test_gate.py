"""The gate stops what would break a consumer that is running, says whom and how, and lets through what is added."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline import gate
from tests.pipeline.breaks import OUTSIDE, RULES, Finding, findings
from tests.pipeline.gate import ROOT
from tests.pipeline.projects import Tree

Change = Callable[[Path], Any]

DELETED, RESERVED, RESERVE = "users.user.deleted", "products.reserved", "products.reserve"
HANDLERS, COMMANDS = "orders (services/orders/orders/handlers.py:", "orders (services/orders/orders/commands.py:"
# The sources in which the shop's contracts are used, and what a project is known by.
PARTS = {"commands.py", "customers.py", "handlers.py", "manage.py", "services.py", "shelves.py"}
CUSTOMERS, SHELVES = "services/orders/orders/customers.py", "services/orders/orders/shelves.py"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The shop as it is, without what no contract is made of."""
    root = tmp_path_factory.mktemp("base")
    for path in [*(ROOT / "monolith").rglob("*"), *(ROOT / "services").rglob("*")]:
        inside = path.relative_to(ROOT)
        if (path.name in PARTS or path.suffix in {".json", ".yaml"}) and "tests" not in inside.parts:
            (root / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / inside)
    return Tree(root)


@pytest.fixture
def tree(base: Tree, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(base.root, tmp_path / "tree")
    return tmp_path / "tree"


def message(type: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Changes all copies of a schema, as the suite of contracts demands it."""

    def write(root: Path) -> None:
        for path in [*root.glob(f"*/contracts/{type}.json"), *root.glob(f"services/*/contracts/{type}.json")]:
            schema = json.loads(path.read_text())
            change(schema)
            path.write_text(json.dumps(schema))

    return write


def api(name: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Changes the API of a service, and of the monolith, which has the same."""

    def write(root: Path) -> None:
        for path in (root / "services" / name / "openapi.yaml", root / "monolith/openapi.yaml"):
            document = yaml.load(path.read_text(), yaml.CSafeLoader)
            change(document)
            path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper))

    return write


def source(path: str, old: str, new: str, end: str = "") -> Change:
    """Changes a line of code, and adds what stands at its end."""

    def write(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new) + end)

    return write


def parts(document: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"]


def of_customers(document: dict[str, Any]) -> dict[str, Any]:
    """The fields that orders are told of a customer."""
    answer = document["paths"]["/internal/users/{id}"]["get"]["responses"]["200"]
    reference = answer["content"]["application/json"]["schema"]["$ref"]
    return parts(document)[reference.rpartition("/")[2]]["properties"]


def told(base: Tree, root: Path, *only: str) -> list[Finding]:
    return findings(base, Tree(root), only)


BREAKS = {
    "a field of an event": (
        message(DELETED, lambda each: each.update(properties={"id": {"type": "integer"}}, required=["id"])),
        "users",
        f"services/users/contracts/{DELETED}.json",
        "user_id",
        "field-removed",
        HANDLERS,
    ),
    "an event that is no longer sent": (
        source("services/users/users/services.py", DELETED, "users.user.left"),
        "users",
        f"services/users/contracts/{DELETED}.json",
        DELETED,
        "message-no-longer-sent",
        HANDLERS,
    ),
    "a value that may now be null": (
        message(DELETED, lambda each: each["properties"]["user_id"].update(type=["integer", "null"])),
        "users",
        f"services/users/contracts/{DELETED}.json",
        "user_id",
        "type-widened",
        "orders (",
    ),
    "a new reason of a reply": (
        message("products.refused", lambda each: each["properties"]["reason"]["enum"].append("too heavy")),
        "products",
        "services/products/contracts/products.refused.json",
        "reason",
        "values-added",
        "orders (",
    ),
    "a field of a reply's lines": (
        message(RESERVED, lambda each: each["properties"]["lines"]["items"]["properties"].pop("name")),
        "products",
        f"services/products/contracts/{RESERVED}.json",
        "lines[].name",
        "field-removed",
        "orders (",
    ),
    "a field that a command newly needs": (
        message(
            RESERVE,
            lambda each: (each["properties"].update(shelf={"type": "string"}), each["required"].append("shelf")),
        ),
        "products",
        f"services/products/contracts/{RESERVE}.json",
        "shelf",
        "field-newly-required",
        COMMANDS,
    ),
    "a command that is no longer handled": (
        source("services/products/products/handlers.py", f'@handles("{RESERVE}"', '@handles("products.take"'),
        "products",
        f"services/products/contracts/{RESERVE}.json",
        RESERVE,
        "command-no-longer-handled",
        COMMANDS,
    ),
    "a handler without a schema": (
        lambda root: (root / f"services/orders/contracts/{DELETED}.json").unlink(),
        "orders",
        f"services/orders/contracts/{DELETED}.json",
        DELETED,
        "contract-missing",
        HANDLERS,
    ),
    "an internal path": (
        api("users", lambda each: each["paths"].pop("/internal/users/{id}")),
        "users",
        "services/users/openapi.yaml",
        "GET /internal/users/{}",
        "operation-removed",
        f"orders ({CUSTOMERS}:",
    ),
    "a field that orders read": (
        api("users", lambda each: of_customers(each).pop("full_name")),
        "users",
        "services/users/openapi.yaml",
        "GET /internal/users/{} 200 full_name",
        "field-removed",
        f"orders ({CUSTOMERS}:",
    ),
    "a parameter that is newly needed": (
        api(
            "products",
            lambda each: each["paths"]["/internal/products"]["get"]["parameters"].append(
                {"in": "query", "name": "market", "required": True, "schema": {"type": "string"}}
            ),
        ),
        "products",
        "services/products/openapi.yaml",
        "GET /internal/products query market",
        "parameter-newly-required",
        f"orders ({SHELVES}:",
    ),
    "a field that customers must now send": (
        api("orders", lambda each: parts(each)["NewOrder"]["required"].append("payment_token")),
        "orders",
        "services/orders/openapi.yaml",
        "POST /api/v1/orders body payment_token",
        "field-newly-required",
        OUTSIDE,
    ),
    "a narrower limit": (
        api("orders", lambda each: parts(each)["Wish"]["properties"]["quantity"].update(maximum=10)),
        "orders",
        "services/orders/openapi.yaml",
        "POST /api/v1/orders body lines[].quantity",
        "limit-tightened",
        OUTSIDE,
    ),
    "a call of what nobody serves": (
        source(CUSTOMERS, "/internal/users/", "/internal/people/"),
        "orders",
        f"{CUSTOMERS}:",
        "GET /internal/people/{}",
        "call-undocumented",
        "orders",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_stopped_by_name(base, tree, name):
    change, project, file, place, rule, consumer = BREAKS[name]

    change(tree)

    found = [each for each in told(base, tree, project) if (each.place, each.rule) == (place, rule)]
    assert len(found) == 1, told(base, tree)
    assert found[0].file.startswith(file)
    assert any(each.startswith(consumer) for each in found[0].consumers)
    said = str(found[0])
    assert all(each in said for each in (file, place, rule, "breaks: ", "then: ", "do: ", consumer))


@pytest.mark.parametrize(
    "change",
    [
        message(DELETED, lambda each: each["properties"].update(reason={"type": "string"})),
        message(RESERVED, lambda each: each["properties"].update(shelf={"type": "string"})),  # its schema is closed
        message(DELETED, lambda each: each.update(description="Somebody has left.")),
        message("orders.order.shipped", lambda each: each["properties"].update(carrier={"type": "string"})),
        api("orders", lambda each: parts(each)["Order"]["properties"].update(weight={"type": "integer"})),
        api("orders", lambda each: parts(each)["NewOrder"]["properties"].update(gift={"type": "boolean"})),
        api("users", lambda each: each["paths"]["/api/v1/users"]["post"]["responses"].update({"402": {}})),
        source("services/users/users/services.py", f'"{DELETED}"', "DELETED", f'DELETED = "{DELETED}"\n'),
        source("services/orders/orders/handlers.py", f'"{DELETED}"', "types.DELETED", f'DELETED = "{DELETED}"\n'),
        # A command that is no longer sent hurts nobody.
        source("services/orders/orders/commands.py", '"products.release"', "RELEASE"),
        lambda root: (root / "services/users/contracts/users.user.renamed.json").write_text('{"type": "object"}'),
        lambda root: None,
    ],
)
def test_what_is_added_passes(base, tree, change):
    change(tree)

    assert not told(base, tree)


def test_one_copy_that_is_changed_alone_is_compared_with_the_others(base, tree):
    path = tree / f"services/orders/contracts/{DELETED}.json"
    schema = json.loads(path.read_text())
    schema["properties"]["left_at"], schema["required"] = {"type": "string"}, ["user_id", "left_at"]
    path.write_text(json.dumps(schema))

    (found,) = told(base, tree)

    assert (found.project, found.place, found.rule) == ("orders", "left_at", "field-newly-required")
    assert any(each.startswith("users (services/users/users/services.py:") for each in found.consumers)


def test_only_the_named_projects_are_judged(base, tree):
    BREAKS["a narrower limit"][0](tree)

    assert told(base, tree, "orders")
    assert not told(base, tree, "users", "products")


# ---------------------------------------------------------------------------------------------------- a break is wanted


def test_a_new_type_beside_the_old_one_passes(base, tree):
    source("services/users/users/services.py", DELETED, f"{DELETED}.v2")(tree)
    sent = tree / "services/users/users/services.py"
    sent.write_text(sent.read_text() + f'\n\ndef also():\n    events.publish(type="{DELETED}")\n')
    for folder in ("services/users", "monolith"):
        (tree / folder / f"contracts/{DELETED}.v2.json").write_text('{"type": "object", "required": ["id"]}')

    assert not told(base, tree)


@pytest.mark.parametrize("heard", [True, False])
def test_what_was_deprecated_may_go_when_nobody_reads_it(tree, tmp_path, heard):
    message(DELETED, lambda each: each.update(deprecated=True))(tree)
    if not heard:
        for folder in ("services/orders", "monolith"):
            source(f"{folder}/orders/handlers.py", f'@handles("{DELETED}"', '@handles("users.user.left"')(tree)
            shutil.copy(tree / folder / f"contracts/{DELETED}.json", tree / folder / "contracts/users.user.left.json")
    shutil.copytree(tree, tmp_path / "base")
    source("services/users/users/services.py", DELETED, "users.user.left")(tree)

    found = told(Tree(tmp_path / "base"), tree, "users")

    assert [each.rule for each in found] == (["message-no-longer-sent"] if heard else [])


@pytest.mark.parametrize(("field", "kept"), [("address", True), ("nickname", False)])
def test_a_deprecated_field_may_go_when_no_caller_reads_it(tree, tmp_path, field, kept):
    api("users", lambda each: of_customers(each).update({field: {"type": "string", "deprecated": True}}))(tree)
    shutil.copytree(tree, tmp_path / "base")
    api("users", lambda each: of_customers(each).pop(field))(tree)

    found = told(Tree(tmp_path / "base"), tree, "users")

    assert bool([each for each in found if each.place.endswith(f"200 {field}")]) is kept


@pytest.mark.parametrize(("name", "kept"), [("ids", True), ("market", False)])
def test_a_deprecated_parameter_may_go_when_no_caller_names_it(tree, tmp_path, name, kept):
    def asked(document: dict[str, Any]) -> list[dict[str, Any]]:
        return document["paths"]["/internal/products"]["get"].setdefault("parameters", [])

    def without(document: dict[str, Any]) -> None:
        asked(document)[:] = [each for each in asked(document) if each["name"] != name]

    parameter = {"in": "query", "name": name, "schema": {"type": "string"}, "deprecated": True}
    api("products", lambda each: (without(each), asked(each).append(parameter)))(tree)
    shutil.copytree(tree, tmp_path / "base")
    api("products", without)(tree)

    found = told(Tree(tmp_path / "base"), tree, "products")

    assert [each.rule for each in found] == (["parameter-removed"] if kept else [])


def test_the_monolith_may_drop_what_a_service_has(base, tree):
    shutil.rmtree(tree / "monolith/users")
    path = tree / "monolith/openapi.yaml"
    document = yaml.load(path.read_text(), yaml.CSafeLoader)
    document["paths"] = {path: item for path, item in document["paths"].items() if "users" not in path}
    path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper))

    assert not told(base, tree)


# ----------------------------------------------------------------------------------------------------- the command line


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def clone(tree: Path) -> Path:
    """A repository whose main branch has the shop, with another branch checked out."""
    git(tree, "init", "--initial-branch=main")
    git(tree, "add", ".")
    git(tree, "commit", "--message=The shop")
    git(tree, "checkout", "-b", "change")
    return tree


def test_a_branch_is_compared_with_where_it_left_main(clone, capsys):
    BREAKS["an internal path"][0](clone)
    git(clone, "commit", "--all", "--message=Drop it")

    assert gate.main(["users"], clone) == 1
    assert gate.main(["products"], clone) == 0
    assert gate.main(["users", "--against", "HEAD"], clone) == 0
    assert "GET /internal/users/{}: operation-removed" in capsys.readouterr().out


def test_the_main_branch_is_compared_with_its_last_commit_but_one(clone, capsys):
    BREAKS["an internal path"][0](clone)
    git(clone, "commit", "--all", "--message=Drop it")
    git(clone, "checkout", "-B", "main")

    assert gate.main([], clone) == 1
    assert "compared with" in capsys.readouterr().out


def test_without_history_nothing_is_said_to_be_good(clone, tmp_path, capsys):
    git(clone, "checkout", "main")

    assert gate.main([], clone) == 2
    assert "fetch-depth: 0" in capsys.readouterr().err
    assert gate.main(["--against", "v9"], clone) == 2


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("monolith/openapi.yaml", "a: [", "monolith/openapi.yaml: "),
        ("monolith/openapi.yaml", "[]", "no OpenAPI document"),
        ("monolith/openapi.yaml", "paths: {/a: {get: {parameters: [{$ref: '#/b'}]}}}", "a $ref to #/b"),
        (f"services/users/contracts/{DELETED}.json", "{", f"contracts/{DELETED}.json: "),
        (f"services/users/contracts/{DELETED}.json", '{"type": "thing"}', "'thing' is not valid"),
        (
            f"services/users/contracts/{DELETED}.json",
            '{"type": "object", "allOf": [{"$ref": "#/b"}]}',
            "a $ref to #/b",
        ),
        (CUSTOMERS, "def (", f"{CUSTOMERS}:1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(clone, capsys, file, text, told):
    (clone / file).write_text(text)

    assert gate.main(["--against", "main"], clone) == 2
    assert told in capsys.readouterr().err


def test_an_unknown_name_is_refused(clone, capsys):
    assert gate.main(["ordrs"], clone) == 2
    assert "did you mean orders? There are: monolith, orders, products, storefront, users" in capsys.readouterr().err


def test_a_call_whose_path_is_not_known_is_told(clone, capsys):
    source(CUSTOMERS, 'f"/internal/users/{user_id}"', "str(user_id)")(clone)

    assert gate.main(["--against", "main"], clone) == 0
    assert f"not looked at: {CUSTOMERS}:" in capsys.readouterr().out


def test_a_type_that_nobody_is_seen_to_send_is_told(clone, capsys):
    for folder in ("services/orders", "monolith"):
        source(f"{folder}/orders/commands.py", '"products.release"', "RELEASE")(clone)

    assert gate.main(["--against", "main"], clone) == 0
    assert "not looked at: who sends products.release" in capsys.readouterr().out


def test_each_rule_says_what_follows_and_what_to_do():
    used = {
        rule for path in Path(gate.__file__).parent.glob("*.py") for rule in RULES if f'"{rule}"' in path.read_text()
    }

    assert used == RULES.keys()
    assert all(consequence and remedy for consequence, remedy in RULES.values())
