"""Finding a JSON value in what somebody said: the ways in which people write numbers, dates, times and words.

Every function here is pure and errs on the side of not finding.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

from toolace_ray.text import memo
from toolace_ray.text.dates import (
    Day,
    clock_mentions,
    clock_variants,
    clocks_in,
    date_variants,
    dates_in,
    day,
    parts_in,
)
from toolace_ray.text.numerals import number_words, numbers, other_numbers
from toolace_ray.text.units import Unit, converted, named, quantities, same, unit

Match = Literal["literal", "normalised"]

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER")
_NEGATIONS = re.compile(r"\b(no|not|without|don't|doesn't|do not|never|skip|except|isn't|off)\b")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_PLURAL = re.compile(r"('s|(?<=[a-z]{3})s)$")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?Z?( ?[AaPp]\.?[Mm]\.?)?")
_DATED = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{0,2}\s?[A-Z][a-z]{2,8}\.? \d{1,4}(?:st|nd|rd|th)?(?:,? \d{4})?"
)


def caseless(text: str) -> str:
    """A text without case, accents and repeated spaces; its punctuation stays."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def is_question(text: str) -> bool:
    """True where a text asks something, in any script."""
    return any(mark in text for mark in "?？؟՞") if not text.isascii() else "?" in text


def find(value: Any, text: str, today: Day, names: tuple[str, ...] = (), wanted: Unit | None = None) -> Match | None:
    """How `value` stands in `text`: `literal`, `normalised`, or None.

    Args:
        today: the date that relative dates refer to; None where it is not known: then a relative one may be any date.
        names: words that stand for a boolean (the parameter's name): true is found where one is said, false where one
            is said under a negation.
        wanted: the unit in which a number is wanted: what is said in another one is converted.
    """
    if isinstance(value, bool):
        return _find_boolean(value, text, names)
    if isinstance(value, int | float):
        return _find_number(value, text, wanted) or _find_part(value, text, today, names)
    if not isinstance(value, str) or not value.strip():
        return None
    if holds(text, value):
        return "literal"
    return "normalised" if _find_string(value, text, today) else None


def holds(text: str, value: str) -> bool:
    """True where a value stands in a text as it is, as words of its own."""
    return place(text, value) >= 0


def place(text: str, value: str) -> int:
    """The index at which a value stands in a text as words of its own, -1 where it does not."""
    start = text.find(value)
    if start < 0:
        return -1
    if not value.isascii() and any(unicodedata.name(c, "").startswith(_UNSPACED) for c in value):
        return start  # no spaces between words
    left, right = value[0].isalnum(), value[-1].isalnum()
    while start >= 0:
        end = start + len(value)
        before = text[start - 1 : start]
        after = text[end : end + 1]
        if not (left and (before.isalnum() or before == "_")) and not (right and (after.isalnum() or after == "_")):
            return start
        start = text.find(value, start + 1)
    return -1


def _find_number(value: float, text: str, wanted: Unit | None) -> Match | None:
    if abs(value) > 1e300:
        return None
    if any(abs(number - value) < 1e-9 for number in numbers(text)):
        return "literal"
    if any(abs(number - value) < 1e-9 for number in other_numbers(text)):
        return "normalised"
    if wanted is not None:
        for quantity in quantities(text):
            other = converted(quantity, wanted)
            if other is not None and same(other, value):
                return "normalised"
    return None


def _find_part(value: float, text: str, today: Day, names: tuple[str, ...]) -> Match | None:
    """A number that is a part of a date or a time, where the parameter is named so: month=2 of "February 2022"."""
    words = {part for name in names[-1:] for part in re.split(r"[_\W]+", name.lower())}
    for part in ("hour", "minute", "day", "month", "year"):
        if words & {part, f"{part}s"} and value in parts_in(text, part, today):
            return "normalised"
    return None


def _find_boolean(value: bool, text: str, names: tuple[str, ...]) -> Match | None:
    lowered = text.lower()
    stems = {word[:5] for name in names for word in _WORD.findall(name.lower().replace("_", " ")) if len(word) > 2}
    for match in _WORD.finditer(lowered):
        if any(match.group().startswith(stem) for stem in stems):
            clause = re.split(r"[.,;!?]", lowered[: match.start()])[-1]
            if bool(_NEGATIONS.search(clause)) != value:
                return "normalised"
    return None


