"""Numbers as people write them: digits, words, magnitudes, percentages, ordinals. Pure functions over one text."""

from __future__ import annotations

import re

from toolace_ray.text import memo

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
_WORD_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
_SCALES = {"thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12}
_HALVES = re.compile(r"\b(\d+|[a-z]+) and a half\b")
_COMMA = re.compile(r"(?<![\w.,])(\d{1,12}),(\d{1,2})(?![\d,])")
_OTHER_WORDS = {
    "dozen": 12.0,
    "couple": 2.0,
    "pair": 2.0,
    "half": 0.5,
    "once": 1.0,
    "twice": 2.0,
    "single": 1.0,
    "both": 2.0,
}
_MAGNITUDES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "billion": 1e9, "bn": 1e9}
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w|\.\d)|(?<!\w)-?\d+(?:\.\d+)?(?!\w|\.\d)")
_NO_NUMBER = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}(?::\d{2})?|\b[A-Za-z]+-?\d+\b")
_GLUED = re.compile(
    r"(?<![\w.,])(\d[\d,]{0,40}(?:\.\d{1,40})?)(?=[a-zA-Z°%€$£]{1,20}\b|[°%€$£])|[€$£¥](\d[\d,]{0,40}(?:\.\d{1,40})?)"
)
_SCALED = re.compile(
    r"(?<![\w.,])(-?\d[\d,]{0,40}(?:\.\d{1,40})?)\s{0,4}(k|thousand|m|million|bn|billion|%|percent)(?!\w)",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?<!\w)(\d+)(?:st|nd|rd|th)\b")
_LISTED = re.compile(r"\[\s*(-?\d[\d\s.,-]*)\]")
_BESIDE = re.compile(r"(?<![A-Za-z0-9_.])(\d{1,40}(?:\.\d{1,40})?)(?![A-Za-z0-9_]|\.\d)(.?)")
_SIGNS = {"千": 1e3, "万": 1e4, "萬": 1e4, "만": 1e4, "亿": 1e8, "億": 1e8, "억": 1e8}
_LONGEST = 300  # characters of a number; longer ones are no numbers that people say
_LOOKALIKES = str.maketrans({"ſ": "s", "ı": "i", "\u0307": None})


def folded(text: str) -> str:
    """A text in lower case, in the letters of the pattern that matched it.

    A pattern that ignores case takes ſ for s, ı and İ for i, and the sign of kelvin for k.
    """
    return text.lower().translate(_LOOKALIKES)


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


def word_numbers(text: str) -> set[int]:
    """The numbers 0..999 that stand in a text in English words: "twenty-one" is 21, and neither 20 nor 1."""
    words = re.findall(r"[a-z]+|[^a-z\s-]", text.lower())
    values: set[int] = set()
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
        if value <= 99 and words[index : index + 1] == ["hundred"]:
            value, index = 100 * value, index + 1
            if (
                words[index : index + 1] == ["and"]
                and words[index + 1 : index + 2]
                and words[index + 1] in _WORD_VALUES
            ):
                index += 1
            if index < len(words) and words[index] in _WORD_VALUES:
                value += below_hundred()
        if words[index : index + 1] and words[index] in _SCALES:
            value, index = value * _SCALES[words[index]], index + 1
        values.add(value)
    return values


@memo.of_texts(8192)
def numbers(text: str) -> tuple[float, ...]:
    """The numbers written in digits in a text; digits inside words, dates and times are not numbers."""
    cleaned = _NO_NUMBER.sub(" ", text)
    digits = [match.group().replace(",", "") for match in _NUMBER.finditer(cleaned)]
    return tuple(float(number) for number in digits if len(number) < _LONGEST)


@memo.of_texts(8192)
def other_numbers(text: str) -> frozenset[float]:
    """Numbers that a text says otherwise: glued to a unit ("30km", "€5"), in words, "2k", "5 %" (5 and 0.05), "3rd"."""
    values: set[float] = set()
    for pair in _GLUED.findall(text):
        values |= {float(part.replace(",", "")) for part in pair if part and len(part) < _LONGEST}
    for digits, scale in _SCALED.findall(text):
        if len(digits) < _LONGEST:
            value = float(digits.replace(",", ""))
            scale = folded(scale)
            values |= {value, value / 100} if scale in ("%", "percent") else {value * _MAGNITUDES[scale]}
    values |= {float(digits) for digits in _ORDINAL.findall(text) if len(digits) < _LONGEST}
    for inside in _LISTED.findall(text):  # [200,300,400] is no 200 million
        values |= {float(digits) for digits in re.findall(r"-?\d+(?:\.\d+)?", inside) if len(digits) < _LONGEST}
    if not text.isascii():  # scripts that write no space between a number and what it counts
        for digits, scale in _BESIDE.findall(_NO_NUMBER.sub(" ", text.replace(",", ""))):
            values |= {float(digits), float(digits) * _SIGNS.get(scale, 1)}
    values |= set(map(float, word_numbers(text)))
    for count in _HALVES.findall(text.lower()):
        whole = int(count) if count.isdigit() and len(count) < 16 else _WORD_VALUES.get(count)
        values |= {whole + 0.5} if whole is not None else set()
    values |= {float(f"{whole}.{part}") for whole, part in _COMMA.findall(text)}
    for count, scale in (("a", "hundred"), ("a", "thousand"), ("a", "million"), ("a", "dozen")):
        if f" {count} {scale}" in f" {text.lower()}":
            values.add(float(_SCALES.get(scale, 100)))
    words = set(re.findall(r"[a-z]+", text.lower()))
    values |= {value for word, value in _OTHER_WORDS.items() if word in words}
    values |= {float(place) for place, word in enumerate(_ORDINALS, 1) if word in words}
    for count, scale in re.findall(r"\b([a-z]+) (million|billion|thousand)\b", text.lower()):
        if count in _WORD_VALUES or count == "a":
            values.add(_WORD_VALUES.get(count, 1) * _MAGNITUDES[scale])
    return frozenset(values)
