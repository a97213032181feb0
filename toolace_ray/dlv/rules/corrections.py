"""Corrections: a value that the user took back is not used. English."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from toolace_ray.dlv.arguments import (
    BEFORE_FIRST,
    BEFORE_SECOND,
    FIRST,
    SECOND,
    Leaf,
    argument_leaves,
    is_date,
    name_parts,
    schema_of,
    wanted_side,
)
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.view import Finding, View
from toolace_ray.schemas.walk import leaves
from toolace_ray.text import units
from toolace_ray.text.dates import dates_in
from toolace_ray.text.numerals import numbers, word_numbers
from toolace_ray.text.values import bare_words, find

_WORDS = re.compile(r"[^\W_]+")
_NEGATED = r"(?:\bnot\b|\binstead of\b|\brather than\b|\bno longer\b|\bforget\b|\bscratch\b)(?: (?:the|to|in|for|on|at|from|a|an|about))?\s*['\"“]?"
_NEGATION = re.compile(r"\b(not|instead|rather|longer|forget|scratch)\b", re.IGNORECASE)
_CUE = re.compile(
    r"(?:^|[.!?;,…(]\s*|\s[-–—]+\s*|\bOh,? )(?:oh,? |um,? |ah,? |hmm,? ){0,4}(?P<cue>no|nope|sorry(?! for| about| to)|wait|hang on|hold on|oops|whoops|my (?:mistake|bad)|correction"
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
_MOST_CUES = 16  # of one message, the latest: what stands before and after each is read anew


@rule("consistency")
def corrected_value(view: View) -> Iterator[Finding]:
    """A value that the user took back ("no, sorry, make it 3"; "Rome, not Paris") is not used after that."""
    if not any(_may_correct(message.content) for _, message in view.of("user")):
        return
    for leaf in argument_leaves(view):
        if leaf.origin.source not in ("literal", "normalised") or leaf.value is None or isinstance(leaf.value, bool):
            continue
        requests = [(i, view.dialog.messages[i].content) for i, _ in view.of("user") if i < leaf.turn]
        if requests and (replacement := _taken_back(view, leaf, [text for _, text in requests])):
            yield leaf.turn, f"{leaf} was taken back for {replacement}"


_SIGNS = (
    "change",
    "switch",
    "replace",
    "swap",
    "instead",
    "rather",
    "make it",
    "make that",
    "has to be",
    "ignore",
    "not ",
)


def _may_correct(text: str) -> bool:
    lowered = text.lower()
    changes = any(sign in lowered for sign in _SIGNS) and _CHANGES.search(text)
    return bool(changes or _NEGATION.search(text) or _CUE.search(text))


def _taken_back(view: View, leaf: Leaf, texts: list[str]) -> str | None:
    today, value = view.today, leaf.value
    for index in reversed(range(len(texts))):
        text = texts[index]
        if re.search(r"\b(not|instead|rather|longer|forget|scratch)\b", text, re.IGNORECASE) and find(
            value, text, today
        ):
            remaining = re.sub(_NEGATED + rf"{re.escape(str(value))}(?!\w)", " ", text, flags=re.IGNORECASE)
            if remaining != text and not find(value, remaining, today) and (rivals := _rivals(leaf, remaining, view)):
                return rivals[0]
        for cue in reversed(list(_CUE.finditer(text))[-_MOST_CUES:]):
            before, after = " ".join([*texts[:index], text[: cue.start()]]), text[cue.end() :]
            sentence = re.split(r"(?<=[.!?])\s", after, maxsplit=1)[0]
            if not find(value, before, today) or find(value, after, today) or _ADDS.search(sentence):
                continue
            length = len(sentence.split())
            sure = length <= 6 or _SURE.search(cue["cue"]) or _REPLACES.search(sentence)
            if length > 14 or not sure or _names_another(leaf, sentence):
                continue
            if rivals := _rivals(leaf, sentence, view):
                return rivals[0]
        for change in list(_CHANGES.finditer(text))[-_MOST_CUES:]:
            start = max((item.end() for item in re.finditer(r"[.!?…]\s+", text[: change.start()])), default=0)
            sentence = re.split(r"(?<=[.!?])\s", text[start:], maxsplit=1)[0]
            before = " ".join([*texts[:index], text[: change.start()]])
            clause = text[change.start() : start + len(sentence)]
            named = re.match(
                rf"(?:(?:please |can you )?(?:replace|swap|change) |not |ignore (?:what|that)[^.;]{{0,40}} )(?:the )?{re.escape(str(value))}(?!\w)",
                clause,
                re.IGNORECASE,
            )
            if (
                len(sentence.split()) > 20
                or not (named or find(value, before, today))
                or _names_another(leaf, sentence)
            ):
                continue
            remaining = re.sub(rf"(?<!\w){re.escape(str(value))}(?!\w)", " ", clause, flags=re.IGNORECASE)
            remaining = _REPLACED.sub(" ", remaining)
            still_said = find(value, text[start + len(sentence) :], today) or (not named and find(value, clause, today))
            if not still_said and not _ADDS.search(sentence) and (rivals := _rivals(leaf, remaining, view)):
                return rivals[0]
        if find(value, text, today):
            return None  # the latest mention stands
    return None


def _names_another(leaf: Leaf, sentence: str) -> bool:
    """True where a correction names another parameter of the call: "the return should be on the 5th" is not the pick-up's."""
    words = [word.lower() for word in _WORDS.findall(sentence)]
    side = wanted_side(leaf)
    if side and side in (
        "first" if word in FIRST | BEFORE_FIRST else "second" if word in SECOND | BEFORE_SECOND else ""
        for word in words
    ):
        return False
    sentence_words = {bare_words(word)[:6] for word in words}
    own_words = {bare_words(word)[:6] for word in name_parts(leaf.name) if len(word) > 3}
    other_words = {
        bare_words(word)[:6] for name in leaf.call.arguments for word in name_parts(name) if len(word) > 3
    } - own_words
    return bool(sentence_words & other_words) and not sentence_words & own_words


