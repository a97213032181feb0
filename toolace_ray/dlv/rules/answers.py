"""Rules that hold an answer against what the tools returned: the end of the paper's fourth row, with method.md's additions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from toolace_ray.dlv.derived import answer_number_follows, number_follows, number_in_other_unit, numbers_in_any_writing
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.trace import result_value
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.api import is_error
from toolace_ray.records.dialog import Message
from toolace_ray.schemas.walk import leaves
from toolace_ray.text import memo, units
from toolace_ray.text.dates import clock_mentions, clocks_in
from toolace_ray.text.numerals import numbers, other_numbers, word_numbers
from toolace_ray.text.values import find

_NOTHING = re.compile(
    r"n['’]t\b|\b(no|not|none|nothing|nobody|any|empty|unfortunately|zero|0|never|without|missing|lacks?|clear|unknown|unavailable|"
    r"sold out|out of stock|fully booked|booked out|all taken|gone|only|failed)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(I|we) (couldn['’]t|could not|can['’]t|cannot|wasn['’]t able|was not able|am unable|don['’]t have)\b|\bunable to\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"n't|n’t|\bnot\b|unable|unfortunately|sorry|apologi|fail|error|no \w+|unavailable|problem|issue|invalid|trouble"
    r"|\bdown\b|try (?:it )?again|later|reject|denied|declin|refus|missing|expired|exceed|limit|out of|busy|unknown|wrong|must|need",
    re.IGNORECASE,
)
_CODES = re.compile(r"\b(?=[A-Z0-9-]{0,12}\d)[A-Z]{1,5}-?\d{2,}\b|\b\d{20,}\b")
_OPERATOR = re.compile(r"[-+*/×÷√³²^]")
_ANGLE = re.compile(r"\d{1,3}\s?°\s?\d{1,2}\s?[′’'](?:\s?[\d.]{1,8}\s?[″”\"])?")  # in minutes and seconds
_NEAR = 200  # characters on each side of an operator and of an equals sign that belong to one calculation
MAX_NUMBERS, MAX_WRONG = 512, 8  # numbers of an answer that are looked for, and findings on one answer
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
    answer = message.content
    if not view.planned:
        answer = _ANGLE.sub(" ", _without_working(_LIST_MARK.sub(" ", answer)))
        answer = _without_clocks(answer, view.dialog.messages[:turn])
        if not view.english:
            answer = _COMMA.sub(lambda match: re.sub(r"\D", "", match[1]) + "." + match[2], answer)
    answer_numbers = dict.fromkeys(
        [*numbers(answer), *(float(number) for number in sorted(word_numbers(answer)) if number > 12)]
    )
    codes = _CODES.findall(message.content)
    if not answer_numbers and not codes:
        return
    context = " ".join(_message_text(item) for item in view.dialog.messages[:turn])
    context_numbers = {*numbers(context), *other_numbers(context)}
    facts: _Facts | None = None
    wrong = 0
    for number in list(answer_numbers)[:MAX_NUMBERS]:
        if wrong >= MAX_WRONG:
            return  # enough is reported, and looking for each is dear
        if number in (1, 2) or number in context_numbers:
            continue
        if view.planned:
            if find(int(number) if number.is_integer() else number, context, view.today) is None:
                wrong += 1
                yield turn, f"{number:g} stands in no result and no earlier message"
            continue
        facts = facts or _facts(view, turn, context_numbers, context)
        if not any(_derived(value, written, answer, facts) for value, written in _readings(number, answer)):
            wrong += 1
            yield turn, f"{number:g} stands in no result and no earlier message"
    for code in codes:
        if code not in context:
            yield turn, f"{code[:40]} stands in no result and no earlier message"
    if other := _other_money(view, turn, message.content):
        yield turn, other


def _without_working(text: str) -> str:
    """A text without its calculations, "3 × 12 = 36", which are worked out and not told: of each line what is near an operator
    and the equals sign behind it. Each sign is looked at once."""
    parts, done, at = [], 0, text.find("=")
    while at >= 0:
        begin = max(done, at - 2 * _NEAR - 1)
        begin = max(begin, text.rfind("\n", begin, at) + 1, text.rfind("=", begin, at) + 1)
        if operator := _OPERATOR.search(text, max(begin, at - _NEAR - 1), at):
            parts.append(text[done : max(begin, operator.start() - _NEAR)])
            end = min(at + 1 + _NEAR, len(text))
            done = end if (line_end := text.find("\n", at, end)) < 0 else line_end
        at = text.find("=", done if operator else at + 1)
    return " ".join([*parts, text[done:]])


def _without_clocks(answer: str, before: Sequence[Message]) -> str:
    """An answer without the times of day that were said or returned, however they are written: 6 pm is 18:00."""
    mentions = clock_mentions(answer)
    if mentions:
        stated = frozenset().union(*(clocks_in(_message_text(item)[:20000].replace("T", " ")) for item in before))
        for written, readings in mentions:
            if readings & stated:
                answer = answer.replace(written, " ", 1)
    return answer


# 1.178,50 and 1 178,50 are written so in most of Europe.
_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:[ .\u00a0\u202f]\d{3})*|\d+),(\d{1,2})(?![\d,])")


def _other_money(view: View, turn: int, answer: str) -> str | None:
    """A currency in an answer though the result is in another one, which the answer does not name."""
    index = turn - 1
    result_currencies: set[str] = set()
    context = " ".join(item.content for item in view.dialog.messages[:turn] if item.role in ("user", "system"))
    while index >= 0 and view.dialog.messages[index].role == "tool":
        for path, value in leaves(view.results.get(index)):
            if path and "currency" in str(path[-1]).lower() and isinstance(value, str) and len(value) <= 12:
                kind = units.unit(value)
                result_currencies |= {kind.symbol} if kind is not None and kind.dimension == "currency" else set()
        index -= 1
    if not result_currencies:
        return None
    answer_currencies = {item.symbol for item in units.named(answer) if item.dimension == "currency"}
    context_currencies = {item.symbol for item in units.named(context) if item.dimension == "currency"}
    if answer_currencies and not answer_currencies & result_currencies and not answer_currencies & context_currencies:
        return f"tells {sorted(answer_currencies)[0]}, the result is in {sorted(result_currencies)[0]}"
    return None


def _readings(number: float, answer: str) -> Iterator[tuple[float, str]]:
    """A number of an answer as it may be meant, with its places: "1.920 €" is 1920 to many, "77%" is a share."""
    written = f"{number:g}"
    yield number, written
    if re.search(rf"(?<![\d.]){re.escape(written)}\s?(?:%|percent)", answer):
        yield number, f"{written}%"
    if re.search(rf"(?<![\d.]){re.escape(f'{number:.3f}')}(?!\d)", answer):
        yield 1000 * number, f"{1000 * number:g}"


class _Facts(NamedTuple):
    """What the numbers of a stranger's answer may be made of."""

    values: frozenset[float]  # of all messages before, without their signs
    parts: frozenset[float]  # runs of digits in them, of dates and times as well
    returned: tuple[float, ...]  # by the results, the latest first
    counts: frozenset[float]  # lengths of the results' lists, and the number of results
    totals: tuple[float, ...]  # sums of what was returned, and of each column of a list
    sources: tuple[float, ...]  # of results, the latest request and calls: what is combined


