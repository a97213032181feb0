"""JSON Schema draft 2020-12 on hostile schemas: no network, patterns in linear time, limits before compilation."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

from toolace_ray.records.json import MAX_DEPTH, canonical_json

MAX_SCHEMA_CHARS = 1 << 16
_MOST_COMPILED = 4096  # compiled schemas kept, some kilobytes each
_BY_KEY: dict[str, Any] = {}


class SchemaError(ValueError):
    """The schema is no schema, is too large, or uses a reference or pattern we don't follow."""


def schema_depth(value: Any, limit: int = MAX_DEPTH) -> int:
    """Nesting depth of a JSON value, without recursion; stops counting above `limit`."""
    depth, level = 0, [value]
    while level and depth <= limit:
        depth += 1
        containers = [
            item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        ]
        level = [below for items in containers for below in items]
    return depth


def check_schema(schema: Any, *, key: str | None = None) -> None:
    """Raise SchemaError unless `schema` is a JSON Schema (2020-12) that we can apply. `key`: see errors."""
    if schema_depth(schema) > MAX_DEPTH:
        raise SchemaError(f"the schema nests deeper than {MAX_DEPTH}")
    _validator_for(schema, key)


def errors(schema: Any, value: Any, limit: int = 5, *, key: str | None = None) -> list[str]:
    """Up to `limit` violations of `value` under `schema`, each with its place; empty when valid.

    Args:
        key: a name for the schema (such as an API's content hash) under which its compiled form is kept; equal keys
            must mean equal schemas. Without one the schema's text is the key.

    Raises:
        SchemaError: see check_schema.
    """
    violations = []
    for error in _validator_for(schema, key).iter_errors(value):
        where = "/".join(map(str, error.instance_path)) or "the value"
        violations.append(f"{where}: {error.message[:200]}")
        if len(violations) >= limit:
            break
    return violations


def validates(text: str, schema: Any) -> bool:
    """Whether a text is JSON that validates against a schema; True for a schema that can't be applied."""
    try:
        return not errors(schema, json.loads(text, strict=False), 1)
    except SchemaError:
        return True
    except (ValueError, RecursionError):
        return False


def _validator_for(schema: Any, key: str | None) -> Any:
    if key is None:
        return _compile(canonical_json(schema))
    validator = _BY_KEY.get(key)
    if validator is None:
        validator = _compile(canonical_json(schema))
        if len(_BY_KEY) >= _MOST_COMPILED:
            _BY_KEY.clear()
        _BY_KEY[key] = validator
    return validator


@lru_cache(maxsize=_MOST_COMPILED)
def _compile(text: str) -> Any:
    if len(text) > MAX_SCHEMA_CHARS:
        raise SchemaError(f"the schema has {len(text)} characters, the limit is {MAX_SCHEMA_CHARS}")
    try:
        schema = json.loads(text)
        jsonschema_rs.meta.validate(schema)
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", None) or str(error)
        raise SchemaError(message.splitlines()[0][:300]) from error
