"""Rules on where arguments come from, over the provenance of each value (method.md section 3: before any model is asked)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from toolace_ray.dlv import units
from toolace_ray.dlv.dates import dates_in, day
from toolace_ray.dlv.derived import clock_follows, dated_follows, number_follows, said_numbers
from toolace_ray.dlv.numerals import number_words, numbers, word_numbers
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
    a text of many words, a name of which the better part was said, a number or a date that follows from others."""
    value, schema = leaf.value, _schema(view, leaf)
    if value is None or isinstance(value, bool) or schema.get("enum"):
        return True
    asked = " ".join(item.content for item in view.dialog.messages[: leaf.turn] if item.role == "user")
    if isinstance(value, int | float):
        return (not view.english and abs(value) <= 20) or _number_follows(view, leaf, asked, schema)
    if not isinstance(value, str):
        return False
    if not view.english and (_CLOCK.fullmatch(value) or dates_in(value[:40], None)):
        return True  # dates and small numbers are read in English words alone
    if re.fullmatch(r"[A-Z]{1,6}(?:[.:-][A-Z]{1,3})?|[$€£]*", value):
        # A code of a place, a share, a size: "AAPL" for Apple.
        return value not in _EMPTY_CODES and value.lower() not in _parts(leaf.name)
    if {"language", "lang", "locale"} & set(_parts(leaf.name)) and re.fullmatch(
        r"[A-Za-z]{2,3}(?:[-_]\w{2,4})?", value
    ):
        return True  # detected in the text
    if value.isascii() and sum(map(str.isascii, asked)) < 0.7 * len(asked):
        return True  # said in another script, and translated
    if _follows(view, leaf, asked):
        return True
    words = fold(re.sub(r"\b[a-z_]{2,20}:(?=\w)", " ", value)).split()  # "artist:Marshmello"
    long = len(words) >= _LONG
    words = [word for word in words if len(word) > 2]
    if not words or (any(map(str.isdigit, value)) and not long):
        # A date, a number or a code is copied; a formula is composed of numbers that were said.
        return not value.strip() or _composed(value, asked)
    texts = " ".join(fold(item.content) for item in view.dialog.messages[: leaf.turn] if item.role != "assistant")
    said = set(texts.split())
    stems = {word[:5] for word in said if len(word) > 3}
    known = sum(word in said or (word[:1].islower() and _stemmed(word, said, stems)) for word in words)
    signs = [sign for sign in value if sign > "\u2e7f"]
    if signs:
        return sum(sign in asked for sign in signs) * 2 >= len(signs)  # no words to tell apart: half of the characters
    first = value.split(",")[0].strip()
    if "," in value and f" {fold(first)} " in f" {texts} ":
        return True  # "San Francisco, CA"
    if len(words) <= 3 and value[:1].isupper() and place(asked, value.split()[-1]) >= 0:
        return not re.search(rf"[A-Z][\w'’-]+ {re.escape(value.split()[-1])}(?!\w)", asked)  # "Lionel Messi" for Messi
    return known / len(words) > (0.3 if long else 0.5)


def _stemmed(word: str, said: set[str], stems: set[str]) -> bool:
    """True for another form of a word that was said: running of run, booked of booking."""
    return word[:5] in stems or any(
        word[:length] in said for length in range(3, len(word)) if length * 2 >= len(word) - 1
    )


def _number_follows(view: View, leaf: Leaf, asked: str, schema: dict[str, Any]) -> bool:
    low, high = (
        float(bound) if isinstance(bound := schema.get(key), int | float) and not isinstance(bound, bool) else None
        for key in ("minimum", "maximum")
    )
    if low is not None and high is not None and 0 < high - low <= 10 and _LEVEL.search(leaf.name):
        return True  # a level on a scale: "cheap" is 1 of 4
    if number_follows(leaf.value, asked, leaf.name, low, high):
        return True
    results = " ".join(view.dialog.messages[i].content[:2000] for i in sorted(view.results) if i < leaf.turn)
    return bool(results) and number_follows(leaf.value, f"{asked} {results}", "", None, None)


