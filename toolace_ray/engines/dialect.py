"""How one server wants to be asked: which fields it takes, whether it draws several answers, whether it keeps a schema.

Invariants: what was found out holds for every later request of the engine and is said once; a field that a server refuses
is taken from it only when the server names the field, and never a field that the configuration gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from toolace_ray.engines.faults import Fault
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.records.json import canonical_json, digest

LEARNT_FROM = (400, 404, 415, 422, 500, 501)
BAD_SCHEMAS = 3  # schemas refused, and none kept, after which schemas are not sent any more
MAX_BAD_SCHEMAS = 4096  # remembered

# What may be left out, what is missed least first: a server may refuse two fields only together.
_OPTIONAL = ("top_p", "seed", "stop", "n", "response_format", "max_tokens", "max_completion_tokens", "temperature")
_NAMED = {
    **{name: re.compile(rf"\b{name}\b", re.IGNORECASE) for name in _OPTIONAL},
    "n": re.compile(
        r"""["'`]n["'`]|\bn\s*(?:=|>|must|should|is)|(?:only one|multiple|number of) (?:choice|completion)s?""", re.I
    ),
    "stop": re.compile(r"""["'`]stop["'`]|\bstop[ _](?:words?|sequences?|strings?|parameter|tokens?)\b""", re.I),
    "response_format": re.compile(
        r"response_format|json[ _]?schema|structured output|guided|response_schema|grammar", re.I
    ),
}
_REFUSED = re.compile(
    r"unsupported|(?:not|n't) (?:be |yet |currently )*(?:support|permit|allow|accept|recogni|implement|available|enabled|used)"
    r"|unknown|unrecogni[sz]ed|unexpected|unavailable|extra (?:inputs|fields)|(?:cannot|can't) (?:both be|be (?:both |used|set|specified|given|combined))|deprecated"
    r"|only the default|invalid (?:parameter|field|argument|value)|additional propert|must be (?:1|one|text|one of)\b|failed to parse",
    re.IGNORECASE,
)
_OUT_OF_RANGE = re.compile(
    r"too (?:large|long|many|high|small|low|big)|at most|at least|maximum|minimum|between|less than|greater than|exceed|context",
    re.IGNORECASE,
)
_BAD_SCHEMA = re.compile(
    r"invalid (?:json )?schema|schema (?:is|was) (?:invalid|not valid)|provided json schema|response_schema|grammar"
    r"|schema (?:is )?too|additionalproperties",
    re.IGNORECASE,
)
MAX_STARTS = 256  # places at which a value is looked for in an answer that is none
_OPENING = re.compile(r"[{\[]")
_LENIENT = json.JSONDecoder(strict=False)  # models write line ends into strings
_FENCED = re.compile(r"```[\w-]*+\s*+(.*?)```", re.DOTALL)
_TOLD = {
    "n": "draws one answer a request; it is asked once for each",
    "max_tokens": "takes max_completion_tokens in place of max_tokens",
    "response_format": "keeps no JSON schema; schemas go into the prompt and its answers are validated",
    "seed": "takes no seed; the same run may come out otherwise",
    "stop": "takes no stop; its answers are cut here",
}


