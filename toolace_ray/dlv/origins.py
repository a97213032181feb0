"""Rules on where arguments come from, over the provenance of each value (method.md section 3: before any model is asked)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from toolace_ray.dlv import units
from toolace_ray.dlv.dates import dates_in, day
from toolace_ray.dlv.numerals import numbers, word_numbers
from toolace_ray.dlv.rules import Finding, View, rule
from toolace_ray.dlv.values import find, fold, place
from toolace_ray.instances import Path, leaves, pointer, schema_at
from toolace_ray.schema import Provenance, ToolCall

_WORDS = re.compile(r"[^\W_]+")
_LONG = 6  # words from which a string is a text that somebody composed


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


def _leaves(view: View) -> list[Leaf]:
    """The argument values of all calls."""
    return cast(list[Leaf], view.once("origins", _all_leaves))


def _all_leaves(view: View) -> list[Leaf]:
    found = [(turn, call, path, value) for turn, call in view.calls for path, value in leaves(call.arguments)]
    return [Leaf(*item, origin) for item, origin in zip(found, view.provenance, strict=True)]


def _schema(view: View, leaf: Leaf) -> dict[str, Any]:
    api = view.apis.get(leaf.call.name)
    return schema_at(api.parameters, leaf.path) if api else {}


def _inferred(view: View, leaf: Leaf) -> bool:
    """True for a value that a stranger's assistant may have concluded or composed rather than copied: a choice, a flag, a null,
    a text of many words, or a name of which the better part was said."""
    if leaf.value is None or isinstance(leaf.value, bool) or _schema(view, leaf).get("enum"):
        return True
    if not view.english and (day(str(leaf.value)) or (isinstance(leaf.value, int | float) and abs(leaf.value) <= 20)):
        return True  # dates and small numbers are read in English words alone
    if not isinstance(leaf.value, str):
        return False
    if re.fullmatch(r"[A-Z]{1,5}|[$€£]*", leaf.value):
        return leaf.value not in _EMPTY_CODES and leaf.value.lower() not in _parts(
            leaf.name
        )  # a code of a place, a share, a size: "AAPL" for Apple
    asked = " ".join(item.content for item in view.dialog.messages[: leaf.turn] if item.role == "user")
    if leaf.value.isascii() and sum(map(str.isascii, asked)) < 0.7 * len(asked):
        return True  # said in another script, and translated
    words = [word for word in fold(leaf.value).split() if len(word) > 2]
    if not words or (any(map(str.isdigit, leaf.value)) and len(words) < _LONG):
        return not leaf.value.strip()  # a date, a number or a code is copied, not concluded
    texts = " ".join(fold(item.content) for item in view.dialog.messages[: leaf.turn] if item.role != "assistant")
    said = set(texts.split())
    known = sum(word in said for word in words)
    first = leaf.value.split(",")[0].strip()
    if "," in leaf.value and f" {fold(first)} " in f" {texts} ":
        return True  # "San Francisco, CA"
    return known / len(words) > (0.3 if len(words) >= _LONG else 0.5)


_EMPTY_CODES = {"TEST", "ABC", "XXX", "NAME", "CITY", "DATE", "VALUE", "NONE", "NULL", "TODO", "TBD"}


@rule("consistency")
def argument_provenance(view: View) -> Iterator[Finding]:
    """Every argument value is said by the user or the system, returned by an earlier call, or a schema default.

    A stranger's choices, flags and composed texts are inferred_values' to tell.
    """
    for leaf in _leaves(view):
        if leaf.origin.source == "none" and (view.planned or not _inferred(view, leaf)):
            yield leaf.turn, f"{leaf} comes from nowhere{_later(view, leaf)}"


@rule("consistency", "warn")
def inferred_values(view: View) -> Iterator[Finding]:
    """A stranger's choice, flag or composed text that nobody said: concluded, or made up; a judge can tell."""
    if view.planned:
        return
    for leaf in _leaves(view):
        if leaf.origin.source == "none" and _inferred(view, leaf):
            yield leaf.turn, f"{leaf} is not said"


def _later(view: View, leaf: Leaf) -> str:
    """Where a value that comes from nowhere stands after its call."""
    for turn in range(leaf.turn + 1, len(view.dialog.messages)):
        if turn in view.results and any(value == leaf.value for _, value in leaves(view.results[turn])):
            return f"; it is in a later result of {view.dialog.messages[turn].name}"
    return ""


