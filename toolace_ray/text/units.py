"""Units and currencies: what a text says a number is of, and what a parameter wants it in. Pure functions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from toolace_ray.text import memo
from toolace_ray.text.numerals import folded


class Unit(NamedTuple):
    """A unit: its dimension, how many of the dimension's base unit it is (None where it can't be converted), its symbol."""

    dimension: str
    factor: float | None
    symbol: str


_TABLE: dict[str, dict[str, tuple[float | None, str]]] = {
    "length": {"m": (1, "metre meter"), "km": (1000, "kilometre kilometer kms"), "cm": (0.01, "centimetre centimeter"),
               "mm": (0.001, "millimetre millimeter"), "mi": (1609.344, "mile"), "ft": (0.3048, "foot feet"),
               "inch": (0.0254, "inches"), "yd": (0.9144, "yard")},
    "mass": {"kg": (1, "kilogram kilo kilogramme kgs"), "g": (0.001, "gram gramme"), "mg": (1e-6, "milligram"),
             "lb": (0.45359237, "lbs"), "oz": (0.0283495, "ounce"), "tonne": (1000, "ton")},
    "time": {"s": (1, "sec second secs"), "min": (60, "minute mins"), "h": (3600, "hr hour hrs"), "day": (86400, ""),
             "week": (604800, ""), "month": (2629746, ""), "year": (31556952, "yr yrs")},
    "temperature": {"celsius": (None, "°c centigrade"), "fahrenheit": (None, "°f"), "kelvin": (None, "")},
    "speed": {"km/h": (1, "kmh kph kmph"), "mph": (1.609344, ""), "m/s": (3.6, ""), "knot": (1.852, "")},
    "volume": {"l": (1, "litre liter"), "ml": (0.001, "millilitre milliliter"), "gallon": (3.785411784, "")},
    "data": {"kb": (1e3, "kilobyte"), "mb": (1e6, "megabyte"), "gb": (1e9, "gigabyte"), "tb": (1e12, "terabyte")},
    "currency": {"eur": (None, "euro €"), "usd": (None, "dollar us-dollar $ us$"), "gbp": (None, "pound £ quid"),
                 "jpy": (None, "yen ¥"), "chf": (None, "franc"), "inr": (None, "rupee ₹"), "cny": (None, "yuan renminbi rmb"),
                 "krw": (None, "won ₩"), "cad": (None, ""), "aud": (None, ""), "mxn": (None, "peso"), "brl": (None, "reais"),
                 "sek": (None, "krona kronor"), "pln": (None, "zloty"), "rub": (None, "rouble ruble")},
}  # fmt: skip
# A parameter whose name ends in one of these is not, by that, a number of it: price_min, day, m.
_NOT_LAST = frozenset(
    "m g s h l min second sec day hour minute week month year foot inch pound won mi tonne ton".split()  # noqa: SIM905
)
_WORDS: dict[str, Unit] = {}
for _dimension, _units in _TABLE.items():
    for _symbol, (_factor, _names) in _units.items():
        for _name in (_symbol, *_names.split()):
            _WORDS[_name] = Unit(_dimension, _factor, _symbol)
            if _name.isalpha() and len(_name) > 2:
                _WORDS.setdefault(f"{_name}s", _WORDS[_name])
for _names, _symbol in (
    ("us dollar,u.s. dollar,american dollar", "usd"), ("canadian dollar", "cad"), ("australian dollar", "aud"),
    ("british pound,pound sterling,pounds sterling", "gbp"), ("japanese yen", "jpy"), ("swiss franc", "chf"),
    ("indian rupee", "inr"), ("chinese yuan", "cny"), ("mexican peso", "mxn"), ("brazilian real", "brl"),
    ("swedish krona", "sek"), ("korean won", "krw"), ("south korean won", "krw"), ("polish zloty", "pln"),
):  # fmt: skip
    for _name in _names.split(","):
        _WORDS[_name] = _WORDS[f"{_name}s"] = Unit("currency", None, _symbol)
_SHORT = {"c": _WORDS["celsius"], "f": _WORDS["fahrenheit"], "k": _WORDS["kelvin"]}  # as values of arguments alone
_SIGNS = "€$£¥₹₩"
_NAMES = "|".join(sorted((re.escape(name) for name in _WORDS if name not in _SIGNS), key=len, reverse=True))
_QUANTITY = re.compile(
    rf"(?P<sign>US\$|[{_SIGNS}])\s?(?P<signed>\d[\d,]{{0,40}}(?:\.\d{{1,40}})?)"
    rf"|(?<![\w.,])(?P<number>-?\d[\d,]{{0,40}}(?:\.\d{{1,40}})?|\b(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|half an?))"
    rf"(?:\s|-)?(?:degrees?\s|°\s)?(?P<unit>{_NAMES}|[{_SIGNS}])(?!\w)",
    re.IGNORECASE,
)
_DEGREES = re.compile(r"(?<![\w.])(-?\d{1,3}(?:\.\d)?) ?([FC])(?!\w|\.\w)")
_NAMED = re.compile(rf"(?<!\w)(?:{_NAMES})(?!\w)", re.IGNORECASE)
_HEIGHT = re.compile(
    r"(?<![\w.])(\d{1,2})\s?(?:feet|foot|ft|['’′])\.?\s?(?:and )?(\d{1,2})(?:\s?(?:inches|inch|in|[\"”″])|(?!\w))",
    re.IGNORECASE,
)
_WANTED = re.compile(
    rf"\b(?:in|as|of) (?:degrees )?(?P<unit>{_NAMES})\b|\((?:in )?(?:degrees )?(?P<unit2>{_NAMES})\)|\bnumber of (?P<unit3>{_NAMES})\b",
    re.IGNORECASE,
)
_NUMERALS = {
    word: float(value)
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
_NUMERALS |= {"a": 1.0, "an": 1.0, "twelve": 12.0, "half a": 0.5, "half an": 0.5}


class Quantity(NamedTuple):
    """A number with its unit, and the place in the text."""

    value: float
    unit: Unit
    start: int


def unit(name: str) -> Unit | None:
    """The unit of a name, symbol or currency code in any case; None where the text is none of these."""
    key = folded(name.strip()).rstrip(".")
    return _WORDS.get(key) or _SHORT.get(key)


@lru_cache(maxsize=16)
def of_dimension(dimension: str) -> tuple[Unit, ...]:
    """The units of a dimension."""
    return tuple({item for item in _WORDS.values() if item.dimension == dimension})


@memo.of_texts(4096)
def named(text: str) -> frozenset[Unit]:
    """The units and currencies that a text names, with or without a number."""
    return frozenset(_WORDS[folded(match.group())] for match in _NAMED.finditer(text)) | {
        item.unit for item in quantities(text)
    }


def mentions(text: str) -> list[tuple[Unit, int, int]]:
    """(unit, start, end) of the units and currencies that a text names."""
    words = [(_WORDS[folded(match.group())], *match.span()) for match in _NAMED.finditer(text)]
    return words + [(_WORDS[text[i]], i, i + 1) for i in range(len(text)) if text[i] in _SIGNS and text[i] in _WORDS]


@memo.of_texts(4096)
def quantities(text: str) -> tuple[Quantity, ...]:
    """The numbers of a text that have a unit beside them."""
    measured = []
    for match in _QUANTITY.finditer(text):
        number = folded(match["signed"] or match["number"])
        if len(number) > 40:
            continue
        name = match["sign"] or match["unit"]
        value = _NUMERALS[number] if number in _NUMERALS else float(number.replace(",", ""))
        if name in ("M", "G", "L") or (name == "m" and value < 1000 and "million" in text.lower()):
            continue  # 5M is five million
        measured.append(Quantity(value, _WORDS[folded(name)], match.start()))
    for number, letter in _DEGREES.findall(text):
        measured.append(Quantity(float(number), _SHORT[letter.lower()], text.find(number)))
    for match in _HEIGHT.finditer(text):
        measured.append(Quantity(12.0 * int(match[1]) + int(match[2]), _WORDS["inch"], match.start()))
    return tuple(measured)


@memo.of_texts(8192)
def wanted(description: str, name: str) -> Unit | None:
    """The unit that a parameter's name (its last word) or description wants its number in; None where neither names one."""
    last = re.split(r"[_\W]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())[-1]
    if last in _WORDS and last not in _NOT_LAST:
        return _WORDS[last]
    match = _WANTED.search(description)
    return _WORDS[folded(match["unit"] or match["unit2"] or match["unit3"])] if match else None


def converted(quantity: Quantity, target: Unit) -> float | None:
    """A quantity's number in another unit of its dimension; None where that can't be."""
    source = quantity.unit
    if source == target:
        return quantity.value
    if source.dimension != target.dimension:
        return None
    if source.factor is not None and target.factor is not None:
        return quantity.value * source.factor / target.factor
    pair = (source.symbol, target.symbol)
    if pair == ("celsius", "fahrenheit"):
        return quantity.value * 9 / 5 + 32
    if pair == ("fahrenheit", "celsius"):
        return (quantity.value - 32) * 5 / 9
    return None


def same(left: float, right: float) -> bool:
    """True where two numbers differ by at most 1 % of the larger one (of 0.1 for smaller ones)."""
    return abs(left - right) <= 0.01 * max(abs(left), abs(right), 0.1)


def of_schema(name: str, schema: dict[str, Any]) -> Unit | None:
    """The unit that a parameter's name or its schema's description wants its number in; None where neither names one."""
    return wanted(str(schema.get("description") or ""), name)