_LEVEL = re.compile(
    r"level|rating|star|priority|volume|severity|intensity|importance|difficulty|rank|grade|strength", re.IGNORECASE
)


def _follows(view: View, leaf: Leaf, asked: str) -> bool:
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
        item for i, found in view.results.items() if i < leaf.turn for _, item in leaves(found) if isinstance(item, str)
    ]
    others = others[:64]
    if _CLOCK.fullmatch(value):
        return clock_follows(value, asked, others)
    return dated_follows(value, asked, others, view.today)


_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?Z?(?: ?[AaPp]\.?[Mm]\.?)?")


def _composed(value: str, asked: str) -> bool:
    """True for a formula or a condition whose numbers are those of the request."""
    if not re.search(r"[-+*/^=<>()%]", value) or re.fullmatch(r"[\w.:+-]+", value):
        return False
    said = {*said_numbers(asked), 0.0, 1.0, 2.0, 3.0}
    found = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)[:64] if len(number) < 16]
    return bool(found) and all(number in said for number in found)


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
        if view.dialog.imported and any(turn < i < leaf.turn for i, _ in view.of("user")):
            continue  # a new request may turn things round
        fields = [(path, value) for path, value in leaves(view.results[turn]) if path]
        named = [value for path, value in fields if _same_name(_field(path), leaf.name)]
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
    given = [value for value in leaf.call.arguments.values() if isinstance(value, str) and len(value) <= 20]
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
    r"(?:^|[.!?;,…(]\s*|\s[-–—]+\s*|\bOh,? )(?:oh,? |um,? |ah,? |hmm,? )*(?P<cue>no|nope|sorry(?! for| about| to)|wait|hang on|hold on|oops|whoops|my (?:mistake|bad)|correction"
    r"|(?:scratch|strike) that|actually|on second thoughts?|let me correct|change of plans?|i mean(?:t)?|er+|that (?:date|city|time|number|name)? ?(?:is|was|['’]s) wrong)"
    r"\b[,:.!…—– -]*",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"\b(?:no|nope|wait|hang on|hold on|oops|whoops|my (?:mistake|bad)|correction|(?:scratch|strike) that|on second|let me correct|change of plans?|i mean|er+|wrong)",
    re.IGNORECASE,
)  # said of what comes after it alone; "sorry" and "actually" begin other sentences too
_REPLACES = re.compile(
    r"\b(?:make (?:it|that)|i mean(?:t)?|change (?:it|that|this)|instead|should be|rather|let['’]s (?:do|make|say|take)|it['’]s|that['’]s|switch)\b"
    r"|^(?:no|nope|wait|oops|whoops|correction)\b",
    re.IGNORECASE,
)
# A sentence that changes something without any of the words above before it.
_CHANGES = re.compile(
    r"\b(?:let['’]?s |please |can you |could you |could we |can we |we )?(?-i:[cC]hange|switch|[rR]eplace|[sS]wap) (?:it|that|this|the|my|(?-i:[A-Z]))|\b(?:could|can) (?:we|you) (?:\w+ )?"
    r"(?:do|check|make|take|try)\b[^.?!]{1,40}\b(?:instead|rather)\b|\bi['’](?:d|ll) rather\b|\bi would rather\b|\bmake (?:it|that)\b|\b(?:it )?has to be\b"
    r"|\bignore (?:what|that)\b|\b(?-i:[nN]ot [A-Z])[\w'’-]+[,;] ",
    re.IGNORECASE,
)
_REPLACED = re.compile(r"\b(?i:change|replace|swap|ignore what I said about) (?:the )?[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
_ADDS = re.compile(r"\b(?:also|as well|too|another|in addition|plus|and then|add)\b", re.IGNORECASE)


@rule("consistency")
def corrected_value(view: View) -> Iterator[Finding]:
    """A value that the user took back ("no, sorry, make it 3"; "Rome, not Paris") is not used after that."""
    if not any(
        pattern.search(message.content) for _, message in view.of("user") for pattern in (_NEGATION, _CUE, _CHANGES)
    ):
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
        for cue in reversed(list(_CUE.finditer(text))):
            before, after = " ".join([*texts[:index], text[: cue.start()]]), text[cue.end() :]
            sentence = re.split(r"(?<=[.!?])\s", after, maxsplit=1)[0]
            if not find(value, before, today) or find(value, after, today) or _ADDS.search(sentence):
                continue
            length = len(sentence.split())
            sure = length <= 6 or _SURE.search(cue["cue"]) or _REPLACES.search(sentence)
            if length > 14 or not sure or _of_another(leaf, sentence):
                continue
            if others := _rivals(leaf, sentence, view):
                return others[0]
        for change in _CHANGES.finditer(text):
            start = max((item.end() for item in re.finditer(r"[.!?…]\s+", text[: change.start()])), default=0)
            sentence = re.split(r"(?<=[.!?])\s", text[start:], maxsplit=1)[0]
            before = " ".join([*texts[:index], text[: change.start()]])
            new = text[change.start() : start + len(sentence)]
            named = re.match(
                rf"(?:(?:please |can you )?(?:replace|swap|change) |not |ignore (?:what|that)[^.;]{{0,40}} )(?:the )?{re.escape(str(value))}(?!\w)",
                new,
                re.IGNORECASE,
            )
            if len(sentence.split()) > 20 or not (named or find(value, before, today)) or _of_another(leaf, sentence):
                continue
            bare = re.sub(rf"(?<!\w){re.escape(str(value))}(?!\w)", " ", new, flags=re.IGNORECASE)
            bare = _REPLACED.sub(" ", bare)
            kept = find(value, text[start + len(sentence) :], today) or (not named and find(value, new, today))
            if not kept and not _ADDS.search(sentence) and (others := _rivals(leaf, bare, view)):
                return others[0]
        if find(value, text, today):
            return None  # the latest mention stands
    return None


def _of_another(leaf: Leaf, sentence: str) -> bool:
    """True where a correction names another parameter of the call: "the return should be on the 5th" is not the pick-up's."""
    words = [word.lower() for word in _WORDS.findall(sentence)]
    wants = _wants(leaf)
    if wants and wants in (
        "first" if word in _FIRST | _BEFORE_FIRST else "second" if word in _SECOND | _BEFORE_SECOND else ""
        for word in words
    ):
        return False
    said = {fold(word)[:6] for word in words}
    mine = {fold(word)[:6] for word in _parts(leaf.name) if len(word) > 3}
    others = {fold(word)[:6] for name in leaf.call.arguments for word in _parts(name) if len(word) > 3} - mine
    return bool(said & others) and not said & mine


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
        # A word that is written large at the beginning is a name where what follows does not go on as a sentence would.
        r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*"
        r"|^[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*(?=\s*(?:[,.!;]|$)|\s(?:is|to|as|then|instead|rather|please|would)\b)",
        undated.strip(),
    )
    codes = re.findall(r"\b[A-Z]{1,5}-?\d{2,}\b", text) if re.search(r"\d", value) else []
    if value[:1].isupper() or re.search(r"\d", value):
        return [
            item
            for item in (*codes, *names)
            if item.split()[0].lower() not in _OPENERS
            and not _CALENDAR.search(item)
            and not any(item in str(part) for part in used)
        ]
    quoted = re.search(
        r"(?:make (?:it|that)|i mean(?:t)?|change (?:it|that) to|instead|should be)\s+(?:the )?([a-z][\w -]{2,30})",
        text.lower(),
    )
    return [quoted[1].strip()] if quoted and not any(fold(quoted[1]) == fold(str(part)) for part in used) else []