@rule("consistency")
def dependence(view: View) -> Iterator[Finding]:
    """In a dependent dialog each later turn of calls uses an earlier result; parallel calls use none."""
    if view.dialog.imported:
        return
    turns = {call.id: turn for turn, call in view.calls}
    fed = {
        turns[record.call_id]
        for record in view.provenance
        if record.source == "tool_output" and record.call_id in turns
    }
    call_turns = sorted(set(turns.values()))
    if view.dialog.type == "dependent":
        for turn in call_turns[1:]:
            if turn not in fed:
                yield turn, "no argument comes from an earlier result"
    elif view.dialog.type == "parallel":
        yield from ((turn, "a parallel call depends on an earlier result") for turn in call_turns if turn in fed)


@rule("consistency")
def source_field(view: View) -> Iterator[Finding]:
    """A value from a result comes from the field of the parameter's name, where the result has one."""
    if not view.results:
        return
    for leaf in _leaves(view):
        turn = leaf.origin.message
        if leaf.origin.source != "tool_output" or turn is None or turn not in view.results:
            continue
        fields = [(path, value) for path, value in leaves(view.results[turn]) if path]
        named = [value for path, value in fields if _field(path) == leaf.name.lower()]
        others = [_field(path) for path, value in fields if value == leaf.value and _field(path) != leaf.name.lower()]
        if named and leaf.value not in named and others:
            yield leaf.turn, f"{leaf} comes from {others[0]!r}, the result has {leaf.name!r} = {named[0]!r}"


def _field(path: Path) -> str:
    return next((part.lower() for part in reversed(path) if isinstance(part, str)), "")


# Units


@rule("consistency")
def units_kept(view: View) -> Iterator[Finding]:
    """A number that is said in one unit or currency is not passed on as if it were another one."""
    for leaf in _leaves(view):
        index = leaf.origin.message
        if index is None or isinstance(leaf.value, bool) or view.dialog.messages[index].role == "tool":
            continue
        text = view.dialog.messages[index].content
        if isinstance(leaf.value, int | float):
            told = units.of_schema(leaf.name, _schema(view, leaf))
            named = _named_units(leaf)
            wanted = told or next(iter(named), None)
            said = [item for item in units.quantities(text) if units.same(item.value, leaf.value)]
            same = [item for item in said if wanted is not None and item.unit.dimension == wanted.dimension]
            if wanted is None or not same or any(item.unit in (wanted, *named) for item in same):
                continue
            if not any(
                (other := units.converted(item, wanted)) is not None and units.same(other, leaf.value) for item in same
            ):
                yield leaf.turn, f"{leaf} is wanted in {wanted.symbol}, said in {same[0].unit.symbol}"
    for turn, call in view.calls:
        yield from ((turn, text) for text in _other_currency(view, turn, call))


def _named_units(leaf: Leaf) -> list[units.Unit]:
    """The units that other arguments of the same call name: currency="USD", from_unit="km", to_unit="mi"."""
    given = [
        value
        for name, value in leaf.call.arguments.items()
        if isinstance(value, str) and _UNIT_NAME.search(name.lower())
    ]
    return [found for value in given if (found := units.unit(value))]


_UNIT_NAME = re.compile(r"(^|_)(units?|currency)$")


def _other_currency(view: View, turn: int, call: ToolCall) -> Iterator[str]:
    """A unit that is passed on though another one of its kind was said, and it was not."""
    for name, value in call.arguments.items():
        found = units.unit(value) if isinstance(value, str) and len(value) <= 12 else None
        if found is None or not _UNIT_NAME.search(name.lower()):
            continue
        texts = [item.content for item in view.dialog.messages[:turn] if item.role == "user"]
        said = {
            item.unit for text in texts for item in units.quantities(text) if item.unit.dimension == found.dimension
        }
        numbered = {
            item for item in call.arguments.values() if isinstance(item, int | float) and not isinstance(item, bool)
        }
        spoken = any(find(value, text, view.today) for text in texts) or found in said
        kept = any(
            (other := units.converted(item, found)) is not None
            and any(units.same(other, number) for number in numbered)
            for text in texts
            for item in units.quantities(text)
        )
        if said and not spoken and not kept:
            yield f"{call.name}/{name} = {value!r}, said is {sorted(unit.symbol for unit in said)[0]}"


