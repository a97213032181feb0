"""Rules on who says what when: the structural part of the paper's fourth row, data sample consistency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from toolace_ray.calls import SYNTAXES
from toolace_ray.dlv.arguments import has_word
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.rules.answers import reports_error
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.api import TRANSIENT, Api, is_error
from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.json import load_json
from toolace_ray.schemas.validate import SchemaError, errors
from toolace_ray.text.dates import day
from toolace_ray.text.values import caseless, find, is_question

_MARKUP = re.compile(r"</?tool_call>|<\|[a-z_]+\|>|\"(?:arguments|parameters)\"\s*:\s*\{|```")
_TAGS = re.compile(
    r"</?tool_calls?>|</?function_?calls?>|<function=|<invoke name=|\"arguments\"\s*:\s*[\"'{]|\[TOOL_CALLS\]|<\|python_tag\|>"
    r"|<｜tool▁|```tool_(?:code|call)|<\|tool_calls?|<\|channel\|>commentary|^[^\S\n]*Action:[^\n]+\n\s*Action Input:",
    re.MULTILINE,
)
_FENCE = re.compile(r"```\w*+(.*)```", re.DOTALL)
_CALLS = r"(?:function|tool|api)?[ -]?(?:calls?|invocations?)"
_FORBIDS = re.compile(
    r"\bnothing (?:else|but)\b|\b(?:no|not (?:include|add|output|write|contain)|without|never) (?:any )?(?:other|additional|extra|further) "
    r"(?:text|words|prose|content|output|explanation)|\bonly (?:return|output|respond with|reply with|answer with|write|give|emit|produce) (?:the )?"
    rf"{_CALLS}|\b(?:return|output|respond|reply|answer|write|emit|produce)(?: with| in)? (?:only|just|solely|exclusively|nothing but)(?: with| in| as)? "
    rf"(?:the |a |a list of )?{_CALLS}\b|\b{_CALLS} (?:only|alone)\b|\bonly the {_CALLS}\b"
    rf"|\b(?:only with|solely(?: with)?|just|exclusively)\b[^.]{{0,20}}\b{_CALLS}\b|\b(?:besides|except|other than|apart from|around|beside|along with) (?:the |a )?{_CALLS}\b"
    rf"|\b(?:no|without|any) (?:commentary|comments?|explanations?|prose|chatter)\b|\b{_CALLS}\b[^.]{{0,30}}\b(?:stay|be|remain) silent\b"
    r"|\b(?:never|not|don['’]t) (?:add|write|include|say) (?:any )?(?:explanation|comment|text|anything|prose|words)",
    re.IGNORECASE,
)


@rule("consistency")
def role_order(view: View) -> Iterator[Finding]:
    """System first if at all; then user, assistant, and after calls their results and the assistant again."""
    yield from view.noted("role_order")
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
    """After each turn of calls come their results: as many, under the same ids and names, ours in the order of the calls.

    A stranger's results may leave out the name and come in another order; its last turn of calls may have none at all.
    """
    waiting: list[ToolCall] = []
    has_results = False
    messages = view.dialog.messages
    for turn, message in enumerate(messages):
        if message.role == "tool":
            has_results = True
            if not waiting:
                yield turn, f"a result of {message.name or 'nobody'} without a call"
                continue
            position = 0
            if view.dialog.imported and message.tool_call_id:
                position = next((i for i, call in enumerate(waiting) if call.id == message.tool_call_id), 0)
            call = waiting.pop(position)
            same_id = message.tool_call_id == call.id or (view.dialog.imported and not message.tool_call_id)
            same_name = message.name == call.name or (view.dialog.imported and not message.name)
            if not (same_id and same_name):
                yield turn, f"result of {message.name} ({message.tool_call_id}), expected {call.name} ({call.id})"
            continue
        if waiting:
            yield turn, f"no result for {', '.join(call.name for call in waiting)}"
        waiting, has_results = list(message.tool_calls), False
    if waiting and (has_results or view.planned):
        yield None, f"no result for {', '.join(call.name for call in waiting)}"


@rule("consistency")
def results_valid(view: View) -> Iterator[Finding]:
    """Every result is JSON and validates against the return schema, or is an error that the API, or any service, documents.

    A stranger's result is held against the return schema where its tool has one.
    """
    for turn, message in view.of("tool"):
        api = view.apis.get(message.name or "")
        if turn not in view.results:
            if view.planned or (api is not None and api.returns and api.returns.get("type") != "string"):
                yield turn, f"the result of {message.name} is no JSON"
            continue
        if api is None or not api.returns:
            continue
        result = view.results[turn]
        if isinstance(result, dict) and set(result) == {"error"}:
            code = result["error"].get("code") if isinstance(result["error"], dict) else None
            if view.planned and str(code) not in {error.code for error in (*api.errors, *TRANSIENT)}:
                yield turn, f"{api.name} does not document the error {code}"
            continue
        try:
            yield from (
                (turn, f"{api.name} returns {error}")
                for error in errors(api.returns, result, 2, key=f"{api.id}/returns")
            )
        except SchemaError:
            return  # api_definition reports it


@rule("consistency")
def call_syntax(view: View) -> Iterator[Finding]:
    """Calls stand where they belong, in the syntax that the format or the system prompt sets: none in anybody's words, no prose
    beside calls where the prompt forbids it (ours always does)."""
    for turn, message in view.of("user", "assistant"):
        text = message.content
        if message.tool_calls:
            if text.strip() and (view.planned or _FORBIDS.search(view.system)):
                yield turn, "prose beside calls"
            elif text.strip() and (evidence := _call_in(text, view)):
                yield turn, evidence
        elif text and (message.role == "assistant" or view.planned) and (evidence := _call_in(text, view)):
            yield turn, evidence
    yield from view.noted("call_syntax")


def _call_in(text: str, view: View) -> str | None:
    """What of a text is a call, or wants to be one."""
    if markup := (_MARKUP if view.planned else _TAGS).search(text):
        return f"call markup {markup.group()!r} in the text"
    if "{" in text and not view.planned and _is_calling_object(text):
        return "an object that calls in the text"
    if "[" in text or "{" in text:
        for name, syntax in SYNTAXES.items():
            if getattr(syntax.parse(text), "calls", ()):
                return f"a call in {name} syntax in the text"
    if "(" in text or "{" in text:
        for name in view.apis:
            if name in text and _is_called(name, text):
                return f"a call of {name} in the text"
    if match := _NAMED_CALL.search(text):
        name = next(filter(None, match.groups()))
        if name in view.apis:
            return f"a call of {name} in the text"
    if text.strip("[]` \n") in view.apis and "_" in text:
        return f"the text is {text.strip()}, a function's name"
    return None


def _is_called(name: str, text: str) -> bool:
    """True where a function's name, as a word, has a bracket behind it, or stands in quotes where an object names something."""
    if '"name"' in text and f'"{name}"' in text:
        return True
    return ("_" in name or "=" in text) and re.search(rf"(?<!\w){re.escape(name)}\s*\(", text) is not None


