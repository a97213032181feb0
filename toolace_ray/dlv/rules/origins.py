"""Rules on where arguments come from, over the provenance of each value (method.md section 3: before any model is asked)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rapidfuzz.distance import Prefix

from toolace_ray.dlv.arguments import Leaf, argument_leaves, has_word, name_parts, schema_of
from toolace_ray.dlv.derived import clock_follows, date_follows, number_follows, numbers_in_any_writing
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.dialog import ToolCall
from toolace_ray.schemas.walk import Path, leaves
from toolace_ray.text import units
from toolace_ray.text.dates import dates_in
from toolace_ray.text.values import bare_words, find, holds, place

# Parameters whose value is written for the occasion, and those that take code.
_FREE = re.compile(
    r"\b(?:reason|notes?|title|subject|summary|body|message|comments?|caption|content|label|details?|instructions?|purpose|prompt|text|headline|remarks?)\b"
    r"|(?:^|_)(?:reason|note|title|subject|summary|body|message|comment|caption|content|label|description|purpose|prompt|text)(?:_|\b)",
    re.IGNORECASE,
)
_CODED = re.compile(
    r"(?:my|postgre|no)?sql(?:ite)?|query|queries|regex(?:es|ps?)?|patterns?|cron(?:tab)?|formula[es]?|expressions?|exprs?|equations?|(?:java|type|shell)?scripts?"
)
_CODE = re.compile(r"[\\^$*+|=<>{}]|\bSELECT\b|\bFROM\b|[()\[\]].*[()\[\]]|^[\d*/, -]*\*[\d*/, -]*$")
_LONG = 6  # words from which a string is a text that somebody composed


def _inferred(view: View, leaf: Leaf) -> bool:
    """True for a value that a stranger's assistant may have concluded or composed rather than copied: a choice, a flag, a null,
    a text of many words, a name of which the better part was said, a number or a date that follows from others."""
    value, schema = leaf.value, schema_of(view, leaf)
    if value is None or isinstance(value, bool) or schema.get("enum"):
        return True
    request = " ".join(item.content for item in view.dialog.messages[: leaf.turn] if item.role == "user")
    if isinstance(value, int | float):
        return not view.english or _number_follows(view, leaf, request, schema)
    if not isinstance(value, str):
        return False
    if not view.english and (_CLOCK.fullmatch(value) or dates_in(value[:10], None)):
        return True  # dates and numbers are read in English words alone
    if _FREE.search(f"{leaf.name} {str(schema.get('description'))[:60]}") and len(value.split()) > 1:
        return True  # a text to be composed
    if _CODE.search(value) and has_word(_CODED, leaf.name, leaf.call.name, text=str(schema.get("description"))):
        return True  # a pattern, a query, a formula
    if len(value) > 3 and any(holds(text, value) for text in _result_texts(view, leaf)):
        return True
    if re.fullmatch(r"[A-Z]{1,6}(?:[.:-][A-Z]{1,3})?|[$€£]*", value):
        # A code of a place, a share, a size: "AAPL" for Apple.
        return value not in _EMPTY_CODES and value.lower() not in name_parts(leaf.name)
    if {"language", "lang", "locale"} & set(name_parts(leaf.name)) and re.fullmatch(
        r"[A-Za-z]{2,3}(?:[-_]\w{2,4})?", value
    ):
        return True  # detected in the text
    if value.isascii() and sum(map(str.isascii, request)) < 0.7 * len(request):
        return True  # said in another script, and translated
    if _moment_follows(view, leaf, request):
        return True
    if re.fullmatch(r"\+\d{9,15}", value) and (digits := re.findall(r"\(?\d[\d ().-]{6,18}\d", request)):
        # The call's number has the country's code before it.
        return any(value.endswith(re.sub(r"\D", "", number).lstrip("0")) for number in digits)
    words = bare_words(re.sub(r"\b[a-z_]{2,20}:(?=\w)", " ", value)).split()  # "artist:Marshmello"
    long = len(words) >= _LONG
    words = [word for word in words if len(word) > 2]
    if not words or (any(map(str.isdigit, value)) and not long):
        # A date, a number or a code is copied; a formula is composed of numbers that were said.
        return not value.strip() or _composed(value, request)
    context = " ".join(
        bare_words(item.content) for item in view.dialog.messages[: leaf.turn] if item.role != "assistant"
    )
    context_words = set(context.split())
    stems = {word[:5] for word in context_words if len(word) > 3}
    inflects = not view.english or _foreign(request)
    stated = sum(
        word in context_words
        or ((value[:1].islower() or not view.english) and _stemmed(word, context_words, stems))
        or (inflects and _inflected(word, context_words))
        for word in words
    )
    signs = [sign for sign in value if sign > "\u2e7f"]
    if signs:
        # No words to tell apart: half of the characters are enough.
        return sum(sign in request for sign in signs) * 2 >= len(signs)
    first = value.split(",")[0].strip()
    if "," in value and f" {bare_words(first)} " in f" {context} ":
        return True  # "San Francisco, CA"
    if len(words) <= 4 and value[:1].isupper() and place(request, value.split()[-1]) >= 0:
        before = re.findall(rf"([A-Z][\w'’-]+) {re.escape(value.split()[-1])}(?!\w)", request)
        if all(word in value.split() for word in before):
            return True  # "Lionel Messi" for Messi
    return stated / len(words) > (0.3 if long else 0.5)


def _result_texts(view: View, leaf: Leaf) -> Iterator[str]:
    """The texts of earlier results: an error may name what to use."""
    for turn in sorted(view.results):
        if turn < leaf.turn:
            yield from (item for _, item in leaves(view.results[turn]) if isinstance(item, str) and len(item) < 4000)


def _stemmed(word: str, context_words: set[str], stems: set[str]) -> bool:
    """True for another form of a word that was said: running of run, booked of booking."""
    return word[:5] in stems or any(
        word[:length] in context_words for length in range(3, len(word)) if length * 2 >= len(word) - 1
    )


def _foreign(text: str) -> bool:
    """True for a text in which words, not names alone, have letters that English lacks."""
    return sum(word[:1].islower() and not word.isascii() for word in re.findall(r"[^\W\d_]+", text[:20_000])) > 1


def _inflected(name: str, context_words: set[str]) -> bool:
    """True for a name that was said in another form of its language: Krakowie of Kraków, Praze of Praha, or with what it is
    written together with, as prepositions are in Hebrew and Arabic."""
    for word in context_words:
        if word.endswith(name) and len(word) - len(name) <= 2:
            return True
        if word[:3] == name[:3]:
            shared = Prefix.similarity(name, word)
            if shared >= 0.6 * len(name) and len(name) - shared <= 2 and len(word) - shared <= 5:
                return True
    return False


def _number_follows(view: View, leaf: Leaf, request: str, schema: dict[str, Any]) -> bool:
    low, high = (
        float(bound) if isinstance(bound := schema.get(key), int | float) and not isinstance(bound, bool) else None
        for key in ("minimum", "maximum")
    )
    if low is not None and high is not None and 0 < high - low <= 10 and has_word(_LEVEL, leaf.name):
        return True  # a level on a scale: "cheap" is 1 of 4
    if number_follows(leaf.value, request, leaf.name, low, high):
        return True
    if isinstance(leaf.value, int) and re.search(rf"(?<=[A-Za-z#]){leaf.value}(?![.,]?\d)", request):
        return True  # AS15169, #42
    if "age" in name_parts(leaf.name) and view.today is not None:
        ages = {view.today.year - int(year) for year in re.findall(r"\b(?:19|20)\d{2}\b", request)}
        return leaf.value in ages or leaf.value + 1 in ages
    returned = [
        float(item) for result in view.results.values() for _, item in leaves(result) if isinstance(item, int | float)
    ]
    if any(abs(a * b - leaf.value) < 0.006 for a in numbers_in_any_writing(request) for b in returned[:24]):
        return True  # ten shares at the price that was returned
    results = " ".join(view.dialog.messages[i].content[:2000] for i in sorted(view.results) if i < leaf.turn)
    return bool(results) and number_follows(leaf.value, f"{request} {results}", "", None, None)


_LEVEL = re.compile(
    r"(?:level|rating|star|volume|rank|grade)s?|ranking|priority|severity|intensity|importance|difficulty|strength"
)


def _moment_follows(view: View, leaf: Leaf, request: str) -> bool:
    """True for a date or time in a string that is counted from others."""
    value = leaf.value
    if not value[:1].isdigit() or len(value) > 40:
        return False
    others = [item for item in leaf.call.arguments.values() if isinstance(item, str) and item != value]
    others += [
        str(item)
        for _, call in view.calls[:24]
        if call is not leaf.call
        for item in call.arguments.values()
        if isinstance(item, str)
    ]
    others += [
        item
        for i, result in view.results.items()
        if i < leaf.turn
        for _, item in leaves(result)
        if isinstance(item, str)
    ]
    others = [item for item in dict.fromkeys(others) if _MOMENT.search(item)][:64]
    if _NOW.search(view.system):
        request = f"{request} {view.system[-2000:]}"
    if _CLOCK.fullmatch(value):
        return clock_follows(value, request, others)
    return date_follows(value, request, others, view.today)


_MOMENT = re.compile(r"\d{1,2}:\d{2}|\d{4}-\d{2}-\d{2}")  # the rest of a long result tells no time
_NOW = re.compile(r"\b(?:now|current time|local time|it is|time is)\b[^.]{0,40}\d{1,2}:\d{2}", re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?Z?(?: ?[AaPp]\.?[Mm]\.?)?")


def _composed(value: str, request: str) -> bool:
    """True for a formula or a condition whose numbers are those of the request."""
    if not re.search(r"[-+*/^=<>()%]", value) or re.fullmatch(r"[\w.:+-]+", value):
        return False
    stated = {*numbers_in_any_writing(request), 0.0, 1.0, 2.0, 3.0}
    value_numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)[:64] if len(number) < 16]
    return bool(value_numbers) and all(number in stated for number in value_numbers)


_EMPTY_CODES = {"TEST", "ABC", "XXX", "NAME", "CITY", "DATE", "VALUE", "NONE", "NULL", "TODO", "TBD"}


@rule("consistency")
def argument_provenance(view: View) -> Iterator[Finding]:
    """Every argument value is said by the user or the system, returned by an earlier call, or a schema default.

    A stranger's choices, flags and composed texts are inferred_values' to tell.
    """
    for leaf in argument_leaves(view):
        if leaf.origin.source == "none" and (view.planned or not _inferred(view, leaf)):
            yield leaf.turn, f"{leaf} comes from nowhere{_later(view, leaf)}"


@rule("consistency", "warn")
def inferred_values(view: View) -> Iterator[Finding]:
    """A stranger's choice, flag or composed text that nobody said: concluded, or made up; a judge can tell."""
    if view.planned:
        return
    for leaf in argument_leaves(view):
        if leaf.origin.source == "none" and _inferred(view, leaf):
            yield leaf.turn, f"{leaf} is not said"


