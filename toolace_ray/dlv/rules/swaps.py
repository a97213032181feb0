"""Swapped values: two values of one call stand in each other's place. English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from toolace_ray.dlv.arguments import (
    BEFORE_FIRST,
    BEFORE_SECOND,
    Leaf,
    argument_leaves,
    is_date,
    name_parts,
    schema_of,
    wanted_side,
)
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.dialog import ToolCall
from toolace_ray.schemas.walk import leaves
from toolace_ray.text import units
from toolace_ray.text.dates import dates_in, day
from toolace_ray.text.numerals import number_words
from toolace_ray.text.values import bare_words, place

_WORDS = re.compile(r"[^\W_]+")


class _Side(NamedTuple):
    """A value with its place in the request (character indices); `repeats` are the starts of its later places."""

    leaf: Leaf
    start: int
    end: int
    repeats: tuple[int, ...] = ()


@rule("consistency")
def swapped_values(view: View) -> Iterator[Finding]:
    """Two values of one call do not stand in each other's place: "from A to B" is not origin B, destination A."""
    for turn, call in view.calls:
        if len(call.arguments) < 2:
            continue
        yield from ((turn, text) for text in _crossed(call))
        sides = [side for leaf in argument_leaves(view) if leaf.call is call and (side := _side(view, leaf))]
        for i, left in enumerate(sides):
            for right in sides[i + 1 :]:
                if _may_swap(view, left.leaf, right.leaf) and _better_swapped(view, left, right):
                    yield turn, f"{left.leaf} and {right.leaf} are swapped"


def _crossed(call: ToolCall) -> Iterator[str]:
    """Bounds that exclude each other: price_min above price_max."""
    bounds = {path: value for path, value in leaves(call.arguments) if isinstance(value, int | float)}
    for path, low in bounds.items():
        name = str(path[-1])
        other = re.sub(r"min(imum)?", lambda match: "max" + ("imum" if match[1] else ""), name, flags=re.IGNORECASE)
        high = bounds.get((*path[:-1], other))
        if "min" in name.lower() and high is not None and low > high:
            yield f"{call.name}/{name} = {low} is above its maximum {high}"


def _side(view: View, leaf: Leaf) -> _Side | None:
    index = leaf.origin.message
    if index is None or leaf.origin.source not in ("literal", "normalised") or isinstance(leaf.value, bool):
        return None
    text = view.dialog.messages[index].content
    if view.dialog.messages[index].role != "user":
        return None
    written = f"{leaf.value:g}" if isinstance(leaf.value, float) else str(leaf.value)
    start = place(text, written)
    if start < 0:
        start = place(text.lower(), written.lower())
    if start < 0 and isinstance(leaf.value, str) and (date := day(leaf.value)):
        places = [item for item in dates_in(text, view.today) if item.date == date]
        return _Side(leaf, places[0].start, places[0].end) if places else None
    if start < 0 and isinstance(leaf.value, int) and 0 < leaf.value < 20:
        written = number_words(leaf.value) or written
        start = place(text.lower(), written)
    if start < 0 and isinstance(leaf.value, str) and (kind := units.unit(leaf.value)):
        unit_mentions = [item for item in units.mentions(text) if item[0] == kind]
        return _Side(leaf, *unit_mentions[0][1:]) if len(unit_mentions) == 1 else None
    if start < 0:
        return None
    repeats = []
    latest = start
    while (offset := place(text[latest + len(written) :], written)) >= 0:
        latest += len(written) + offset
        repeats.append(latest)
    return _Side(leaf, start, start + len(written), tuple(repeats))


def _may_swap(view: View, left: Leaf, right: Leaf) -> bool:
    if left.origin.message != right.origin.message or left.value == right.value or left.path == right.path:
        return False
    if len(left.path) != len(right.path) or left.name == right.name:
        return False
    if type(left.value) is not type(right.value) and not (
        isinstance(left.value, int | float) and isinstance(right.value, int | float)
    ):
        return False
    if _shape(left.value) != _shape(right.value):
        return False
    choices, others = schema_of(view, left).get("enum"), schema_of(view, right).get("enum")
    return not (choices and right.value not in choices) and not (others and left.value not in others)


def _shape(value: Any) -> str:
    """What kind of text or number a value is: a date and a city are not taken for each other."""
    if not isinstance(value, str):
        return "number"
    return "code" if any(map(str.isdigit, value)) else "words"


