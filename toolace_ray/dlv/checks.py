"""The rules themselves, in the order of the paper's Table 4 with the additions of method.md section 3."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from toolace_ray.config import VerifyConfig
from toolace_ray.dlv.rules import RULES, Finding, Rule, View, rule
from toolace_ray.errors import UserError
from toolace_ray.instances import leaves, pointer, schema_at
from toolace_ray.schema import Api
from toolace_ray.tss import gate
from toolace_ray.validation import SchemaError, errors

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
_MISSING = re.compile(r"the value: .* is a required property$", re.DOTALL)
ECHO = 0.85  # similarity from which an answer repeats the request
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
def trainable(view: View) -> Iterator[Finding]:
    """At least one turn of the assistant is not masked from the loss."""
    turns = [message.train for _, message in view.of("assistant")]
    if turns and not any(turns):
        yield None, "every turn of the assistant is masked"


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
        elif message.content:
            match = difflib.SequenceMatcher(None, asked[:400], message.content.lower()[:400])
            # The bounds cost next to nothing and tell most answers apart.
            if match.real_quick_ratio() > ECHO and match.quick_ratio() > ECHO and match.ratio() > ECHO:
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


from toolace_ray.dlv import consistency  # noqa: E402, F401  (registers the fourth row's rules after these)
