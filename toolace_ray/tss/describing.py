"""Descriptions that a document lacks, written by a model and checked by code; where none passes, the derived one stays.

An imported API of which something is undescribed waits beside the pool while the writer is asked about it, one attempt an
API, in a flow of its own between the reading of the sources and the growing of the tree. There, because reading stays
without engines and can be repeated after a kill; an attempt's number fixes its seed, and what it gave is on disk before
the pool takes it, so nothing is paid twice; the tree and the generations see APIs that do not change any more; and a flow
without attempts starts no pool. Whether an API is let in (the gate, what repeats another) is decided on its derived
descriptions before anything is paid: `write` lets in what `derive` does.

Invariants: only what its document leaves undescribed changes; what is written passed every check here and the gate; what is
not written stays derived, and the lineage tells why.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import LEAK, prompt
from toolace_ray.records.api import Api
from toolace_ray.records.base import Record
from toolace_ray.records.json import Text, canonical_json, load_json
from toolace_ray.schemas import gate
from toolace_ray.schemas.walk import Sub, fields, kind_of, leaves
from toolace_ray.text.numerals import word_numbers
from toolace_ray.tss.evolution import Writing
from toolace_ray.tss.sense import related, scripts, whole
from toolace_ray.tss.told import Told, describe, words_of

TRIES = 3  # requests for an API, each of `samples` candidates and for what still lacks alone
MOST_ASKED = 24  # descriptions that one request asks for, those of the upper levels first; the others stay derived
MOST_SHOWN = 12  # described parameters, and fields of the result, that a prompt tells of
MAX_OWN, MAX_OTHER = 200, 120  # characters of an API's description, and of a parameter's
TOKENS = 45  # of one description, its key aside
_FILLING = {
    "a", "an", "the", "of", "for", "to", "in", "on", "by", "with", "from", "at", "as", "this", "that", "these", "is",
    "are", "be", "and", "or", "its", "it", "which", "used", "use", "value", "values", "parameter", "field",
    "argument", "property", "type", "string", "number", "integer", "boolean", "array", "list", "object", "text",
    "given", "specified", "required", "optional", "api", "operation", "function", "endpoint", "method", "call",
    "one", "either",
}  # fmt: skip
_MARKUP = re.compile(r"[\[\]{}<>|`*#\\~^]|__|\.\.\.|…|https?:|www\.|&#?\w+;|%[a-z]\b")
_PLACEHOLDER = re.compile(
    r"\b(?:todo|tbd|fixme|lorem|placeholder|xxx+)\b|\b(?:no|insert|add|your|missing) (?:a |the )?description\b|"
    r"\bdescription (?:goes )?here\b|^(?:n/?a|none|null|unknown|undefined)\b\W*$",
    re.IGNORECASE,
)
_TYPE_FIRST = re.compile(r"(?:an? )?(?:string|integer|boolean|array|object)\b", re.IGNORECASE)
_BROKEN_OFF = re.compile(
    r"\b(?:such as|including|e\.g\.?|as|of|the|a|an|or|and|that|which|is|are)$|,\s*(?:for|in|to|with|by|from|on|at)$|^\W",
    re.I,
)
_SHORTENED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|incl|approx|no)\.", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[。！？]")
_QUOTED = re.compile(r"[\"“”«»]([^\"“”«»]{1,60})[\"“”«»]|(?<!\w)['‘]([^'’]{1,60})['’](?!\w)")
_CODE = re.compile(r"\b(?:[A-Z][A-Z0-9]+|\w*[^\W_]_[^\W_]\w*|[a-z]+[A-Z]\w*)\b")
_COMMON = frozenset(("API", "HTTP", "ID", "IDS", "IP", "ISO", "RFC", "URI", "URL", "URLS", "UTC", "UUID"))
_STANDARDS = {"date": {8601.0, 3339.0}, "date-time": {8601.0, 3339.0}, "time": {8601.0, 3339.0}, "duration": {8601.0}}
_EXAMPLES = re.compile(
    r"\b(?:such as|e\.g\.?|for example|for instance|one of|either|(?:possible|allowed|valid) values(?: are)?)[\s,:]+([^.;()]+)",
    re.IGNORECASE,
)
_DEFAULT = re.compile(r"\b(?:defaults? to|default is|default value is|default:|set to|equal to)\s+([^\s,.;()]+)", re.I)
_JOINED = re.compile(r"[\w-]+(?:(?:\s*,\s*(?:(?:or|and)\s+)?|\s+(?:or|and)\s+|/)[\w-]+)+", re.IGNORECASE)
_CHOICE = re.compile(r"\b(?:or|and)\b|/", re.IGNORECASE)
_JOINT = re.compile(r"\s*,\s*(?:(?:or|and)\s+)?|\s+(?:or|and)\s+|/", re.IGNORECASE)


class Descriptions(Record):
    """What an attempt gave: place -> description, and place -> why the last one written for it was refused."""

    texts: dict[Text, Text]
    refused: dict[Text, Text]


@dataclass(frozen=True)
class _Wanted:
    """A place that lacks a description; "" is the API itself. `required` says whether a call needs it."""

    place: str
    name: str
    schema: dict[str, Any]
    level: int = 0
    required: bool = False

    @property
    def limit(self) -> int:
        return MAX_OTHER if self.place else MAX_OWN


async def describe_api(api: Api, seed: int, writing: Writing, engines: TaskEngines) -> Descriptions:
    """Ask the writer for the descriptions that an imported API lacks; what fails the checks is asked for again.

    Args:
        api: with its derived descriptions; its lineage names the places.
        seed: of the attempt; the requests' seeds derive from it.

    Raises:
        EngineError: the writer could not be asked.
    """
    asked = _wanted(api)[:MOST_ASKED]
    keys = {wanted.place: wanted.place or f"{api.name}()" for wanted in asked}
    texts: dict[str, str] = {}
    refused: dict[str, str] = {}
    for number in range(TRIES):
        left = [wanted for wanted in asked if wanted.place not in texts]
        if not left:
            break
        request = GenerateRequest(
            messages=_messages(api, left, keys, texts),
            n=writing.samples,
            max_tokens=40 + sum(TOKENS + len(keys[wanted.place]) // 2 for wanted in left),
            temperature=writing.temperature,
            seed=(seed + number) % 2**31,
            json_schema=_answer_schema(left, keys),
        )
        for sample in (await engines.generate("writer", request)).samples:
            said = _said(sample.text, left, keys)
            repeated = Counter(map(_plain, said.values()))
            for wanted in left:
                if wanted.place in texts:
                    continue
                text = said.get(wanted.place)
                if text is None:
                    fault: str | None = "is not in the form that was asked for"
                elif repeated[_plain(text)] > 1:
                    fault = "is the same for two of them"
                else:
                    fault = _fault(text, wanted, api, texts)
                if fault is None:
                    texts[wanted.place] = str(text)
                else:
                    refused[wanted.place] = fault
    findings = gate.check(with_descriptions(api, Descriptions(texts=texts, refused={}))) if texts else []
    if findings:
        texts, refused = {}, dict.fromkeys(keys, f"does not pass the gate ({findings[0].rule})")
    return Descriptions(texts=texts, refused={place: why for place, why in refused.items() if place not in texts})


def with_descriptions(api: Api, found: Descriptions | None) -> Api:
    """An imported API with what was written for it, and its lineage with what was written and what not; `found` is None
    where the writer could not be asked."""
    texts = found.texts if found else {}
    parameters = copy.deepcopy(api.parameters)
    for sub in fields(parameters):
        if sub.named and sub.place in texts:
            sub.schema["description"] = texts[sub.place]
    told = Told()
    if "" in texts:
        told.add("description written by a model in place of the derived one")
    for place in texts:
        if place:
            told.add("descriptions written by a model in place of derived ones", place)
    places = [wanted.place for wanted in _wanted(api)]
    for place in dict.fromkeys((*places, *api.lineage.undescribed)) if found else ():
        if place not in texts:
            why = found.refused.get(place) if found else None
            reason = f"what was written {why}" if why else f"beyond the {MOST_ASKED} of an API that are asked for"
            if place not in places:
                reason = "two parameters are written so"
            told.add(f"derived description kept, {reason}", place or api.name)
    if found is None:
        told.add("derived descriptions kept, the writer could not be asked")
    lineage = api.lineage.model_copy(
        update={"notes": (*api.lineage.notes, *told.notes()), "written": tuple(texts)},
    )
    return api.model_copy(
        update={"description": texts.get("", api.description), "parameters": parameters, "lineage": lineage}
    )


def _wanted(api: Api) -> list[_Wanted]:
    """The places that are asked about, upper levels first; one that two parameters are written as is not told apart."""
    undescribed = set(api.lineage.undescribed)
    named = [sub for sub in fields(api.parameters) if sub.named]
    counts = Counter(sub.place for sub in named)
    found = [_Wanted("", api.name, {"parameters": api.parameters, "returns": api.returns})] if "" in undescribed else []
    found += [
        _Wanted(sub.place, _name(sub), sub.schema, sub.depth, _needed(sub))
        for sub in named
        if sub.place and sub.place in undescribed and counts[sub.place] == 1
    ]
    return sorted(found, key=lambda wanted: wanted.level)


def _name(sub: Sub) -> str:
    return str(sub.step[1]) if sub.step else ""


def _needed(sub: Sub) -> bool:
    return sub.above is not None and _name(sub) in (sub.above.schema.get("required") or ())


# The request ---------------------------------------------------------------------------------------------------------


def _answer_schema(left: list[_Wanted], keys: dict[str, str]) -> dict[str, Any]:
    properties = {keys[wanted.place]: {"type": "string", "minLength": 10, "maxLength": wanted.limit} for wanted in left}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _messages(api: Api, left: list[_Wanted], keys: dict[str, str], texts: dict[str, str]) -> list[dict[str, str]]:
    """The prompt: what was written in an earlier try is shown among what is described."""
    undescribed = set(api.lineage.undescribed) - set(texts)
    own = texts.get("") or ("" if "" in undescribed else api.description)
    where = f"{api.name}, {api.lineage.operation}" if api.lineage.operation != api.name else api.name
    described = [
        _line(
            sub.place, {**sub.schema, "description": texts.get(sub.place, sub.schema.get("description"))}, _needed(sub)
        )
        for sub in fields(api.parameters)
        if sub.named and sub.place not in undescribed
    ]
    lines = [
        _line(keys[wanted.place], _undescribed(wanted), wanted.required) if wanted.place else keys[""]
        for wanted in left
    ]
    return prompt("describe").render(
        operation=_short(f"{where} ({' > '.join(api.domain)})" + (f": {own}" if own else ""), 300),
        described=described[:MOST_SHOWN],
        undescribed=lines,
        result=_result(api.returns),
    )


def _undescribed(wanted: _Wanted) -> dict[str, Any]:
    """A schema without the description that code made of its name; one that its document's title gave is told as a title."""
    schema = {key: value for key, value in wanted.schema.items() if key != "description"}
    derived = wanted.schema.get("description")
    return schema if describe(wanted.name, schema) == derived else {**schema, "description": f"titled {derived}"}


