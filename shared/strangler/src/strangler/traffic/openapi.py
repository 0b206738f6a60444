"""Reads an OpenAPI document (3.0 or 3.1, YAML or JSON): its operations, with bodies made by their schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from strangler.domain.errors import ConfigurationError
from strangler.traffic.known import PASSWORD, Known, Of, Request, Secret, Text, Unknown
from strangler.traffic.samples import Schema, is_reference, number, text

METHODS = ("get", "post", "put", "patch", "delete")
LARGEST_BYTES = 32 * 1024 * 1024
DEEPEST = 12
REMEDY = "name an OpenAPI document of version 3.0 or 3.1, such as `manage.py spectacular --file openapi.yaml` writes"


def read(path: Path, *, say: Callable[[str], None] = lambda _: None) -> Known:
    """The operations of the document.

    Raises:
        ConfigurationError: it cannot be read, is too large or is no OpenAPI document; with the line where one is known.
    """
    content = _load(path, say)
    version = content.get("openapi") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(version, str) or not version.startswith("3."):
        said = (
            f"says `swagger: {content['swagger']}`" if isinstance(content, dict) and "swagger" in content else "is none"
        )
        raise _wrong(f"no OpenAPI document of version 3: it {said}", str(path))
    if not isinstance(content.get("paths"), dict):
        raise _wrong("has no `paths`", f"{path}: paths")
    document = Document(content, path)
    return Known(path.name, list(document.requests()), **document.access())


class Document:
    """A document whose references are followed as they are met."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        self._content = content
        self._path = path

    def requests(self) -> Iterator[Request]:
        """One for each operation."""
        prefix = self._prefix()
        for path, item in self._content["paths"].items():
            if not isinstance(item, dict):
                raise _wrong("is not a path item", f"{self._path}: paths: {path}")
            for method in METHODS:
                if isinstance(operation := item.get(method), dict):
                    place = f"{self._path}: paths: {path}: {method}"
                    try:
                        yield self._request(method.upper(), prefix + _spelled(path), operation, item)
                    except (TypeError, AttributeError, KeyError, ValueError) as error:
                        raise _wrong(f"is not as OpenAPI has it: {error}", place) from error

    def access(self) -> dict[str, Any]:
        """How a token is sent: the first scheme that the document names and a client can use."""
        schemes = self._content.get("components", {}).get("securitySchemes", {})
        for each in schemes.values():
            scheme = self._followed(each)
            if scheme.get("type") == "http" and str(scheme.get("scheme")).lower() == "bearer":
                return {"scheme": "Bearer"}
            if scheme.get("type") in ("oauth2", "openIdConnect"):
                return {"scheme": "Bearer"}
            if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
                word = re.search(r'prefix "(\w+)"', str(scheme.get("description", "")))
                return {"scheme": word[1] if word else "", "header": str(scheme.get("name", "Authorization"))}
        return {}

    def _request(self, method: str, path: str, operation: Schema, item: Schema) -> Request:
        success, answer, others = self._answers(operation)
        secured = operation.get("security", self._content.get("security", []))
        access = "account" if secured and {} not in secured else ""
        # What not every account may do is documented as such where a project documents refusals.
        if access and method != "GET" and "403" in others:
            access = "staff"
        request = Request(method, path, (success,), access=access, answer=answer, count=3 if method == "GET" else 2)
        body = self._followed(operation.get("requestBody", {})).get("content", {})
        if body:
            request.body, request.form, doubt = self._body(body, method)
            request.doubts += [doubt] if doubt else []
        if "409" in others:
            request.expected = (success, 409)
        parameters = [self._followed(each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
        needed = [each for each in parameters if each.get("required")]
        request.headers = {
            each["name"]: self.example(each["name"].lower().replace("-", "_"), each.get("schema", {}), 0)
            for each in needed
            if each.get("in") == "header"
        }
        for each in needed:
            if each.get("in") == "query":
                value = each.get("example", self.example(each["name"], each.get("schema", {}), 0))
                if isinstance(value, str | int | float):
                    request.query += f"{'&' if request.query else ''}{each['name']}={value}"
                else:
                    request.doubts.append(f"which {each['name']} does its query need?")
        return request

    def _answers(self, operation: Schema) -> tuple[int, Any, set[str]]:
        """The status of success, an example of its answer, and the other statuses."""
        answers = {str(status): each for status, each in operation["responses"].items()}
        fine = sorted(status for status in answers if re.fullmatch("[23][0-9][0-9]", status))
        success = fine[0] if fine else "200"
        content = self._followed(answers.get(success, {})).get("content", {})
        media = next((each for kind, each in content.items() if "json" in kind), None)
        answer = None
        if media:
            answer = media.get("example", self.example("", media.get("schema", {}), 0, written=False))
        return int(success), answer, set(answers) - {success}

    def _body(self, content: Schema, method: str) -> tuple[Any, bool, str]:
        """The body, whether it is a form, and what is asked about it."""
        kinds = [kind for kind in content if "json" in kind] or [kind for kind in content if "form" in kind]
        if not kinds:
            return None, False, f"how is a body of {', '.join(content)} made?"
        schema = self._followed(content[kinds[0]].get("schema", {}))
        if method in ("PATCH", "PUT") and not schema.get("required"):
            return self._one_change(schema), "form" in kinds[0], ""
        return self.example("", schema, 0), "form" in kinds[0], ""

    def _one_change(self, schema: Schema) -> Any:
        """A change of one property, best a text of which each can be told from each other."""
        found = {
            name: self.example(name, each, 1)
            for name, each in self._properties(schema).items()
            if not self._followed(each).get("readOnly")
        }
        plain = {
            name: each for name, each in found.items() if not isinstance(each, dict | list | Secret | Of | Unknown)
        }
        texts = {name: each for name, each in plain.items() if isinstance(each, Text) and each.form == "text"}
        name = next(iter(texts or plain or found), None)
        return {} if name is None else {name: found[name]}

    def example(self, name: str, schema: Any, depth: int, *, written: bool = True) -> Any:
        """A value that fits the schema; ``written`` as a client sends it, otherwise as an answer has it."""
        schema = self._followed(schema)
        if depth > DEEPEST:
            return None
        for way in ("allOf", "oneOf", "anyOf"):
            if way in schema and "properties" not in schema:
                parts = [self._followed(each) for each in schema[way]]
                real = [each for each in parts if each.get("type") != "null" and each.get("enum") != [""]]
                if way != "allOf":
                    return self.example(name, real[0] if real else {}, depth + 1, written=written)
                whole: dict[str, Any] = {key: value for key, value in schema.items() if key != way}
                for part in real:
                    joined = {**whole.get("properties", {}), **self._properties(part)}
                    required = [*whole.get("required", []), *part.get("required", [])]
                    whole = {**part, **whole, "properties": joined, "required": required}
                    if not joined:
                        del whole["properties"]
                return self.example(name, whole, depth + 1, written=written)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), None)
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth, written=written)
        if kind == "array":
            held = self.example(singular_name(name), schema.get("items", {}), depth + 1, written=written)
            return [] if held is None else [held]
        return self._leaf(name, schema, kind, written=written)

    def _object(self, schema: Schema, depth: int, *, written: bool) -> dict[str, Any]:
        properties = self._properties(schema)
        required = {name for name in schema.get("required", []) if name in properties}
        hidden = "readOnly" if written else "writeOnly"
        shown = {name: each for name, each in properties.items() if not self._followed(each).get(hidden)}
        if written:
            shown = {name: each for name, each in shown.items() if name in required} or shown
        return {name: self.example(name, each, depth + 1, written=written) for name, each in shown.items()}

    def _properties(self, schema: Schema) -> Mapping[str, Any]:
        found: Mapping[str, Any] = schema.get("properties", {})
        return found

    def _leaf(  # noqa: PLR0911  a line for each kind
        self, name: str, schema: Schema, kind: Any, *, written: bool
    ) -> Any:
        if written and PASSWORD.search(name):
            return Secret(name)
        for given in ("const", "default"):
            if schema.get(given) is not None:
                return schema[given]
        if schema.get("enum"):
            return next((each for each in schema["enum"] if each not in ("", None)), None)
        shown = schema.get("example", next(iter(schema.get("examples", []) or []), None))
        if kind in ("integer", "number"):
            if kind == "integer" and is_reference(name):
                return Of(name)
            return shown if isinstance(shown, int | float) else number(schema, kind)
        if kind == "boolean":
            return bool(shown)
        if kind == "string" or (kind is None and schema.get("format")):
            return text(name, schema, shown, written=written)
        return shown if shown is not None else None if not written else Unknown(f"what is {name or 'its body'}?")

    def _followed(self, schema: Any) -> Schema:
        """The schema, or what it refers to."""
        seen = 0
        while isinstance(schema, dict) and "$ref" in schema:
            target: Any = self._content
            reference = str(schema["$ref"])
            for part in reference.removeprefix("#/").split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                if not reference.startswith("#/") or not isinstance(target, dict) or key not in target:
                    raise _wrong(f"nothing is at {reference}; a document has to be whole", f"{self._path}: $ref")
                target = target[key]
            schema, seen = target, seen + 1
            if seen > DEEPEST:
                raise _wrong(f"{reference} refers to itself", f"{self._path}: $ref")
        return schema if isinstance(schema, dict) else {}

    def _prefix(self) -> str:
        """The path of the first server, where all paths begin."""
        servers = self._content.get("servers") or [{}]
        url = str(servers[0].get("url", "") if isinstance(servers[0], dict) else "")
        path = re.sub(r"^[a-z]+://[^/]*", "", url)
        return "" if "{" in path else path.rstrip("/")


