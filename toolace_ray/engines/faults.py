"""What a server answered in place of a chat completion, read from its status, its headers and its words.

Invariants: reading never raises, whatever arrives; the text for people is one line without the key.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

MAX_SHOWN = 300  # characters of a server's words in a message
MAX_READ = 1 << 20  # characters of them that are read at all
MAX_WORDS = 1 << 14  # characters that are looked at

Kind = Literal["passing", "broken", "spent", "key", "away", "moderated", "forbidden", "request"]
"""`passing`: ask again later; `broken`: no answer and no reason that we know; `spent`: no credit; `key`: a wrong one;
`away`: no such address or model; `moderated`: this prompt's words; `forbidden`: a 403 that gives no such reason;
`request`: this request, perhaps for a field that it has."""

_SPENT = re.compile(
    r"insufficient[ _](?:\w+[ _])?(?:quota|funds|balance|credits?)|exceeded your current quota|payment required"
    r"|credit balance|out of credits?|balance is (?:too low|not enough)",
    re.IGNORECASE,
)
_BILLING = re.compile(r"billing", re.IGNORECASE)  # in a 400 it may be the name of a field of ours
_SPENT_CODE = re.compile(r"^(?:insufficient_(?:quota|balance|funds|credits?)|billing_\w+)$", re.IGNORECASE)
_LATER = re.compile(r"(?:retry|try again) (?:in|after) ", re.IGNORECASE)
_KEY = re.compile(
    r"(?:invalid|incorrect|missing|wrong|expired)\W+(?:\w+\W+){0,3}api[ -]key|api[ -]key\W+(?:\w+\W+){0,4}(?:invalid|valid|"
    r"incorrect|missing|expired|wrong)",
    re.IGNORECASE,
)
_MODERATED = re.compile(
    r"content[ _-]?(?:policy|filter|management)|moderation|flagged|safety|responsible ?ai|inspection|sensitive (?:content|words?|information)"
    r"|inappropriate|usage polic|harmful",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"overloaded|rate.?limit|too many requests|temporar|try again|time.?out|timed out|unavailable|capacity|busy",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'[^'\n]*+'|\"[^\"\n]*+\"")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """An answer that is none.

    Args:
        status: the HTTP status, or the one that the error inside a 200 gives.
        text: the server's own words, for people.
        kind: see Kind.
        names: the fields of the request that the server points at.
        words: all that it says, for those who look for a reason.
        retry_after: seconds that it asks to wait, None where it doesn't.
    """

    status: int
    text: str
    kind: Kind
    names: frozenset[str] = frozenset()
    words: str = ""
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.text}"


def read_fault(status: int, headers: Mapping[str, str], raw: bytes, key: str = "", now: float | None = None) -> Fault:
    """Read an answer that is no chat completion. `key` is cut out of its words; `now` is the time in seconds since 1970."""
    whole = raw.decode("utf-8", "replace")
    body = _without(key, whole)[:MAX_READ]  # and not the other way round: of a key that is cut, a part would stay
    try:
        value = json.loads(whole[:MAX_READ])
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) and value:  # Gemini's errors are in a list
        value = value[0]
    error = _error(value)
    if status < 300:
        status = _status_in(error, status)
    words = _without(key, "\n".join(_strings(value)) if isinstance(value, dict) else body)[:MAX_WORDS]
    retry_after = seconds_to_wait(headers.get("Retry-After", ""), time.time() if now is None else now)
    text = _message(error) or _message(value) or body
    if 300 <= status < 400:
        text = f"a redirect to {headers.get('Location', 'nowhere')}"
    elif error is None and status < 300:
        text = f"no chat completion but {text.strip() or 'an empty body'}"
    kind = _kind(status, words, error is not None, retry_after is not None)
    return Fault(
        status, _one_line(_without(key, text)) or "without a word", kind, frozenset(_names(value)), words, retry_after
    )


def _without(key: str, text: str) -> str:
    return text.replace(key, "[key]") if key else text


def seconds_to_wait(header: str, now: float) -> float | None:
    """The seconds of a Retry-After header (a number or an HTTP date), None where it says nothing that can be read."""
    header = header.strip()
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _kind(status: int, words: str, stated: bool, waits: bool) -> Kind:
    code = any(_SPENT_CODE.match(line) for line in words.splitlines())
    # Some call their limit of a minute a quota, too; they say when it is over.
    # What a refusal of the request repeats of it, between quotation marks, is not what the server says.
    said = _QUOTED.sub("", words) if status in (400, 422) else words
    told = _SPENT.search(said) or (status in (403, 429) and _BILLING.search(words))
    spent = bool(told) and not (status == 429 and (waits or _LATER.search(words)))
    if status == 402 or (status < 500 and (status >= 400 or stated) and (code or spent)):
        return "spent"
    if status == 401 or (status in (400, 403) and _KEY.search(words)):
        return "key"
    if status in (400, 403, 422, 451) and _MODERATED.search(words):
        return "moderated"
    if status == 403:
        return "forbidden"
    if 300 <= status < 400 or status in (404, 405):
        return "away"
    if status in (408, 409, 425, 429) or (status >= 500 and status not in (501, 505)):
        return "passing"
    if status < 300:
        return "passing" if stated and _PASSING.search(words) else "broken"
    return "request"


def _status_in(error: Any, status: int) -> int:
    """The status that an error inside a 200 gives, as a number or in digits."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else status


def _error(value: Any) -> Any:
    """The error that an object tells of: its own, or that of its first answer."""
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return value.get("error") or (first.get("error") if isinstance(first, dict) else None)


def _message(value: Any, depth: int = 0) -> str:
    """The message of an error in any of the usual shapes, empty where there is none."""
    if isinstance(value, str):
        return value
    if depth > 8:
        return ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:8] if (text := _message(item, depth + 1)))
    if not isinstance(value, dict):
        return ""
    for name in ("error", "message", "msg", "detail", "errors", "error_msg", "errorMessage"):
        if text := _message(value.get(name), depth + 1):
            at = value.get("loc")
            return f"{'.'.join(map(str, at))}: {text}" if isinstance(at, list) else text
    return ""


def _one_line(text: str) -> str:
    if "<" in text:
        text = _TAGS.sub(" ", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Strings with the key that they stand under; not those of the request that some servers send back."""
    level = [(name, value)]
    while level:
        below: list[tuple[str, Any]] = []
        for key, item in level:
            if isinstance(item, dict):
                below += [
                    (str(inner), part) for inner, part in item.items() if inner not in ("input", "body", "request")
                ]
            elif isinstance(item, list):
                below += [(key, part) for part in item]
            elif isinstance(item, str):
                yield key, item
        level = below


def _strings(value: Any) -> Iterator[str]:
    for _, text in _leaves(value):
        yield text


def _names(value: Any) -> Iterator[str]:
    for key, text in _leaves(value):
        if key in ("param", "loc", "field", "parameter"):
            yield from re.split(r"[.\[\]]+", text)
