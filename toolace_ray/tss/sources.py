"""What a run reads: documents as text, OpenAPI documents and MCP tool lists as ready APIs."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from toolace_ray.config import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.instances import example_of
from toolace_ray.limits import DECODER, LimitExceeded, check_text
from toolace_ray.schema import Api, ApiError, Lineage, Record, digest
from toolace_ray.validation import schema_depth

MAX_SPEC_CHARS = 32 << 20
MAX_SPEC_DEPTH = 200
MAX_REF_DEPTH = 24
MAX_NODES = 20_000
METHODS = ("get", "put", "post", "delete", "patch")
DOCUMENT_SUFFIXES = (".txt", ".md")


class Document(Record):
    """A document as read. `id` is the hash of its text, so that a moved file is the same document."""

    id: str
    path: str
    text: str


def expand(patterns: tuple[str, ...], suffixes: tuple[str, ...], key: str) -> list[str]:
    """The files that folders, globs and paths name, sorted. Raises UserError for one that names nothing."""
    found: set[str] = set()
    for pattern in patterns:
        if Path(pattern).is_dir():
            hits = [str(path) for path in Path(pattern).rglob("*") if path.is_file()]
        else:
            hits = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]
        hits = [path for path in hits if path.lower().endswith(suffixes)]
        if not hits:
            what = "folder holds no" if Path(pattern).is_dir() else "path or glob matches no"
            raise UserError(f"{key}: {pattern}: this {what} file ending in {', '.join(suffixes)}")
        found.update(hits)
    return sorted(found)


def files(config: SourcesConfig) -> dict[str, list[str]]:
    """Kind -> files of all sources. Raises UserError when there is nothing to read."""
    spec_suffixes = (".json", ".yaml", ".yml")
    result = {
        "documents": expand(config.documents, DOCUMENT_SUFFIXES, "sources.documents"),
        "openapi": expand(config.openapi, spec_suffixes, "sources.openapi"),
        "mcp": expand(config.mcp, (".json",), "sources.mcp"),
    }
    if not any(result.values()):
        raise UserError("sources: nothing to read; set sources.documents, sources.openapi or sources.mcp")
    return result


def read_document(path: str, raw: bytes, max_chars: int) -> Document | str:
    """The document, or the reason why it can't be read."""
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        return f"not UTF-8 text (byte {error.start})"
    if not text:
        return "empty"
    if "\x00" in text:
        return "not a text file (it holds null bytes)"
    return Document(id=digest(text), path=path, text=text[:max_chars])


def read_spec(path: str) -> Any:
    """A JSON or YAML file under size and depth limits. Raises UserError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if len(text) > MAX_SPEC_CHARS:
            raise UserError(f"{path}: {len(text)} characters, the limit is {MAX_SPEC_CHARS}")
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


class _PlainLoader(yaml.CSafeLoader):
    """YAML with JSON's types alone: dates stay text, keys become text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        key: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for key, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _load_yaml(text: str, path: str) -> Any:
    # Aliases can multiply a small file without end.
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
        raise UserError(f"{path}: YAML aliases are not followed; write the document without them")
    return _text_keys(yaml.load(text, Loader=_PlainLoader))


def _text_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _text_keys(value) for key, value in node.items()}
    return [_text_keys(item) for item in node] if isinstance(node, list) else node


def import_openapi(path: str) -> Iterator[Api | str]:
    """The operations of an OpenAPI 3.x document as APIs; a string says why an operation was left out.

    Raises:
        UserError: the file is no OpenAPI 3.x document.
    """
    tree = read_spec(path)
    if not isinstance(tree, dict) or not str(tree.get("openapi", "")).startswith("3."):
        raise UserError(f"{path}: not an OpenAPI 3.x document (no `openapi: 3...` key); see sources.openapi")
    if not isinstance(tree.get("paths"), dict):
        raise UserError(f"{path}: the OpenAPI document has no `paths`")
    document = digest(json.dumps(tree, sort_keys=True, default=str))
    title = str((tree.get("info") or {}).get("title") or Path(path).stem)
    for route, item in tree["paths"].items():
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method), dict):
                try:
                    yield _operation(tree, str(route), method, item, title, document)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    yield f"{method.upper()} {route}: {error}"


