"""The rules themselves, in the order of the paper's Table 4 with the additions of method.md section 3."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from toolace_ray.calls import SYNTAXES
from toolace_ray.config import VerifyConfig
from toolace_ray.dlv.rules import RULES, Finding, Rule, View, rule
from toolace_ray.dlv.values import find, numbers
from toolace_ray.errors import UserError
from toolace_ray.instances import leaves, pointer, schema_at
from toolace_ray.schema import Api, Message
from toolace_ray.tss import gate
from toolace_ray.validation import SchemaError, errors

_MARKUP = re.compile(r"</?tool_call>|<\|[a-z_]+\|>|\"(?:arguments|parameters)\"\s*:\s*\{|```")
_PLACEHOLDER = re.compile(
    r"^(string|text|value|example|placeholder|none|null|n/?a|unknown|todo|tbd|xxx+|foo|bar|lorem ipsum.*|your .*|<[^>]*>"
    r"|\[[^\]]*\]|\{[^}]*\}|.*example\.(com|org|net).*|john doe|jane doe|123-?456.*)$",
    re.IGNORECASE,
)
_LEAK = re.compile(
    r"\b(few-shot|system prompt|as an ai language model|blueprint|fact sheet|gold call|JSON schema|the wish is)\b|^(Request|"
    r"Results|Functions|Missing|Calls|Answer|Wanted|Known):",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = re.compile(
    r"\b(I|we) (couldn['’]t|could not|can['’]t|cannot|wasn['’]t able|was not able|am unable|don['’]t have)\b|\bunable to\b",
    re.IGNORECASE,
)
_MISSING = re.compile(r"the value: .* is a required property$", re.DOTALL)
_ENDING = ".!?…。！？)\"'”’:]}*"


def registered() -> list[Rule]:
    """All rules, in the order they were registered."""
    return list(RULES.values())


def check_disabled(config: VerifyConfig) -> None:
    """Raise UserError where verify.disabled_rules names a rule that there is not."""
    unknown = sorted(set(config.disabled_rules) - set(RULES))
    if unknown:
        raise UserError(f"verify.disabled_rules: no rule is named {', '.join(unknown)}; see `toolace check --rules`")


# API definition clarity


@rule("definition")
def api_definition(view: View) -> Iterator[Finding]:
    """Every tool passes the API gate: JSON Schema 2020-12, described parameters, `required` within `properties`."""
    for api in view.dialog.tools:
        for verdict in gate.check(api):
            yield None, f"{verdict.rule}: {verdict.evidence}"


@rule("definition")
def duplicate_tools(view: View) -> Iterator[Finding]:
    """No two candidate tools share a name."""
    for name, count in Counter(api.name for api in view.dialog.tools).items():
        if count > 1:
            yield None, f"{count} tools are named {name}"


# Function-calling executability


@rule("executability")
def known_api(view: View) -> Iterator[Finding]:
    """The name of every call is in the tool list, letter by letter."""
    for turn, call in view.calls:
        if call.name not in view.apis:
            yield turn, f"{call.name} is not among the tools"


@rule("executability")
def required_arguments(view: View) -> Iterator[Finding]:
    """Every required parameter is given."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            for name in api.required:
                if name not in call.arguments:
                    yield turn, f"{call.name} lacks {name}"