def _facts(view: View, turn: int, context_numbers: set[float], context: str) -> _Facts:
    parts = frozenset(float(part) for part in re.findall(r"\d+", context[:20000]) if len(part) < 16)
    results = [view.results.get(index) for index in range(turn)]
    lists = [item for result in results for item in _lists(result)]
    counts = frozenset({float(len(item)) for item in lists} | {float(sum(result is not None for result in results))})
    returned = tuple(
        float(value)
        for result in reversed(results)
        for _, value in leaves(result)
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    totals = (sum(returned), *(sum(column) for item in lists for column in _columns(item)))
    request = next((message.content for _, message in reversed(view.of("user")) if message.content), "")
    arguments = [
        float(item) for _, call in view.calls for _, item in leaves(call.arguments) if isinstance(item, int | float)
    ]
    sources = (*returned[:32], *numbers_in_any_writing(request), *arguments[:16])
    return _Facts(frozenset(abs(value) for value in context_numbers), parts, returned, counts, totals, sources)


def _derived(number: float, written: str, answer: str, facts: _Facts) -> bool:
    """True for a number that a stranger's answer may make of the facts: rounded, in percent, a part of a date, a count, a sum,
    another unit."""
    number = abs(number)
    places = len(f"{number:g}".partition(".")[2])
    if number in facts.parts or any(
        round(value, places) == number
        or abs(value * 100 - number) < 0.01
        or value == number * 100
        or (number >= 1000 and round(value / 1000) * 1000 == number)
        for value in facts.values
    ):
        return True
    shares = [1, len(facts.returned), *facts.counts]
    if any(abs(total / share - number) < 0.006 for total in facts.totals if total for share in shares if share):
        return True
    return answer_number_follows(number, written, facts.sources, facts.counts) or number_in_other_unit(
        number, written, answer, facts.sources
    )


def _columns(rows: list[Any]) -> Iterator[list[float]]:
    """The numbers of one field in all the objects of a list."""
    objects = [row for row in rows if isinstance(row, dict)]
    for name in objects[0] if objects else ():
        column = [row.get(name) for row in objects]
        if all(isinstance(item, int | float) and not isinstance(item, bool) for item in column):
            yield [float(item) for item in column if item is not None]


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
            _empty(result) or reports_error(result) or (view.dialog.imported and result is None) for result in results
        )
        values = [
            value
            for result in results
            for _, value in leaves(result)
            if not isinstance(value, bool) and value is not None
        ]
        answered = view.dialog.imported and any(_used(value, message.content, view) for value in values)
        if not failed and not answered and (view.planned or not _has_false_or_null(results)):
            yield turn, f"says {denied.group()!r} though nothing failed"


