"""Ready tools as APIs: OpenAPI 3.x and Swagger 2 documents, MCP `tools/list` results.

Invariants: a reference is followed inside its document only; what an operation becomes is bounded in size and depth; an
operation or tool that can't be imported is a reason, never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api, ApiError, Lineage
from toolace_ray.records.json import DECODER, LimitExceeded, check_text, digest
from toolace_ray.schemas.draw import example_object
from toolace_ray.schemas.validate import schema_depth
from toolace_ray.schemas.walk import KEYWORDS, keywords, rebuild

MAX_SPEC_CHARS = 32 << 20
MAX_SPEC_DEPTH = 200
MAX_NODES = 20_000
MAX_BOUND = 1e15  # 64-bit limits that generators write as bounds say nothing
METHODS = ("get", "put", "post", "delete", "patch")


def read_spec(path: str) -> Any:
    """A JSON or YAML file under size and depth limits. Raises UserError."""
    try:
        size = Path(path).stat().st_size
        if size > MAX_SPEC_CHARS:
            raise UserError(f"{path}: {size} bytes, the limit is {MAX_SPEC_CHARS}")
        text = Path(path).read_text(encoding="utf-8")
        tree = load_spec_json(text) if path.endswith(".json") else _load_yaml(text, path)
    except (LimitExceeded, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON or YAML document ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    if schema_depth(tree, MAX_SPEC_DEPTH) > MAX_SPEC_DEPTH:
        raise UserError(f"{path}: nested deeper than {MAX_SPEC_DEPTH}")
    return tree


def load_spec_json(text: str) -> Any:
    """JSON under the limits for whole documents."""
    check_text(text, max_chars=MAX_SPEC_CHARS, max_depth=MAX_SPEC_DEPTH)
    return DECODER.decode(text)


class _JsonTypesLoader(yaml.CSafeLoader):
    """YAML with JSON's types alone: dates stay text, keys become text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        key: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for key, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _load_yaml(text: str, path: str) -> Any:
    if re.search(rf"(?:[\[{{]\s*){{{MAX_SPEC_DEPTH}}}", text):  # the parser takes quadratic time for these
        raise UserError(f"{path}: nested deeper than {MAX_SPEC_DEPTH}")
    # Aliases can multiply a small file without end.
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
        raise UserError(f"{path}: YAML aliases are not followed; write the document without them")
    return _text_keys(yaml.load(text, Loader=_JsonTypesLoader))


def _text_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _text_keys(value) for key, value in node.items()}
    return [_text_keys(item) for item in node] if isinstance(node, list) else node


def import_openapi(path: str) -> Iterator[Api | str]:
    """The operations of an OpenAPI 3.x or Swagger 2 document as APIs; a string says why an operation was left out.

    Raises:
        UserError: the file is no such document.
    """
    tree = read_spec(path)
    version = str(tree.get("openapi") or tree.get("swagger") or "") if isinstance(tree, dict) else ""
    if not version.startswith(("3.", "2.")):
        raise UserError(
            f"{path}: not an OpenAPI 3.x or Swagger 2 document (no `openapi: 3...` or `swagger: 2...` key); "
            "see sources.openapi"
        )
    if not isinstance(tree.get("paths"), dict):
        raise UserError(f"{path}: the OpenAPI document has no `paths`")
    document = digest(json.dumps(tree, sort_keys=True, default=str))
    info = tree.get("info")
    title = str((info.get("title") if isinstance(info, dict) else "") or Path(path).stem)
    for route, raw in tree["paths"].items():
        item = _Resolver(tree).top(raw)
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method), dict):
                try:
                    yield _operation(tree, str(route), method, item, title, document)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    yield f"{method.upper()} {route}: {error}"


