"""Rules on API definitions and on calls against them: the first two rows of the paper's Table 4."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.rules.texts import CODE
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.api import Api
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas import gate
from toolace_ray.schemas.validate import SchemaError, errors
from toolace_ray.schemas.walk import alongside, leaves, pointer, schema_at

_PLACEHOLDER = re.compile(
    r"^(string|text|value|example|placeholder|none|null|n/?a|unknown|undefined|todo|tbd|xxx+|foo|bar|lorem ipsum.*|your[ _-].*|[?_.*-]{1,5}"
    r"|<[^>]*>|\[[^\]\",\d]*\]|\{+[^{}\":]*\}+|\$\{?[A-Za-z_]\w*(?:[.\[][\w.\[\]]*)+\}?|(insert|enter)[ _].*|.*example\.(com|org|net).*|john doe|jane doe|123-?456.*)$",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"\[(?:your|insert|enter|recipient|sender)\b[\w ,'’-]{0,40}\](?!\()", re.IGNORECASE)
_BRACKETED = re.compile(r"^[<\[{].*[>\]}]$|^(string|placeholder|your[ _-].*|(insert|enter)[ _].*)$", re.IGNORECASE)
_MISSING = re.compile(r"the value: .* is a required property$", re.DOTALL)
_PLAIN_TIME = re.compile(r'"(\d{4}-\d{2}-\d{2}[T ])?\d{2}:\d{2}(:\d{2})?" is not a "(date-)?time"$')
# What an imported dialog's tools need not have: nothing is drawn from them, and few formats know returns.
DIALECTS = ("toolace", "xlam")  # formats whose sets are published with types and names of their own
_ONLY_OURS = {"returns", "example_call", "example_return", "unwieldy", "parameter_count", "scraps"}


@rule("definition")
def api_definition(view: View) -> Iterator[Finding]:
    """Every tool passes the API gate: JSON Schema 2020-12, described parameters, `required` within `properties`."""
    yield from view.noted("api_definition")
    for api in view.dialog.tools:
        for verdict in gate.check(api):
            if view.planned or not _excused(view, api, verdict):
                yield None, f"{verdict.rule}: {verdict.evidence}"


def _excused(view: View, api: Api, verdict: Verdict) -> bool:
    """What a stranger's tool need not keep: short words of description, described fields deep inside, names with spaces where
    the format is published with them."""
    if verdict.rule == "name":
        return view.dialog.meta.get("format") in DIALECTS
    if verdict.rule == "description":
        return bool(api.description.strip())
    if verdict.rule == "parameter_description":
        name = verdict.evidence.partition("parameter ")[2].removesuffix(" has no description")
        return "." in name or "[]" in name or _described_at_reference(api, name)
    return verdict.rule in _ONLY_OURS


def _described_at_reference(api: Api, name: str) -> bool:
    """True for a parameter whose `$ref` leads to a description within the tool's schema."""
    reference = api.properties.get(name, {}).get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return False
    target: object = api.parameters
    for part in reference[2:].split("/"):
        target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return isinstance(target, dict) and bool(str(target.get("description") or "").strip())


@rule("definition", "warn")
def schema_dialect(view: View) -> Iterator[Finding]:
    """Schemas speak JSON Schema 2020-12 and names are safe; the dialects that sets are published in are read, and told."""
    yield from view.noted("schema_dialect")
    if view.dialog.meta.get("format") in DIALECTS:
        for api in view.dialog.tools:
            if not gate.NAME.fullmatch(api.name):
                yield None, f"the name {api.name!r} does not match {gate.NAME.pattern}"


@rule("definition")
def duplicate_tools(view: View) -> Iterator[Finding]:
    """No two candidate tools share a name."""
    if len(view.apis) == len(view.dialog.tools):
        return
    for name, count in Counter(api.name for api in view.dialog.tools).items():
        if count > 1:
            yield None, f"{count} tools are named {name}"


@rule("executability")
def known_api(view: View) -> Iterator[Finding]:
    """The name of every call is in the tool list, letter by letter."""
    for turn, call in view.calls:
        if call.name not in view.apis:
            yield (
                turn,
                f"{call.name} is not among the tools"
                if view.apis
                else f"{call.name} is called, and no tools were found",
            )