_CALENDAR = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)")
# Words that begin sentences, and so are written large without being names.
_OPENERS = frozenset(
    [
        "i",
        "i'm",
        "i'd",
        "i’d",
        "i'll",
        "please",
        "make",
        "the",
        "it",
        "sorry",
        "no",
        "that",
        "change",
        "let",
        "let's",
        "can",
        "could",
        "would",
        "will",
        "for",
        "actually",
        "use",
        "is",
        "are",
        "do",
        "does",
        "what",
        "which",
        "how",
        "when",
        "where",
        "why",
        "who",
        "a",
        "an",
        "my",
        "we",
        "our",
        "this",
        "there",
        "then",
        "so",
        "and",
        "but",
        "or",
        "not",
        "yes",
        "ok",
        "okay",
        "oh",
        "also",
        "try",
        "book",
        "find",
        "show",
        "get",
        "give",
        "send",
        "check",
        "set",
        "put",
        "go",
        "leave",
        "from",
        "to",
        "on",
        "at",
        "in",
        "with",
        "replace",
        "switch",
        "ignore",
        "strike",
        "scratch",
        "hang",
        "hold",
        "wait",
        "it's",
        "that's",
        "maybe",
        "perhaps",
        "if",
        "just",
        "now",
        "thanks",
        "thank",
    ]
)


