"""What words must hold to pass, and which of those that pass is best. Pure functions over one text each."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from toolace_ray.records.api import Api
from toolace_ray.records.describe import purpose
from toolace_ray.schemas.walk import Path, leaves
from toolace_ray.text.numerals import number_words, numbers
from toolace_ray.text.values import added_time, find, is_question, variants_of, without

_ASSISTANT = re.compile(
    r"^(sure|certainly|of course|here (is|are)|i can help|i'm sorry|as an|you are|you can|assistant|user|step \d|the (function|api))\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|\b(please|could you|can you|would you|will you|I'd like|I would like|I want|I need|I'm looking|help me|let me know"
    r"|tell me|show me|find me|give me|remind me)\b",
    re.IGNORECASE,
)
_REPORTS = re.compile(
    r"\b(functions?|parameters?|I've|I have (found|set|booked|added|sent)|has been|have been|did you|for example|you need to"
    r"|you should|what should I|anything else|is that correct|how about)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[{}<>]|\w+\(|\w+_\w+|```|\[\]|=>|\\n")
_CODED = re.compile(r"\b[A-Za-z]{1,6}-?\d{2,}\b")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INABILITY = re.compile(
    r"\b(can't|cannot|can not|can’t|unable|not able|don't have|do not have|don’t have|no function|none of|not possible|couldn't"
    r"|not designed|isn't something|outside)\b",
    re.IGNORECASE,
)
_OFFER = re.compile(r"\bI can (?!not\b|['’]t)(.+)", re.IGNORECASE)
_DONE = re.compile(
    r"\bI('ve| have) (set|booked|sent|created|found|added|reserved|updated|scheduled|cancelled)\b", re.IGNORECASE
)
_OPENERS = {
    "Can", "Could", "Please", "What", "How", "Where", "When", "Which", "Is", "Are", "Find", "Book", "Send", "Add", "Tell",
    "Show", "Set", "Give", "Reserve", "Look", "Would", "The", "My", "We", "Do", "Does", "Will", "Let", "Search", "Check",
}  # fmt: skip
_COMMON = {
    "the",
    "and",
    "for",
    "with",
    "that",
    "this",
    "from",
    "name",
    "numb",
    "retu",
    "valu",
    "what",
    "whic",
    "one",
    "give",
    "get",
}
MIN_REQUEST, MAX_REQUEST = 12, 400


def stated_values(arguments: dict[str, Any]) -> list[tuple[Path, Any]]:
    """The argument leaves that the user must say: all but nulls."""
    return [(path, value) for path, value in leaves(arguments) if value is not None]


def prompt_values(arguments: dict[str, Any], indirect: datetime.date | None = None) -> dict[str, Any]:
    """Arguments as a person would see them in a list of facts: code style turned into words, nothing nested.

    Args:
        indirect: the day to which dates are shown relative; times and numbers are then in words as well.
    """
    facts: dict[str, Any] = {}
    for path, value in stated_values(arguments):
        name = " ".join(str(part) for part in path if isinstance(part, str)).replace("_", " ")
        text = value.replace("_", " ") if isinstance(value, str) else value
        if indirect is not None:
            text = indirectly(text, indirect)
        if name in facts:
            facts[name] = [*facts[name], text] if isinstance(facts[name], list) else [facts[name], text]
        else:
            facts[name] = text
    return facts


_SERVES = re.compile(r"\b(glad I could|here to help|(help|assist) you|at your service|you're welcome)\b", re.IGNORECASE)


def user_talk_fault(text: str, subject: str, question: bool, today: datetime.date, english: bool = True) -> str | None:
    """Why a user's small talk or question of knowledge is none: as talk_fault, or because it speaks as an assistant does; else None."""
    if english and (match := _SERVES.search(text)):
        return f"speaks like an assistant: {match.group()!r}"
    return talk_fault(text, subject, question, today, english)