@rule("consistency")
def claimed_call(view: View) -> Iterator[Finding]:
    """A stranger's answer does not say that something was done ("I've sent it") which a tool would do and no call did.

    Our own dialogs have the calls of their plan, which structure_of_type counts.
    """
    if not view.dialog.imported or not view.english:
        return
    last = view.dialog.messages[-1] if view.dialog.messages else None
    if (
        view.apis
        and last is not None
        and last.role == "assistant"
        and not last.tool_calls
        and _PROMISE.fullmatch(last.content)
    ):
        yield len(view.dialog.messages) - 1, f"says {last.content.strip()[:60]!r}, and the dialog ends"
    verbs = {name: _verbs(name) for name in view.apis}
    for turn, message in view.of("assistant"):
        if message.tool_calls:
            continue
        for match in _DONE.finditer(message.content[:4000]):
            stem = _stem(match["verb"] or match["verb2"])
            tools = [name for name, words in verbs.items() if stem in words]
            if tools and not any(at < turn and stem in verbs.get(call.name, ()) for at, call in view.calls):
                before = " ".join(item.content for item in view.dialog.messages[:turn])
                if not re.search(rf"\b{re.escape(match['verb'] or match['verb2'])}\b", before, re.IGNORECASE):
                    yield turn, f"says {match.group()!r}, {tools[0]} was not called"
                    break


_PROMISE = re.compile(
    r"\s*(?:(?:sure|okay|ok|of course|certainly|absolutely|great|alright)[,.!]?\s+)?(?:let me|i['’]ll|i will|i['’]m going to|allow me to)\s+(?:just |now |quickly )?"
    r"(?:check|look|find|search|see|get|fetch|pull|query|call|use|retrieve)\b[^.?!\n]{0,160}[.!…]*(?:\s*(?:one|just a|give me a) (?:moment|second|sec)[^.?!\n]{0,30}[.!…]*)?\s*",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"\b(?:I['’]ve|I have|I) (?:just |now |already |successfully )?(?P<verb>booked|sent|created|scheduled|cancelled|canceled|reserved|ordered|added|deleted|updated|"
    r"transferred|set|posted|submitted|rescheduled|translated|converted|calculated)\b(?! (?:up|out|aside))"
    r"|^(?:Done|All set|Great news|OK|Okay|Sure)[!,.]? [^.!?\n]{0,60}\b(?:has been|have been|is|was|are) (?:successfully |now )?(?P<verb2>booked|sent|created|scheduled|"
    r"cancelled|canceled|reserved|ordered|added|deleted|updated|transferred|posted|submitted)\b",
    re.IGNORECASE,
)
_STEMS = {
    "sent": "send",
    "set": "set",
    "cancelled": "cancel",
    "canceled": "cancel",
    "submitted": "submit",
    "transferred": "transfer",
}