@rule("executability")
def required_arguments(view: View) -> Iterator[Finding]:
    """Every required parameter is given; ours is no empty string."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            for name in api.required:
                if name not in call.arguments:
                    yield turn, f"{call.name} lacks {name}"
                elif call.arguments[name] == "" and view.planned:
                    yield turn, f"{call.name}: {name} is empty"


@rule("executability")
def unknown_arguments(view: View) -> Iterator[Finding]:
    """No argument beyond the properties, at any depth, even where the schema forgets to forbid it."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            yield from (
                (turn, f"{call.name} has no parameter {name}") for name in _unknown(api.parameters, call.arguments)
            )


def _unknown(schema: object, arguments: object) -> Iterator[str]:
    for path, declared, value in alongside(schema, arguments):
        properties = declared.get("properties")
        if not isinstance(value, dict) or not isinstance(properties, dict):
            continue
        if declared.get("additionalProperties") in (None, False) and "patternProperties" not in declared:
            names = [part for part in path if isinstance(part, str)]
            yield from (".".join((*names, name)) for name in value if name not in properties)


@rule("executability")
def arguments_valid(view: View) -> Iterator[Finding]:
    """The arguments validate: types, enums, ranges, lengths, formats, patterns (in linear time), nested values."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            try:
                faults = errors(api.parameters, call.arguments, key=f"{api.id}/parameters")
            except SchemaError:
                return  # api_definition reports it
            for error in faults:
                # required_arguments reports what is missing at the top level; nearly nobody writes times with a zone.
                if not _MISSING.match(error) and (view.planned or not _PLAIN_TIME.search(error)):
                    yield turn, f"{call.name}: {error}"


@rule("executability")
def placeholder_values(view: View) -> Iterator[Finding]:
    """No argument and no message is a placeholder such as "string", "<city>" or example.com."""
    for turn, call in view.calls:
        schema = view.apis[call.name].parameters if call.name in view.apis else {}
        for path, value in leaves(call.arguments):
            if not isinstance(value, str):
                continue
            if (inside := _INSIDE.search(value)) and not _said_or_returned(view, turn, inside.group()):
                yield turn, f"{call.name}{pointer(path)} holds {inside.group()!r}"
                continue
            if not _PLACEHOLDER.match(value.strip()):
                continue
            allowed = schema_at(schema, path)
            if value in (allowed.get("enum") or ()) or value == allowed.get("const") or value == allowed.get("default"):
                continue
            if view.planned or _BRACKETED.match(value.strip()) or not _said_or_returned(view, turn, value):
                yield turn, f"{call.name}{pointer(path)} is {value!r}"
    for turn, message in view.of("user", "assistant"):
        text = message.content
        if "<" not in text and "[" not in text and "{" not in text:
            continue
        if view.dialog.imported:  # code has brackets of its own, and a user may ask for a form to be filled
            text = CODE.sub(" ", text) if message.role == "assistant" and not _form_asked(view, turn) else ""
        if placeholder := _SPOKEN.search(text):
            yield turn, f"says {placeholder.group()!r}"


_FORM = re.compile(
    r"\b(?:write|draft|template|compose|letter|e?-?mail|placeholder|how|example|syntax|command|invitation|form|cv|resume)\b",
    re.IGNORECASE,
)


def _form_asked(view: View, turn: int) -> bool:
    """True where the user asked for a text to be filled in, or how something is written."""
    latest = next((message.content for i, message in reversed(view.of("user")) if i < turn), "")
    return bool(_FORM.search(latest))


_SPOKEN = re.compile(
    r"(?<!\w)<(?:your |the |insert |enter )?(?:name|city|date|time|value|string|number|user|email|address|location|country|amount|id|[a-z]+_[a-z_]+|"
    r"[a-z]+ [a-z ]+)>|\[(?:your|insert|enter|name|city|date|time|location|email)\b[\w ,'-]{0,40}\](?!\()|(?:(?<=\s)|^|(?<=\s\$))\{[a-z_]{2,30}\}",
    re.IGNORECASE,
)


def _said_or_returned(view: View, turn: int, value: str) -> bool:
    before = view.dialog.messages[:turn]
    return any(value.lower() in message.content.lower() for message in before if message.role in ("user", "tool"))