def _operation(tree: Any, route: str, method: str, item: Any, title: str, document: str) -> Api:
    operation, resolver = item[method], _Resolver(tree)
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", str(operation.get("operationId") or f"{method}{route}")).strip("_")[:64]
    properties: dict[str, Any] = {}
    required: list[str] = []
    bodies: list[dict[str, Any]] = []
    declared = {}
    for raw in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
        parameter = resolver(raw)
        declared[parameter.get("name"), parameter.get("in")] = parameter  # an operation's parameter replaces its path's
    for parameter in declared.values():
        place = parameter.get("in")
        if place == "body":  # Swagger 2
            bodies.append(_merged_all_of(parameter.get("schema") or {}))
        if place not in ("path", "query", "formData"):
            continue  # headers and cookies are the client's business
        schema = dict(parameter.get("schema") or {key: parameter[key] for key in _INLINE_KEYWORDS if key in parameter})
        schema = schema or {"type": "string"}
        if schema.get("type") == "file":
            raise ValueError(f"{parameter['name']!r} is an uploaded file")
        if not str(schema.get("description") or "").strip():
            schema["description"] = str(parameter.get("description") or "").strip()
        if "example" in parameter:
            schema.setdefault("examples", [parameter["example"]])
        properties[parameter["name"]] = _to_draft_2020(schema)
        if parameter.get("required") and parameter["name"] not in required:
            required.append(parameter["name"])
    if operation.get("requestBody"):
        bodies.append(_merged_all_of(_json_content(resolver(operation["requestBody"]))))
    for body in bodies:
        for key, schema in (body.get("properties") or {}).items():
            if key in properties:
                raise ValueError(f"{key!r} is both a parameter and in the request body")
            properties[key] = _to_draft_2020(schema)
            if key in (body.get("required") or ()):
                required.append(key)
        if body and not body.get("properties"):
            properties["body"] = {
                **_to_draft_2020(body),
                "description": str(body.get("description") or "The request body"),
            }
            required.append("body")
    returns: dict[str, Any] = {}
    errors: list[ApiError] = []
    for status, raw in (operation.get("responses") or {}).items():
        response = resolver(raw)
        if str(status).startswith("2") and not returns:
            body = response.get("schema") or _json_content(response)
            # An answer without a body is an answer too: deleting and stopping things mostly say nothing more.
            empty = not response.get("content") and "schema" not in response
            description = str(response.get("description") or "Nothing is returned.")
            returns = {"type": "null", "description": description} if empty else _to_draft_2020(_merged_all_of(body))
        elif str(status)[:1] in "45":
            message = str(response.get("description") or "The request failed.")
            errors.append(ApiError(code=str(status), message=message))
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    texts = [str(operation.get(key) or "").strip() for key in ("description", "summary")]
    tags = operation.get("tags") or ()
    return Api(
        name=name,
        description=next((text for text in texts if len(text) >= 10), texts[0] or texts[1]),
        parameters=parameters,
        returns=returns,
        errors=tuple(errors),
        side_effects=method != "get",
        domain=(title, str(tags[0])) if tags else (title,),
        lineage=Lineage(documents=(document,), source="openapi"),
        example_arguments=example_object(parameters),
        example_return=example_object(returns),
    )


