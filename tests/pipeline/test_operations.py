"""What the comparison of two OpenAPI documents tells."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.pipeline.operations import broken

Document = dict[str, Any]

BASE: Document = {
    "paths": {
        "/books": {
            "post": {
                "parameters": [
                    {"in": "header", "name": "Idempotency-Key", "required": True, "schema": {"type": "string"}},
                    {"in": "query", "name": "page", "schema": {"type": "integer"}},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewBook"}}},
                },
                "security": [{"token": []}, {}],
                "responses": {
                    "201": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Book"}}},
                        "headers": {"Location": {"schema": {"type": "string"}}},
                    },
                    "409": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
                },
            },
        },
        "/books/{id}": {
            "parameters": [{"in": "path", "name": "id", "required": True, "schema": {"type": "integer"}}],
            "delete": {"responses": {"204": {}}},
        },
    },
    "components": {
        "schemas": {
            "Book": {
                "required": ["id", "title"],
                "properties": {"id": {"type": "integer", "readOnly": True}, "title": {"type": "string"}},
            },
            "NewBook": {
                "required": ["title"],
                "properties": {"title": {"type": "string"}, "kind": {"enum": ["paper", "audio"]}},
            },
            "Error": {"required": ["detail"], "properties": {"detail": {"type": "string"}}},
        },
    },
}
BOOKS, BOOK = "POST /books", "DELETE /books/{}"


def post(document: Document) -> Document:
    return document["paths"]["/books"]["post"]


def schema(document: Document, name: str) -> Document:
    return document["components"]["schemas"][name]


def changed(change: Callable[[Document], Any]) -> list[tuple[str, str]]:
    now = deepcopy(BASE)
    change(now)
    return [(each.place, each.misfit.rule) for each in broken(BASE, now)]


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        (lambda now: now["paths"].pop("/books/{id}"), BOOK, "operation-removed"),
        (lambda now: now["paths"]["/books/{id}"].pop("delete"), BOOK, "operation-removed"),
        (lambda now: post(now)["parameters"].pop(), f"{BOOKS} query page", "parameter-removed"),
        (
            lambda now: post(now)["parameters"][1].update(required=True),
            f"{BOOKS} query page",
            "parameter-newly-required",
        ),
        (
            lambda now: post(now)["parameters"].append(
                {"in": "query", "name": "shelf", "required": True, "schema": {}}
            ),
            f"{BOOKS} query shelf",
            "parameter-newly-required",
        ),
        (
            lambda now: post(now)["parameters"][1].update(schema={"type": "integer", "maximum": 9}),
            f"{BOOKS} query page",
            "limit-tightened",
        ),
        (
            lambda now: now["paths"]["/books/{id}"]["parameters"][0].update(schema={"type": "boolean"}),
            f"{BOOK} path id",
            "type-narrowed",
        ),
        (lambda now: post(now).pop("requestBody"), f"{BOOKS} body", "body-no-longer-read"),
        (lambda now: post(now)["requestBody"].update(required=True), f"{BOOKS} body", "body-newly-required"),
        (
            lambda now: post(now)["requestBody"].update(content={"text/xml": {}}),
            f"{BOOKS} body application/json",
            "content-removed",
        ),
        (
            lambda now: schema(now, "NewBook").update(required=["title", "kind"]),
            f"{BOOKS} body kind",
            "field-newly-required",
        ),
        (lambda now: schema(now, "NewBook")["properties"].pop("kind"), f"{BOOKS} body kind", "field-no-longer-read"),
        (
            lambda now: schema(now, "NewBook")["properties"]["kind"].update(enum=["paper"]),
            f"{BOOKS} body kind",
            "values-removed",
        ),
        (lambda now: post(now)["responses"].pop("201"), f"{BOOKS} 201", "status-removed"),
        (lambda now: post(now)["responses"]["201"].pop("headers"), f"{BOOKS} 201 header Location", "header-removed"),
        (
            lambda now: post(now)["responses"]["201"].pop("content"),
            f"{BOOKS} 201 application/json",
            "content-removed",
        ),
        (
            lambda now: schema(now, "Book").update(required=["id"], properties={"id": {"type": "integer"}}),
            f"{BOOKS} 201 title",
            "field-removed",
        ),
        (
            lambda now: schema(now, "Book")["properties"].update(title={"type": "string", "nullable": True}),
            f"{BOOKS} 201 title",
            "type-widened",
        ),
        (lambda now: schema(now, "Error").update(properties={}), f"{BOOKS} 409 detail", "field-removed"),
        (lambda now: post(now).update(security=[{"token": []}]), f"{BOOKS} security", "access-tightened"),
    ],
)
def test_what_breaks_a_caller(change, place, rule):
    assert changed(change) == [(place, rule)]


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now["paths"].update({"/shelves": {"get": {"responses": {"200": {}}}}}),
        lambda now: post(now)["parameters"].append({"in": "query", "name": "shelf", "schema": {}}),
        lambda now: post(now)["responses"].update({"429": {}}),
        lambda now: post(now)["responses"].pop("409"),
        lambda now: post(now).update(description="Puts a book on the shelf.", operationId="shelve", deprecated=True),
        lambda now: post(now)["security"].append({"cookie": []}),
        lambda now: schema(now, "Book")["properties"].update(shelf={"type": "string"}),
        lambda now: schema(now, "NewBook")["properties"].update(shelf={"type": "string"}),
        lambda now: schema(now, "NewBook")["properties"]["kind"].update(enum=["paper", "audio", "film"]),
        lambda now: now["paths"].update(
            {"/books/{number}": {"delete": {"responses": {"204": {}}, "parameters": [
                {"in": "path", "name": "number", "required": True, "schema": {"type": "integer"}}]}}}
        ) or now["paths"].pop("/books/{id}"),
    ],
)  # fmt: skip
def test_what_is_added_breaks_nobody(change):
    assert not changed(change)