def _line(place: str, schema: dict[str, Any], required: bool = False) -> str:
    """A parameter as a line: place, type, description, values."""
    kind = ", ".join(filter(None, (kind_of(schema), str(schema.get("format") or ""), "required" if required else "")))
    said = [_short(str(schema["description"]), 120)] if schema.get("description") else []
    items = schema.get("items")
    for source in (schema, items if isinstance(items, dict) else {}):
        if isinstance(source.get("enum"), list):
            said.append(f"one of {', '.join(map(_value, source['enum'][:8]))}")
        if "minimum" in source and "maximum" in source:
            said.append(f"from {source['minimum']} to {source['maximum']}")
        if isinstance(source.get("pattern"), str):
            said.append(f"pattern {source['pattern'][:40]}")
        if isinstance(source.get("examples"), list) and source["examples"]:
            said.append(f"for example {_value(source['examples'][0])}")
    if "default" in schema:
        said.append(f"by default {_value(schema['default'])}")
    return _short(f"{place} ({kind})" + (f": {'; '.join(said)}" if said else ""), 240)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:40]


def _result(returns: dict[str, Any]) -> str:
    """What an API answers, as the fields that have no fields themselves."""
    subs = [sub for sub in fields(returns) if sub.named and not sub.schema.get("properties")][:MOST_SHOWN]
    if not subs:
        return _line("", returns).strip()
    fields_told = ((f"{sub.place} ({kind_of(sub.schema)})", str(sub.schema.get("description") or "")) for sub in subs)
    return "; ".join(_short(f"{field}: {text}" if text else field, 100) for field, text in fields_told)


