"""The reference of scenarios says of each function and class what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strangler.domain import pages, traffic
from strangler.domain.traffic import Answer, Operation, Scenario, decided, delete, insert, undecided, update

PAGE = (Path(__file__).parents[4] / "docs/reference/scenario.md").read_text()
# Names of the code that the page spells out.
SPELLED = {
    "Fields": "Mapping[str, Value | Sequence[Value]]",
    "Columns": "Mapping[str, Value]",
    "Value": "str | int | bool | None",
    "field(default_factory=dict)": "{}",
    "<factory>": "{}",
}


def told(name: str) -> str:
    """The signature that the page has, in one line."""
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    found = re.search(rf"^(?:    def )?{name}\((.*?)\)(?: -> (\w+))?(?:: \.\.\.)?$", blocks, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no {name}"
    return plain(found[1]) + (f" -> {found[2]}" if found[2] else "")


def coded(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    given = [str(each) for each in signature.parameters.values()]
    back = signature.return_annotation
    text = ", ".join(given)
    if not inspect.isclass(function):
        text += f" -> {back}"
    return plain(text)


def plain(text: str) -> str:
    text = re.sub(r"(: )'([^']*)'", r"\1\2", text)
    text = re.sub(r"frozenset\(\{200\}\)", "{200}", text)
    for short, long in SPELLED.items():
        text = re.sub(rf"\b{re.escape(short)}\b" if short.isalpha() else re.escape(short), long, text)
    return re.sub(r"\s*=\s*", "=", " ".join(text.split()).strip().removesuffix(","))


@pytest.mark.parametrize("function", [insert, update, delete, Operation, Answer, undecided, decided])
def test_the_page_has_the_signature(function: Callable[..., Any]) -> None:
    assert told(function.__name__) == coded(function)


@pytest.mark.parametrize("name", ["__init__", "client", "writer"])
def test_the_page_has_the_methods_of_a_scenario(name: str) -> None:
    assert told(name) == coded(getattr(Scenario, name))


def test_the_page_leaves_out_no_public_function() -> None:
    tree = ast.parse(inspect.getsource(traffic))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]

    assert functions == ["undecided", "decided", "insert", "update", "delete"]
    for parameter in inspect.signature(Operation).parameters:
        assert f"{parameter}:" in PAGE or f"`{parameter}`" in PAGE


def test_the_page_has_what_a_page_of_html_can_be_asked() -> None:
    for name in (name for name in vars(pages.Page) if not name.startswith("_")):
        assert f"page.{name}" in PAGE
    for name in ("in_location", "led_to"):
        assert f"{name}(answer" in PAGE