def _later(view: View, leaf: Leaf) -> str:
    """Where a value that comes from nowhere stands after its call."""
    for turn in range(leaf.turn + 1, len(view.dialog.messages)):
        if turn in view.results and any(value == leaf.value for _, value in leaves(view.results[turn])):
            return f"; it is in a later result of {view.returned_by(turn)}"
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
    for leaf in argument_leaves(view):
        turn = leaf.origin.message
        if leaf.origin.source != "tool_output" or turn is None or turn not in view.results:
            continue
        if view.dialog.imported and any(turn < i < leaf.turn for i, _ in view.of("user")):
            continue  # a new request may turn things round
        fields = [(path, value) for path, value in leaves(view.results[turn]) if path]
        named = [value for path, value in fields if _same_name(_field(path), leaf.name)]
        if view.dialog.imported and any(value == leaf.value and _ends_with(path, leaf.name) for path, value in fields):
            continue  # a parameter `id` takes a productId
        others = [
            _field(path) for path, value in fields if value == leaf.value and not _same_name(_field(path), leaf.name)
        ]
        if named and leaf.value not in named and others:
            yield leaf.turn, f"{leaf} comes from {others[0]!r}, the result has {leaf.name!r} = {named[0]!r}"


def _same_name(field: str, name: str) -> bool:
    """True for a field and a parameter of one name, abbreviated or not: lat and latitude."""
    name = name.lower()
    short, long = sorted((field, name), key=len)
    return field == name or (len(short) >= 3 and "_" not in long and long.startswith(short))