class Dialect:
    """What a server takes.

    Args:
        extra: fields of every request's body from the configuration; null leaves a field out.
        say: given a sentence (about the server, without its name) whenever something was found out.
    """

    def __init__(self, extra: Mapping[str, Any], say: Callable[[str], None] = lambda _: None) -> None:
        self._extra = {name: value for name, value in extra.items() if value is not None}
        self.left_out = {name for name, value in extra.items() if value is None}
        self._say = say
        self._bad_schemas: set[str] = set()
        self._kept_schemas = False

    @property
    def one_by_one(self) -> bool:
        """Whether a request draws one answer."""
        return "n" in self.left_out

    @property
    def schemas(self) -> bool:
        """Whether schemas are sent as such."""
        return "response_format" not in self.left_out

    def body(self, request: GenerateRequest, model: str, n: int, shift: int, thinking: int) -> dict[str, Any]:
        """The body of one request for `n` answers, the first of which is number `shift` of all that are wanted."""
        fields: dict[str, Any] = {
            "max_tokens": request.max_tokens + thinking,
            "temperature": request.temperature,
            "top_p": request.top_p,
        }
        if n > 1:
            fields["n"] = n
        if request.seed is not None:
            fields["seed"] = request.seed + shift
        if request.stop and not thinking:  # a reasoning model's thought must not end at them
            fields["stop"] = list(request.stop)
        messages = [dict(message) for message in request.messages]
        if request.json_schema is not None:
            if self.schemas and not self._is_bad(request.json_schema):
                schema = {"name": "answer", "schema": request.json_schema, "strict": True}
                fields["response_format"] = {"type": "json_schema", "json_schema": schema}
            else:
                messages = _with_schema(messages, request.json_schema)
        if "max_tokens" in self.left_out:
            fields["max_completion_tokens"] = fields["max_tokens"]
        fields = {name: value for name, value in fields.items() if name not in self.left_out}
        return {"model": model, "messages": messages, **fields, **self._extra}

    def takes(self) -> list[str]:
        """What the server takes, as far as is known, a line each."""
        lines = [
            "several answers a request (n): " + ("no, it is asked once for each" if self.one_by_one else "yes"),
            "JSON schemas: "
            + (
                "no, they go into the prompt and answers are validated"
                if not self.schemas
                else "not this one, it goes into the prompt"
                if self._bad_schemas
                else "yes"
            ),
        ]
        names = [name for name in ("max_tokens", "temperature", "top_p", "seed", "stop") if name not in self.left_out]
        if "max_tokens" in self.left_out and "max_completion_tokens" not in self.left_out:
            names.insert(0, "max_completion_tokens")
        out = sorted(self.left_out - {"n", "response_format"})
        return [*lines, f"fields: {', '.join(names)}" + (f"; left out: {', '.join(out)}" if out else "")]

    def learn(self, fault: Fault, body: Mapping[str, Any]) -> bool:
        """Whether the request may be asked in another way, now that the server refused `body`."""
        if fault.status not in LEARNT_FROM or fault.kind not in ("request", "passing", "away"):
            return False
        sent = [name for name in _OPTIONAL if name in body and name not in self._extra]
        if any(name in self.left_out for name in sent):  # another request found it out meanwhile
            return True
        name = _refused(fault, sent)
        if name is None:
            return False
        if name == "response_format" and _BAD_SCHEMA.search(fault.words):
            return self._bad_schema(body["response_format"]["json_schema"]["schema"])
        self._leave_out(name)
        return True

    def draws_one(self) -> None:
        """The server answered a request for several answers by one."""
        self._leave_out("n")

    def answered(self, samples: list[str], body: Mapping[str, Any]) -> bool:
        """Whether finished answers to a request with a schema may stand: False where the server ignored the schema."""
        if "response_format" not in body or "response_format" in self._extra:
            return True
        if any(_is_json(text) for text in samples):
            self._kept_schemas = True
        elif any(samples) and not self._kept_schemas:
            self._leave_out("response_format")
            return False
        return True

    def _leave_out(self, name: str) -> None:
        if name in self.left_out:
            return
        self.left_out.add(name)
        self._say(_TOLD.get(name, f"takes no {name}; it is left out"))

    def _bad_schema(self, schema: Any) -> bool:
        if len(self._bad_schemas) >= MAX_BAD_SCHEMAS:
            self._bad_schemas.clear()
        self._bad_schemas.add(_key(schema))
        if len(self._bad_schemas) >= BAD_SCHEMAS and not self._kept_schemas:
            self._leave_out("response_format")
        return True

    def _is_bad(self, schema: Any) -> bool:
        return bool(self._bad_schemas) and _key(schema) in self._bad_schemas


def _key(schema: Any) -> str:
    return digest(canonical_json(schema))


def _refused(fault: Fault, sent: list[str]) -> str | None:
    """The field of those sent that the server does not take, None where it says nothing of the kind."""
    named = [name for name in sent if name in fault.names] or [
        name for name in sent if _NAMED[name].search(fault.words)
    ]
    for name in named:
        if name in ("n", "stop"):  # fewer is no way out: one answer a request and none always work
            return name
        refused = _REFUSED.search(fault.words) or (name == "response_format" and _BAD_SCHEMA.search(fault.words))
        if refused and (name == "response_format" or not _OUT_OF_RANGE.search(fault.words)):
            return name
    return None


def _with_schema(messages: list[dict[str, str]], schema: Any) -> list[dict[str, str]]:
    told = (
        "Answer with one JSON value that validates against this JSON schema, and with nothing before or after it:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
    if messages and messages[-1].get("role") == "user":
        *before, last = messages
        return [*before, {**last, "content": f"{last['content']}\n\n{told}"}]
    return [*messages, {"role": "user", "content": told}]


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def extracted(text: str) -> str:
    """The JSON of an answer: the answer itself, what stands between fences, or the longest value in prose; else the answer."""
    if _is_json(text):
        return text
    for fenced in reversed(_FENCED.findall(text)):
        if _is_json(fenced):
            return str(fenced).strip()
    found, at = "", 0
    for _ in range(MAX_STARTS):
        start = _OPENING.search(text, at)
        if start is None:
            break
        try:
            _, at = _LENIENT.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
        else:
            found = max(found, text[start.start() : at], key=len)
    return found or text