# Corrections

_NEGATED = r"(?:\bnot\b|\binstead of\b|\brather than\b|\bno longer\b|\bforget\b|\bscratch\b)(?: (?:the|to|in|for|on|at|from|a|an|about))?\s*['\"“]?"
_NEGATION = re.compile(r"\b(not|instead|rather|longer|forget|scratch)\b", re.IGNORECASE)
_CUE = re.compile(
    r"(?:^|[.!?;,…]\s+|\s[-–—]+\s*|\bOh,? )(?:oh,? |um,? |ah,? |hmm,? )*(?:no|nope|sorry|wait|oops|whoops|my mistake|correction|scratch that|actually"
    r"|on second thoughts?|let me correct)\b[,:.!…—– -]*",
    re.IGNORECASE,
)
_REPLACES = re.compile(
    r"\b(?:make (?:it|that)|i mean(?:t)?|change (?:it|that|this)|instead|should be|rather|let['’]s (?:do|make|say|take)|it['’]s|that['’]s|switch)\b"
    r"|^(?:no|nope|wait|oops|whoops|correction)\b",
    re.IGNORECASE,
)
_ADDS = re.compile(r"\b(?:also|as well|too|another|in addition|plus|then)\b", re.IGNORECASE)


@rule("consistency")
def corrected_value(view: View) -> Iterator[Finding]:
    """A value that the user took back ("no, sorry, make it 3"; "Rome, not Paris") is not used after that."""
    if not any(_NEGATION.search(message.content) or _CUE.search(message.content) for _, message in view.of("user")):
        return
    for leaf in _leaves(view):
        if leaf.origin.source not in ("literal", "normalised") or leaf.value is None or isinstance(leaf.value, bool):
            continue
        said = [(i, view.dialog.messages[i].content) for i, _ in view.of("user") if i < leaf.turn]
        if said and (new := _taken_back(view, leaf, [text for _, text in said])):
            yield leaf.turn, f"{leaf} was taken back for {new}"


def _taken_back(view: View, leaf: Leaf, texts: list[str]) -> str | None:
    today, value = view.today, leaf.value
    for index in reversed(range(len(texts))):
        text = texts[index]
        if re.search(r"\b(not|instead|rather|longer|forget|scratch)\b", text, re.IGNORECASE) and find(
            value, text, today
        ):
            bare = re.sub(_NEGATED + rf"{re.escape(str(value))}(?!\w)", " ", text, flags=re.IGNORECASE)
            if bare != text and not find(value, bare, today) and (others := _rivals(leaf, bare, view)):
                return others[0]
        cues = list(_CUE.finditer(text))
        for cue in reversed(cues):
            before, after = " ".join([*texts[:index], text[: cue.start()]]), text[cue.end() :]
            sentence = re.split(r"(?<=[.!?])\s", after, maxsplit=1)[0]
            if not find(value, before, today) or find(value, after, today) or _ADDS.search(sentence):
                continue
            if len(sentence.split()) > 14 or not _REPLACES.search(cue.group().lstrip(" ,.;!?…-–—") + sentence):
                continue
            if others := _rivals(leaf, sentence, view):
                return others[0]
        if find(value, text, today):
            return None  # the latest mention stands
    return None