@rule("executability")
def unknown_arguments(view: View) -> Iterator[Finding]:
    """No argument beyond the properties, at any depth, even where the schema forgets to forbid it."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            yield from (
                (turn, f"{call.name} has no parameter {name}") for name in _unknown(api.parameters, call.arguments)
            )


def _unknown(schema: object, value: object, path: str = "") -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if isinstance(value, dict) and isinstance(schema.get("properties"), dict):
        open_ended = schema.get("additionalProperties") not in (None, False) or "patternProperties" in schema
        for name, item in value.items():
            if name in schema["properties"]:
                yield from _unknown(schema["properties"][name], item, f"{path}{name}.")
            elif not open_ended:
                yield f"{path}{name}"
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(schema.get("items"), item, path)


@rule("executability")
def arguments_valid(view: View) -> Iterator[Finding]:
    """The arguments validate: types, enums, ranges, lengths, formats, patterns (in linear time), nested values."""
    for turn, call in view.calls:
        if api := view.apis.get(call.name):
            try:
                found = errors(api.parameters, call.arguments, key=f"{api.id}/parameters")
            except SchemaError:
                return  # api_definition tells
            # What is missing at the top level is required_arguments' to tell.
            yield from ((turn, f"{call.name}: {error}") for error in found if not _MISSING.match(error))


# Dialog correctness


@rule("dialog")
def necessary_fields(view: View) -> Iterator[Finding]:
    """There is a user and an assistant turn, the assistant speaks last, no message is empty."""
    messages = view.dialog.messages
    roles = {message.role for message in messages}
    if not {"user", "assistant"} <= roles:
        yield None, f"roles present: {', '.join(sorted(roles)) or 'none'}"
    elif messages[-1].role != "assistant" or messages[-1].tool_calls:
        yield len(messages) - 1, "the dialog does not end with an answer of the assistant"
    for turn, message in enumerate(messages):
        if not message.content.strip() and not message.tool_calls:
            yield turn, f"the {message.role} message is empty"


@rule("dialog")
def message_length(view: View) -> Iterator[Finding]:
    """No message is longer than verify.max_message_chars."""
    for turn, message in enumerate(view.dialog.messages):
        if len(message.content) > view.config.max_message_chars:
            yield turn, f"{len(message.content)} characters, the limit is {view.config.max_message_chars}"


@rule("dialog")
def invalid_characters(view: View) -> Iterator[Finding]:
    """No control, private-use, unassigned or replacement characters."""
    texts = [(turn, message.content) for turn, message in enumerate(view.dialog.messages)]
    texts += [
        (turn, value) for turn, call in view.calls for _, value in leaves(call.arguments) if isinstance(value, str)
    ]
    for turn, text in texts:
        if text.isascii() and text.isprintable():
            continue
        for character in text:
            if character == "\ufffd" or (
                unicodedata.category(character) in ("Cc", "Co", "Cn") and character not in "\n\t\r"
            ):
                yield turn, f"character U+{ord(character):04X}"
                break


@rule("dialog")
def mixed_language(view: View) -> Iterator[Finding]:
    """User and assistant write in one script; a word of another one was said or returned before, and none mixes two."""
    main: str | None = None
    for turn, message in view.of("user", "assistant"):
        text = message.content
        scripts = _scripts(text)
        if scripts.total() >= 8 or main is None:
            script = scripts.most_common(1)[0][0] if scripts else None
            if main is not None and script != main:
                yield turn, f"written in {script}, the dialog in {main}"
                continue
            main = main or script
        if set(scripts) <= {main}:
            continue
        before = " ".join(item.content for item in view.dialog.messages[:turn])
        for word in re.findall(r"[^\W\d_]+", text):
            kinds = set(_scripts(word))
            if len(kinds) > 1:
                yield turn, f"{word!r} mixes {' and '.join(sorted(kinds))}"
            elif kinds != {main} and message.role == "assistant" and word not in before:
                yield turn, f"{word!r} is written in {kinds.pop()}, the dialog in {main}"


def _scripts(text: str) -> Counter[str]:
    """Script -> letters, by the first word of the characters' Unicode names; Japanese writes in three at once."""
    if text.isascii():
        letters = sum(map(str.isalpha, text))
        return Counter({"LATIN": letters}) if letters else Counter()
    plain = unicodedata.normalize("NFKC", text)  # the micro sign is a Greek letter, full-width Latin is Latin
    plain = plain.replace("\u03bc", "")
    found = Counter(unicodedata.name(character, "?").split()[0] for character in plain if character.isalpha())
    for part in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"):
        if part in found:
            found["CJK"] += found.pop(part)
    return found