def singular_name(name: str) -> str:
    """What one of several is called."""
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _spelled(path: str) -> str:
    """Variables as routes spell them."""
    return re.sub(
        r"\{([^}]+)\}", lambda found: "{" + (re.sub("[^a-z_]", "", _snake(found[1])).strip("_") or "id") + "}", path
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _load(path: Path, say: Callable[[str], None]) -> Any:
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise _wrong(f"has {size:,} bytes, and no more than {LARGEST_BYTES:,} are read", str(path))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise _wrong(f"is not text in UTF-8: byte {error.start}", str(path)) from error
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise _wrong(f"is not JSON: {error.msg}", f"{path}:{error.lineno}") from error
        except RecursionError as error:
            raise _wrong("is nested too deep", str(path)) from error
    if size > LARGEST_BYTES // 32:
        say(f"reading {path} ({size:,} bytes)")
    return _yaml(text, path)


def _yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError(
            "is YAML, and no package here reads it", place=str(path),
            remedy="install `strangler[drafting]`, or give the document as JSON", id="traffic-source",
        ) from error  # fmt: skip
    try:
        # The loader in C is many times as fast, and is not in every build.
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise _wrong(f"is not YAML: {getattr(error, 'problem', None) or error}", place) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not YAML: {error}", str(path)) from error


def _wrong(message: str, place: str) -> ConfigurationError:
    return ConfigurationError(message, place=place, remedy=REMEDY, id="traffic-source")
