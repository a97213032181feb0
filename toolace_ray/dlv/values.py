"""Finding a JSON value in what somebody said: the ways in which people write numbers, dates, times and words.

Every function here is pure and errs on the side of not finding.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

Match = Literal["literal", "normalised"]

_UNSPACED = (["CJK"], ["HIRAGANA"], ["KATAKANA"], ["THAI"], ["LAO"], ["KHMER"])
_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<!\w)-?\d+(?:\.\d+)?(?!\w)")
_NEGATIONS = re.compile(r"\b(no|not|without|don't|doesn't|do not|never|skip|except|isn't|off)\b")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def folded(text: str) -> str:
    """A text without case, accents and repeated spaces, for telling what differs in writing alone."""
    plain = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def is_question(text: str) -> bool:
    """True where a text asks something, in any script."""
    return any(mark in text for mark in "?？؟՞") if not text.isascii() else "?" in text


def number_words(value: int) -> str | None:
    """English words of 0..999, else None."""
    if not 0 <= value < 1000:
        return None
    if value < 20:
        return _UNITS[value]
    if value < 100:
        ten, unit = divmod(value, 10)
        return _TENS[ten - 2] + (f"-{_UNITS[unit]}" if unit else "")
    hundred, rest = divmod(value, 100)
    return f"{_UNITS[hundred]} hundred" + (f" and {number_words(rest)}" if rest else "")


_WORD_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}


def word_numbers(text: str) -> set[int]:
    """The numbers 0..999 that stand in a text in English words: "twenty-one" is 21, and neither 20 nor 1."""
    words = re.findall(r"[a-z]+|[^a-z\s-]", text.lower())
    found: set[int] = set()
    index = 0

    def below_hundred() -> int:
        nonlocal index
        value = _WORD_VALUES[words[index]]
        index += 1
        if value >= 20 and index < len(words) and 1 <= _WORD_VALUES.get(words[index], 0) <= 9:
            value += _WORD_VALUES[words[index]]
            index += 1
        return value

    while index < len(words):
        if words[index] not in _WORD_VALUES:
            index += 1
            continue
        value = below_hundred()
        if value <= 9 and words[index : index + 1] == ["hundred"]:
            value, index = 100 * value, index + 1
            if (
                words[index : index + 1] == ["and"]
                and words[index + 1 : index + 2]
                and words[index + 1] in _WORD_VALUES
            ):
                index += 1
            if index < len(words) and words[index] in _WORD_VALUES:
                value += below_hundred()
        found.add(value)
    return found


def numbers(text: str) -> list[float]:
    """The numbers written in digits in a text; digits inside words, dates and times are not numbers."""
    cleaned = re.sub(r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}(?::\d{2})?|\b[A-Za-z]+-?\d+\b", " ", text)
    found = [match.group().replace(",", "") for match in _NUMBER.finditer(cleaned)]
    return [float(number) for number in found if len(number) < 300]  # longer ones are no numbers that people say


def find(value: Any, text: str, today: datetime.date, names: tuple[str, ...] = ()) -> Match | None:
    """How `value` stands in `text`: `literal`, `normalised`, or None.

    Args:
        today: the date that relative dates refer to.
        names: words that stand for a boolean (the parameter's name): true is found where one is said, false where one
            is said under a negation.
    """
    if isinstance(value, bool):
        return _find_boolean(value, text, names)
    if isinstance(value, int | float):
        return _find_number(value, text)
    if not isinstance(value, str):
        return None
    if not value.strip():
        return None
    if _holds(text, value):
        return "literal"
    return _find_string(value, text, today)


def _holds(text: str, value: str) -> bool:
    if not value.isascii() and any(unicodedata.name(c, "").split()[:1] in _UNSPACED for c in value):
        return value in text  # no spaces between words
    left = r"(?<!\w)" if value[0].isalnum() else ""
    right = r"(?!\w)" if value[-1].isalnum() else ""
    return re.search(left + re.escape(value) + right, text) is not None


def _find_number(value: float, text: str) -> Match | None:
    if abs(value) > 1e300:
        return None
    if any(abs(found - value) < 1e-9 for found in numbers(text)):
        return "literal"
    # Numbers glued to a unit ("30km", "48°") are no words of their own.
    glued = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)(?=[a-zA-Z°%€$]+\b|[°%€$])|[€$£](\d+(?:\.\d+)?)", text)
    if any(abs(float(part) - value) < 1e-9 for pair in glued for part in pair if part):
        return "normalised"
    return "normalised" if value in word_numbers(text) else None


def _find_boolean(value: bool, text: str, names: tuple[str, ...]) -> Match | None:
    lowered = text.lower()
    stems = {word[:5] for name in names for word in _WORD.findall(name.lower().replace("_", " ")) if len(word) > 2}
    for match in _WORD.finditer(lowered):
        if any(match.group().startswith(stem) for stem in stems):
            clause = re.split(r"[.,;!?]", lowered[: match.start()])[-1]
            if bool(_NEGATIONS.search(clause)) != value:
                return "normalised"
    return None


def _find_string(value: str, text: str, today: datetime.date) -> Match | None:
    if moment := re.fullmatch(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?", value):
        both = all(find(part, text, today) for part in moment.groups())
        return "normalised" if both else None
    folded, wanted = _fold(text), _fold(value)
    if wanted and f" {wanted} " in f" {folded} ":
        return "normalised"
    lowered = text.lower()
    return "normalised" if any(_holds(lowered, variant.lower()) for variant in variants_of(value, today)) else None


def variants_of(value: str, today: datetime.date) -> list[str]:
    """Other ways to say a date, a time or a small number, the most indirect one last; [] for other texts."""
    if date := _date(value):
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


def _fold(text: str) -> str:
    """Lower case, underscores and hyphens as spaces, no punctuation, words without a plural s."""
    words = _WORD.findall(text.lower().replace("_", " ").replace("-", " ").replace("’", "'"))
    return " ".join(re.sub(r"('s|(?<=[a-z]{3})s)$", "", word) for word in words)


def _date(value: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else None
    except ValueError:
        return None


def date_variants(date: datetime.date, today: datetime.date) -> list[str]:
    """How people say a date: numeric, with the month's name, or, last, relative to `today`."""
    day, month, short = date.day, f"{date:%B}", f"{date:%b}"
    suffix = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    found = [f"{date:%Y/%m/%d}", f"{date:%d.%m.%Y}"]
    for name in (month, short):
        for number in (str(day), f"{day}{suffix}"):
            found += [f"{name} {number}", f"{number} {name}", f"{number} of {name}", f"the {number} of {name}"]
    ahead = (date - today).days
    found += {0: ["tonight", "today"], 1: ["tomorrow"], 2: ["the day after tomorrow"]}.get(ahead, [])
    if 0 < ahead <= 7:
        found += [f"next {date:%A}", f"this {date:%A}", f"on {date:%A}"]
    return found


def clock_variants(hour: int, minute: int) -> list[str]:
    """How people say a time of day."""
    half = "am" if hour < 12 else "pm"
    hour12 = hour % 12 or 12
    found = [f"{hour}:{minute:02d}", f"{hour12}:{minute:02d} {half}", f"{hour12}:{minute:02d}{half}"]
    found += [f"{hour12}:{minute:02d} {half[0]}.m.", f"{hour:02d}:{minute:02d}"]
    if minute == 0:
        found += [f"{hour12} {half}", f"{hour12}{half}", f"{hour12} o'clock"]
    if (hour, minute) == (12, 0):
        found.append("noon")
    return found