def _rivals(leaf: Leaf, text: str, view: View) -> list[str]:
    """Values of the same kind in a text that no call of the turn uses: what was said in place of the value."""
    used = [value for call in view.dialog.messages[leaf.turn].tool_calls for _, value in leaves(call.arguments)]
    value = leaf.value
    spans = dates_in(text, view.today)
    undated = (
        text
        if _dated(leaf)
        else "".join(" " if any(item.start <= i < item.end for item in spans) else c for i, c in enumerate(text))
    )
    undated = re.sub(_NEGATED + r"[A-Z][\w'’-]+", " ", undated, flags=re.IGNORECASE)
    if isinstance(value, int | float):
        found: list[Any] = [number for number in numbers(undated) if number != value]
        found += [quantity.value for quantity in units.quantities(undated) if quantity.value != value]
        found += [number for number in range(2, 21) if number != value and number in word_numbers(undated)]
        return [f"{number:g}" for number in found if not any(_equal(number, item) for item in used)]
    dates = (
        {item.date for item in dates_in(value, view.today)} if value[:1].isdigit() or value[-1:].isdigit() else set()
    )
    if dates:
        other = {item.date for item in dates_in(text, view.today)} - dates - {None}
        passed = {item.date for word in used if isinstance(word, str) for item in dates_in(word, view.today)}
        return sorted(str(item) for item in other - passed)
    choices = [item for item in _schema(view, leaf).get("enum") or () if isinstance(item, str) and item != value]
    named = [item for item in choices if find(item, text, view.today)]
    if choices:
        return [item for item in named if item not in used]
    names = re.findall(
        r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*|^[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*", undated
    )
    codes = re.findall(r"\b[A-Z]{1,5}-?\d{2,}\b", text) if re.search(r"\d", value) else []
    if value[:1].isupper() or re.search(r"\d", value):
        return [
            item
            for item in (*codes, *names)
            if item not in _NO_NAMES and not _CALENDAR.search(item) and not any(item in str(part) for part in used)
        ]
    quoted = re.search(
        r"(?:make (?:it|that)|i mean(?:t)?|change (?:it|that) to|instead|should be)\s+(?:the )?([a-z][\w -]{2,30})",
        text.lower(),
    )
    return [quoted[1].strip()] if quoted and not any(fold(quoted[1]) == fold(str(part)) for part in used) else []


_CALENDAR = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)")
_NO_NAMES = {
    "I",
    "I'm",
    "I’d",
    "I'd",
    "Please",
    "Make",
    "The",
    "It",
    "Sorry",
    "No",
    "That",
    "Change",
    "Let",
    "Can",
    "For",
    "Actually",
}


def _equal(left: Any, right: Any) -> bool:
    return isinstance(right, int | float) and not isinstance(right, bool) and float(left) == float(right)


# Swapped values

_FIRST = {"from", "origin", "start", "source", "departure", "sender", "begin", "checkin", "in", "min", "minimum", "low", "lowest", "depart",
          "base", "after", "since", "leaving"}  # fmt: skip
_SECOND = {"to", "destination", "end", "target", "arrival", "recipient", "receiver", "until", "checkout", "out", "max", "maximum",
           "high", "highest", "return", "before", "till", "quote", "arriving"}  # fmt: skip
_BEFORE_FIRST = {"from", "leaving", "departing", "starting", "between", "since", "beginning", "least"}
_BEFORE_SECOND = {"to", "until", "till", "towards", "toward", "arriving", "into", "through", "ending", "most"}


class _Side(NamedTuple):
    """A value with its place in the request; `more` are the places where it stands again."""

    leaf: Leaf
    start: int
    end: int
    more: tuple[int, ...] = ()


@rule("consistency")
def swapped_values(view: View) -> Iterator[Finding]:
    """Two values of one call do not stand in each other's place: "from A to B" is not origin B, destination A."""
    for turn, call in view.calls:
        if len(call.arguments) < 2:
            continue
        yield from ((turn, text) for text in _crossed(call))
        sides = [side for leaf in _leaves(view) if leaf.call is call and (side := _side(view, leaf))]
        for i, left in enumerate(sides):
            for right in sides[i + 1 :]:
                if _may_swap(view, left.leaf, right.leaf) and _better_swapped(view, left, right):
                    yield turn, f"{left.leaf} and {right.leaf} are swapped"


def _crossed(call: ToolCall) -> Iterator[str]:
    """Bounds that exclude each other: price_min above price_max."""
    bounds = {name.lower(): value for name, value in call.arguments.items() if isinstance(value, int | float)}
    for name, low in bounds.items():
        high = bounds.get(re.sub(r"min(imum)?", lambda match: "max" + ("imum" if match[1] else ""), name))
        if "min" in name and high is not None and low > high:
            yield f"{call.name}/{name} = {low} is above its maximum {high}"