def _ends_with(path: Path, name: str) -> bool:
    """True for a field whose name ends with a parameter's whole name: productId and id."""
    parts = name_parts(next((part for part in reversed(path) if isinstance(part, str)), ""))
    wanted = name_parts(name)
    return parts[-len(wanted) :] == wanted


def _field(path: Path) -> str:
    return next((part.lower() for part in reversed(path) if isinstance(part, str)), "")


# Units


@rule("consistency")
def units_kept(view: View) -> Iterator[Finding]:
    """A number that is said in one unit or currency is not passed on as if it were another one."""
    for leaf in argument_leaves(view):
        index = leaf.origin.message
        if index is None or isinstance(leaf.value, bool) or view.dialog.messages[index].role == "tool":
            continue
        text = view.dialog.messages[index].content
        if isinstance(leaf.value, int | float):
            by_schema = units.of_schema(leaf.name, schema_of(view, leaf))
            named_units = _named_units(leaf)
            wanted = by_schema or next(iter(named_units), None)
            stated = [item for item in units.quantities(text) if units.same(item.value, leaf.value)]
            same_dimension = [item for item in stated if wanted is not None and item.unit.dimension == wanted.dimension]
            other_dimensions = [item for item in stated if item.unit.dimension not in ("currency", "time")]
            if (
                wanted is not None
                and wanted.dimension != "currency"
                and other_dimensions
                and len(other_dimensions) == len(stated)
                and not same_dimension
            ):
                yield leaf.turn, f"{leaf} is wanted in {wanted.symbol}, said in {other_dimensions[0].unit.symbol}"
                continue
            if (
                wanted is None
                or not same_dimension
                or any(item.unit in (wanted, *named_units) for item in same_dimension)
            ):
                continue
            if not any(
                (number := units.converted(item, wanted)) is not None and units.same(number, leaf.value)
                for item in same_dimension
            ):
                yield leaf.turn, f"{leaf} is wanted in {wanted.symbol}, said in {same_dimension[0].unit.symbol}"
    for turn, call in view.calls:
        yield from ((turn, text) for text in _other_unit(view, turn, call))