def _stem(verb: str) -> str:
    verb = verb.lower()
    return _STEMS.get(verb) or (verb[:-2] if verb.endswith("ed") else verb)


@memo.of_texts(4096)
def _verbs(name: str) -> frozenset[str]:
    """The words of a function's name, without the e that a verb's past drops: schedule is schedul."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return frozenset(words) | {word[:-1] for word in words if word.endswith("e")}


def _has_false_or_null(results: list[Any]) -> bool:
    return any(value is False or value is None for result in results for _, value in leaves(result))


def reports_error(result: Any) -> bool:
    """True for a result that reports an error, in our form or in others' ({"error": "..."}, {"status": "failed"})."""
    if is_error(result):
        return True
    if isinstance(result, str):
        return bool(_ERROR_TEXT.match(result))
    if not isinstance(result, dict):
        return False
    if any(result.get(key) in range(400, 600) for key in ("status", "code", "status_code", "statusCode")):
        return True
    if (
        any(result.get(key) for key in ("error", "errors", "error_message", "exception"))
        or result.get("success") is False
    ):
        return True
    return str(result.get("status", "")).lower() in ("error", "failed", "failure")


_ERROR_TEXT = re.compile(
    r"\s*(?:<(?:!doctype )?html|(?:\w*error|\w*exception|traceback|failed|failure|timeout|timed out|http/?\S* ?[45]\d\d|[45]\d\d [A-Z])\b)",
    re.IGNORECASE,
)


def _empty(result: object) -> bool:
    """True for a result that found nothing: an empty list, or an object of empty lists, of noughts and nulls."""
    if not isinstance(result, dict):
        return result == []
    return bool(result) and all(item in ([], 0, None) and item is not False for item in result.values())


@memo.of_texts(4096)
def _result_text(content: str) -> str:
    values = result_value(content)
    return " ".join([content, *(str(item) for value in values for _, item in leaves(value))])


def _message_text(message: Message) -> str:
    if message.role == "tool":
        return _result_text(message.content)
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
        text = view.dialog.messages[index].content if view.dialog.imported and result is None else None
        answer = message.content
        if is_error(result) or (view.dialog.imported and reports_error(result or text)):
            if view.english and not _FAILED.search(answer) and not _repeats_error(result, answer):
                yield turn, "the result is an error, the answer does not say so"
        else:
            values = [value for _, value in leaves(result) if value is not None and not isinstance(value, bool)]
            if view.dialog.imported:
                values = [value for value in values if str(value).lower() not in _STATES and str(value).strip()]
            must_use = view.planned or not (
                _confirmed(view, index, values, answer) or _compared(view, index, answer) or _counted(result, answer)
            )
            if values and must_use and not any(_used(value, answer, view) for value in values):
                unused.append(f"nothing of the result of {view.returned_by(index)} is in the answer")
            if view.english and _empty(result) and not _NOTHING.search(answer):
                yield turn, f"{view.returned_by(index)} found nothing, the answer does not say so"
        index -= 1
    if unused and view.dialog.imported and _summed(view, turn, message.content):
        return
    yield from ((turn, text) for text in unused)