def _short(text: str, limit: int) -> str:
    """A text on one line, up to the last word that is whole: a model copies half a word as it stands."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[:limit].rpartition(" ")[0] or line[:limit]


def _said(answer: str, left: list[_Wanted], keys: dict[str, str]) -> dict[str, str]:
    """Place -> text of an answer, without what breaks off; {} where it is no JSON object."""
    try:
        told = load_json(answer)
    except ValueError:
        return {}
    said = {}
    for wanted in left:
        text = told.get(keys[wanted.place]) if isinstance(told, dict) else None
        with contextlib.suppress(ValueError):  # nothing is left of it
            said[wanted.place] = whole(text, wanted.limit) if isinstance(text, str) else ""
    return {place: text for place, text in said.items() if text}


# The checks ----------------------------------------------------------------------------------------------------------


def _fault(text: str, wanted: _Wanted, api: Api, texts: dict[str, str]) -> str | None:
    """Why a text is no description of a place, else None."""
    if len(text) > wanted.limit:
        return f"has more than {wanted.limit} characters"
    if _MARKUP.search(text) or _PLACEHOLDER.search(text):
        return "holds markup or a placeholder"
    if "?" in text or sum(bool(part.strip()) for part in _SENTENCE_END.split(_SHORTENED.sub(" ", text))) > 2:
        return "is not one or two statements"
    if _TYPE_FIRST.match(text):
        return "tells its type"
    if _BROKEN_OFF.search(text):
        return "breaks off"
    words = _words(text)
    of_name = [wanted.name, wanted.place, *map(str, _enum(wanted.schema)), *(() if wanted.place else api.domain)]
    names = set(map(_stem, _words(" ".join(of_name))))
    if len(words) < 2 or all(word in _FILLING or _stem(word) in names for word in words):
        return "says no more than the name"
    if (
        wanted.place
        and not (wanted.name.isalpha() and wanted.name == wanted.name.lower())
        and re.search(rf"\b{re.escape(wanted.name)}\b", text)
    ):
        return "repeats its identifier"
    for place, other in _descriptions(api, texts):
        if place != wanted.place and (_plain(text) == _plain(other) or not _runs(text).isdisjoint(_runs(other))):
            return "repeats another one"
    if prompt("describe").shares(text):
        return "repeats the prompt's example"
    known = _known(api)
    if foreign := scripts(text) - scripts(known) - {"LATIN"}:
        return f"is partly written in {', '.join(sorted(foreign))}"
    topic = known if wanted.place else " ".join([words_of(api.name), api.lineage.operation, *api.domain])
    if scripts(text + topic) == {"LATIN"} and not related(text, topic):
        return "has nothing to do with the operation"
    value = _invented(text, wanted, known, api.name)
    return f"names {value!r}, which the schema does not have" if value else None


def _descriptions(api: Api, texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(place, description) of all that is described by the document or was written."""
    undescribed = set(api.lineage.undescribed)
    yield from texts.items()
    if "" not in undescribed:
        yield "", api.description
    for sub in fields(api.parameters):
        if sub.named and sub.place not in undescribed and isinstance(sub.schema.get("description"), str):
            yield sub.place, sub.schema["description"]


