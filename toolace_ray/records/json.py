"""Reading hostile JSON: size and depth are checked before a parser sees the text."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_DEPTH = 64
MAX_BITS = 512  # of an integer; larger ones are no values, and Python refuses to write them out


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value always gives the same text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(*parts: str, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 over the parts; parts can't run into each other."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def check_json(value: Any, depth: int = 0) -> Any:
    """Return `value` if it is plain JSON no deeper than MAX_DEPTH; raise ValueError otherwise."""
    if depth > MAX_DEPTH or (depth == MAX_DEPTH and isinstance(value, dict | list) and value):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"object key {key!r} is no string")
            # Most keys and values are plain strings: a call for each would cost more than what it looks at.
            if not key.isascii():
                check_json(key, depth + 1)
            if type(item) is not str or not item.isascii():
                check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if type(item) is not str or not item.isascii():
                check_json(item, depth + 1)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a string holds a lone surrogate")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits")
    elif value is not None:
        raise ValueError(f"{type(value).__name__} is not a JSON type")
    return value


Json = Annotated[Any, AfterValidator(check_json)]
Text = Annotated[str, AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]
MAX_CHARS = 1 << 18  # a quarter of a million characters: far above any call, far below what hurts
_OPEN = "[{("
_BRACKET = re.compile(r"[\[\](){}]")
# A string, or one that does not end: it is taken whole as well, since each quote within it would begin a search of its own.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|(\\?\Z))', re.DOTALL)


class LimitExceeded(ValueError):
    """The text is larger or deeper than we parse."""


def check_text(text: str, *, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> None:
    """Raise LimitExceeded for a text that is too long or whose brackets, outside double quotes, nest too deep."""
    if len(text) > max_chars:
        raise LimitExceeded(f"{len(text)} characters, the limit is {max_chars}")
    if sum(text.count(bracket) for bracket in _OPEN) <= max_depth:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(lambda match: "" if match[1] is None else match[0], text)):
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


def _integer(text: str) -> int:
    if len(text) > 1000:  # Python itself refuses some thousands of digits, with advice that is for programmers
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"an object repeats the key {twice[:80]!r}")
    return result


DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, parse_int=_integer, object_pairs_hook=_unique
)
_ROW = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
# What check_json looks for in text that was JSON: escapes of surrogates, integers beyond all use. Most texts have neither.
_SUSPECT = re.compile(r"\\u[dD][89a-fA-F]|\d{150}")


def load_json(text: str, *, max_chars: int = MAX_CHARS, unique: bool = True) -> Any:
    """Parse one JSON document strictly: no NaN, no lone surrogates, within the limits, and with `unique` no repeated keys.

    Raises ValueError.
    """
    check_text(text, max_chars=max_chars)
    value = (DECODER if unique else _ROW).decode(text)
    return check_json(value) if _SUSPECT.search(text) or not text.isascii() else value