def _named_units(leaf: Leaf) -> list[units.Unit]:
    """The units that other arguments of the same call name: currency="USD", from_unit="km", to_unit="mi"."""
    strings = [value for value in leaf.call.arguments.values() if isinstance(value, str) and len(value) <= 20]
    return [unit for value in strings if (unit := units.unit(value))]


_UNIT_NAME = re.compile(r"(^|_)(units?|currency)$")


def _other_unit(view: View, turn: int, call: ToolCall) -> Iterator[str]:
    """A unit that is passed on though another one of its kind was said, and it was not."""
    for name, value in call.arguments.items():
        passed_unit = units.unit(value) if isinstance(value, str) and len(value) <= 12 else None
        if passed_unit is None or not _UNIT_NAME.search(name.lower()):
            continue
        texts = [item.content for item in view.dialog.messages[:turn] if item.role == "user"]
        stated_units = {
            item.unit
            for text in texts
            for item in units.quantities(text)
            if item.unit.dimension == passed_unit.dimension
        }
        argument_numbers = {
            item for item in call.arguments.values() if isinstance(item, int | float) and not isinstance(item, bool)
        }
        stated = any(find(value, text, view.today) for text in texts) or passed_unit in stated_units
        was_converted = any(
            (number_in_unit := units.converted(item, passed_unit)) is not None
            and any(units.same(number_in_unit, number) for number in argument_numbers)
            for text in texts
            for item in units.quantities(text)
        )
        if stated_units and not stated and not was_converted:
            yield f"{call.name}/{name} = {value!r}, said is {sorted(unit.symbol for unit in stated_units)[0]}"