def _is_calling_object(text: str) -> bool:
    """True for a message that is nothing but an object, perhaps fenced, which names a function and gives it values."""
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1].strip()
    if not text.startswith(("{", "[")):
        return False
    try:
        value = load_json(text)
    except (ValueError, RecursionError):
        return False
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(
        isinstance(item, dict)
        and any(
            isinstance(item.get(key), str)
            for key in ("tool", "tool_name", "function", "function_name", "name", "action")
        )
        and any(key in item for key in ("args", "arguments", "parameters", "input", "tool_input", "action_input"))
        for item in items
    )


# Ways to write a call that no trainer's format knows: ReAct's, agents' JSON, other templates'.
_NAMED_CALL = re.compile(
    r"(?m)^\s{0,4}(?:Action|Tool|Function(?: call)?|API(?:-Request)?):\s{0,4}\[?`?([\w.-]{1,64})|\"(?:tool|tool_name|action|function|api|name)\"\s{0,4}:\s{0,4}\"([\w.-]{1,64})\""
    r"|<(?:function|tool|invoke)(?: name)?[=>]\"?([\w.-]{1,64})|\bto=(?:functions\.)?([\w.-]{1,64})|^\s{0,4}([\w.-]{1,64}): ?[a-z_]{1,40} ?= ?\S"
)


@rule("consistency")
def structure_of_type(view: View) -> Iterator[Finding]:
    """The calls are those of the planned type: one; several in one turn; a chain over turns; none; asked for first; made again
    after an error; spread over several requests."""
    if view.dialog.imported:
        return
    turns = Counter(turn for turn, _ in view.calls)
    requests = sum(message.role == "user" for message in view.dialog.messages)
    problem = {
        "single": len(view.calls) != 1 or requests != 1,
        "parallel": len(turns) != 1 or len(view.calls) < 2 or requests != 1,
        "dependent": len(turns) < 2 or requests != 1,
        "non_tool": bool(view.calls),
        "clarification": requests < 2 or not view.calls or view.of("assistant")[0][0] in turns,
        "recovery": not _recovered(view),
        "multi_turn": requests < 2 or not view.calls,
    }[view.dialog.type]
    if problem:
        yield None, f"{view.dialog.type} with {requests} requests and calls per turn {list(turns.values())}"


