"""Texts that a regular expression lets pass.

Invariant: the work is bounded, whatever the expression: MAX_STEPS parts, MAX_REPEATS more than asked for at most. What comes
out is a guess that the caller validates, since anchors are not looked at. References to groups and lookarounds are none of the
expressions that schemas may have (schemas/validate.py).
"""

from __future__ import annotations

import random
import re
import string
from typing import Any

MAX_STEPS, MAX_REPEATS, MAX_LENGTH = 2000, 3, 1000
_PARSER: Any = re._parser  # type: ignore[attr-defined]  # the only parser of the standard library for expressions
_CLASSES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_lowercase + string.digits,
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_lowercase,
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": string.ascii_lowercase,
}
_USUAL = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_ .,:;/@#"


class _Unknown(ValueError):
    """A part of an expression that we can't answer."""


def sample(pattern: str, rng: random.Random) -> str | None:
    """A text that the pattern probably lets pass; None where none can be made."""
    try:
        text = "".join(_Sampler(rng).parts(_PARSER.parse(pattern)))
    except (re.error, _Unknown, RecursionError, OverflowError):
        return None
    return text if len(text) <= MAX_LENGTH else None


class _Sampler:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left = MAX_STEPS

    def parts(self, tree: Any) -> list[str]:
        return [self._one(str(word), value) for word, value in tree]

    def _one(self, word: str, value: Any) -> str:
        self._left -= 1
        if self._left < 0:
            raise _Unknown("too many parts")
        if word == "LITERAL":
            return chr(value)
        if word == "NOT_LITERAL":
            return self._rng.choice([character for character in _USUAL if ord(character) != value])
        if word == "ANY":
            return self._rng.choice(string.ascii_lowercase)
        if word == "IN":
            return self._rng.choice(_members(value))
        if word == "BRANCH":
            return "".join(self.parts(self._rng.choice(value[1])))
        if word == "SUBPATTERN":
            return "".join(self.parts(value[3]))
        if word in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, below = value
            count = self._rng.randint(least, min(int(most), max(least, 1) + MAX_REPEATS))
            return "".join("".join(self.parts(below)) for _ in range(count))
        if word == "AT":
            return ""
        raise _Unknown(word)


def _members(parts: Any) -> str:
    """The characters of a set, some of the usual ones where it is large."""
    negated, members = False, ""
    for word, value in parts:
        if str(word) == "NEGATE":
            negated = True
        elif str(word) == "LITERAL":
            members += chr(value)
        elif str(word) == "RANGE":
            members += "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
        elif str(word) == "CATEGORY" and str(value) in _CLASSES:
            members += _CLASSES[str(value)]
    if negated:
        members = "".join(character for character in _USUAL if character not in members)
    if not members:
        raise _Unknown("an empty set")
    return members
