"""Argument values with their provenance, and what the names of their parameters say. What the rules on values share."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, cast

from toolace_ray.dlv.view import View
from toolace_ray.records.dialog import Provenance, ToolCall
from toolace_ray.schemas.walk import Path, leaves, pointer, schema_at
from toolace_ray.text.dates import day

_WORDS = re.compile(r"[^\W_]+")


class Leaf(NamedTuple):
    """An argument value with its call, its place and its provenance."""

    turn: int
    call: ToolCall
    path: Path
    value: Any
    origin: Provenance

    @property
    def name(self) -> str:
        """The parameter's name (the innermost)."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")

    def __str__(self) -> str:
        return f"{self.call.name}{pointer(self.path)} = {json.dumps(self.value, ensure_ascii=False)[:120]}"


def argument_leaves(view: View) -> list[Leaf]:
    """The argument values of all calls."""
    return cast(list[Leaf], view.once("origins", _all_leaves))


def _all_leaves(view: View) -> list[Leaf]:
    values = [(turn, call, path, value) for turn, call in view.calls for path, value in leaves(call.arguments)]
    return [Leaf(*item, origin) for item, origin in zip(values, view.provenance, strict=True)]


def schema_of(view: View, leaf: Leaf) -> dict[str, Any]:
    """The schema of the value's place; {} where there is none."""
    api = view.apis.get(leaf.call.name)
    return schema_at(api.parameters, leaf.path) if api else {}


def is_date(leaf: Leaf) -> bool:
    """True for an ISO date."""
    return isinstance(leaf.value, str) and day(leaf.value) is not None


def name_parts(name: str) -> list[str]:
    """The words of a parameter's name in lower case; "check_in" is one."""
    return re.split(
        r"[_\W]+",
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
        .lower()
        .replace("check_in", "checkin")
        .replace("check_out", "checkout"),
    )


def has_word(pattern: re.Pattern[str], *names: str, text: str = "") -> bool:
    """True where a word of a name, or of a text, is one of the pattern's as a whole: "start_slot" has no "star"."""
    words = [word for name in names for word in name_parts(name)] + _WORDS.findall(text.lower())
    return any(map(pattern.fullmatch, words))


# Words of names and requests that tell the first of two ends from the second.
FIRST = {"from", "origin", "start", "source", "departure", "sender", "begin", "checkin", "in", "min", "minimum", "low", "lowest", "depart",
          "base", "after", "since", "leaving"}  # fmt: skip
SECOND = {"to", "destination", "end", "target", "arrival", "recipient", "receiver", "until", "checkout", "out", "max", "maximum",
           "high", "highest", "return", "before", "till", "quote", "arriving"}  # fmt: skip
BEFORE_FIRST = {"from", "out", "leaving", "departing", "starting", "between", "since", "beginning", "least"}
BEFORE_SECOND = {"to", "back", "returning", "return", "until", "till", "towards", "toward", "arriving", "into", "through", "ending", "most"}  # fmt: skip


def wanted_side(leaf: Leaf) -> str:
    """ "first" for an origin, a start, a minimum; "second" for their counterparts; "" for what is neither."""
    for word in name_parts(leaf.name):
        if word in FIRST:
            return "first"
        if word in SECOND:
            return "second"
    return ""