def _rivals(leaf: Leaf, text: str, view: View) -> list[str]:
    """Values of the same kind in a text that no call of the turn uses: what was said in place of the value."""
    used = [value for call in view.dialog.messages[leaf.turn].tool_calls for _, value in leaves(call.arguments)]
    value = leaf.value
    spans = dates_in(text, view.today)
    undated = text if is_date(leaf) else _blanked(text, {(item.start, item.end) for item in spans})
    undated = re.sub(_NEGATED + r"[A-Z][\w'’-]+", " ", undated, flags=re.IGNORECASE)
    if isinstance(value, int | float):
        candidates: list[Any] = [number for number in numbers(undated) if number != value]
        candidates += [quantity.value for quantity in units.quantities(undated) if quantity.value != value]
        candidates += [number for number in range(2, 21) if number != value and number in word_numbers(undated)]
        return [f"{number:g}" for number in candidates if not any(_equal(number, item) for item in used)]
    dates = (
        {item.date for item in dates_in(value, view.today)} if value[:1].isdigit() or value[-1:].isdigit() else set()
    )
    if dates:
        other_dates = {item.date for item in dates_in(text, view.today)} - dates - {None}
        passed = {item.date for word in used if isinstance(word, str) for item in dates_in(word, view.today)}
        return sorted(str(item) for item in other_dates - passed)
    choices = [item for item in schema_of(view, leaf).get("enum") or () if isinstance(item, str) and item != value]
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
    if quoted is None or word_numbers(quoted[1]) or re.search(r"er\b|more|less|as |\bfor\b", quoted[1]):
        return []  # "make it two degrees cooler" is no other room
    return [] if any(bare_words(quoted[1]) == bare_words(str(part)) for part in used) else [quoted[1].strip()]


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """A text with blanks in the place of some of its parts, given as (start, end)."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = " " * (end - start)
    return "".join(characters)


_CALENDAR = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)")
# Words that begin sentences, and so are written large without being names.
_OPENING = (
    "i i'm i'd i’d i'll please make the it sorry no that change let let's can could would will for actually use is "
    "are do does what which how when where why who a an my we our this there then so and but or not yes ok okay oh "
    "also try book find show get give send check set put go leave from to on at in with replace switch ignore "
    "strike scratch hang hold wait it's that's maybe perhaps if just now thanks thank"
)
_OPENERS = frozenset(_OPENING.split())


def _equal(left: Any, right: Any) -> bool:
    return isinstance(right, int | float) and not isinstance(right, bool) and float(left) == float(right)
