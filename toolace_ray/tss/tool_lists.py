"""Lists of tools as clients send them to models: OpenAI's, Anthropic's and Gemini's forms, told apart entry by entry.

Invariants: an entry is a tool or a reason; one that says word for word what an entry before it said is neither, since clients
send the same list with every request. What is translated or not carried is told.
"""

from __future__ import annotations

import json
import re
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
_REQUESTS = ("body", "params", "request")
"""Where a line of a batch holds a request: OpenAI's, Anthropic's and Gemini's."""
INPUTS = ("inputSchema", "parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema")
_OUTPUTS = ("outputSchema", "output_schema", "returns", "response", "responseJsonSchema", "response_json_schema")
_READ = {"name", "title", "description", "annotations", "type"}
_GEMINI_OWN = {
    "googlesearch", "googlesearchretrieval", "codeexecution", "urlcontext", "googlemaps", "retrieval", "computeruse",
    "enterprisewebsearch", "filesearch", "mcpservers",
}  # fmt: skip
"""Tools that Gemini runs itself: the keys that stand for them, in small letters without underscores."""
_BUILT_IN = re.compile(
    r"(web_search|web_fetch|file_search|code_interpreter|code_execution|computer(_use)?|image_generation|mcp(_toolset)?|bash"
    r"|(local_)?shell|apply_patch|text_editor|memory|retrieval|browser_search|tool_search\w*|advisor)(_preview)?(_?[\d_]{6,})?"
)
"""The types of tools that OpenAI and Anthropic run themselves, also with a date."""
_FUNCTIONS = {"description", "properties", "required", "annotations"}
"""Keys that a function may have and a tool that its provider runs has not."""
_RUN_BY_PROVIDER = "a built-in tool that its provider runs; it doesn't say what it takes"


class _Stray(str):
    """Why an entry is no tool in any form."""


def read(path: str) -> tuple[str, Iterator[UnreadTool | str]]:
    """A JSON or JSONL file's digest and its tools; a string says why an entry was left out.

    Raises:
        UserError: the file is not readable, or nothing in it is a tool.
    """
    reader = _Reader(domain_of(path))
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


def domain_of(path: str) -> str:
    """The domain of a file's tools: its name up to the first point; that of a hidden file begins behind one."""
    return Path(path).name.lstrip(".").split(".")[0].capitalize() or "Tools"


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
        self, value: Any, line: str = "", space: str = "", within: str = "", depth: int = 0
    ) -> Iterator[UnreadTool | str]:
        """The tools of a value: of a list, of what is wrapped around one, or itself.

        Args:
            line: where in the file it stands.
            space: the namespace that it stands in.
            within: the key of the list that it stands in.
        """
        if depth > MAX_WRAPPED:
            yield _Stray(f"{line}lists stand in lists, more than {MAX_WRAPPED} deep")
        elif isinstance(value, list):
            for item in value:
                yield from self.entries(item, line, space, within, depth + 1)
        elif isinstance(value, dict) and _wraps(value):
            below = str(value["name"])[:60] if value.get("type") == "namespace" and value.get("name") else space
            for key in _WRAPPERS:
                if isinstance(value.get(key), list):
                    yield from self.entries(value[key], line, below, key, depth + 1)
            for key in filter(_gemini_own, value):
                yield f"{self._label(line, key)}: {_RUN_BY_PROVIDER}"
        elif isinstance(value, dict) and (request := _request(value)) is not None:
            yield from self.entries(request, line, space, within, depth + 1)
        else:
            yield from self._entry(value, line, space, within)

    def _label(self, line: str, name: Any = None) -> str:
        label = f"{line}tool {self._count}" + (f" ({name[:80]!r})" if isinstance(name, str) and name else "")
        self._count += 1
        return label

    def _entry(self, value: Any, line: str, space: str, within: str) -> Iterator[UnreadTool | str]:
        if not isinstance(value, dict):
            yield _Stray(f"{self._label(line)}: {kind_of_value(value)} in place of a tool")
            return
        key = digest(space, canonical_json(value))
        if key in self._met:
            return
        self._met.add(key)
        words = whole(value)
        kind, name = value.get("type"), words.get("name")
        inputs = next((word for word in INPUTS if words.get(word) is not None), None)
        own = [word for word in value if _gemini_own(word)]
        if own and not name and inputs is None:
            for word in own:
                yield f"{self._label(line, word)}: {_RUN_BY_PROVIDER}"
            return
        wrapped = isinstance(value.get("function"), dict) or kind == "function"
        label = self._label(line, name or kind)
        if kind == "custom" and inputs is None and not wrapped:
            yield f"{label}: a custom tool, which takes a text and no arguments"
        elif inputs is None and not wrapped and _built_in(value, within):
            yield f"{label}: {_RUN_BY_PROVIDER} (its type is {value['type'][:80]!r})"
        elif not isinstance(name, str) or not name:
            known = wrapped or inputs is not None
            keys = ", ".join(list(value)[:6])[:200] or "none"
            yield f"{label}: it has no name" if known else _Stray(f"{label}: no tool in any form (its keys: {keys})")
        elif inputs is None and not (wrapped or within in _DECLARED):
            yield _Stray(f"{label}: it has neither parameters nor input_schema, so what it takes is not known")
        else:
            domain = (self._domain, space) if space else (self._domain,)
            operation = f"{space}.{name}" if space else name
            yield UnreadTool(label, operation, domain, partial(read_tool, value))