def _find_string(value: str, text: str, today: Day) -> bool:
    if moment := _MOMENT.fullmatch(value):
        return all(find(part, text, today) for part in moment.groups())
    words = bare_words(value)
    if words and f" {words} " in f" {bare_words(text)} ":
        return True
    if value[:1].isdigit() or value[-1:].isdigit():
        return _find_written(value, text, today)
    if len(value) <= 12 and (kind := unit(value)) is not None and kind in named(text):
        return True
    return value.lower() in _CODES and any(f" {name} " in f" {bare_words(text)} " for name in _CODES[value.lower()])


# ISO 639-1 codes of languages, and the names of countries that are said in several ways.
_CODES = {
    code: tuple(names.split("/"))
    for code, names in {
        "en": "english", "fr": "french", "de": "german", "es": "spanish", "it": "italian", "pt": "portuguese", "nl": "dutch",
        "ru": "russian", "zh": "chinese/mandarin", "ja": "japanese", "ko": "korean", "ar": "arabic", "hi": "hindi", "tr": "turkish",
        "pl": "polish", "sv": "swedish", "da": "danish", "fi": "finnish", "no": "norwegian", "el": "greek", "he": "hebrew",
        "cs": "czech", "uk": "ukrainian/united kingdom/britain/england", "vi": "vietnamese", "th": "thai", "id": "indonesian",
        "us": "usa/united state/america/u s", "usa": "us/united state/america", "united states": "us/usa/america", "gb": "uk/united kingdom/britain",
        "united kingdom": "uk/britain",
    }.items()
}  # fmt: skip


def _find_written(value: str, text: str, today: Day) -> bool:
    """A date, a time or a number that is given as a string."""
    if value.isdecimal() and len(value) <= 3:
        return float(value) in other_numbers(text)
    if _CLOCK.fullmatch(value):
        return bool(clocks_in(value) & clocks_in(text))
    bare = [character for character in value if character not in " -()"]
    if 6 <= len(bare) <= 40 and "".join(bare).isalnum() and not day(value):
        # "1Z 999 AA1 01" is written without its spaces
        spaced = "[ ()-]{0,2}".join(map(re.escape, bare))
        if re.search(rf"(?<!\w){spaced}(?!\w)", text, re.IGNORECASE):
            return True
    if _DATED.fullmatch(value) and (dates := {mention.date for mention in dates_in(value, today)}):
        return any(mention.date is None or mention.date in dates for mention in dates_in(text, today))
    return False


def added_time(
    text: str, values: Iterable[tuple[tuple[str, ...], Any]], context: str, today: datetime.date
) -> str | None:
    """The first time of day or date of a text that neither the values nor the context hold, as it is written; None for none.

    Args:
        values: (names, value) as in `find`: what the text is to say.
        context: what was said and returned before. Today's date may always be said.
    """
    sayable = [(names, value) for names, value in values if not isinstance(value, bool)]
    context = "\n".join([context, *(str(value) for _, value in sayable)])

    def says_a_value(written: str) -> bool:
        return any(find(value, written, today, names) for names, value in sayable)

    for written, clocks in clock_mentions(text):
        if not clocks & clocks_in(context) and not says_a_value(written):
            return written
    days = {today, *(item.date for item in dates_in(context, today))}
    mentions = dates_in(text, today)
    grounded = [item for item in mentions if item.date in days or says_a_value(text[item.start : item.end])]
    for item in mentions:  # one may have several readings, or be a part of another: "the 4th" of "the 4th of March"
        if not any(item.start < other.end and other.start < item.end for other in grounded):
            return text[item.start : item.end]
    return None


def variants_of(value: str, today: datetime.date) -> list[str]:
    """Other ways to say a date, a time or a small number, the most indirect one last; [] for other texts."""
    if date := day(value):
        return date_variants(date, today)
    if clock := re.fullmatch(r"(\d{1,2}):(\d{2})(?::00)?Z?", value):
        return clock_variants(int(clock[1]), int(clock[2]))
    if re.fullmatch(r"\d{1,3}", value):
        return [number_words(int(value)) or value]
    return []


def without(text: str, values: Iterable[Any], today: datetime.date) -> str:
    """`text` with every way of saying one of the string values blanked out: what is left says something else."""
    for value in values:
        if isinstance(value, str) and value:
            for variant in sorted((value, *variants_of(value, today)), key=len, reverse=True):
                text = re.sub(rf"(?<!\w){re.escape(variant)}(?!\w)", " ", text, flags=re.IGNORECASE)
    return text


@memo.of_texts(8192)
def bare_words(text: str) -> str:
    """A text's words with single spaces: lower case, no accents, no punctuation, no plural s; "check_in" and "check-in" are two."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    words = _WORD.findall(text.lower().replace("_", " ").replace("-", " ").replace("’", "'"))
    return " ".join([_PLURAL.sub("", word) if word[-1] == "s" else word for word in words])