def _summed(view: View, turn: int, answer: str) -> bool:
    """True where an answer tells the sum or the difference of results, or the last of several states: "€83.50 altogether"."""
    returned = []
    index = turn - 1
    while index >= 0 and view.dialog.messages[index].role == "tool":
        returned += [
            float(value)
            for _, value in leaves(view.results.get(index))
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        index -= 1
    if not 2 <= len(returned) <= 12:
        return False
    answer_numbers = {*numbers(answer), *other_numbers(answer)} - {1.0, 2.0}
    return any(
        abs(a + b - number) < 0.006 or abs(abs(a - b) - number) < 0.006
        for i, a in enumerate(returned)
        for b in returned[i + 1 :]
        for number in answer_numbers
    ) or bool(_TOGETHER.search(answer) and {abs(item) for item in returned} & answer_numbers)


_TOGETHER = re.compile(r"\b(?:both|all (?:of them|three|four)|together|altogether|in total|overall)\b", re.IGNORECASE)


def _compared(view: View, index: int, answer: str) -> bool:
    """True for a stranger's comparison of several results ("Bergen, by four degrees"): a choice among what was asked for."""
    origin = {call.id: (turn, call.name) for turn, call in view.calls}.get(
        view.dialog.messages[index].tool_call_id or ""
    )
    if origin is None:
        return False
    calls = [call for call in view.dialog.messages[origin[0]].tool_calls if call.name == origin[1]]
    if len(calls) < 2:
        return False
    arguments = [value for call in calls for _, value in leaves(call.arguments)]
    return any(isinstance(value, str) and find(value, answer, view.today) for value in arguments)


_BARE = re.compile(
    r"(^|_)(id|ids|status|state|code|message|time|timestamp|created|updated|at|number|reference|url)$", re.IGNORECASE
)


def _confirmed(view: View, index: int, values: list[Any], answer: str) -> bool:
    """True for a stranger's short confirmation: of a result that is no more than a receipt, or in the words of the call."""
    result = view.results.get(index)
    argument_names = {str(name) for _, call in view.calls for path, _ in leaves(call.arguments) for name in path}
    places = [path for path, value in leaves(result) if not isinstance(value, bool) and value not in argument_names]
    if any(len(path) != 1 for path in places):
        return False
    names = [str(path[0]) for path in places]
    if not values or all(_BARE.search(name) for name in names) or all(map(_opaque, values)):
        return True
    messages = view.dialog.messages
    if sum(not _BARE.search(name) for name in names) > 1 or messages[index - 1].role != "assistant":
        return False
    arguments = [value for call in messages[index - 1].tool_calls for _, value in leaves(call.arguments)]
    return any(_used(value, answer, view) for value in arguments if not isinstance(value, bool) and value is not None)


def _opaque(value: Any) -> bool:
    """True for a token or a hash: long, without spaces, letters and digits mixed; nobody is told it."""
    return isinstance(value, str) and bool(_CODED.fullmatch(value)) and len(_MIXED.findall(value[:256])) >= 3


_CODED = re.compile(r"[\w=+/.-]{16,}")
_MIXED = re.compile(r"[A-Za-z](?=-?\d)|\d(?=-?[A-Za-z])")


def _counted(result: Any, answer: str) -> bool:
    """True for an answer that tells how many a result has: "You have 3 reminders."."""
    lengths = {float(len(item)) for item in _lists(result)} - {0.0}
    return bool(lengths & {*numbers(answer), *other_numbers(answer), *map(float, word_numbers(answer))})


def _repeats_error(result: Any, answer: str) -> bool:
    error = result.get("error") if isinstance(result, dict) else ""
    text = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    words = set(re.findall(r"[a-z]{4,}", text.lower()))
    return bool(words) and 2 * sum(word in answer.lower() for word in words) > len(words)


def _used(value: Any, answer: str, view: View) -> bool:
    if find(value, answer, view.today):
        return True
    if view.planned:
        return False
    if isinstance(value, int | float) and number_follows(value, answer[:600], "", 0, 100):
        return True  # "at the max"
    if isinstance(value, int | float):
        return any(
            round(value / scale, places) == number
            for number in (*numbers(answer), *other_numbers(answer))
            for scale in (1, 1e6, 1e9)
            if scale <= abs(value) or scale == 1
            for places in (0, 1, 2)
        )
    if "/" in str(value) and find(str(value).rstrip("/").rpartition("/")[2], answer, view.today):
        return True
    # A stranger's answer may retell a text in its own words: half of its long words are enough.
    words = set(re.findall(r"[^\W\d_]{4,}", str(value).lower()))
    answer_words = set(re.findall(r"[^\W\d_]{4,}", answer.lower()))
    if str(value).isascii():
        return bool(words) and len(words & answer_words) * 3 >= len(words)
    pairs = {str(value)[i : i + 2] for i in range(len(str(value)) - 1)}  # scripts without spaces
    return bool(words & answer_words) or (bool(pairs) and sum(pair in answer for pair in pairs) * 3 >= len(pairs))