def _known(api: Api) -> str:
    """All that the document says of an API."""
    schemas = canonical_json([api.parameters, api.returns])
    return " ".join([api.name, api.lineage.operation, *api.domain, api.description, schemas])


def _invented(text: str, wanted: _Wanted, known: str, function: str) -> str | None:
    """The first number, quoted word, code or listed value in a text that the schema of its place does not have; words that
    the document has elsewhere are no invention, unless the place has its values to choose from."""
    source = canonical_json(wanted.schema)
    numbers = _numbers(f"{source} {wanted.place or known}") | _STANDARDS.get(str(wanted.schema.get("format")), set())
    if strange := sorted(_numbers(text) - numbers):
        return f"{strange[0]:g}"
    values = {"true", "false", "null"} | {str(value).casefold() for _, value in leaves(wanted.schema)}
    enum = {str(value).casefold() for value in _enum(wanted.schema)}
    vocabulary = {_stem(word) for word in _words(f"{source} {wanted.place} {function}" if enum else known)}

    def is_known(item: str) -> bool:
        bare = item.strip(" .,:;\"'“”‘’").casefold()
        words = _words(item)
        return bare in values or all(word in _FILLING or _stem(word) in vocabulary for word in words)

    for match in _QUOTED.finditer(text):
        item = match[1] or match[2]
        if item.casefold() not in enum if enum else not is_known(item):
            return str(item)
    for code in _CODE.findall(text):
        if code not in _COMMON and not is_known(code):
            return str(code)
    listed = [item for match in _EXAMPLES.finditer(text) for item in _JOINT.split(match[1])]
    for item in (*listed, *_DEFAULT.findall(text)):
        if not is_known(item):
            return str(item.strip())
    for match in _JOINED.finditer(text) if enum else ():
        items = [item for item in _JOINT.split(match[0].casefold()) if item not in _FILLING]
        if _CHOICE.search(match[0]) and enum.intersection(items) and not enum.issuperset(items):
            return next(item for item in items if item not in enum)
    return None


def _enum(schema: dict[str, Any]) -> list[Any]:
    items = schema.get("items")
    values = schema.get("enum") or (items.get("enum") if isinstance(items, dict) else None)
    return values if isinstance(values, list) else []


def _numbers(text: str) -> set[float]:
    """The numbers in a text, in digits or in English words; "one" is mostly none."""
    digits = re.findall(r"\d{1,15}(?:[.,]\d{1,15})*", text)
    return {float(number.replace(",", "")) for number in digits if number.count(".") < 2} | {
        float(value) for value in word_numbers(text) if value > 1
    }


def _words(text: str) -> list[str]:
    """The words of a text in lower case; those of an identifier are told apart."""
    return [word for part in re.findall(r"\w+", text) for word in words_of(part).lower().split()]


def _stem(word: str) -> str:
    return (word[:-1] if len(word) > 3 and word.endswith("s") else word)[:5]


def _runs(text: str) -> set[str]:
    """LEAK words in a row, from each word on."""
    words = _words(text)
    return {" ".join(words[at : at + LEAK]) for at in range(len(words) - LEAK + 1)}


def _plain(text: str) -> str:
    return " ".join(_words(text))
