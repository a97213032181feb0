"""Rules that hold an answer against what the tools returned: the end of the paper's fourth row, with method.md's additions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from toolace_ray.dlv.numerals import numbers, other_numbers
from toolace_ray.dlv.rules import Finding, View, rule
from toolace_ray.dlv.values import find
from toolace_ray.instances import leaves
from toolace_ray.schema import Message, is_error

_NOTHING = re.compile(r"n['’]t\b|\b(no|not|none|nothing|any|empty|unfortunately|zero|0)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(I|we) (couldn['’]t|could not|can['’]t|cannot|wasn['’]t able|was not able|am unable|don['’]t have)\b|\bunable to\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"n't|n’t|\bnot\b|unable|unfortunately|sorry|apologi|fail|error|no \w+|unavailable|problem|issue|invalid|trouble",
    re.IGNORECASE,
)
_CODES = re.compile(r"\b(?=[A-Z0-9-]{0,12}\d)[A-Z]{1,5}-?\d{2,}\b|\b\d{20,}\b")
_LIST_MARK = re.compile(r"(?m)^[^\S\n]{0,20}\(?\d{1,2}[.):]\s")
_STATES = {"ok", "success", "successful", "succeeded", "true", "done", "completed", "complete", "created", "updated", "deleted", "sent", "confirmed", "active", "accepted", "200", "201"}  # fmt: skip


@rule("consistency")
def answer_grounded(view: View) -> Iterator[Finding]:
    """Numbers and identifiers in an answer stand in a tool result, a call or an earlier message; a result is used.

    In a stranger's dialog only answers to results are held to it, and numbers may be rounded or counted from them.
    """
    for turn, message in view.of("assistant"):
        if message.tool_calls or not message.content:
            continue
        before = view.dialog.messages[:turn]
        answers = bool(before) and before[-1].role == "tool"
        if answers or view.planned:
            yield from _ungrounded(view, turn, message)
        if answers:
            yield from _unused_results(view, turn, message)


def _ungrounded(view: View, turn: int, message: Message) -> Iterator[Finding]:
    said = message.content if view.planned else _LIST_MARK.sub(" ", message.content)
    found = numbers(said)
    codes = _CODES.findall(message.content)
    if not found and not codes:
        return
    known = " ".join(_shown(item) for item in view.dialog.messages[:turn])
    for number in found:
        if number in (1, 2) or find(int(number) if number.is_integer() else number, known, view.today) is not None:
            continue
        if view.planned or not _derived(number, known, view, turn):
            yield turn, f"{number:g} stands in no result and no earlier message"
    for code in codes:
        if code not in known:
            yield turn, f"{code[:40]} stands in no result and no earlier message"


def _derived(number: float, known: str, view: View, turn: int) -> bool:
    """True for a number that a stranger's answer may make of what it knows: rounded, in percent, a part of a date, a count, a sum."""
    values = {abs(value) for value in (*numbers(known), *other_numbers(known))}
    number = abs(number)
    places = len(f"{number:g}".partition(".")[2])
    if any(
        round(value, places) == number or abs(value * 100 - number) < 0.01 or value == number * 100 for value in values
    ):
        return True
    parts = {float(part) for part in re.findall(r"\d+", known[:20000]) if len(part) < 16}
    if number in parts or (number >= 1000 and any(round(value / 1000) * 1000 == number for value in values)):
        return True
    results = [view.results.get(index) for index in range(turn)]
    counts = {float(len(item)) for result in results for item in _lists(result)} | {
        float(sum(result is not None for result in results))
    }
    own = [
        float(value)
        for result in results
        for _, value in leaves(result)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if number in counts or (own and abs(sum(own) - number) < 0.01):
        return True
    few = own[:24]
    return any(
        abs(a + b - number) < 0.006 or abs(abs(a - b) - number) < 0.006 or abs(a * b - number) < 0.006
        for i, a in enumerate(few)
        for b in few[i + 1 :]
    )


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(item)


@rule("consistency")
def success_denied(view: View) -> Iterator[Finding]:
    """An answer to results without an error, which found something, does not say that it failed."""
    for turn, message in view.of("assistant"):
        if message.tool_calls or turn == 0 or view.dialog.messages[turn - 1].role != "tool" or not view.english:
            continue
        if not (denied := _DENIED.search(message.content)):
            continue
        results = [view.results.get(i) for i in range(turn) if view.dialog.messages[i].role == "tool"]
        failed = any(
            _empty(result) or _trouble(result) or (view.dialog.imported and result is None) for result in results
        )
        values = [
            value
            for result in results
            for _, value in leaves(result)
            if not isinstance(value, bool) and value is not None
        ]
        answered = view.dialog.imported and any(_used(value, message.content, view) for value in values)
        if not failed and not answered and (view.planned or not _false(results)):
            yield turn, f"says {denied.group()!r} though nothing failed"


def _false(results: list[Any]) -> bool:
    return any(value is False or value is None for result in results for _, value in leaves(result))


def _trouble(result: Any) -> bool:
    """True for a result that tells of an error, in our form or in others' ({"error": "..."}, {"status": "failed"})."""
    if is_error(result):
        return True
    if not isinstance(result, dict):
        return False
    if (
        any(result.get(key) for key in ("error", "errors", "error_message", "exception"))
        or result.get("success") is False
    ):
        return True
    return str(result.get("status", "")).lower() in ("error", "failed", "failure")


def _empty(result: object) -> bool:
    """True for a result that found nothing: an empty list, or an object of empty lists, of noughts and nulls."""
    if not isinstance(result, dict):
        return result == []
    return bool(result) and all(item in ([], 0, None) and item is not False for item in result.values())


@lru_cache(maxsize=4096)
def _told(content: str) -> str:
    try:
        return " ".join([content, *(str(value) for _, value in leaves(json.loads(content)))])
    except (ValueError, RecursionError):
        return content


def _shown(message: Message) -> str:
    if message.role == "tool":
        return _told(message.content)
    if not message.tool_calls:
        return message.content
    return " ".join(
        [message.content, *(str(value) for call in message.tool_calls for _, value in leaves(call.arguments))]
    )


def _unused_results(view: View, turn: int, message: Message) -> Iterator[Finding]:
    """Each result since the calls must leave a trace in the answer: a value of it, or word of its error."""
    index = turn - 1
    unused = []
    while index >= 0 and view.dialog.messages[index].role == "tool":
        result = view.results.get(index)
        said = message.content
        if is_error(result) or (view.dialog.imported and _trouble(result)):
            if view.english and not _FAILED.search(said) and not _repeats_error(result, said):
                yield turn, "the result is an error, the answer does not say so"
        else:
            values = [value for _, value in leaves(result) if value is not None and not isinstance(value, bool)]
            if view.dialog.imported:
                values = [value for value in values if str(value).lower() not in _STATES and str(value).strip()]
            told = view.planned or not _confirmed(view, index, values, said)
            if values and told and not any(_used(value, said, view) for value in values):
                unused.append(f"nothing of the result of {view.dialog.messages[index].name} is in the answer")
            if view.english and _empty(result) and not _NOTHING.search(said):
                yield turn, f"{view.dialog.messages[index].name} found nothing, the answer does not say so"
        index -= 1
    yield from ((turn, text) for text in unused)


_BARE = re.compile(
    r"(^|_)(id|ids|status|state|code|message|time|timestamp|created|updated|at|number|reference|url)$", re.IGNORECASE
)


def _confirmed(view: View, index: int, values: list[Any], said: str) -> bool:
    """True for a stranger's short confirmation: of a result that is no more than a receipt, or in the words of the call."""
    result = view.results.get(index)
    places = [path for path, value in leaves(result) if not isinstance(value, bool)]
    if any(len(path) != 1 for path in places):
        return False
    names = [str(path[-1]) for path in places]
    if not values or all(_BARE.search(name) for name in names):
        return True
    messages = view.dialog.messages
    if sum(not _BARE.search(name) for name in names) > 1 or messages[index - 1].role != "assistant":
        return False
    given = [value for call in messages[index - 1].tool_calls for _, value in leaves(call.arguments)]
    return any(_used(value, said, view) for value in given if not isinstance(value, bool) and value is not None)


def _repeats_error(result: Any, said: str) -> bool:
    error = result.get("error") if isinstance(result, dict) else ""
    text = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    return any(word in said.lower() for word in set(re.findall(r"[a-z]{4,}", text.lower())))


def _used(value: Any, said: str, view: View) -> bool:
    if find(value, said, view.today):
        return True
    if view.planned:
        return False
    if isinstance(value, int | float):
        return any(
            round(value, places) == number for number in (*numbers(said), *other_numbers(said)) for places in (0, 1, 2)
        )
    # A stranger's answer may retell a text in its own words: half of its long words are enough.
    words = set(re.findall(r"[^\W\d_]{4,}", str(value).lower()))
    there = set(re.findall(r"[^\W\d_]{4,}", said.lower()))
    if str(value).isascii():
        return bool(words) and len(words & there) * 3 >= len(words)
    pairs = {str(value)[i : i + 2] for i in range(len(str(value)) - 1)}  # scripts without spaces
    return bool(words & there) or (bool(pairs) and sum(pair in said for pair in pairs) * 3 >= len(pairs))