_INLINE_KEYWORDS = ("type", "format", "items", "enum", "default", "minimum", "maximum", "pattern", "minLength", "maxLength",
           "minItems", "maxItems", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")  # fmt: skip


def _json_content(part: Any) -> dict[str, Any]:
    content = (part or {}).get("content") or {}
    for kind, media in content.items():
        if "json" in kind and isinstance(media.get("schema"), dict):
            return dict(media["schema"])
    return {}


def _merged_all_of(schema: dict[str, Any]) -> dict[str, Any]:
    """An object schema with the properties of its allOf parts beside its own, as one object."""
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in [_merged_all_of(part) for part in parts if isinstance(part, dict)]:
        merged["properties"] = {**(part.get("properties") or {}), **(merged.get("properties") or {})}
        merged["required"] = list(dict.fromkeys([*(merged.get("required") or ()), *(part.get("required") or ())]))
        merged = {**{key: value for key, value in part.items() if key not in merged}, **merged}
    return {key: value for key, value in merged.items() if value}


class _Resolver:
    """Follows local references, for MAX_NODES nodes in all: a small document can multiply without end."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._left = MAX_NODES

    def __call__(self, node: Any, trail: tuple[str, ...] = (), depth: int = 0) -> Any:
        """`node` with its local $refs replaced; a cycle or a remote reference becomes {} (any value)."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_NODES} schema nodes once its references are followed")
        if depth > MAX_SPEC_DEPTH:
            raise ValueError(f"nested deeper than {MAX_SPEC_DEPTH} once its references are followed")
        if isinstance(node, list):
            return [self(item, trail, depth + 1) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in trail:
                return {}
            target = self(self._target(reference), (*trail, reference), depth + 1)
            own_texts = {key: value for key, value in node.items() if key in ("description", "summary")}
            return {**target, **own_texts} if isinstance(target, dict) else target
        return {key: self(value, trail, depth + 1) for key, value in node.items()}

    def top(self, node: Any) -> Any:
        """`node`, or what it refers to; nothing below it is touched."""
        reference = node.get("$ref") if isinstance(node, dict) else None
        return self._target(reference) if isinstance(reference, str) else node

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return {}
        node: Any = self._tree
        for part in reference[2:].split("/"):
            node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
        return node or {}


_KEPT_KEYWORDS = {
    "type", "description", "properties", "required", "items", "enum", "const", "default", "examples", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems",
    "maxItems", "uniqueItems", "additionalProperties", "anyOf", "oneOf", "allOf", "minProperties", "maxProperties",
    "dependentRequired",
}  # fmt: skip
_SUB_SCHEMAS = keywords(*(KEYWORDS.keys() & _KEPT_KEYWORDS))


def _to_draft_2020(schema: Any) -> Any:
    """An OpenAPI 3.0 schema in draft 2020-12: nullable, example and boolean exclusive bounds are translated."""
    return rebuild(schema, _translate, _SUB_SCHEMAS)


def _translate(schema: Any, _: int = 0) -> Any:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        return {}
    result = {key: value for key, value in schema.items() if key in _KEPT_KEYWORDS}
    if "example" in schema and "examples" not in result:
        result["examples"] = [schema["example"]]
    for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        limit = result.get(bound)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and abs(limit) > MAX_BOUND:
            del result[bound]
    if not str(result.get("description") or "x").strip():
        del result["description"]
    if (schema.get("nullable") or schema.get("x-nullable")) is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(flag), bool) and result.pop(flag) and bound in result:
            result[flag] = result.pop(bound)
    for key in ("anyOf", "oneOf"):
        if not isinstance(result.get(key), list):
            continue
        not_null = [below for below in map(_translate, result[key]) if below != {"type": "null"}]
        if len(not_null) == 1 and isinstance(not_null[0], dict):
            # "This or null" is how generators write an optional value: that it may be left out says the same.
            del result[key]
            result = {**not_null[0], **result}
            if result.get("default", 0) is None:
                del result["default"]
    return result


def _own_references(schema: Any) -> dict[str, Any]:
    """A schema whose references into its own $defs are followed."""
    resolved = _Resolver(schema)(schema)
    if not isinstance(resolved, dict):
        raise ValueError("the schema is no object")
    return {key: value for key, value in resolved.items() if key != "$defs"}


def import_mcp(path: str) -> Iterator[Api | str]:
    """The tools of a saved MCP `tools/list` result as APIs; a string says why a tool was left out.

    Raises:
        UserError: the file holds no `tools` list.
    """
    tree = read_spec(path)
    tree = tree.get("result", tree) if isinstance(tree, dict) else tree
    if not isinstance(tree, dict) or not isinstance(tree.get("tools"), list):
        raise UserError(f"{path}: not an MCP tools/list result (no `tools` list); see sources.mcp")
    yield from import_tools(tree, Path(path).name.split(".")[0])


def import_tools(tree: dict[str, Any], server: str, live: bool = False) -> Iterator[Api | str]:
    """The tools of a tools/list result as APIs of one domain, named after the server.

    Args:
        live: the server can be asked; its tools may fail at any time, and an error says so.
    """
    tools = tree["tools"]
    document = digest(json.dumps(tree, sort_keys=True))
    for index, tool in enumerate(tools):
        try:
            parameters = _own_references(tool["inputSchema"])
            parameters.setdefault("type", "object")
            returns = _own_references(tool.get("outputSchema") or {"type": "string", "description": "Text"})
            yield Api(
                name=re.sub(r"[^a-zA-Z0-9_-]+", "_", tool["name"])[:64],
                description=str(tool.get("description") or tool.get("title") or ""),
                parameters=_to_draft_2020(parameters),
                returns=_to_draft_2020(returns),
                side_effects=not (tool.get("annotations") or {}).get("readOnlyHint", False),
                domain=(server.capitalize(),),
                errors=(ApiError(code="tool_error", message="The tool failed."),) if live else (),
                lineage=Lineage(
                    documents=(document,),
                    source="mcp",
                    server=server if live else "",
                    tool=tool["name"] if live else "",
                ),
                example_arguments=example_object(parameters),
                example_return=example_object(returns),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield f"tool {index}: {error!r}"