@rule("dialog")
def response_complete(view: View) -> Iterator[Finding]:
    """Assistant answers end like sentences: neither cut off nor ending in a comma or an open bracket."""
    for turn, message in view.of("assistant"):
        text = message.content.strip()
        if text and not message.tool_calls and text[-1] not in _ENDING and unicodedata.category(text[-1]) != "So":
            yield turn, f"ends with {text[-20:]!r}"
        elif text.count("(") > text.count(")") or text.count("[") > text.count("]"):
            yield turn, "a bracket is not closed"


@rule("dialog")
def repetition(view: View) -> Iterator[Finding]:
    """No run of words is said three times in a row, and no long message is made of few words."""
    for turn, message in view.of("user", "assistant"):
        words = message.content.lower().split()
        for size in range(1, min(12, len(words) // 3) + 1):
            run = next(
                (i for i in range(len(words) - 3 * size + 1) if words[i : i + size] * 3 == words[i : i + 3 * size]),
                None,
            )
            if run is not None:
                yield turn, f"repeats {' '.join(words[run : run + size])!r}"
                break
        else:
            if len(words) > 40 and len(set(words)) < 0.3 * len(words):
                yield turn, f"{len(set(words))} different words of {len(words)}"


@rule("dialog")
def echoed_request(view: View) -> Iterator[Finding]:
    """An answer is more than the user's words said back."""
    asked = ""
    for turn, message in view.of("user", "assistant"):
        if message.role == "user":
            asked = message.content.lower()
        elif (
            message.content and difflib.SequenceMatcher(None, asked[:400], message.content.lower()[:400]).ratio() > 0.85
        ):
            yield turn, "repeats the request"


def code_names(api: Api) -> set[str]:
    """Names of an API, its parameters and its results that nobody would say aloud."""
    return {name for name in (api.name, *api.properties, *(api.returns.get("properties") or {})) if "_" in name}


@rule("dialog")
def leaked_prompt(view: View) -> Iterator[Finding]:
    """No text of our prompts, and no tool or parameter name in code style, stands in what is said."""
    names = set().union(*(code_names(api) for api in view.dialog.tools))
    for turn, message in view.of("user", "assistant"):
        if leak := _LEAK.search(message.content):
            yield turn, f"says {leak.group()!r}"
        for name in sorted(names):
            if name in message.content:
                yield turn, f"names {name}"


@rule("dialog")
def placeholder_values(view: View) -> Iterator[Finding]:
    """No argument and no message is a placeholder such as "string", "<city>" or example.com."""
    for turn, call in view.calls:
        schema = view.apis[call.name].parameters if call.name in view.apis else {}
        for path, value in leaves(call.arguments):
            if not isinstance(value, str) or not _PLACEHOLDER.match(value.strip()):
                continue
            allowed = schema_at(schema, path)
            if value not in (allowed.get("enum") or ()) and value != allowed.get("const"):
                yield turn, f"{pointer(path)} is {value!r}"
    for turn, message in view.of("user", "assistant"):
        if found := re.search(
            r"<[a-z][a-z _-]*>|\[(?:your|insert|name|city|date)[^\]]*\]", message.content, re.IGNORECASE
        ):
            yield turn, f"says {found.group()!r}"


# Data sample consistency


@rule("consistency")
def role_order(view: View) -> Iterator[Finding]:
    """System first if at all; then user, assistant, and after calls their results and the assistant again."""
    previous = "start"
    allowed = {
        "start": {"system", "user"},
        "system": {"user"},
        "user": {"assistant"},
        "assistant": {"user"},
        "calls": {"tool"},
        "tool": {"tool", "assistant"},
    }
    for turn, message in enumerate(view.dialog.messages):
        if message.role not in allowed[previous]:
            yield turn, f"{message.role} after {previous}"
        if message.tool_calls and message.role != "assistant":
            yield turn, f"a {message.role} message calls"
        previous = "calls" if message.tool_calls else message.role


@rule("consistency")
def results_match_calls(view: View) -> Iterator[Finding]:
    """After each turn of calls come their results: as many, in order, under the same ids and names."""
    waiting: list[tuple[str, str]] = []
    for turn, message in enumerate(view.dialog.messages):
        if message.role == "tool":
            if not waiting:
                yield turn, f"a result of {message.name} without a call"
            elif (message.tool_call_id, message.name) != waiting[0]:
                yield (
                    turn,
                    f"result of {message.name} ({message.tool_call_id}), expected {waiting[0][1]} ({waiting[0][0]})",
                )
                waiting.pop(0)
            else:
                waiting.pop(0)
            continue
        if waiting:
            yield turn, f"no result for {', '.join(name for _, name in waiting)}"
        waiting = [(call.id, call.name) for call in message.tool_calls]
    if waiting:
        yield None, f"no result for {', '.join(name for _, name in waiting)}"


@rule("consistency")
def results_valid(view: View) -> Iterator[Finding]:
    """Every result is JSON and validates against the return schema, or is an error that the API documents."""
    for turn, message in view.of("tool"):
        api = view.apis.get(message.name or "")
        if turn not in view.results:
            yield turn, f"the result of {message.name} is no JSON"
        elif api is not None:
            result = view.results[turn]
            if isinstance(result, dict) and set(result) == {"error"}:
                code = result["error"].get("code") if isinstance(result["error"], dict) else None
                if str(code) not in {error.code for error in api.errors}:
                    yield turn, f"{api.name} does not document the error {code}"
                continue
            try:
                yield from (
                    (turn, f"{api.name} returns {error}")
                    for error in errors(api.returns, result, 2, key=f"{api.id}/returns")
                )
            except SchemaError:
                return  # api_definition tells


@rule("consistency")
def call_syntax(view: View) -> Iterator[Finding]:
    """Calls stand in `tool_calls` alone: no call markup and no parseable call in anybody's text, no prose beside calls."""
    for turn, message in view.of("user", "assistant"):
        if message.tool_calls and message.content.strip():
            yield turn, "prose beside calls"
        if markup := _MARKUP.search(message.content):
            yield turn, f"call markup {markup.group()!r} in the text"
        elif any(character in message.content for character in "[{"):
            for name, syntax in SYNTAXES.items():
                if getattr(syntax.parse(message.content), "calls", ()):
                    yield turn, f"a call in {name} syntax in the text"
                    break


@rule("consistency")
def structure_of_type(view: View) -> Iterator[Finding]:
    """The calls are those of the dialog's type: one; several in one turn; a chain over turns; none."""
    turns = Counter(turn for turn, _ in view.calls)
    problem = {
        "single": len(view.calls) != 1,
        "parallel": len(turns) != 1 or len(view.calls) < 2,
        "dependent": len(turns) < 2,
        "non_tool": bool(view.calls),
    }[view.dialog.type]
    if problem:
        yield None, f"{view.dialog.type} with calls per turn {list(turns.values())}"


@rule("consistency")
def duplicate_calls(view: View) -> Iterator[Finding]:
    """No call is made twice with the same arguments, however they are written."""
    seen: set[str] = set()
    for turn, call in view.calls:
        key = " ".join(call.key().casefold().split())
        if key in seen:
            yield turn, f"{call.name} is called again with the same arguments"
        seen.add(key)


@rule("consistency")
def call_ids(view: View) -> Iterator[Finding]:
    """Every call has an id of its own."""
    for name, count in Counter(call.id for _, call in view.calls).items():
        if count > 1 or not name:
            yield None, f"{count} calls have the id {name!r}"


@rule("consistency")
def argument_provenance(view: View) -> Iterator[Finding]:
    """Every argument value is said by the user or the system, returned by an earlier call, or a schema default."""
    places = {
        (call.id, pointer(path)): (turn, call.name, value)
        for turn, call in view.calls
        for path, value in leaves(call.arguments)
    }
    for record in view.provenance:
        if record.source == "none":
            turn, name, value = places[record.call_id, record.path]
            yield turn, f"{name}{record.path} = {json.dumps(value, ensure_ascii=False)} comes from nowhere"


@rule("consistency")
def dependence(view: View) -> Iterator[Finding]:
    """In a dependent dialog each later turn of calls uses an earlier result; parallel calls use none."""
    turns = {call.id: turn for turn, call in view.calls}
    fed = {
        turns[record.call_id]
        for record in view.provenance
        if record.source == "tool_output" and record.call_id in turns
    }
    call_turns = sorted(set(turns.values()))
    if view.dialog.type == "dependent":
        for turn in call_turns[1:]:
            if turn not in fed:
                yield turn, "no argument comes from an earlier result"
    elif view.dialog.type == "parallel":
        yield from ((turn, "a parallel call depends on an earlier result") for turn in call_turns if turn in fed)


@rule("consistency")
def answer_grounded(view: View) -> Iterator[Finding]:
    """Numbers and identifiers in an answer stand in a tool result, a call or an earlier message; a result is used."""
    for turn, message in view.of("assistant"):
        if message.tool_calls:
            continue
        before = view.dialog.messages[:turn]
        known = " ".join(_shown(item) for item in before)
        for number in numbers(message.content):
            if find(int(number) if number.is_integer() else number, known, view.today) is None and number not in (1, 2):
                yield turn, f"{number:g} stands in no result and no earlier message"
        for code in re.findall(r"\b(?=[A-Z0-9-]*\d)[A-Z]{1,5}-?\d{2,}\b|\b\d{20,}\b", message.content):
            if code not in known:
                yield turn, f"{code[:40]} stands in no result and no earlier message"
        if before and before[-1].role == "tool":
            yield from _unused_results(view, turn, message)


@rule("consistency")
def success_denied(view: View) -> Iterator[Finding]:
    """An answer to results without an error does not say that it failed."""
    for turn, message in view.of("assistant"):
        if message.tool_calls or turn == 0 or view.dialog.messages[turn - 1].role != "tool":
            continue
        results = [view.results.get(i) for i in range(turn) if view.dialog.messages[i].role == "tool"]
        failed = any(isinstance(result, dict) and "error" in result for result in results)
        if not failed and (denied := _DENIED.search(message.content)):
            yield turn, f"says {denied.group()!r} though nothing failed"


def _shown(message: Message) -> str:
    calls = " ".join(str(value) for call in message.tool_calls for _, value in leaves(call.arguments))
    try:
        results = [str(value) for _, value in leaves(json.loads(message.content))] if message.role == "tool" else []
    except (ValueError, RecursionError):
        results = []
    return " ".join([message.content, *results, calls])


def _unused_results(view: View, turn: int, message: Message) -> Iterator[Finding]:
    """Each result since the calls must leave a trace in the answer: a value of it, or word of its error."""
    index = turn - 1
    while index >= 0 and view.dialog.messages[index].role == "tool":
        result = view.results.get(index)
        said = message.content
        if isinstance(result, dict) and set(result) == {"error"}:
            text = str((result["error"] or {}).get("message", "")) if isinstance(result["error"], dict) else ""
            words = set(re.findall(r"[a-z]{4,}", text.lower()))
            if not re.search(
                r"n't|n’t|\bnot\b|unable|unfortunately|sorry|fail|error|no \w+|unavailable", said.lower()
            ) and not any(word in said.lower() for word in words):
                yield turn, "the result is an error, the answer does not say so"
        else:
            values = [value for _, value in leaves(result) if value is not None and not isinstance(value, bool)]
            if values and not any(find(value, said, view.today) for value in values):
                yield turn, f"nothing of the result of {view.dialog.messages[index].name} is in the answer"
        index -= 1


@rule("consistency")
def missing_value_asked(view: View) -> Iterator[Finding]:
    """Where the plan left a required value out, the user does not say it and the assistant asks for it."""
    missing = view.dialog.meta.get("missing")
    if not isinstance(missing, dict):
        return
    for turn, message in view.of("user"):
        if find(missing.get("value"), message.content, view.today, (str(missing.get("name")),)):
            yield turn, f"the missing {missing.get('name')} is said"
    last = view.dialog.messages[-1]
    if last.role == "assistant" and "?" not in last.content:
        yield len(view.dialog.messages) - 1, f"no question for the missing {missing.get('name')}"
