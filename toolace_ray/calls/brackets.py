"""Reading `[f(a=1, b="x"), g()]`: what the pythonic and the ToolACE syntax share.

Python's own parser reads the values (as literals, nothing is evaluated); names and argument names are read here, since
safe API names such as `get-weather` and arguments such as `from` are no Python.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from toolace_ray.calls.result import CallSyntaxError, make_call, skip_space
from toolace_ray.records.dialog import ToolCall

_OPEN, _CLOSE = "([{", ")]}"
ReadValue = Callable[[str], Any]


def literal(value: Any) -> str:
    """A JSON value as a Python literal; strings in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return repr(value)


def python_value(source: str) -> Any:
    """A Python literal of JSON's types (a tuple counts as a list). Raises ValueError."""
    try:
        return _json_types(ast.literal_eval(source.strip()))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{source[:60]!r} is no literal") from error


def _json_types(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(
            isinstance(key, str) for key in value
        ):  # keys given twice are one by now: Python's parser keeps the last
            raise ValueError("an object key is no string")
        return {key: _json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_types(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{type(value).__name__} is not a JSON type")


def read_calls(
    text: str, name_pattern: re.Pattern[str], read_value: ReadValue, *, lines: bool = False
) -> Iterator[ToolCall]:
    """The calls of a bracketed list that spans the whole text; with `lines` each may stand on a line of its own, without a comma."""
    offset = skip_space(text, skip_space(text, 0) + 1)
    if text[offset : offset + 1] == "]":
        raise CallSyntaxError("an empty list of calls", offset)
    while True:
        match = name_pattern.match(text, offset)
        if match is None:
            raise CallSyntaxError("no call like name(...) here", offset)
        arguments: dict[str, Any] = {}
        start = offset
        offset = match.end()
        while (offset := skip_space(text, offset)) < len(text) and text[offset] != ")":
            for key, item in _argument(text, offset, end := _end_of_value(text, offset), read_value):
                if key in arguments:
                    raise CallSyntaxError(f"argument {key!r} is given twice", offset)
                arguments[key] = item
            offset = end + (text[end : end + 1] == ",")
        if text[offset : offset + 1] != ")":
            raise CallSyntaxError("the call is not closed", start)
        yield make_call(match.group(1), arguments, start)
        closed, offset = offset, skip_space(text, offset + 1)
        if text[offset : offset + 1] == ",":
            offset = skip_space(text, offset + 1)
        elif text[offset : offset + 1] == "]":
            break
        elif not lines or "\n" not in text[closed:offset]:
            raise CallSyntaxError("calls are separated by commas and closed by ]", offset)
    if text[offset + 1 :].strip():
        raise CallSyntaxError("text after the list of calls", offset + 1)


def _end_of_value(text: str, offset: int) -> int:
    """The index of the comma or closing parenthesis that ends the argument at `offset`."""
    depth, quote, start = 0, "", offset
    while offset < len(text):
        character = text[offset]
        if quote:
            if character == "\\":
                offset += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE and depth:
            depth -= 1
        elif (character == "," or character in _CLOSE) and not depth:
            return offset
        offset += 1
    raise CallSyntaxError("the argument does not end", start)


def _argument(text: str, start: int, end: int, read_value: ReadValue) -> Iterator[tuple[str, Any]]:
    source = text[start:end]
    try:
        if source.startswith("**"):
            unpacked = read_value(source[2:])
            if not isinstance(unpacked, dict):
                raise ValueError("** needs an object")
            yield from unpacked.items()
            return
        key, equals, rest = source.partition("=")
        key = key.strip()
        if not equals or not key or any(character in "\"'()[]{}" or character.isspace() for character in key):
            raise ValueError("an argument needs a name: name=value")
        yield key, read_value(rest)
    except ValueError as error:
        raise CallSyntaxError(str(error), start) from error
