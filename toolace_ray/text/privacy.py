"""Secrets and personal data: where they stand in a text, and stand-ins for them.

Secrets are found by detect-secrets' patterns of known keys (its guesses by entropy take identifiers for keys), with some newer
providers' beside them; phone numbers are checked by phonenumbers, cards and IBANs by their check digits. What is reserved for
examples (RFC 2606, 555-01xx) is nobody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from toolace_ray.records.json import load_json

_MORE = {
    "OpenAI key": r"\bsk-(?:proj-|svcacct-|ant-)?[A-Za-z0-9_-]{32,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "GitHub token": r"\bgithub_pat_\w{60,}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
}
_SKIPPED = {"IPPublicDetector", "KeywordDetector"}
_PERSONAL = {
    # Within JSON that stands in a text the "n" of an escaped line break is not the address's first letter.
    "email": re.compile(
        r"(?:(?<=\\[bfnrt])|(?<![\w.+-])(?!(?<=\\)[bfnrt]))[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
    ),
    "card": re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])"),
    "iban": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
    "ssn": re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"),
    "phone": re.compile(r"(?<![\w+])(?:\+\d|\(\d{3}\) ?\d)[\d ().-]{6,16}\d(?!\w)"),
}
_RESERVED = re.compile(r"@(?:[\w-]+\.)*(?:example(?:\.(?:com|org|net))?|test|invalid|localhost)$", re.IGNORECASE)
_EXAMPLE_KEYS = {"AKIAIOSFODNN7EXAMPLE"}
# Texts without any of these hold neither; most have none, and are not looked at again.
_SUSPECT = re.compile(r"\d(?:(?<=\+\d)|(?<=\(\d)\d\d\)|(?<=[A-Z]{2}\d)\d ?[A-Z0-9]{4}|\d\d-\d\d-\d{4}|(?:[ -]?\d){12})")
_TOKEN = re.compile(r"[\w/+.=-]{20}")
_LONGEST = 1 << 16  # characters of a text that are looked at in one go
_NESTED = 2  # JSON in a text of JSON in a text of a value
_LARGEST = 10**19  # numbers with more digits are no card's


class Sensitive(NamedTuple):
    """A secret or a person's datum with its place. `kind` names it; `secret` tells the two apart."""

    start: int
    end: int
    kind: str
    secret: bool


@lru_cache(maxsize=1)
def _secrets() -> list[tuple[str, re.Pattern[str]]]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    rules: list[tuple[str, re.Pattern[str]]] = []
    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    for kind, plugin in sorted(plugins.items()):
        if issubclass(plugin, RegexBasedDetector) and plugin.__name__ not in _SKIPPED:
            rules += [(kind, pattern) for pattern in plugin.denylist]
    return rules + [(kind, re.compile(pattern)) for kind, pattern in _MORE.items()]


def scan(text: str) -> list[Sensitive]:
    """The secrets and personal data in a text, in order, none inside another."""
    words = text.split()
    long = max(map(len, words), default=0) >= 20 and any(len(word) >= 20 and _TOKEN.search(word) for word in words)
    if not (long or "@" in text or "PRIVATE KEY" in text or _SUSPECT.search(text)):
        return []
    spans: list[Sensitive] = []
    for start in range(0, len(text), _LONGEST):
        part = text[start : start + _LONGEST + 256]
        spans += (item._replace(start=item.start + start, end=item.end + start) for item in _scan(part))
    disjoint: list[Sensitive] = []
    for item in sorted(set(spans), key=lambda item: (item.start, -item.end)):
        if not disjoint or item.start >= disjoint[-1].end:
            disjoint.append(item)
    return disjoint


def _scan(text: str) -> Iterator[Sensitive]:
    for kind, pattern in _secrets():
        for match in pattern.finditer(text):
            if match.group() not in _EXAMPLE_KEYS:
                yield Sensitive(*match.span(), kind, True)
    for kind, pattern in _PERSONAL.items():
        for match in pattern.finditer(text):
            if _CHECKS[kind](match.group()):
                yield Sensitive(*match.span(), kind, False)


def _luhn(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()][::-1]
    return (
        len(set(digits)) > 1
        and (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0
    )


def _card(text: str) -> bool:
    """Bank cards begin with 2 to 6 (ISO/IEC 7812); a time in milliseconds begins with 1, and has check digits now and then."""
    return text[0] in "23456" and _luhn(text)


def _iban(text: str) -> bool:
    compact = text.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _phone(text: str) -> bool:
    import phonenumbers

    digits = re.sub(r"\D", "", text)
    if re.search(r"55501\d\d$", digits):
        return False  # kept free for fiction
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, "US"))
    except phonenumbers.NumberParseException:
        return False


_CHECKS = {
    "email": lambda text: not _RESERVED.search(text),
    "card": _card,
    "iban": _iban,
    "ssn": lambda text: True,
    "phone": _phone,
}


def masked(text: str) -> tuple[str, int]:
    """A text with stand-ins, the same for the same value, and how many places there were."""
    return _masked(text, {})


def masked_values(value: Any) -> tuple[Any, int]:
    """A JSON value with stand-ins in its keys, texts and numbers, the same for the same value, and how many places there were.

    What was JSON stays JSON: a text that is JSON itself (arguments, a result) is parsed and written again, and a number that
    is a card's becomes the number of which the stand-in consists.
    """
    return _masked_value(value, {}, _NESTED)


def _masked_value(value: Any, stand_ins: dict[str, str], nested: int) -> tuple[Any, int]:
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        count = 0
        for key, item in value.items():
            name, in_key = _masked(key, stand_ins)
            while name in result:  # the stand-in of two keys
                name += "_"
            result[name], in_item = _masked_value(item, stand_ins, nested)
            count += in_key + in_item
        return result, count
    if isinstance(value, list):
        pairs = [_masked_value(item, stand_ins, nested) for item in value]
        return [item for item, _ in pairs], sum(number for _, number in pairs)
    if isinstance(value, str):
        if nested and value.lstrip()[:1] in ("{", "[", '"'):
            try:
                inside, count = _masked_value(load_json(value, max_chars=len(value)), stand_ins, nested - 1)
            except ValueError:
                return _masked(value, stand_ins)  # it only begins like JSON
            return (json.dumps(inside, ensure_ascii=False), count) if count else (value, 0)
        return _masked(value, stand_ins)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST and value == int(value):
        text, count = _masked(str(int(value)), stand_ins)
        return (type(value)(text if text.isdecimal() else 0), count) if count else (value, 0)
    return value, 0


def _masked(text: str, stand_ins: dict[str, str]) -> tuple[str, int]:
    spans = scan(text)
    if not spans:
        return text, 0
    parts, at = [], 0
    for item in spans:
        value = text[item.start : item.end]
        if value not in stand_ins:
            stand_ins[value] = _stand_in(item.kind if not item.secret else "secret", len(stand_ins))
        parts += [text[at : item.start], stand_ins[value]]
        at = item.end
    return "".join([*parts, text[at:]]), len(spans)


def _stand_in(kind: str, number: int) -> str:
    return {
        "email": f"person{number + 1}@mail.example",
        "phone": f"+1 202-555-01{number % 100:02d}",
        "card": "4000000000000000",  # no card by its check digit, and a number where a number stood
        "iban": "XX00 0000 0000 0000",
        "ssn": "000-00-0000",
    }.get(kind, f"REDACTED-{number + 1}")