def _better_swapped(view: View, left: _Side, right: _Side) -> bool:
    text = view.dialog.messages[left.leaf.origin.message or 0].content
    if left.repeats or right.repeats:
        return _named_otherwise(text, left, right)
    # "from A to B": the words before the two values say which is which.
    first, second = sorted((left, right), key=lambda side: side.start)
    roles = [_role(_leading(text, side, first if side is second else None)) for side in (first, second)]
    if not any(roles) and _ARROW.fullmatch(text[first.end : second.start]):
        roles = ["first", "second"]
    if roles[1] == "second" and _leading(text, second, first) == ["and"]:
        roles[1] = ""
    if (
        roles[0] == "first"
        and "between" in _leading(text, first, None)
        and _leading(text, second, first)[-1:] == ["and"]
    ):
        roles[1] = "second"
    wants = [wanted_side(side.leaf) for side in (first, second)]
    if is_date(first.leaf):
        wants = _travel_days(view, first.leaf, second.leaf) or wants
    if set(wants) == {"first", "second"} and (roles[0] or roles[1]):
        sides = [
            roles[0] or ("second" if roles[1] == "first" else "first"),
            roles[1] or ("second" if roles[0] == "first" else "first"),
        ]
        return sides[0] != sides[1] and sides != wants
    return _named_otherwise(text, left, right)


_ARROW = re.compile(r"\s*(?:→|[-=]+>|>|[-–—]|to|into)\s*")


def _named_otherwise(text: str, left: _Side, right: _Side) -> bool:
    """ "5 adults and 3 children": the words beside a value name its parameter."""
    as_passed = _name_beside(text, left, left.leaf) + _name_beside(text, right, right.leaf)
    as_swapped = _name_beside(text, left, right.leaf) + _name_beside(text, right, left.leaf)
    return as_passed == 0 and as_swapped >= 2


def _travel_days(view: View, first: Leaf, second: Leaf) -> list[str]:
    """Which side two days of arrival and departure are wanted on; [] for other names and for a departure with a return.

    A stay begins with the arrival, a flight with the departure, and no flight takes days.
    """
    arrivals, departures = (
        [leaf for leaf in (first, second) if names & {*name_parts(leaf.name)}] for names in (_ARRIVALS, _DEPARTURES)
    )
    if (not arrivals and not departures) or any("return" in name_parts(leaf.name) for leaf in (first, second)):
        return []
    if arrivals and departures and arrivals[0] is not departures[0]:
        arrival, departure = (day(str(leaf.value)[:10]) for leaf in (arrivals[0], departures[0]))
        if arrival and departure and not 0 <= (arrival - departure).days <= _LONGEST_FLIGHT:
            return ["first", "second"] if arrivals[0] is first else ["second", "first"]
    return _listed(view, first, second)


_ARRIVALS, _DEPARTURES = {"arrival", "arrive"}, {"departure", "depart"}
_LONGEST_FLIGHT = 2  # days, over the date line


def _listed(view: View, first: Leaf, second: Leaf) -> list[str]:
    """Which of two values of one call comes first, going by the order in which the schema lists their parameters."""
    api = view.apis.get(first.call.name)
    names = list(api.properties) if api else []
    if not (first.path[0] in names and second.path[0] in names):
        return ["", ""]
    return (
        ["first", "second"]
        if names.index(str(first.path[0])) < names.index(str(second.path[0]))
        else ["second", "first"]
    )


def _leading(text: str, side: _Side, other: _Side | None) -> list[str]:
    """The words before a value, the last three, no further than the value before."""
    start = other.end if other is not None else 0
    return [word.lower() for word in _WORDS.findall(re.split(r"[.!?;]", text[start : side.start])[-1])[-3:]]


def _role(words: list[str]) -> str:
    for i, word in reversed(list(enumerate(words))):
        if word in ("in", "out") and words[i - 1 : i] in (["check"], ["checking"]):
            return "first" if word == "in" else "second"
        if word in BEFORE_FIRST:
            return "first"
        if word in BEFORE_SECOND and not (word == "to" and words[i + 1 : i + 2] and words[i + 1] not in _NO_VERBS):
            return "second"
    return ""


_NO_VERBS = {"the", "a", "an", "my", "our", "downtown", "central", "city", "about", "around", "beautiful", "sunny"}


_SYNONYMS = {
    "children": "kids children",
    "adults": "grown grownups adults",
    "infants": "babies",
    "seniors": "elderly pensioners",
}


def _name_beside(text: str, side: _Side, leaf: Leaf) -> int:
    """1 where a word of a parameter's name stands right beside a value: the two words before, or the one after a number."""
    parts = [word for word in name_parts(leaf.name) if len(word) > 2]
    names = {bare_words(word)[:6] for part in parts for word in (part, *_SYNONYMS.get(part, "").split())} - {
        "number",
        "num",
        "name",
        "count",
        "total",
    }
    length = side.end - side.start
    for start in (side.start, *side.repeats):
        before = re.split(r"[.!?;,]|\band\b", text[max(0, start - 60) : start])[-1]
        after = re.split(r"[.!?;,]|\band\b", text[start + length : start + length + 40])[0]
        beside = [*_WORDS.findall(before)[-2:], *_WORDS.findall(after)[: 1 if _is_number(side) else 0]]
        if any(bare_words(word)[:6] in names for word in beside if bare_words(word)):
            return 1
    return 0


def _is_number(side: _Side) -> bool:
    return isinstance(side.leaf.value, int | float)