def _operation(tree: Any, route: str, method: str, item: Any, title: str, document: str) -> Api:
    operation, budget = item[method], _Budget()
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", str(operation.get("operationId") or f"{method}{route}")).strip("_")[:64]
    properties: dict[str, Any] = {}
    required: list[str] = []
    for raw in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
        parameter = _resolve(tree, raw, budget)
        if parameter.get("in") not in ("path", "query"):
            continue
        schema = dict(parameter.get("schema") or {"type": "string"})
        schema.setdefault("description", str(parameter.get("description") or "").strip())
        if "example" in parameter:
            schema.setdefault("examples", [parameter["example"]])
        properties[parameter["name"]] = _dialect(schema)
        if parameter.get("required") and parameter["name"] not in required:
            required.append(parameter["name"])
    body = _json_schema_of(_resolve(tree, operation.get("requestBody") or {}, budget))
    if body:
        for key, schema in (body.get("properties") or {}).items():
            if key in properties:
                raise ValueError(f"{key!r} is both a parameter and in the request body")
            properties[key] = _dialect(schema)
            if key in (body.get("required") or ()):
                required.append(key)
    returns: dict[str, Any] = {}
    found: list[ApiError] = []
    for status, raw in (operation.get("responses") or {}).items():
        response = _resolve(tree, raw, budget)
        if str(status).startswith("2") and not returns:
            returns = _dialect(_json_schema_of(response))
        elif str(status)[:1] in "45":
            message = str(response.get("description") or "The request failed.")
            found.append(ApiError(code=str(status), message=message))
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    description = str(operation.get("description") or operation.get("summary") or "").strip()
    tags = operation.get("tags") or ()
    return Api(
        name=name,
        description=description,
        parameters=parameters,
        returns=returns,
        errors=tuple(found),
        side_effects=method != "get",
        domain=(title, str(tags[0])) if tags else (title,),
        lineage=Lineage(documents=(document,), source="openapi"),
        example_arguments=_example_object(parameters),
        example_return=_example_object(returns),
    )


def _json_schema_of(part: Any) -> dict[str, Any]:
    content = (part or {}).get("content") or {}
    for kind, media in content.items():
        if "json" in kind and isinstance(media.get("schema"), dict):
            return dict(media["schema"])
    return {}


class _Budget:
    """How many nodes one operation may have once its references are followed: a small spec can multiply without end."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {MAX_NODES} schema nodes once its references are followed")


def _resolve(tree: Any, node: Any, budget: _Budget, depth: int = 0) -> Any:
    """`node` with its local $refs replaced; a cycle or a remote reference becomes {} (any value)."""
    budget.take()
    if depth > MAX_REF_DEPTH:
        return {}
    if isinstance(node, list):
        return [_resolve(tree, item, budget, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        target: Any = tree
        if not reference.startswith("#/"):
            return {}
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        resolved = _resolve(tree, target or {}, budget, depth + 2)
        if isinstance(resolved, dict):
            return {**resolved, **{key: value for key, value in node.items() if key in ("description", "summary")}}
        return resolved
    return {key: _resolve(tree, value, budget, depth + 1) for key, value in node.items()}


_KEPT = {
    "type", "description", "properties", "required", "items", "enum", "const", "default", "examples", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems",
    "maxItems", "uniqueItems", "additionalProperties", "anyOf", "oneOf", "allOf", "minProperties", "maxProperties",
}  # fmt: skip


def _dialect(schema: Any) -> Any:
    """An OpenAPI 3.0 schema in draft 2020-12: nullable, example and boolean exclusive bounds are translated."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        return {}
    result = {key: value for key, value in schema.items() if key in _KEPT}
    if "example" in schema and "examples" not in result:
        result["examples"] = [schema["example"]]
    if schema.get("nullable") is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(flag), bool) and result.pop(flag) and bound in result:
            result[flag] = result.pop(bound)
    if isinstance(result.get("properties"), dict):
        result["properties"] = {key: _dialect(below) for key, below in result["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in result:
            result[key] = _dialect(result[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(result.get(key), list):
            result[key] = [_dialect(below) for below in result[key]]
    return result


def _example_object(schema: dict[str, Any]) -> Any:
    """The example of an object schema from its properties' examples; None unless all required ones have one."""
    found = example_of(schema)
    if isinstance(found, dict) or (schema.get("type") or "object") != "object":
        return found
    result = {}
    for name, below in (schema.get("properties") or {}).items():
        if not isinstance(below, dict):
            continue
        value = example_of(below)
        if value is None and below.get("enum"):
            value = below["enum"][0]
        if value is None and below.get("properties"):
            value = _example_object(below)
        if value is not None:
            result[name] = value
    return result if set(schema.get("required", ())) <= set(result) else None


def import_mcp(path: str) -> Iterator[Api | str]:
    """The tools of a saved MCP `tools/list` result as APIs; a string says why a tool was left out.

    Raises:
        UserError: the file holds no `tools` list.
    """
    tree = read_spec(path)
    tree = tree.get("result", tree) if isinstance(tree, dict) else tree
    tools = tree.get("tools") if isinstance(tree, dict) else None
    if not isinstance(tools, list):
        raise UserError(f"{path}: not an MCP tools/list result (no `tools` list); see sources.mcp")
    document = digest(json.dumps(tree, sort_keys=True))
    for index, tool in enumerate(tools):
        try:
            parameters = dict(tool["inputSchema"])
            parameters.setdefault("type", "object")
            returns = dict(tool.get("outputSchema") or {"type": "string", "description": "Text"})
            yield Api(
                name=re.sub(r"[^a-zA-Z0-9_-]+", "_", tool["name"])[:64],
                description=str(tool.get("description") or tool.get("title") or ""),
                parameters=_dialect(parameters),
                returns=_dialect(returns),
                side_effects=not (tool.get("annotations") or {}).get("readOnlyHint", False),
                domain=(Path(path).name.split(".")[0].capitalize(),),
                lineage=Lineage(documents=(document,), source="mcp"),
                example_arguments=_example_object(parameters),
                example_return=_example_object(returns),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield f"tool {index}: {error!r}"