def request_fault(
    text: str,
    api: Api,
    values: Sequence[tuple[Path, Any]],
    today: datetime.date,
    hidden: Mapping[str, Any],
    english: bool = True,
    context: str = "",
) -> str | None:
    """Why a user's request does not say what it must and nothing else, else None.

    Args:
        api: what the request is for; one word at least must tell it, beside the values.
        values: (path, value) that must be said.
        hidden: parameter name -> value that must not be said.
        english: False leaves out the checks that read English words.
        context: what was said and returned before: times and dates may come from there as well, and from what the API is for.
    """
    if not MIN_REQUEST <= len(text) <= MAX_REQUEST:
        return f"{len(text)} characters"
    if english:
        if match := _ASSISTANT.search(text):
            return f"speaks like an assistant: {match.group()!r}"
        if not _ASKS.search(text) and not _imperative(text, api):
            return "asks for nothing"
        if match := _REPORTS.search(text):
            return f"reports or instructs: {match.group()!r}"
    for name, value in hidden.items():
        if find(value, text, today, (name,)):
            return f"says {value!r}, which is to be missing"
    if reason := _values_fault(text, values, today, f"{context}\n{purpose(api)}"):
        return reason
    subject_words = _words(f"{api.name} {api.description} {' '.join(api.properties)}".replace("_", " "), 4) - _COMMON
    if english and not subject_words & _words(without(text, (value for _, value in values), today), 4):
        return "does not say what it is for"
    return None


def _imperative(text: str, api: Api) -> bool:
    """True where a text begins with the verb that the API's description or name begins with: "Find a train ..."."""
    first = re.match(r"[A-Za-z]+", text)
    verbs = [re.match(r"[a-z]+", source.lower()) for source in (api.description, api.name)]
    return first is not None and any(
        verb and len(verb.group()) > 2 and _stem(verb.group()) == _stem(first.group().lower()) for verb in verbs
    )


def _stem(verb: str) -> str:
    return verb.removesuffix("es").removesuffix("s").removesuffix("e")


def _values_fault(text: str, values: Sequence[tuple[Path, Any]], today: datetime.date, before: str) -> str | None:
    """Why a text does not state all of the values and no other number, time or date, in plain words, else None."""
    if match := _CODE.search(text):
        return f"code in the words: {match.group()!r}"
    named_values = [(tuple(part for part in path if isinstance(part, str)), value) for path, value in values]
    for names, value in named_values:
        if find(value, text, today, names) is None:
            return f"does not say {value!r}"
    rest = without(text, (value for _, value in values), today)
    stated = " ".join(str(value) for _, value in values)
    for number in numbers(rest):
        if find(int(number) if number.is_integer() else number, stated, today) is None:
            return f"invents {number:g}"
    codes = (match.group() for match in _CODED.finditer(rest) if match.group().lower() not in stated.lower())
    if code := next(codes, None):
        return f"invents {code}"
    date = _DATE.search(rest)
    added = date.group() if date else added_time(text, named_values, before, today)
    return f"invents {added}" if added else None


def reply_fault(
    text: str, values: Sequence[tuple[Path, Any]], today: datetime.date, english: bool = True, context: str = ""
) -> str | None:
    """Why a user's short answer, or a request that refers to the one before, does not say its values and nothing else.

    Args:
        context: what was said and returned before: times and dates may come from there as well.
    """
    if not 1 <= len(text) <= MAX_REQUEST // 2:
        return f"{len(text)} characters"
    if english and (match := _ASSISTANT.search(text) if not text.lower().startswith("sure") else None):
        return f"speaks like an assistant: {match.group()!r}"
    if english and (match := _REPORTS.search(text)):
        return f"reports or instructs: {match.group()!r}"
    return _values_fault(text, values, today, context)


def talk_fault(text: str, source: str, question: bool | None, today: datetime.date, english: bool = True) -> str | None:
    """Why a piece of small talk, a question of knowledge or the answer to one is none, else None.

    Args:
        source: what was said before; numbers may come from there alone.
        question: True where it must be one, False where it must be none, None where either will do.
    """
    if not MIN_REQUEST <= len(text) <= MAX_REQUEST:
        return f"{len(text)} characters"
    if question is not None and is_question(text[-1:]) != question:
        return "is no question" if question else "asks back"
    if match := _CODE.search(text):
        return f"code in the words: {match.group()!r}"
    if english and (match := _DONE.search(text)):
        return f"claims to have done something: {match.group()!r}"
    return _invented_number(text, source, today)