@rule("consistency")
def intents_called(view: View) -> Iterator[Finding]:
    """In a planned dialog every API that the plan wants is called, and no other one."""
    wanted = view.dialog.meta.get("wanted")
    if view.dialog.imported or view.dialog.type == "non_tool" or not isinstance(wanted, list) or not wanted:
        return
    names = {api.name: api.id for api in view.dialog.tools}
    called = {names.get(call.name) for _, call in view.calls}
    for api in view.dialog.tools:
        if api.id in wanted and api.id not in called:
            yield None, f"{api.name} is asked for and not called"
    for turn, call in view.calls:
        if call.name in names and names[call.name] not in wanted:
            yield turn, f"nobody asks for {call.name}"


def _failed_call_ids(view: View) -> set[str]:
    """The ids of the calls that returned an error."""
    return {
        message.tool_call_id or ""
        for turn, message in view.of("tool")
        if is_error(view.results.get(turn))
        or (view.dialog.imported and reports_error(view.results.get(turn, message.content)))
    }


def _recovered(view: View) -> bool:
    failed, broken = _failed_call_ids(view), set()
    for _, call in view.calls:
        if call.id in failed:
            broken.add(call.name)
        elif call.name in broken:
            return True
    return False


@rule("consistency")
def duplicate_calls(view: View) -> Iterator[Finding]:
    """No call is made twice with the same arguments, however they are written, but for one that failed, or when something
    was changed since; a stranger's may come again at another request."""
    if len(view.calls) < 2:
        return
    seen: set[str] = set()
    failed = _failed_call_ids(view)
    changed = -1  # the turn of the latest change
    request = -1
    together: set[tuple[int, str]] = set()  # in one turn not even a call that fails is made twice
    for turn, call in view.calls:
        if 0 <= changed < turn:
            seen, changed = set(), -1
        if view.dialog.imported:
            latest = next((i for i, _ in reversed(view.of("user")) if i < turn), -1)
            if latest != request:
                seen, request = set(), latest
        if (api := view.apis.get(call.name)) and api.side_effects:
            changed = turn
        key = caseless(call.key())
        if view.dialog.imported and _repeatable(call.name, view.apis.get(call.name)):
            continue
        if key in seen or (turn, key) in together:
            yield turn, f"{call.name} is called again with the same arguments"
        together.add((turn, key))
        if call.id not in failed:
            seen.add(key)


_REPEATABLE = re.compile(
    r"rand(?:om(?:ly)?|int)?|(?:dice|die|roll|flip|toss|draw|shuffle|status|progress|poll|check|wait|next|refresh|retry|monitor|ping|step|turn|press|click|scroll)"
    r"(?:e?s|e?d|ing)?"
)  # words of names and descriptions


def _repeatable(name: str, api: Api | None) -> bool:
    """True for a stranger's tool that gives something else each time: a die, a job's progress, a press of a button."""
    return has_word(_REPEATABLE, name, text=api.description[:200] if api else "")


@rule("consistency")
def call_ids(view: View) -> Iterator[Finding]:
    """Every call has an id of its own."""
    for name, count in Counter(call.id for _, call in view.calls).items():
        if count > 1 or not name:
            yield None, f"{count} calls have the id {name!r}"


@rule("consistency")
def missing_value_asked(view: View) -> Iterator[Finding]:
    """Where the plan left a required value out, the user does not say it and the assistant asks for it."""
    missing = view.dialog.meta.get("missing")
    if view.dialog.imported or not isinstance(missing, dict):
        return
    value = missing.get("value")
    for turn, message in view.of("system"):
        if isinstance(value, str) and day(value[:10]) is not None:
            # It names today's date and weekday anyway: another day is set there by its date alone.
            is_set = value != view.dialog.today and value in message.content
        else:
            is_set = find(value, message.content, view.today, (str(missing.get("name")),)) is not None
        if is_set:
            yield turn, f"the missing {missing.get('name')} is set by the system prompt"
    question_turn = next((turn for turn, _ in view.of("assistant")), len(view.dialog.messages))
    for turn, message in view.of("user"):
        if turn < question_turn and find(value, message.content, view.today, (str(missing.get("name")),)):
            yield turn, f"the missing {missing.get('name')} is said"
    if question_turn < len(view.dialog.messages) and not is_question(view.dialog.messages[question_turn].content):
        yield question_turn, f"no question for the missing {missing.get('name')}"


@rule("consistency")
def thought_agrees(view: View) -> Iterator[Finding]:
    """A thought that names a tool at hand is followed by its call, and one before an answer does not say that it will call."""
    for turn, message in view.of("assistant"):
        if not message.thought:
            continue
        named = {name for name in view.apis if "_" in name and name in message.thought}
        called = {call.name for call in message.tool_calls}
        if called and named and not named & called:
            yield turn, f"thinks of {', '.join(sorted(named))}, calls {', '.join(sorted(called))}"
