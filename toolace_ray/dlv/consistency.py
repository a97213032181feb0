"""The rules on data sample consistency: the fourth row of the paper's Table 4, with the additions of method.md section 3.

They hold one part of a dialog against another: calls against results, arguments against words, answers against both.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

from toolace_ray.calls import SYNTAXES
from toolace_ray.dlv.rules import Finding, View, rule
from toolace_ray.dlv.values import find, folded, is_question, numbers
from toolace_ray.instances import leaves, pointer
from toolace_ray.schema import TRANSIENT, Message, is_error
from toolace_ray.validation import SchemaError, errors

_MARKUP = re.compile(r"</?tool_call>|<\|[a-z_]+\|>|\"(?:arguments|parameters)\"\s*:\s*\{|```")
_NOTHING = re.compile(r"n['’]t\b|\b(no|not|none|nothing|any|empty|unfortunately|zero|0)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(I|we) (couldn['’]t|could not|can['’]t|cannot|wasn['’]t able|was not able|am unable|don['’]t have)\b|\bunable to\b",
    re.IGNORECASE,
)


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
    """Every result is JSON and validates against the return schema, or is an error that the API, or any service, documents."""
    for turn, message in view.of("tool"):
        api = view.apis.get(message.name or "")
        if turn not in view.results:
            yield turn, f"the result of {message.name} is no JSON"
        elif api is not None:
            result = view.results[turn]
            if isinstance(result, dict) and set(result) == {"error"}:
                code = result["error"].get("code") if isinstance(result["error"], dict) else None
                if str(code) not in {error.code for error in (*api.errors, *TRANSIENT)}:
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
    """The calls are those of the dialog's type: one; several in one turn; a chain over turns; none; asked for first;
    made again after an error; spread over several requests."""
    turns = Counter(turn for turn, _ in view.calls)
    requests = sum(message.role == "user" for message in view.dialog.messages)
    problem = {
        "single": len(view.calls) != 1 or requests != 1,
        "parallel": len(turns) != 1 or len(view.calls) < 2 or requests != 1,
        "dependent": len(turns) < 2 or requests != 1,
        "non_tool": bool(view.calls),
        "clarification": requests < 2 or not view.calls or next(iter(view.of("assistant")))[0] in turns,
        "recovery": not _recovered(view),
        "multi_turn": requests < 2 or not view.calls,
    }[view.dialog.type]
    if problem:
        yield None, f"{view.dialog.type} with {requests} requests and calls per turn {list(turns.values())}"


def _failed(view: View) -> set[str]:
    """The ids of the calls that returned an error."""
    return {message.tool_call_id or "" for turn, message in view.of("tool") if is_error(view.results.get(turn))}


def _recovered(view: View) -> bool:
    failed, broken = _failed(view), set()
    for _, call in view.calls:
        if call.id in failed:
            broken.add(call.name)
        elif call.name in broken:
            return True
    return False


@rule("consistency")
def duplicate_calls(view: View) -> Iterator[Finding]:
    """No call is made twice with the same arguments, however they are written, but for one that failed, or when something
    was changed since."""
    seen: set[str] = set()
    failed = _failed(view)
    changed = -1  # the turn of the latest change
    for turn, call in view.calls:
        if 0 <= changed < turn:
            seen, changed = set(), -1
        if (api := view.apis.get(call.name)) and api.side_effects:
            changed = turn
        key = folded(call.key())
        if key in seen:
            yield turn, f"{call.name} is called again with the same arguments"
        if call.id not in failed:
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
    """An answer to results without an error, which found something, does not say that it failed."""
    for turn, message in view.of("assistant"):
        if message.tool_calls or turn == 0 or view.dialog.messages[turn - 1].role != "tool":
            continue
        results = [view.results.get(i) for i in range(turn) if view.dialog.messages[i].role == "tool"]
        failed = any(_empty(result) or is_error(result) for result in results)
        if view.english and not failed and (denied := _DENIED.search(message.content)):
            yield turn, f"says {denied.group()!r} though nothing failed"


def _empty(result: object) -> bool:
    """True for a result that found nothing: an empty list, or an object of empty lists, of noughts and nulls."""
    if not isinstance(result, dict):
        return result == []
    return bool(result) and all(item in ([], 0, None) and item is not False for item in result.values())


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
        if is_error(result):
            text = str(result["error"].get("message", "")) if isinstance(result, dict) else ""
            words = set(re.findall(r"[a-z]{4,}", text.lower()))
            if (
                view.english
                and not re.search(
                    r"n't|n’t|\bnot\b|unable|unfortunately|sorry|fail|error|no \w+|unavailable", said.lower()
                )
                and not any(word in said.lower() for word in words)
            ):
                yield turn, "the result is an error, the answer does not say so"
        else:
            values = [value for _, value in leaves(result) if value is not None and not isinstance(value, bool)]
            if values and not any(find(value, said, view.today) for value in values):
                yield turn, f"nothing of the result of {view.dialog.messages[index].name} is in the answer"
            if view.english and _empty(result) and not _NOTHING.search(said):
                yield turn, f"{view.dialog.messages[index].name} found nothing, the answer does not say so"
        index -= 1


@rule("consistency")
def missing_value_asked(view: View) -> Iterator[Finding]:
    """Where the plan left a required value out, the user does not say it and the assistant asks for it."""
    missing = view.dialog.meta.get("missing")
    if not isinstance(missing, dict):
        return
    for turn, message in view.of("system"):
        if find(missing.get("value"), message.content, view.today, (str(missing.get("name")),)):
            yield turn, f"the missing {missing.get('name')} is set by the system prompt"
    asked = next((turn for turn, _ in view.of("assistant")), len(view.dialog.messages))
    for turn, message in view.of("user"):
        if turn < asked and find(missing.get("value"), message.content, view.today, (str(missing.get("name")),)):
            yield turn, f"the missing {missing.get('name')} is said"
    if asked < len(view.dialog.messages) and not is_question(view.dialog.messages[asked].content):
        yield asked, f"no question for the missing {missing.get('name')}"