def indirectly(value: Any, today: datetime.date) -> Any:
    """A value as somebody would say it who does not write it down: tomorrow, noon, twelve."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 20:
        return number_words(value)
    if isinstance(value, str):
        variants = variants_of(value, today)
        return variants[-1] if variants else value
    return value


def request_score(text: str, api: Api, style: str = "plain", distance: int = 0) -> float:
    """Higher is better: one direct sentence, in the style, not too near to the API's own words, not too long.

    Args:
        style: one of plans.STYLES.
        distance: above 0 words unlike the description's count more, below 0 like ones do.
    """
    words = _words(text)
    purpose_words = _words(purpose(api))
    overlap = len(words & purpose_words) / max(1, len(words))
    direct = (
        0.3
        if re.match(
            r"(can|could|please|what|when|where|which|how|i|i'd|i'm|would|is|are|find|book|send|set)\b", text, re.I
        )
        else 0.0
    )
    sentences = len(re.findall(r"[.!?](\s|$)", text))
    length = {"brief": 400, "hurried": 500, "chatty": 4000}.get(style, 1000)
    manner = 0.0
    if style in ("polite", "formal"):
        manner = 0.3 if re.search(r"\b(please|kindly|would|could|thank)\b", text, re.I) else 0.0
    return direct + manner - overlap * (0.5 + 1.5 * distance) - len(text) / length - 0.2 * max(0, sentences - 1)


def _words(text: str, stem: int = 6) -> set[str]:
    return {word[:stem] for word in re.findall(r"[a-z]{3,}", text.lower())}


def together(parts: Sequence[str], then: bool, rng: random.Random, english: bool = True) -> str:
    """Several requests as one message. `then` says that the later ones build on the first (in English words)."""
    if not english:
        return " ".join(parts)
    links = ("Then", "After that,", "Once you have it,") if then else ("Also,", "And", "Besides,", "Another thing:")
    text = parts[0]
    for part in parts[1:]:
        # "I" and names keep their capital; a sentence's first word loses it after the link.
        first = part.split(" ", 1)[0]
        lowered = part[0].lower() + part[1:] if first in _OPENERS else part
        text = f"{text if text[-1] in '.!?' else text + '.'} {rng.choice(links)} {lowered}"
    return text


def decline_fault(text: str, request: str, functions: str, today: datetime.date, english: bool = True) -> str | None:
    """Why a refusal is none, else None: it must say that it can't, claim nothing done, offer what there is and invent no number."""
    if not english:
        return _invented_number(text, f"{request} {functions}", today)
    if not _INABILITY.search(text):
        return "does not say that it can't"
    if match := _DONE.search(text):
        return f"claims to have done it: {match.group()!r}"
    offer = _OFFER.search(text)
    if offer and not (_words(offer.group(1), 5) & _words(functions, 5)) - _words("can help with your what that", 5):
        return f"offers what there is not: {offer.group()!r}"
    return _invented_number(text, f"{request} {functions}", today)


def ask_fault(
    text: str, request: str, name: str, description: str, today: datetime.date, english: bool = True
) -> str | None:
    """Why a question for a missing value is none, else None: it must ask, name what is missing and invent no number."""
    if not is_question(text[-1:]):
        return "is no question"
    if not english:
        return _invented_number(text, f"{request} {name} {description}", today)
    wanted_words = (_words(name.replace("_", " "), 4) or _words(description, 4)) - _COMMON
    wanted_words = wanted_words - _words(request, 4) or wanted_words  # a word that the request has too proves nothing
    if wanted_words and not wanted_words & _words(text, 4):
        return f"does not ask for {name}"
    return _invented_number(text, f"{request} {name} {description}", today)


def _invented_number(text: str, request: str, today: datetime.date) -> str | None:
    for number in numbers(text):
        if find(int(number) if number.is_integer() else number, request, today) is None:
            return f"invents {number:g}"
    return None


def answer_score(text: str, results: Sequence[Any], today: datetime.date) -> float:
    """Higher is better: the share of the results' values that a text says, less one for 2000 characters."""
    values = [
        value for result in results for _, value in leaves(result) if value is not None and not isinstance(value, bool)
    ]
    stated = sum(find(value, text, today) is not None for value in values)
    return stated / max(1, len(values)) - len(text) / 2000