def _wraps(value: dict[str, Any]) -> bool:
    """True for an object around a list of tools: a request, an assistant, Gemini's declarations, a namespace."""
    lists = any(isinstance(value.get(key), list) for key in _WRAPPERS)
    return lists and (value.get("type") == "namespace" or value.keys().isdisjoint(("function", *INPUTS)))


def _request(value: dict[str, Any]) -> dict[str, Any] | None:
    """The request of a line of a batch; None where the value is no such line."""
    if not value.keys().isdisjoint(("function", *INPUTS)):
        return None
    found = (value.get(key) for key in _REQUESTS)
    return next((part for part in found if isinstance(part, dict) and _wraps(part)), None)


def _gemini_own(key: str) -> bool:
    return key.replace("_", "").lower() in _GEMINI_OWN


def _built_in(value: dict[str, Any], within: str) -> bool:
    """True for a tool that its provider runs: a known one, or what stands among tools and has nothing of a function."""
    kind = value.get("type")
    if not isinstance(kind, str) or kind == "object":
        return False
    return _BUILT_IN.fullmatch(kind) is not None or (within == "tools" and value.keys().isdisjoint(_FUNCTIONS))


def whole(value: dict[str, Any]) -> dict[str, Any]:
    """A tool's words: those of its `function`, and those beside it that the function does not say."""
    function = value.get("function")
    if not isinstance(function, dict):
        return value
    own = {key: item for key, item in function.items() if item is not None}
    beside = {key: item for key, item in value.items() if key not in ("function", "type")}
    if not own.keys().isdisjoint(INPUTS):
        beside = {key: item for key, item in beside.items() if key not in INPUTS}
    return {**function, **beside, **own}


def read_tool(value: dict[str, Any], told: Told) -> Tool:
    """A tool of any form that has a name, in MCP's words; what is translated or not carried is told.

    Raises:
        SpecError: a part of it is of another kind than all forms ask for.
    """
    tool = whole(value)
    words: dict[str, Any] = {"name": tool["name"]}
    for word in ("description", "title"):
        text = tool.get(word)
        if text is not None and not isinstance(text, str):
            raise SpecError(f"its {word} is {kind_of_value(text)}, no text")
        words[word] = text or ""
    words["annotations"] = _annotations(tool.get("annotations"), told)
    inputs = next((word for word in INPUTS if tool.get(word) is not None), None)
    if inputs is None:
        told.add("no parameters are given: it takes none")
        words["inputSchema"] = {"type": "object", "properties": {}}
    else:
        words["inputSchema"] = _translated(tool[inputs], inputs, told)
    output = next((word for word in _OUTPUTS if tool.get(word) is not None), None)
    if output is not None and isinstance(tool[output], dict):
        words["outputSchema"] = _translated(tool[output], output, told)
    elif output is not None:
        told.add(f"the answer is given as text: its {output} is {kind_of_value(tool[output])}, no schema")
    if isinstance(value.get("type"), str) and value["type"] not in ("function", "custom"):
        told.add("of the tool, not carried", f"type {value['type'][:60]!r}")
    for key, item in value.items():
        if tool is not value and key not in ("function", "type") and item is not None and tool.get(key) != item:
            told.add("beside its function, not carried", key[:60])
    for key, item in tool.items():
        if item is not None and key not in _READ and key not in (inputs, output):
            told.add("of the tool, not carried", key[:60])
    return Tool(words)


def _annotations(hints: Any, told: Told) -> dict[str, Any]:
    """What an API carries of a tool's annotations."""
    if hints is None:
        return {}
    if not isinstance(hints, dict):
        told.add("of the tool, not carried", "annotations")
        return {}
    kinds = {"title": str, "readOnlyHint": bool}
    carried = {key: item for key, item in hints.items() if key in kinds and isinstance(item, kinds[key])}
    for key, item in hints.items():
        if item is not None and key not in carried:
            told.add("of the tool, not carried", f"annotations.{key[:60]}")
    return carried


def _translated(schema: Any, key: str, told: Told) -> Any:
    """A schema in JSON Schema's words; what was changed is told."""
    if not isinstance(schema, dict):
        raise SpecError(f"its {key} is {kind_of_value(schema)}, no schema")
    schema = {
        word: item for word, item in schema.items() if word != "$schema"
    }  # what older drafts write otherwise is told
    changed: set[str] = set()
    result = standard_schema(object_schema(schema, changed) if key in INPUTS else schema, changed)
    for text in sorted(changed):
        told.add(f"translated, in its {key}", text[:120])
    return result
