"""The seeded defects: every way in which a good dialog can be spoilt, each injected by code.

An injector takes a good dialog (a record, or for D a row) and gives spoilt ones; none where it does not apply to it. Kinds are
named as in the list of the verification's specification, with the letter of their group.
"""

import json
import re

from tests.samples import BOOK, SEARCH, WEATHER, _dialog, calls, good_dialogs, result, say, schema, user
from toolace_ray.calls import SYNTAXES, openai, toolace
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.dlv.trace import trace
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import ToolCall
from toolace_ray.schemas.walk import leaves, schema_at

REGISTER = Api(
    name="register_guest",
    description="Register a guest for an event, with the people who come along.",
    parameters=schema(
        ("email", "code", "visit", "arrival"),
        email={"type": "string", "format": "email", "description": "Mail address"},
        code={"type": "string", "pattern": "^EV-[0-9]{4}$", "description": "Code of the event"},
        page={"type": "string", "format": "uri", "description": "Web page of the guest"},
        arrival={"type": "string", "format": "date", "description": "First day"},
        departure={"type": "string", "format": "date", "description": "Last day"},
        adults={"type": "integer", "minimum": 1, "maximum": 8, "description": "Number of adults"},
        children={"type": "integer", "minimum": 0, "maximum": 8, "description": "Number of children"},
        budget={"type": "number", "description": "Budget in euros"},
        note={"type": "string", "maxLength": 30, "description": "Short note"},
        visit={
            "type": "object",
            "description": "What is visited",
            "properties": {
                "city": {"type": "string", "description": "City"},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Days of the event"},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    ),
    returns=schema(
        ("guest_id", "seat"),
        guest_id={"type": "string", "description": "Guest"},
        seat={"type": "integer", "description": "Seat"},
    ),
    side_effects=True,
    domain=("Events",),
    example_arguments={
        "email": "a.b@mail.example",
        "code": "EV-1000",
        "visit": {"city": "Lima"},
        "arrival": "2026-05-02",
    },
)
TRIP = Api(
    name="plan_trip",
    description="Plan a trip of some length.",
    parameters=schema(
        ("start", "end"),
        start={"type": "string", "description": "Where it begins"},
        end={"type": "string", "description": "Where it ends"},
        distance={"type": "number", "description": "Longest distance in kilometres"},
        price={"type": "number", "description": "Highest price"},
        currency={"type": "string", "enum": ["EUR", "USD", "GBP"], "description": "Currency of the price"},
    ),
    returns=schema(("trip_id", "stops"), trip_id={"type": "string", "description": "T"}, stops={"type": "integer", "description": "S"}),
    domain=("Travel",),
)  # fmt: skip
ORDERS = Api(
    name="find_order",
    description="Find the latest order of a customer.",
    parameters=schema(("customer",), customer={"type": "string", "description": "Name"}),
    returns=schema(
        ("order_id", "invoice_id"),
        order_id={"type": "string", "description": "Order"},
        invoice_id={"type": "string", "description": "Invoice"},
    ),
    domain=("Shop",),
)
CANCEL = Api(
    name="cancel_order",
    description="Cancel an order of the shop.",
    parameters=schema(("order_id",), order_id={"type": "string", "description": "Order"}),
    returns=schema(("state",), state={"type": "string", "description": "State"}),
    side_effects=True,
    domain=("Shop",),
)
MORE = (REGISTER, TRIP, ORDERS, CANCEL)


def _with_tools(dialog, tools):
    changed = dialog.model_copy(update={"tools": tools})
    return changed.model_copy(update={"provenance": trace(changed)})


def base():
    """Good dialogs of every type, among them some with nested values, units, corrections and chains."""
    found = dict(good_dialogs())
    register = {
        "email": "lena.vogt@mail.example", "code": "EV-2041", "page": "https://vogt.example/lena", "arrival": "2026-05-03",
        "departure": "2026-05-06", "adults": 3, "children": 2, "budget": 250, "note": "vegetarian",
        "visit": {"city": "Lima", "days": [2, 4]},
    }  # fmt: skip
    found["nested"] = _dialog(
        "single",
        [
            user(
                "Please register lena.vogt@mail.example (https://vogt.example/lena) for EV-2041 from May 3rd to May 6th: 3 adults "
                "and 2 children, 250 euros, vegetarian, visiting Lima on days 2 and 4."
            ),
            calls(("c1", "register_guest", register)),
            result("c1", "register_guest", {"guest_id": "GU-881", "seat": 17}),
            say("The guest is registered as GU-881 with seat 17."),
        ],
    )
    found["units"] = _dialog(
        "single",
        [
            user("Plan a trip from Lyon to Turin of at most 90 km, for up to 300 euros."),
            calls(("c1", "plan_trip", {"start": "Lyon", "end": "Turin", "distance": 90, "price": 300, "currency": "EUR"})),
            result("c1", "plan_trip", {"trip_id": "TP-12", "stops": 4}),
            say("Trip TP-12 has 4 stops."),
        ],
    )  # fmt: skip
    found["corrected"] = _dialog(
        "single",
        [
            user("Find a train from Lyon to Genoa. No, sorry, make it to Turin."),
            calls(("c1", "search_trains", {"origin": "Lyon", "destination": "Turin"})),
            result("c1", "search_trains", {"train_id": "TR-4410", "price": 41.5}),
            say("Train TR-4410 goes from Lyon to Turin for 41.5."),
        ],
    )
    found["fields"] = _dialog(
        "dependent",
        [
            user("Cancel the latest order of Vera Lind, please."),
            calls(("c1", "find_order", {"customer": "Vera Lind"})),
            result("c1", "find_order", {"order_id": "OR-550", "invoice_id": "IN-771"}),
            calls(("c2", "cancel_order", {"order_id": "OR-550"})),
            result("c2", "cancel_order", {"state": "cancelled"}),
            say("Order OR-550 of Vera Lind is cancelled."),
        ],
    )
    found["several"] = _dialog(
        "parallel.several_apis",
        [
            user("How will the weather be in Lima tomorrow? And is there a train from Lyon to Turin?"),
            calls(
                ("c1", "get_forecast", {"city": "Lima", "date": "2026-05-02"}),
                ("c2", "search_trains", {"origin": "Lyon", "destination": "Turin"}),
            ),
            result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
            result("c2", "search_trains", {"train_id": "TR-4410", "price": 41.5}),
            say("Lima will be sunny at 24 degrees; train TR-4410 goes to Turin for 41.5."),
        ],
    )
    return {name: _with_tools(dialog, (*dialog.tools, *MORE)) for name, dialog in found.items()}


# Helpers


def _messages(dialog, change):
    """The dialog with its messages replaced by what `change` makes of their list; None where it gives None."""
    messages = change(list(dialog.messages))
    return dialog.model_copy(update={"messages": tuple(messages)}) if messages else None


def _put(dialog, index, **update):
    messages = list(dialog.messages)
    messages[index] = messages[index].model_copy(update=update)
    return dialog.model_copy(update={"messages": tuple(messages)})


def _turns(dialog):
    return [index for index, message in enumerate(dialog.messages) if message.tool_calls]


def _answers(dialog):
    """Answers of the assistant that follow a result."""
    return [
        i
        for i, m in enumerate(dialog.messages)
        if m.role == "assistant" and not m.tool_calls and dialog.messages[i - 1].role == "tool"
    ]


def _talk(dialog):
    return [i for i, m in enumerate(dialog.messages) if m.role == "assistant" and not m.tool_calls]


def _call(dialog, change):
    """Each dialog in which `change(call, api)` changes one call; what gives None is left out."""
    apis = {api.name: api for api in dialog.tools}
    for index in _turns(dialog):
        made = dialog.messages[index].tool_calls
        for place, call in enumerate(made):
            changed = change(call, apis[call.name])
            if changed is not None:
                yield _put(dialog, index, tool_calls=(*made[:place], changed, *made[place + 1 :]))


def _value(dialog, wanted, change):
    """Each dialog in which one argument for whose schema `wanted(schema, value)` holds is changed."""

    def one(path):
        def replace(call, api):
            found = dict(leaves(call.arguments))
            if path not in found:
                return None
            return call.model_copy(update={"arguments": _set(call.arguments, path, change(found[path]))})

        return replace

    apis = {api.name: api for api in dialog.tools}
    for index in _turns(dialog):
        for place, call in enumerate(dialog.messages[index].tool_calls):
            for path, value in leaves(call.arguments):
                if wanted(schema_at(apis[call.name].parameters, path), value):
                    made = dialog.messages[index].tool_calls
                    changed = one(path)(call, None)
                    yield _put(dialog, index, tool_calls=(*made[:place], changed, *made[place + 1 :]))


def _set(value, path, new):
    copied = json.loads(json.dumps(value))
    node = copied
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = new
    return copied


def _api(dialog, change):
    """The dialog with one API changed: the first that is called, or else the first."""
    called = next(
        (call.name for index in _turns(dialog) for call in dialog.messages[index].tool_calls), dialog.tools[0].name
    )
    changed = [change(api) if api.name == called else api for api in dialog.tools]
    yield dialog.model_copy(update={"tools": tuple(changed)})


def _parameters(api, **update):
    return api.model_copy(update={"parameters": {**api.parameters, **update}})


def _first(items):
    """Of many spoilt dialogs the first: one a dialog is enough."""
    for item in items:
        if item is not None:
            return [item]
    return []


def _string(part, value):
    return part.get("type") == "string" and isinstance(value, str)


# The kinds


def _invalid_schema(d):
    return _api(
        d, lambda api: _parameters(api, properties={**api.properties, "x": {"type": "strng", "description": "x"}})
    )


def _swapped_tools(d):
    yield d.model_copy(update={"tools": (*d.tools, d.tools[0])})


def _correct_back(d):
    """The value that the user took back, in the call."""
    for index, text in enumerate(m.content if m.role == "user" else "" for m in d.messages):
        if "Genoa" in text and index < len(d.messages):
            yield from _value(d, lambda part, value: value == "Turin", lambda value: "Genoa")


def _swap(d):
    pairs = [("origin", "destination"), ("start", "end"), ("arrival", "departure"), ("adults", "children")]

    def change(pair):
        def swap(call, api):
            a, b = pair
            if a in call.arguments and b in call.arguments and call.arguments[a] != call.arguments[b]:
                return call.model_copy(
                    update={"arguments": {**call.arguments, a: call.arguments[b], b: call.arguments[a]}}
                )
            return None

        return swap

    for pair in pairs:
        yield from _call(d, change(pair))


def _currency(d):
    yield from _value(d, lambda part, value: value == "EUR", lambda value: "USD")


def _unit_said(d):
    for index, message in enumerate(d.messages):
        if message.role == "user" and "90 km" in message.content:
            yield _put(d, index, content=message.content.replace("90 km", "90 miles"))
        if message.role == "user" and "250 euros" in message.content:
            yield _put(d, index, content=message.content.replace("250 euros", "250 dollars"))


def _relative(d):
    if any("tomorrow" in m.content for m in d.messages):
        yield from _value(d, lambda part, value: value == "2026-05-02", lambda value: "2026-05-04")


def _results(d):
    return [i for i, m in enumerate(d.messages) if m.role == "tool"]


def _without(index):
    return lambda messages: messages[:index] + messages[index + 1 :]


def _more_results(d):
    for index in _results(d):
        yield _messages(
            d, lambda m, i=index: [*m[: i + 1], m[i].model_copy(update={"tool_call_id": "cx"}), *m[i + 1 :]]
        )


def _bad_result(d):
    for index in _results(d):
        value = json.loads(d.messages[index].content)
        if "error" not in value:
            wrong = {key: ["x"] if isinstance(item, str | int | float) else 3 for key, item in value.items()}
            yield _put(d, index, content=json.dumps(wrong))


def _twice(d):
    for index in _turns(d):
        made = d.messages[index].tool_calls
        copy = made[0].model_copy(update={"id": "cx"})
        after = index + len(made)
        changed = _put(d, index, tool_calls=(*made, copy))
        extra = d.messages[index + 1].model_copy(update={"tool_call_id": "cx"})
        yield _messages(changed, lambda m, a=after, e=extra: [*m[: a + 1], e, *m[a + 1 :]])


def _parallel_dependent(d):
    """A chain played in one turn: the second call has a value of the first one's result."""
    turns = _turns(d)
    if d.type != "dependent" or len(turns) != 2:
        return
    first, second = (d.messages[i] for i in turns)
    together = first.model_copy(update={"tool_calls": first.tool_calls + second.tool_calls})
    m = d.messages
    yield d.model_copy(
        update={"messages": (*m[: turns[0]], together, m[turns[0] + 1], m[turns[1] + 1], *m[turns[1] + 2 :])}
    )


def _before_source(d):
    turns = _turns(d)
    if d.type != "dependent" or len(turns) != 2:
        return
    a, b = turns
    m = d.messages
    yield d.model_copy(update={"messages": (*m[:a], *m[b : b + 2], *m[a : a + 2], *m[b + 2 :])})


def _other_source(d):
    if d.type != "dependent":
        return
    fed = {r.path: r for r in d.provenance if r.source == "tool_output"}
    for path in fed:
        name = path.split("/")[1]

        def change(call, api, name=name):
            if name not in call.arguments:
                return None
            value = call.arguments[name]
            other = (
                "IN-771" if value == "OR-550" else re.sub(r"\d", lambda m: str((int(m.group()) + 3) % 10), str(value))
            )
            return call.model_copy(update={"arguments": {**call.arguments, name: other}})

        yield from _call(d, change)


def _required_unsaid(d):
    """The user leaves a required value out, the call is made all the same."""
    for index in _turns(d):
        for call in d.messages[index].tool_calls:
            for value in call.arguments.values():
                if not isinstance(value, str) or len(value) < 4 or not value.isalpha():
                    continue
                said = [i for i, m in enumerate(d.messages[:index]) if m.role == "user" and value in m.content]
                if not said or any(value in m.content for m in d.messages[:index] if m.role != "user"):
                    continue
                spoilt = d
                for i in said:
                    spoilt = _put(spoilt, i, content=d.messages[i].content.replace(value, "there"))
                yield spoilt


def _say(change):
    """Each answer changed."""
    return lambda d: (_put(d, i, content=change(d.messages[i].content)) for i in _talk(d)[-1:])


LEAK = "You are a helpful assistant. Today is Friday, 2026-05-01. "
KINDS = {
    "A invalid JSON Schema": _invalid_schema,
    "A no description": lambda d: _api(d, lambda api: api.model_copy(update={"description": ""})),
    "A required outside properties": lambda d: _api(d, lambda api: _parameters(api, required=[*api.required, "ghost"])),
    "A duplicate tools": _swapped_tools,
    "A unknown API": lambda d: _call(d, lambda call, api: call.model_copy(update={"name": "order_pizza"})),
    "A API name off by case": lambda d: _call(d, lambda call, api: call.model_copy(update={"name": call.name.title()})),
    "A API name off by a letter": lambda d: _call(d, lambda call, api: call.model_copy(update={"name": call.name[:-1]})),
    "A missing required argument": lambda d: _call(
        d, lambda call, api: call.model_copy(update={"arguments": {k: v for k, v in call.arguments.items() if k != api.required[0]}})
    ),
    "A unknown argument": lambda d: _call(d, lambda call, api: call.model_copy(update={"arguments": {**call.arguments, "mood": "good"}})),
    "A wrong scalar type": lambda d: _value(d, _string, lambda value: 7),
    "A number as string": lambda d: _value(d, lambda part, value: part.get("type") in ("integer", "number"), str),
    "A enum": lambda d: _value(d, lambda part, value: "enum" in part, lambda value: "martian"),
    "A minimum or maximum": lambda d: _value(d, lambda part, value: "maximum" in part, lambda value: 900),
    "A pattern": lambda d: _value(d, lambda part, value: "pattern" in part, lambda value: "EV2041"),
    "A format (date)": lambda d: _value(d, lambda part, value: part.get("format") == "date", lambda value: "May 3rd"),
    "A format (email)": lambda d: _value(d, lambda part, value: part.get("format") == "email", lambda value: "lena.vogt"),
    "A format (URI)": lambda d: _value(d, lambda part, value: part.get("format") == "uri", lambda value: "vogt example"),
    "A length": lambda d: _value(d, lambda part, value: "maxLength" in part, lambda value: value * 30),
    "A array item of a wrong type": lambda d: _value(d, lambda part, value: value in (2, 4) and part == {"type": "integer"}, lambda v: "two"),
    "A nested object without a required field": lambda d: _call(
        d, lambda call, api: call.model_copy(update={"arguments": {**call.arguments, "visit": {"days": [2, 4]}}}) if "visit" in call.arguments else None
    ),
    "A nested unknown field": lambda d: _call(
        d,
        lambda call, api: call.model_copy(update={"arguments": {**call.arguments, "visit": {**call.arguments["visit"], "zip": "Lima"}}})
        if "visit" in call.arguments
        else None,
    ),
    "B invented value": lambda d: _value(d, lambda part, value: _string(part, value) and value.isalpha() and len(part) < 4, lambda v: "Reykjavik"),
    "B invented number": lambda d: _value(d, lambda part, value: part.get("type") == "integer" and "maximum" in part, lambda v: 7),
    "B two values swapped": _swap,
    "B a value that the user has since corrected": _correct_back,
    "B a relative date resolved wrongly": _relative,
    "B currency changed": _currency,
    "B unit changed": _unit_said,
    "B placeholder (string)": lambda d: _value(d, lambda part, value: _string(part, value) and "format" not in part, lambda v: "string"),
    "B placeholder (<city>)": lambda d: _value(d, lambda part, value: _string(part, value) and "format" not in part, lambda v: "<city>"),
    "C role order broken": lambda d: (_messages(d, lambda m: [*m[:2], m[1], *m[2:]]),),
    "C role order broken (tool first)": lambda d: (_messages(d, lambda m, i=i: [*m[: i - 1], m[i], m[i - 1], *m[i + 1 :]]) for i in _results(d) if d.messages[i - 1].tool_calls),
    "C tool result without a call": lambda d: (_messages(d, _without(i)) for i in _turns(d)),
    "C tool result under another name": lambda d: (_put(d, i, name="order_pizza") for i in _results(d)),
    "C fewer results than calls": lambda d: (_messages(d, _without(i)) for i in _results(d)),
    "C more results than calls": _more_results,
    "C result against the return schema": _bad_result,
    "C duplicate parallel call": _twice,
    "C parallel calls that depend on each other": _parallel_dependent,
    "C dependent call before its source": _before_source,
    "C dependent value not from its source": _other_source,
    "C empty answer": _say(lambda text: ""),
    "C truncated answer": _say(lambda text: text[: len(text) * 2 // 3].rstrip(" .!?")),
    "C repetition loop": _say(lambda text: text + " I can help you with that." * 4),
    "C mixed language (script)": _say(lambda text: text + " 请告诉我更多。"),
    "C mixed language (words)": _say(lambda text: text + " Das ist für Sie eine gute Wahl und nicht zu teuer."),
    "C control characters": _say(lambda text: text[:5] + "\x07" + text[5:]),
    "C leaked prompt text": _say(lambda text: LEAK + text),
    "C leaked template mark": _say(lambda text: text + "<|im_end|>"),
    "C call though a required value is missing": _required_unsaid,
    "D one of several wishes not called": lambda d: _drop_wish(d),
    "D superfluous call": lambda d: _superfluous(d),
    "D call though nothing fits": lambda d: _call_for_nothing(d),
    "D refusal though a function fits": lambda d: _refusal(d),
    "D asks for what was given": lambda d: _asks(d),
    "D tool error ignored and success claimed": lambda d: _claims(d),
    "D answer contradicts the output": lambda d: _contradicts(d),
    "D answer adds facts": lambda d: (_put(d, i, content=d.messages[i].content + " It costs 99 euros.") for i in _answers(d)),
    "D last request unanswered": lambda d: (_messages(d, lambda m: m[:-1]),),
    "D thinking contradicts the action": lambda d: _thought(d),
}  # fmt: skip


def _planned(dialog):
    """The dialog with the plan's word on what is wanted."""
    names = {call.name for i in _turns(dialog) for call in dialog.messages[i].tool_calls}
    return dialog.model_copy(
        update={"meta": {**dialog.meta, "wanted": [api.id for api in dialog.tools if api.name in names]}}
    )


def _drop_wish(d):
    if d.type == "parallel" and len({c.name for c in d.messages[_turns(d)[0]].tool_calls}) == 1:
        return
    turns = _turns(d)
    if len(turns) > 1 and d.type == "multi_turn":
        return
    for index in turns[:1]:
        made = d.messages[index].tool_calls
        if len(made) > 1:
            changed = _put(_planned(d), index, tool_calls=made[:1])
            yield _messages(changed, _without(index + 2))


def _superfluous(d):
    for index in _turns(d)[-1:]:
        if any(c.name == SEARCH.name for m in d.messages for c in m.tool_calls) or "Lima" not in d.messages[1].content:
            continue
        extra = ToolCall(id="cx", name=SEARCH.name, arguments={"origin": "Lima", "destination": "Lima"})
        made = d.messages[index].tool_calls
        changed = _put(_planned(d), index, tool_calls=(*made, extra))
        told = result("cx", SEARCH.name, {"train_id": "TR-1", "price": 3})
        after = index + len(made)
        yield _messages(changed, lambda m, a=after, t=told: [*m[: a + 1], t, *m[a + 1 :]])


def _call_for_nothing(d):
    if d.kind != "non_tool.no_function":
        return
    made = calls(("c1", WEATHER.name, {"city": "Lima", "date": "2026-05-02"}))
    told = result("c1", WEATHER.name, {"summary": "sunny", "high": 24})
    yield _messages(d, lambda m: [*m[:-1], made, told, say("It will be sunny at 24.")])


def _refusal(d):
    if d.type == "single":
        yield _messages(_planned(d), lambda m: [*m[:2], say("I'm sorry, I can't do that with what I have.")])


def _asks(d):
    if d.type == "single":
        yield _messages(_planned(d), lambda m: [*m[:2], say("For which city and which day would you like it?")])


def _claims(d):
    for index in _answers(d):
        at = index - 1
        error = json.dumps({"error": {"code": "unavailable", "message": "The service is busy."}})
        yield _put(_put(d, at, content=error), index, content="Done, all is set for you.")


def _contradicts(d):
    for index in _answers(d):
        text = d.messages[index].content
        changed = re.sub(r"\d+", lambda m: str(int(m.group()) + 5), text)
        if changed != text:
            yield _put(d, index, content=changed)


def _thought(d):
    for index in _turns(d):
        made = d.messages[index].tool_calls
        other = next(api.name for api in (BOOK, WEATHER, SEARCH) if api.name not in {c.name for c in made})
        yield _put(d, index, thought=f"The function that fits is {other}.")


def spoilt(kind, dialog):
    """The dialogs that a kind makes of a good one; their provenance is traced anew."""
    found = []
    for item in KINDS[kind](dialog) or ():
        if item is not None and item.messages != () and item != dialog:
            found.append(item.model_copy(update={"provenance": trace(item)}))
    return found


# Rows: what goes wrong in the writing


def _reworded(name, change):
    """Every row of a format in which the value of a turn of calls is changed."""

    def rows(dialog):
        row = WRITERS[name](dialog)
        turns = row["messages"] if name == "openai" else row["conversations"]
        for index, item in enumerate(turns):
            calls = (
                item.get("tool_calls") if name == "openai" else item["from"] == "assistant" and item["value"][:1] == "["
            )
            if calls:
                changed = change(json.loads(json.dumps(item)), dialog)
                yield {
                    **row,
                    ("messages" if name == "openai" else "conversations"): [
                        *turns[:index],
                        changed,
                        *turns[index + 1 :],
                    ],
                }

    return rows


def _function(change):
    def changed(item, dialog):
        item["tool_calls"][0]["function"]["arguments"] = change(item["tool_calls"][0]["function"]["arguments"])
        return item

    return changed


def _written(syntax):
    def changed(item, dialog):
        if "tool_calls" in item:
            made = openai.parse(json.dumps(item["tool_calls"])).calls
            return {"role": "assistant", "content": SYNTAXES[syntax].render(made)}
        return {**item, "value": SYNTAXES[syntax].render(toolace.parse(item["value"]).calls)}

    return changed


def _value_of(change):
    return lambda item, dialog: {**item, "value": change(item["value"])}


ROWS = {
    "A arguments encoded twice": [("openai", _function(json.dumps))],
    "A malformed call syntax": [
        ("openai", _function(lambda text: text[:-1])),
        ("openai", _function(lambda text: text.replace('"', "'", 1))),
        ("toolace", _value_of(lambda text: text[:-1])),
        ("toolace", _value_of(lambda text: text[:-2] + "]")),
        ("toolace", _value_of(lambda text: text[1:])),
        ("toolace", _value_of(lambda text: text.replace("=", ":", 1))),
    ],
    "A prose mixed into a call where the system prompt forbids it": [
        ("toolace", _value_of(lambda text: f"Sure, I will do that. {text}")),
        ("toolace", _value_of(lambda text: f"{text} That should do it.")),
    ],
    "A wrong call syntax for the system prompt": [
        ("toolace", _written("hermes")),
        ("toolace", _written("openai")),
        ("toolace", _written("llama3")),
        ("openai", _written("hermes")),
        ("openai", _written("pythonic")),
        ("openai", _written("llama3")),
    ],
}


def spoilt_rows(kind, dialog):
    """(format, row) of every way in which a kind of bad writing spoils a dialog."""
    for name, change in ROWS[kind]:
        yield from ((name, row) for row in _reworded(name, change)(dialog))