def _side(view: View, leaf: Leaf) -> _Side | None:
    index = leaf.origin.message
    if index is None or leaf.origin.source not in ("literal", "normalised") or isinstance(leaf.value, bool):
        return None
    text = view.dialog.messages[index].content
    if view.dialog.messages[index].role != "user":
        return None
    shown = f"{leaf.value:g}" if isinstance(leaf.value, float) else str(leaf.value)
    start = place(text, shown)
    if start < 0:
        start = place(text.lower(), shown.lower())
    if start < 0 and isinstance(leaf.value, str) and (date := day(leaf.value)):
        places = [item for item in dates_in(text, view.today) if item.date == date]
        return _Side(leaf, places[0].start, places[0].end) if places else None
    if start < 0:
        return None
    more = []
    again = start
    while (found := place(text[again + len(shown) :], shown)) >= 0:
        again += len(shown) + found
        more.append(again)
    return _Side(leaf, start, start + len(shown), tuple(more))


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
    choices, others = _schema(view, left).get("enum"), _schema(view, right).get("enum")
    return not (choices and right.value not in choices) and not (others and left.value not in others)


def _shape(value: Any) -> str:
    """What kind of text or number a value is: a date and a city are not taken for each other."""
    if not isinstance(value, str):
        return "number"
    return "code" if any(map(str.isdigit, value)) else "words"


def _better_swapped(view: View, left: _Side, right: _Side) -> bool:
    text = view.dialog.messages[left.leaf.origin.message or 0].content
    if left.more or right.more:
        return _named_otherwise(text, left, right)
    # "from A to B": the words before the two values say which is which.
    first, second = sorted((left, right), key=lambda side: side.start)
    roles = [_role(_leading(text, side, first if side is second else None)) for side in (first, second)]
    if roles[1] == "second" and _leading(text, second, first) == ["and"]:
        roles[1] = ""
    if (
        roles[0] == "first"
        and "between" in _leading(text, first, None)
        and _leading(text, second, first)[-1:] == ["and"]
    ):
        roles[1] = "second"
    wants = [_wants(side.leaf) for side in (first, second)]
    if _dated(first.leaf) and {"arrival", "arrive", "departure", "depart"} & {
        *_parts(first.leaf.name),
        *_parts(second.leaf.name),
    }:
        wants = _listed(view, first.leaf, second.leaf)  # a stay begins with the arrival, a flight with the departure
    if set(wants) == {"first", "second"} and (roles[0] or roles[1]):
        told = [
            roles[0] or ("second" if roles[1] == "first" else "first"),
            roles[1] or ("second" if roles[0] == "first" else "first"),
        ]
        return told[0] != told[1] and told != wants
    return _named_otherwise(text, left, right)


def _named_otherwise(text: str, left: _Side, right: _Side) -> bool:
    """ "5 adults and 3 children": the words beside a value name its parameter."""
    mine = _named(text, left, left.leaf) + _named(text, right, right.leaf)
    other = _named(text, left, right.leaf) + _named(text, right, left.leaf)
    return mine == 0 and other >= 2


def _dated(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and day(leaf.value) is not None


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
    for word in reversed(words):
        if word in _BEFORE_FIRST:
            return "first"
        if word in _BEFORE_SECOND:
            return "second"
    return ""


def _parts(name: str) -> list[str]:
    return re.split(
        r"[_\W]+",
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
        .lower()
        .replace("check_in", "checkin")
        .replace("check_out", "checkout"),
    )


def _wants(leaf: Leaf) -> str:
    for word in _parts(leaf.name):
        if word in _FIRST:
            return "first"
        if word in _SECOND:
            return "second"
    return ""


def _named(text: str, side: _Side, leaf: Leaf) -> int:
    """1 where a word of a parameter's name stands right beside a value: the two words before, or the one after a number."""
    names = {fold(word)[:6] for word in _parts(leaf.name) if len(word) > 2} - {
        "number",
        "num",
        "name",
        "count",
        "total",
    }
    length = side.end - side.start
    for start in (side.start, *side.more):
        before = re.split(r"[.!?;,]|\band\b", text[max(0, start - 60) : start])[-1]
        after = re.split(r"[.!?;,]|\band\b", text[start + length : start + length + 40])[0]
        beside = [*_WORDS.findall(before)[-2:], *_WORDS.findall(after)[: 1 if _is_number(side) else 0]]
        if any(fold(word)[:6] in names for word in beside if fold(word)):
            return 1
    return 0


def _is_number(side: _Side) -> bool:
    return isinstance(side.leaf.value, int | float)
