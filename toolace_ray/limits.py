"""Reading hostile JSON: size and depth are checked before a parser sees the text."""

from __future__ import annotations

import json
import re
from typing import Any

from toolace_ray.schema import MAX_DEPTH, check_json

MAX_CHARS = 1 << 18  # a quarter of a million characters: far above any call, far below what hurts
_OPEN = "[{("
_BRACKET = re.compile(r"[\[\](){}]")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class LimitExceeded(ValueError):
    """The text is larger or deeper than we parse."""


def check_text(text: str, *, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> None:
    """Raise LimitExceeded for a text that is too long or whose brackets, outside double quotes, nest too deep."""
    if len(text) > max_chars:
        raise LimitExceeded(f"{len(text)} characters, the limit is {max_chars}")
    if sum(text.count(bracket) for bracket in _OPEN) <= max_depth:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        if bracket in _OPEN:
            depth += 1
            if depth > max_depth:
                raise LimitExceeded(f"brackets nest deeper than {max_depth}")
        else:
            depth -= 1


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object repeats a key")
    return result


DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
_ROW = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
# What check_json looks for in text that was JSON: escapes of surrogates, integers beyond all use. Most texts have neither.
_SUSPECT = re.compile(r"\\u[dD][89a-fA-F]|\d{150}")


def load_json(text: str, *, max_chars: int = MAX_CHARS, unique: bool = True) -> Any:
    """Parse one JSON document strictly: no NaN, no lone surrogates, within the limits, and with `unique` no repeated keys.

    Raises ValueError.
    """
    check_text(text, max_chars=max_chars)
    value = (DECODER if unique else _ROW).decode(text)
    return check_json(value) if _SUSPECT.search(text) or not text.isascii() else value
