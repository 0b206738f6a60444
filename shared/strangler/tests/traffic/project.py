"""A project that is none of ours: a club with members and talks, and what is known of its requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = """
[project]
name = "club"
ledger = "monolith"
monolith = "monolith"

[gateway]
internal = ["/inside/*"]

[gateway.tokens.club]
jwks = "/jwks"

[databases.monolith]
embedded = true

[databases.talks]
embedded = true

[databases.members]
embedded = true

[processes.monolith]
directory = "."
command = ["serve"]
http = true

[processes.talks]
address = "http://talks"

[processes.members]
address = "http://members"

[capabilities.members]
tables = ["members_member"]
process = "members"
database = "members"
routes = ["POST /api/members/", "POST /api/login/", "GET,PATCH,DELETE /api/members/me/", "GET /inside/members/{id}/"]

[capabilities.talks]
tables = ["talks_talk", "talks_note"]
process = "talks"
database = "talks"
routes = [
    { route = "GET,POST /api/talks/", auth = "required" },
    { route = "GET,PATCH,DELETE /api/talks/{id}/", auth = "required" },
    "POST /api/talks/{id}/publish/",
    "GET,POST /api/talks/{id}/notes/",
    "PUT /api/talks/{id}/slides/",
]
"""


def answered(status: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}} if schema else {}
    return {status: {"description": "", **content}}


def posted(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


ID = {"type": "integer", "readOnly": True}
TITLE = {"type": "string", "maxLength": 100}
BEARER = [{"bearer": []}]


def document() -> dict[str, Any]:
    """Its OpenAPI document."""
    page = {
        "type": "object",
        "properties": {"count": {"type": "integer"}, "results": {"type": "array", "items": ref("Talk")}},
    }
    return {
        "openapi": "3.1.0",
        "paths": {
            "/api/members/": {"post": {"requestBody": posted("Member"), "responses": answered("201", ref("Member"))}},
            "/api/login/": {
                "post": {"requestBody": posted("Login"), "responses": answered("200", ref("Tokens"))},
            },
            "/api/members/me/": {
                "get": {"security": BEARER, "responses": answered("200", ref("Member"))},
                "patch": {
                    "security": BEARER,
                    "requestBody": posted("PatchedMember"),
                    "responses": answered("200", ref("Member")),
                },
                "delete": {"security": BEARER, "responses": answered("204")},
            },
            "/api/talks/": {
                "get": {"security": BEARER, "responses": answered("200", page)},
                "post": {"security": BEARER, "requestBody": posted("Talk"), "responses": answered("201", ref("Talk"))},
            },
            "/api/talks/{id}/": {
                "get": {"security": BEARER, "responses": answered("200", ref("Talk"))},
                "delete": {"security": BEARER, "responses": answered("204")},
            },
            "/api/talks/{id}/publish/": {
                "post": {"security": BEARER, "responses": {**answered("200", ref("Talk")), **answered("409")}}
            },
            "/api/talks/{id}/notes/": {
                "post": {"security": BEARER, "requestBody": posted("Note"), "responses": answered("201", ref("Note"))}
            },
            "/api/talks/{id}/slides/": {
                "put": {
                    "security": BEARER,
                    "requestBody": {"content": {"application/pdf": {}}},
                    "responses": answered("204"),
                }
            },
            "/inside/members/{id}/": {"get": {"responses": answered("200", ref("Member"))}},
            "/elsewhere/": {"get": {"responses": answered("200")}},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Member": {
                    "type": "object",
                    "required": ["id", "email", "password", "name"],
                    "properties": {
                        "id": ID,
                        "email": {"type": "string", "format": "email"},
                        "password": {"type": "string", "writeOnly": True},
                        "name": TITLE,
                    },
                },
                "PatchedMember": {
                    "type": "object",
                    "properties": {"id": ID, "email": {"type": "string", "format": "email"}, "name": TITLE},
                },
                "Login": {
                    "type": "object",
                    "required": ["email", "password"],
                    "properties": {"email": {"type": "string", "format": "email"}, "password": {"type": "string"}},
                },
                "Tokens": {"type": "object", "properties": {"access": {"type": "string"}}},
                "Talk": {
                    "type": "object",
                    "required": ["id", "title", "room", "kind", "starts"],
                    "properties": {
                        "id": ID,
                        "title": TITLE,
                        "room": {"type": "string", "pattern": "^[A-Z]{2}$"},
                        "kind": {"allOf": [{"enum": ["short", "long"], "type": "string"}]},
                        "starts": {"type": ["string", "null"], "format": "date"},
                    },
                },
                "Note": {
                    "type": "object",
                    "required": ["id", "text"],
                    "properties": {"id": ID, "text": {"type": "string"}, "talk": {"type": "integer", "readOnly": True}},
                },
            },
        },
    }


def column(kind: str, *, unique: bool = False) -> dict[str, Any]:
    return {"kind": kind, "unique": unique, "limit": None, "choices": False}


TABLES: dict[str, Any] = {
    "members_member": {
        "key": "id",
        "columns": {
            "id": column("number", unique=True), "email": column("text", unique=True), "name": column("text"),
            "password": column("text"),
        },
        "parents": {},
    },
    "talks_talk": {
        "key": "id",
        "columns": {
            "id": column("number", unique=True), "title": column("text"), "room": column("text"),
            "kind": column("text"),
            "starts": column("other"), "seats": column("number"), "member_id": column("number"),
        },
        "parents": {"member_id": ["members_member", "CASCADE"]},
    },
    "talks_note": {
        "key": "id",
        "columns": {"id": column("number", unique=True), "text": column("text"), "talk_id": column("number")},
        "parents": {"talk_id": ["talks_talk", "CASCADE"]},
    },
}  # fmt: skip


def request(method: str, template: str, status: int, **more: Any) -> dict[str, Any]:
    """A line of a recording."""
    return {
        "kind": "request", "test": "test", "call": 0, "method": method, "path": template.replace("{pk}", "7"),
        "template": template, "ids": [], "query": {}, "status": status, "form": False, "files": [], "body": None,
        "headers": {}, "access": "Bearer", "token": None, "signed_in": True, "staff": False, "answer": None,
        "location": "", "page": None, "rows": [], "unseen": {}, **more,
    }  # fmt: skip


def row(table: str, kind: str, **values: str | None) -> dict[str, Any]:
    return {"table": table, "kind": kind, "key": {"id": values.get("id", "7")}, "values": values}


TALK = {"title": "On fences", "room": "AB", "starts": "2026-05-01", "seats": 30}
RECORDED = [
    request(
        "POST", "/api/members/", 201, access="", signed_in=False, answer={"id": 1, "email": "a@example.com"},
        body={"email": "a@example.com", "password": {"$secret": "password"}, "name": "Ada Example"},
        rows=[row("members_member", "insert", id="1", email="a@example.com", name="Ada Example", password="***")],
    ),
    request(
        "POST", "/api/login/", 200, access="", signed_in=False, answer={"access": "***"},
        body={"email": "a@example.com", "password": {"$secret": "password"}},
    ),
    request("POST", "/api/talks/", 400, body={"title": ""}),
    request(
        "POST", "/api/talks/", 201, body=TALK, answer={"id": 7, **TALK},
        rows=[row("talks_talk", "insert", id="7", title="On fences", room="AB", starts="2026-05-01", seats="30")],
    ),
    request("GET", "/api/talks/", 200, answer=[{"id": 7, **TALK}]),
    request("GET", "/api/talks/{pk}/", 200, answer={"id": 7, **TALK}, ids=[{"call": 0, "in": ["id"]}]),
    request(
        "PATCH", "/api/talks/{pk}/", 200, body={"title": "On doors", "id": 9}, answer={"id": 7, **TALK},
        rows=[row("talks_talk", "update", title="On doors")],
    ),
    request(
        "POST", "/api/talks/{pk}/publish/", 200, answer={"id": 7},
        rows=[row("talks_talk", "update", seats="29"), row("talks_note", "insert", id="3", talk_id="7", text="out")],
    ),
    request(
        "DELETE", "/api/members/me/", 204,
        rows=[row("members_member", "delete", id="1"), row("talks_talk", "delete", id="7")],
    ),
    request("PUT", "/api/talks/{pk}/slides/", 403),
]  # fmt: skip


def recording(path: Path, requests: list[dict[str, Any]] = RECORDED) -> Path:
    head = {"kind": "project", "form": 2, "django": "5.2", "login": "/login/", "tables": TABLES}
    path.write_text("".join(json.dumps(line) + "\n" for line in (head, *requests)))
    return path
