"""The syntax of the published ToolACE data: `[func1(a=1, b="x"), func2(c=2)]`.

It differs from the pythonic one in what it lets pass: names with spaces, any argument name without quotes or brackets,
and JSON's true, false and null as values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from toolace_ray.calls import brackets
from toolace_ray.calls.result import Parsed, ParseFailure, guarded
from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.json import load_json

_NAME = re.compile(r"([^\s\[\](){}\"'=,][^\[\](){}\"'=,\n]{0,128}?)\s{0,8}\(")
_STARTS = re.compile(r"\s*\[\s*(?:[^\s\[\](){}\"'=,][^\[\](){}\"'=,\n]{0,136}\(|\])")
_KEYWORD = re.compile(r"[^\s\[\](){}\"'=,*][^\s\[\](){}\"'=,]*")


def render(calls: Sequence[ToolCall]) -> str:
    """The list; argument names that the syntax can't carry go through `**{...}`."""
    return f"[{', '.join(map(_render_call, calls))}]" if calls else ""


def _render_call(call: ToolCall) -> str:
    keywords = [f"{k}={brackets.literal(v)}" for k, v in call.arguments.items() if _KEYWORD.fullmatch(k)]
    unpacked = {k: v for k, v in call.arguments.items() if not _KEYWORD.fullmatch(k)}
    return f"{call.name}({', '.join([*keywords, f'**{brackets.literal(unpacked)}'] if unpacked else keywords)})"


def parse(text: str) -> Parsed | ParseFailure:
    """Read the list; a text that does not begin like a list of calls is prose."""
    if not _STARTS.match(text):
        return Parsed((), text.strip())
    return guarded(text, brackets.read_calls(text, _NAME, _read_value))


def parse_lines(text: str) -> Parsed | ParseFailure:
    """Read calls that stand a line each without the brackets, as Olmo's sets have them; nothing else may stand there."""
    listed = f"[{text}]"
    return guarded(listed, brackets.read_calls(listed, _NAME, _read_value, lines=True))


def _read_value(source: str) -> Any:
    try:
        return brackets.python_value(source)
    except ValueError:
        return load_json(source.strip())
