"""Tools that stand in a system prompt, in the layouts of chat templates and published sets."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from toolace_ray.corpus.formats.reading import MAX_CHARS, RowReader, Unreadable
from toolace_ray.records.json import LimitExceeded, check_json, check_text

_TRIES = 300  # places at which tools may begin in a system prompt
_BLOCK = re.compile(r"<tools>((?:(?!<tools>).)*?)</tools>", re.DOTALL | re.IGNORECASE)
_BEGIN = re.compile(r"\[\s*\{|\{")
_BETWEEN = re.compile(r"[\s,;]*")
_PARAMETERS = ("parameters", "input_schema", "inputSchema", "arguments")
_DECODER = json.JSONDecoder()


def take_tools(reader: RowReader, text: str, tools: Any) -> tuple[Any, str]:
    """The tools, from the row or else from the system prompt, and the prompt without them.

    The prompt's are objects or lists of them between tags (Hermes', Qwen's), or free in the text, one after another (ToolACE's,
    Llama's, GLM's, Glaive's). Raises Unreadable for tags whose content is no tools.
    """
    none_given = (
        tools is None or (isinstance(tools, str) and tools.strip() in ("", "[]", "{}", "null")) or tools in ([], {})
    )
    blocks = [match for match in _BLOCK.finditer(text) if match[1].strip()]
    found: list[Any] = []
    spans: list[tuple[int, int]] = []
    for match in blocks:
        if match[1].lstrip()[:1] not in ("{", "["):
            continue  # a sentence that names the tags
        values = _values(reader, match[1].strip()) if none_given else []
        found += [item for value in values for item in (value if isinstance(value, list) else [value])]
        spans.append(match.span())
    if not spans:
        found, spans = _free(text)
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return (found if none_given and found else tools), text.strip()


def _values(reader: RowReader, inside: str) -> list[Any]:
    """JSON values one after another, with spaces or commas between them; or one written by Python."""
    values, at = [], 0
    try:
        check_text(inside, max_chars=MAX_CHARS)
        while at < len(inside):
            value, at = _DECODER.raw_decode(inside, at)
            values.append(value)
            at = _BETWEEN.match(inside, at).end()  # type: ignore[union-attr]  # it always matches
        return values
    except (ValueError, RecursionError) as error:
        if isinstance(error, LimitExceeded) or "'" not in inside:
            raise Unreadable(f"the tools of the system prompt are no JSON: {str(error)[:120]}") from error
    try:
        value = check_json(ast.literal_eval(inside))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Unreadable(f"the tools of the system prompt are no JSON: {str(error)[:120]}") from error
    reader.note("schema_dialect", "the tools of the system prompt are written as Python, not JSON")
    return [value]


def _free(text: str) -> tuple[list[Any], list[tuple[int, int]]]:
    """Tools that stand free in a text, and where: a list of them, or objects."""
    found: list[Any] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for _ in range(_TRIES):
        begin = _BEGIN.search(text, at)
        if begin is None:
            break
        try:
            value, end = _DECODER.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            at = begin.start() + 1
            continue
        items = value if isinstance(value, list) else [value]
        if items and all(_is_tool(item) for item in items):
            found += items
            spans.append((begin.start(), end))
        at = end
    return found, spans


def _is_tool(item: Any) -> bool:
    """True for an object that defines a function; one that calls it has values where the definition has schemas."""
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return False
    given = [function[key] for key in _PARAMETERS if key in function]
    if not given:
        return isinstance(function.get("description"), str) and function is not item
    return all(
        schema is None
        or (
            isinstance(schema, dict)
            and ("properties" in schema or all(isinstance(part, dict) for part in schema.values()))
        )
        for schema in given
    )
