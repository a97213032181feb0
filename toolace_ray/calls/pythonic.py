"""BFCL's and Llama 4's syntax: a Python list of keyword calls, `[f(a=1, b="x"), g(c=True)]`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from toolace_ray.calls import brackets
from toolace_ray.calls.result import Parsed, ParseFailure, guarded
from toolace_ray.records.dialog import ToolCall

_NAME = re.compile(r"([A-Za-z0-9_.\-]+)\s*\(")
_STARTS = re.compile(r"\s*\[\s*(?:[A-Za-z0-9_.\-]+\s*\(|\])")


def render(calls: Sequence[ToolCall]) -> str:
    """The list; argument names that are no Python identifiers go through `**{...}`."""
    return f"[{', '.join(map(_render_call, calls))}]" if calls else ""


def _render_call(call: ToolCall) -> str:
    keywords = [
        f"{k}={brackets.literal(v)}" for k, v in call.arguments.items() if k.isidentifier() and not keyword.iskeyword(k)
    ]
    unpacked = {k: v for k, v in call.arguments.items() if not k.isidentifier() or keyword.iskeyword(k)}
    return f"{call.name}({', '.join([*keywords, f'**{brackets.literal(unpacked)}'] if unpacked else keywords)})"


def parse(text: str) -> Parsed | ParseFailure:
    """Read the list; a text that does not begin like a list of calls is prose."""
    if not _STARTS.match(text):
        return Parsed((), text.strip())
    return guarded(text, brackets.read_calls(text, _NAME, brackets.python_value))