def _equal(left: Any, right: Any) -> bool:
    return isinstance(right, int | float) and not isinstance(right, bool) and float(left) == float(right)


# Swapped values

_FIRST = {"from", "origin", "start", "source", "departure", "sender", "begin", "checkin", "in", "min", "minimum", "low", "lowest", "depart",
          "base", "after", "since", "leaving"}  # fmt: skip
_SECOND = {"to", "destination", "end", "target", "arrival", "recipient", "receiver", "until", "checkout", "out", "max", "maximum",
           "high", "highest", "return", "before", "till", "quote", "arriving"}  # fmt: skip
_BEFORE_FIRST = {"from", "out", "leaving", "departing", "starting", "between", "since", "beginning", "least"}
_BEFORE_SECOND = {
    "to",
    "back",
    "returning",
    "return",
    "until",
    "till",
    "towards",
    "toward",
    "arriving",
    "into",
    "through",
    "ending",
    "most",
}


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
    shown = f"{leaf.value:g}" if isinstance(leaf.value, float) else str(leaf.value)
    start = place(text, shown)
    if start < 0:
        start = place(text.lower(), shown.lower())
    if start < 0 and isinstance(leaf.value, str) and (date := day(leaf.value)):
        places = [item for item in dates_in(text, view.today) if item.date == date]
        return _Side(leaf, places[0].start, places[0].end) if places else None
    if start < 0 and isinstance(leaf.value, int) and 0 < leaf.value < 20:
        shown = number_words(leaf.value) or shown
        start = place(text.lower(), shown)
    if start < 0 and isinstance(leaf.value, str) and (kind := units.unit(leaf.value)):
        named = [item for item in units.mentions(text) if item[0] == kind]
        return _Side(leaf, *named[0][1:]) if len(named) == 1 else None
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


_ARROW = re.compile(r"\s*(?:→|[-=]+>|>|[-–—]|to|into)\s*")


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
    for i, word in reversed(list(enumerate(words))):
        if word in ("in", "out") and words[i - 1 : i] in (["check"], ["checking"]):
            return "first" if word == "in" else "second"
        if word in _BEFORE_FIRST:
            return "first"
        if word in _BEFORE_SECOND and not (word == "to" and words[i + 1 : i + 2] and words[i + 1] not in _NO_VERBS):
            return "second"
    return ""


_NO_VERBS = {"the", "a", "an", "my", "our", "downtown", "central", "city", "about", "around", "beautiful", "sunny"}


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


_ALSO = {
    "children": "kids children",
    "adults": "grown grownups adults",
    "infants": "babies",
    "seniors": "elderly pensioners",
}


def _named(text: str, side: _Side, leaf: Leaf) -> int:
    """1 where a word of a parameter's name stands right beside a value: the two words before, or the one after a number."""
    parts = [word for word in _parts(leaf.name) if len(word) > 2]
    names = {fold(word)[:6] for part in parts for word in (part, *_ALSO.get(part, "").split())} - {
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
