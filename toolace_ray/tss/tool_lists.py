"""Lists of tools as clients send them to models: OpenAI's, Anthropic's and Gemini's forms, told apart entry by entry.

Invariants: an entry is a tool or a reason; one that says word for word what an entry before it said is neither, since clients
send the same list with every request. What is translated or not carried is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from toolace_ray.errors import UserError
from toolace_ray.records.json import LimitExceeded, canonical_json, digest
from toolace_ray.schemas.dialects import object_schema, standard_schema
from toolace_ray.schemas.validate import schema_depth
from toolace_ray.tss.references import SpecError
from toolace_ray.tss.spec_files import MAX_SPEC_DEPTH, load_spec_json, read_spec, spec_text
from toolace_ray.tss.told import Told, kind_of_value
from toolace_ray.tss.unread_tool import Tool, UnreadTool

MAX_WRAPPED = 8  # lists in lists
_DECLARED = ("functionDeclarations", "function_declarations")
_WRAPPERS = ("tools", "functions", *_DECLARED)
_INPUTS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")
_OUTPUTS = ("outputSchema", "output_schema", "returns", "response", "responseJsonSchema", "response_json_schema")
_READ = {"name", "title", "description", "annotations", "type"}
_GEMINI_OWN = {
    "googlesearch", "googlesearchretrieval", "codeexecution", "urlcontext", "googlemaps", "retrieval", "computeruse",
    "enterprisewebsearch", "filesearch", "mcpservers",
}  # fmt: skip
"""Tools that Gemini runs itself: the keys that stand for them, in small letters without underscores."""
_RUN_BY_PROVIDER = "a built-in tool that its provider runs; it doesn't say what it takes"


class _Stray(str):
    """Why an entry is no tool in any form."""


def read(path: str) -> tuple[str, Iterator[UnreadTool | str]]:
    """A JSON or JSONL file's digest and its tools; a string says why an entry was left out.

    Raises:
        UserError: the file is not readable, or nothing in it is a tool.
    """
    reader = _Reader(Path(path).name.split(".")[0].capitalize())
    items: list[UnreadTool | str] = []
    if path.lower().endswith(".jsonl"):
        text = spec_text(path)
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                items += _line(reader, line, number)
    else:
        tree = read_spec(path)
        text = json.dumps(tree, sort_keys=True)
        items += reader.entries(tree)
    strays = [item for item in items if isinstance(item, _Stray)]
    if len(strays) == len(items):
        first = f" ({strays[0][:200]})" if strays else ""
        raise UserError(f"{path}: no list of tools in OpenAI's, Anthropic's or Gemini's form{first}; see sources.tools")
    return digest(text), iter(items)


def _line(reader: _Reader, line: str, number: int) -> Iterator[UnreadTool | str]:
    try:
        tree = load_spec_json(line)
    except (LimitExceeded, ValueError, RecursionError) as error:
        yield _Stray(f"line {number}: not readable JSON ({' '.join(str(error).split())[:200]})")
        return
    if schema_depth(tree, MAX_SPEC_DEPTH) > MAX_SPEC_DEPTH:
        yield _Stray(f"line {number}: nested deeper than {MAX_SPEC_DEPTH}")
        return
    yield from reader.entries(tree, f"line {number}, ")


class _Reader:
    """Numbers the entries of one file, and drops what it has met.

    Args:
        domain: the file's name, of which the tools' domain is made.
    """

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._count = 0
        self._met: set[str] = set()

    def entries(
        self, value: Any, line: str = "", space: str = "", declared: bool = False, depth: int = 0
    ) -> Iterator[UnreadTool | str]:
        """The tools of a value: of a list, of what is wrapped around one, or itself.

        Args:
            line: where in the file it stands.
            space: the namespace that it stands in.
            declared: it stands in Gemini's declarations.
        """
        if depth > MAX_WRAPPED:
            yield _Stray(f"{line}lists stand in lists, more than {MAX_WRAPPED} deep")
        elif isinstance(value, list):
            for item in value:
                yield from self.entries(item, line, space, declared, depth + 1)
        elif isinstance(value, dict) and _wraps(value):
            below = str(value["name"])[:60] if value.get("type") == "namespace" and value.get("name") else space
            for key in _WRAPPERS:
                if isinstance(value.get(key), list):
                    yield from self.entries(value[key], line, below, key in _DECLARED, depth + 1)
            for key in filter(_gemini_own, value):
                yield f"{self._label(line, key)}: {_RUN_BY_PROVIDER}"
        else:
            yield from self._entry(value, line, space, declared)

    def _label(self, line: str, name: Any = None) -> str:
        label = f"{line}tool {self._count}" + (f" ({name[:80]!r})" if isinstance(name, str) and name else "")
        self._count += 1
        return label

    def _entry(self, value: Any, line: str, space: str, declared: bool) -> Iterator[UnreadTool | str]:
        if not isinstance(value, dict):
            yield _Stray(f"{self._label(line)}: {kind_of_value(value)} in place of a tool")
            return
        key = digest(space, canonical_json(value))
        if key in self._met:
            return
        self._met.add(key)
        function = value["function"] if isinstance(value.get("function"), dict) else value
        kind, name = value.get("type"), function.get("name")
        inputs = next((word for word in _INPUTS if function.get(word) is not None), None)
        own = [word for word in value if _gemini_own(word)]
        if own and not name and inputs is None:
            for word in own:
                yield f"{self._label(line, word)}: {_RUN_BY_PROVIDER}"
            return
        wrapped = function is not value or kind == "function"
        label = self._label(line, name or kind)
        if kind == "custom" and inputs is None and not wrapped:
            yield f"{label}: a custom tool, which takes a text and no arguments"
        elif isinstance(kind, str) and inputs is None and not wrapped:
            yield f"{label}: {_RUN_BY_PROVIDER} (its type is {kind[:80]!r})"
        elif not isinstance(name, str) or not name:
            known = wrapped or inputs is not None
            keys = ", ".join(list(value)[:6])[:200] or "none"
            yield f"{label}: it has no name" if known else _Stray(f"{label}: no tool in any form (its keys: {keys})")
        elif inputs is None and not (wrapped or declared):
            yield _Stray(f"{label}: it has neither parameters nor input_schema, so what it takes is not known")
        else:
            domain = (self._domain, space) if space else (self._domain,)
            operation = f"{space}.{name}" if space else name
            yield UnreadTool(label, operation, domain, partial(_tool, value, function, inputs))


def _wraps(value: dict[str, Any]) -> bool:
    """True for an object around a list of tools: a request, Gemini's declarations, a namespace."""
    lists = any(isinstance(value.get(key), list) for key in _WRAPPERS)
    return lists and (value.get("type") == "namespace" or not ("name" in value or "function" in value))


