"""What docstrings in Google's, NumPy's and reST's styles say of a function or class, through the library docstring-parser.

Invariants: what is read of a docstring but has no place in an API is named; a docstring that the library's expressions might
take long to read, by itself or with the others of its file, is a description as a whole.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from docstring_parser import Docstring, ParseError, google, numpydoc, rest

from toolace_ray.records.api import ApiError

MAX_CHARS = 20_000  # of a docstring whose sections are read
MAX_WORK = 4_000_000
"""What reading a docstring's sections may cost, see _work."""
MAX_FILE_WORK = 50 * MAX_WORK
"""The same of all docstrings of a file: 1 MiB of lines of 100 characters costs a tenth of it."""
_STYLES = (google.parse, numpydoc.parse, rest.parse)
_FAULTS = (ParseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_SECTION = re.compile(r"\w[\w ]*:?$|:|-")
_TITLE = re.compile(r"^([A-Z][\w ]{1,40}):[ \t]*$", re.MULTILINE)
_GOOGLE_TITLES = {section.title for section in google.DEFAULT_SECTIONS}


@dataclass(frozen=True)
class Documented:
    """What a docstring says. `parameters`: name -> its text, and its type as it is written; `answer` likewise. `left_out`
    names the parts that have no place in an API."""

    description: str = ""
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)
    answer: tuple[str, str] = ("", "")
    errors: tuple[ApiError, ...] = ()
    left_out: tuple[str, ...] = ()


class Docstrings:
    """Reads the docstrings of one file."""

    def __init__(self) -> None:
        self._left = MAX_FILE_WORK

    def read(self, text: str | None, names: Collection[str]) -> Documented:
        """Read a docstring in the style that finds most of a function's parameters.

        Args:
            names: of the parameters, or of a class's fields.
        """
        text = inspect.cleandoc(text or "").strip()
        if len(text) > MAX_CHARS or (work := _work(text)) > MAX_WORK:
            return Documented(text, left_out=("sections, since it is too long",))
        if work > self._left:
            return Documented(text, left_out=("sections, since the file has too many",))
        self._left -= work
        return _documented(text, names)


def _documented(text: str, names: Collection[str]) -> Documented:
    readings = []
    for style in _STYLES:
        try:
            readings.append(style(text))
        except _FAULTS:
            continue  # it is in another style
    if not readings:
        return Documented(text)
    best = max(readings, key=lambda read: (len(_parameters(read).keys() & set(names)), len(read.meta)))
    answers = [" ".join((item.description or "").split()) for item in best.many_returns]
    errors = {
        item.type_name.strip(): ApiError(
            code=item.type_name.strip(), message=" ".join((item.description or "").split()) or "The call failed."
        )
        for item in best.raises
        if item.type_name and item.type_name.strip()
    }
    return Documented(
        (best.description or "").strip(),
        _parameters(best),
        ("; ".join(filter(None, answers)), (best.returns.type_name or "").strip() if best.returns else ""),
        tuple(errors.values()),
        _left_out(best, text),
    )


def _work(text: str) -> int:
    """How long a docstring's sections may take to be read: before a colon the library tries each bracket with each pair of
    places in the line, in the rest of it each pair of places."""
    lines = iter(text.split("\n"))
    if not any(_SECTION.match(line.strip()) for line in lines):
        return 0
    heads = ((line.partition(":")[0], line) for line in lines)  # after the first section begins
    return sum(len(head) ** 2 * head.count("(") + len(line) ** 2 // 8 for head, line in heads)


def _parameters(read: Docstring) -> dict[str, tuple[str, str]]:
    found = {}
    for item in read.params:
        for name in (item.arg_name or "").split(","):
            text, kind = " ".join((item.description or "").split()), " ".join((item.type_name or "").split())
            found[name.strip(" *`")] = text, kind
    return found


def _left_out(read: Docstring, text: str) -> tuple[str, ...]:
    carried = {id(item) for item in (*read.params, *read.many_returns, *read.raises)}
    left_out = {item.args[0] if item.args else "" for item in read.meta if id(item) not in carried}
    if read.meta and read.style is not None and read.style.name == "GOOGLE":
        titles = [match[1] for match in _TITLE.finditer(text)]
        first = next((index for index, title in enumerate(titles) if title in _GOOGLE_TITLES), len(titles))
        left_out |= {title for title in titles[first:] if title not in _GOOGLE_TITLES}
    return tuple(sorted(part[:60] for part in left_out if part))