def _gemini_own(key: str) -> bool:
    return key.replace("_", "").lower() in _GEMINI_OWN


def _tool(value: dict[str, Any], function: dict[str, Any], inputs: str | None, told: Told) -> Tool:
    """See UnreadTool.read."""
    words: dict[str, Any] = {"name": function["name"]}
    for word in ("description", "title"):
        text = function.get(word)
        if text is not None and not isinstance(text, str):
            raise SpecError(f"its {word} is {kind_of_value(text)}, no text")
        words[word] = text or ""
    if isinstance(function.get("annotations"), dict):
        words["annotations"] = function["annotations"]
    if inputs is None:
        told.add("no parameters are given: it takes none")
        words["inputSchema"] = {"type": "object", "properties": {}}
    else:
        words["inputSchema"] = _translated(function[inputs], inputs, told)
    output = next((word for word in _OUTPUTS if function.get(word) is not None), None)
    if output is not None and isinstance(function[output], dict):
        words["outputSchema"] = _translated(function[output], output, told)
    elif output is not None:
        told.add(f"the answer is given as text: its {output} is {kind_of_value(function[output])}, no schema")
    if isinstance(value.get("type"), str) and value["type"] not in ("function", "custom"):
        told.add("of the tool, not carried", f"type {value['type'][:60]!r}")
    for part in (value, function) if function is not value else (value,):
        for key, item in part.items():
            if item is not None and key not in _READ and key not in (inputs, output) and item is not function:
                told.add("of the tool, not carried", key[:60])
    return Tool(words)


def _translated(schema: Any, key: str, told: Told) -> Any:
    """A schema in JSON Schema's words; what was changed is told."""
    if not isinstance(schema, dict):
        raise SpecError(f"its {key} is {kind_of_value(schema)}, no schema")
    changed: set[str] = set()
    result = standard_schema(object_schema(schema, changed) if key in _INPUTS else schema, changed)
    for text in sorted(changed):
        told.add(f"translated, in its {key}", text[:120])
    return result
