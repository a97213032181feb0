"""The seeded defects: every way in which a good dialog can be spoilt, each injected by code, with the rules that must tell it.

An injector takes a good dialog and gives spoilt ones; none where it does not apply to it. Kinds are named as in the list of the
verification's specification, with the letter of their group; E is what is right and must not be in a corpus.
"""

import asyncio
import itertools
import json
import re
from pathlib import Path

from tests.material import (
    BOOK,
    IDEAL_APIS,
    SEARCH,
    WEATHER,
    IdealEngine,
    _dialog,
    calls,
    good_dialogs,
    result,
    say,
    schema,
    user,
)  # fmt: skip
from toolace_ray.calls import SYNTAXES, openai, toolace
from toolace_ray.config.load import parse
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.dlv.layer import registered
from toolace_ray.dlv.trace import trace
from toolace_ray.engines.roles import Engines
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.kinds import PLANNED
from toolace_ray.schemas.walk import leaves, schema_at
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

BENCHMARK = Path(__file__).with_name("benchmark.jsonl")
CONFIG = VerifyConfig(decontaminate=(str(BENCHMARK),))

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
PAY = Api(
    name="pay_invoice",
    description="Pay an invoice of the shop.",
    parameters=schema(("invoice_id",), invoice_id={"type": "string", "description": "Invoice"}),
    returns=schema(("state",), state={"type": "string", "description": "State"}),
    side_effects=True,
    domain=("Shop",),
)
ROOMS = Api(
    name="find_room",
    description="Find a free room in a city.",
    parameters=schema(("city",), city={"type": "string", "description": "City"}),
    returns=schema(
        ("room_id", "desk_id"),
        room_id={"type": "string", "description": "Room"},
        desk_id={"type": "string", "description": "Front desk"},
    ),
    domain=("Hotels",),
)
HOLD = Api(
    name="hold_room",
    description="Hold a room for some nights.",
    parameters=schema(
        ("room_id", "nights"),
        room_id={"type": "string", "description": "Room"},
        nights={"type": "integer", "description": "Number of nights"},
    ),
    returns=schema(("hold",), hold={"type": "string", "description": "Code"}),
    side_effects=True,
    domain=("Hotels",),
)
MORE = (REGISTER, TRIP, ORDERS, CANCEL, PAY, ROOMS, HOLD)


def _with_tools(dialog, tools):
    changed = dialog.model_copy(update={"tools": tools})
    return changed.model_copy(update={"provenance": trace(changed)})


def _guest(name, code, days, adults, children, budget, note, city, visits):
    """Somebody is registered: nested values, lists, patterns and formats. `days` are two dates, each as it is passed and as it is said."""
    arrival, first, departure, last = days
    arguments = {
        "email": f"{name}@mail.example", "code": code, "page": f"https://{name}.example/me", "arrival": f"2026-{arrival}",
        "departure": f"2026-{departure}", "adults": adults, "children": children, "budget": budget, "note": note,
        "visit": {"city": city, "days": visits},
    }  # fmt: skip
    return _dialog(
        "single",
        [
            user(
                f"Please register {arguments['email']} ({arguments['page']}) for {code} from {first} to {last}: {adults} adults "
                f"and {children} children, {budget} euros, {note}, visiting {city} on days {' and '.join(map(str, visits))}."
            ),
            calls(("c1", "register_guest", arguments)),
            result("c1", "register_guest", {"guest_id": "GU-881", "seat": 17}),
            say("The guest is registered as GU-881 with seat 17."),
        ],
    )


def _trip(start, end, distance, price, said, currency):
    """A trip is planned: a number with its unit, and one with its currency."""
    arguments = {"start": start, "end": end, "distance": distance, "price": price, "currency": currency}
    return _dialog(
        "single",
        [
            user(f"Plan a trip from {start} to {end} of at most {distance} km, for up to {price} {said}."),
            calls(("c1", "plan_trip", arguments)),
            result("c1", "plan_trip", {"trip_id": "TP-12", "stops": 4}),
            say("Trip TP-12 has 4 stops."),
        ],
    )


def base():
    """Good dialogs of every type, among them some with nested values, units, corrections and chains."""
    found = dict(good_dialogs())
    found |= {
        "nested": _guest("lena.vogt", "EV-2041", ("05-03", "May 3rd", "05-06", "May 6th"), 3, 2, 250, "vegetarian", "Lima", [2, 4]),
        "nested_2": _guest("tom.reed", "EV-1180", ("06-11", "June 11th", "06-15", "June 15th"), 2, 3, 600, "window", "Quito", [2, 4]),
        "nested_3": _guest("ida.holm", "EV-7705", ("05-20", "May 20th", "05-22", "May 22nd"), 5, 3, 900, "quiet", "Porto", [2, 4]),
        "units": _trip("Lyon", "Turin", 90, 300, "euros", "EUR"),
        "units_2": _trip("Porto", "Faro", 250, 400, "dollars", "USD"),
        "units_3": _trip("Leeds", "York", 45, 150, "pounds", "GBP"),
        "corrected_2": _dialog(
            "single",
            [
                user("Please book 2 seats on train TR-1020. No, sorry, make it 4."),
                calls(("c1", "book_seats", {"train_id": "TR-1020", "seats": 4})),
                result("c1", "book_seats", {"booking": "BK-318"}),
                say("I booked 4 seats on train TR-1020; your booking code is BK-318."),
            ],
        ),
        "corrected_3": _dialog(
            "single",
            [
                user("How will the weather be in Lima on May 3rd? No, wait, make it May 6th."),
                calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-06"})),
                result("c1", "get_forecast", {"summary": "windy", "high": 21}),
                say("Lima will be windy that day, with a high of 21 degrees."),
            ],
        ),
        "asked": _dialog(
            "clarification",
            [
                user("Please book seats on train TR-1020."),
                say("How many seats would you like?"),
                user("I would like 4 of them."),
                calls(("c1", "book_seats", {"train_id": "TR-1020", "seats": 4})),
                result("c1", "book_seats", {"booking": "BK-31"}),
                say("I booked 4 seats on train TR-1020; your booking code is BK-31."),
            ],
            meta={"missing": {"name": "seats", "value": 4}},
        ),
        "no_function_2": _dialog(
            "no_function",
            [user("Can you paint the fence of my garden?"), say("I'm sorry, I can't paint anything with what I have.")],
        ),
        "invoice": _dialog(
            "dependent",
            [
                user("Pay the invoice of the latest order of Tom Reed, please."),
                calls(("c1", "find_order", {"customer": "Tom Reed"})),
                result("c1", "find_order", {"order_id": "OR-610", "invoice_id": "IN-802"}),
                calls(("c2", "pay_invoice", {"invoice_id": "IN-802"})),
                result("c2", "pay_invoice", {"state": "paid"}),
                say("Invoice IN-802 of Tom Reed is paid."),
            ],
        ),
        "rooms": _dialog(
            "dependent",
            [
                user("Find a free room in Porto and hold it for 3 nights, please."),
                calls(("c1", "find_room", {"city": "Porto"})),
                result("c1", "find_room", {"room_id": "RM-217", "desk_id": "DK-884"}),
                calls(("c2", "hold_room", {"room_id": "RM-217", "nights": 3})),
                result("c2", "hold_room", {"hold": "HO-46"}),
                say("Room RM-217 in Porto is held for 3 nights under HO-46."),
            ],
        ),
        "several_2": _dialog(
            "parallel.several_apis",
            [
                user("How will the weather be in Quito tomorrow? And what did Vera Lind order last?"),
                calls(
                    ("c1", "get_forecast", {"city": "Quito", "date": "2026-05-02"}),
                    ("c2", "find_order", {"customer": "Vera Lind"}),
                ),
                result("c1", "get_forecast", {"summary": "light rain", "high": 17}),
                result("c2", "find_order", {"order_id": "OR-550", "invoice_id": "IN-771"}),
                say("Quito will have light rain at 17 degrees; the last order of Vera Lind is OR-550."),
            ],
        ),
    }  # fmt: skip
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


BASE = base()

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


def _string(part, value):
    return part.get("type") == "string" and isinstance(value, str)


# The kinds


def _invalid_schema(d):
    return _api(
        d, lambda api: _parameters(api, properties={**api.properties, "x": {"type": "strng", "description": "x"}})
    )


def _swapped_tools(d):
    yield d.model_copy(update={"tools": (*d.tools, d.tools[0])})


_TAKEN_BACK = {"Turin": "Genoa", 4: 2, "2026-05-06": "2026-05-03"}


def _correct_back(d):
    """The value that the user took back, in the call."""
    if any("No, " in m.content for m in d.messages if m.role == "user"):
        yield from _value(d, lambda part, value: value in _TAKEN_BACK, _TAKEN_BACK.__getitem__)


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
    others = {"EUR": "USD", "USD": "GBP", "GBP": "EUR"}
    yield from _value(d, lambda part, value: value in others, others.__getitem__)


def _unit_said(d):
    for index, message in enumerate(d.messages):
        text = message.content
        if message.role == "user" and " km" in text:
            yield _put(d, index, content=text.replace(" km", " miles"))
        if message.role == "user" and "euros, " in text:
            yield _put(d, index, content=text.replace("euros", "dollars"))


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


def _bad_results(d, *, of_sources):
    """Each result against its return schema, of those that a later call of a chain needs or of all others."""
    for index in _results(d):
        value = json.loads(d.messages[index].content)
        is_source = d.type == "dependent" and index < _turns(d)[-1]
        if "error" not in value and is_source is of_sources:
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


def _fed(d, change):
    """A chain in which `change(value, other)` stands for each value that an earlier result gave; None leaves it as it is.

    `other` is an identifier of another field of the first result, None where there is none.
    """
    if d.type != "dependent":
        return
    given = [value for _, value in leaves(json.loads(d.messages[_results(d)[0]].content))]
    fed = {r.path.split("/")[1] for r in d.provenance if r.source == "tool_output"}

    def replaced(call, api):
        for name in fed & set(call.arguments):
            value = call.arguments[name]
            others = (item for item in given if item != value and re.fullmatch(r"[A-Z]{2}-\d+", str(item)))
            new = change(value, next(others, None))
            return new and call.model_copy(update={"arguments": {**call.arguments, name: new}})
        return None

    yield from _call(d, replaced)


def _renumbered(value, other=None):
    return re.sub(r"\d", lambda digit: str((int(digit.group()) + 3) % 10), value)


def _unneeded(d):
    """A chain whose second call takes what the user says instead of what the first one gave."""
    for item in _fed(d, _renumbered):
        code = next(v for i in _turns(item)[1:] for c in item.messages[i].tool_calls for v in c.arguments.values())
        yield _put(item, 1, content=f"{item.messages[1].content} It is {code}.")


def _one_id(d):
    """The second call of the first request under the first one's id; its result says so too. Later requests may count anew."""
    requests = [i for i, message in enumerate(d.messages) if message.role == "user"]
    end = next((i for i in requests if any(turn < i for turn in _turns(d))), len(d.messages))
    made = [call for i in _turns(d) if i < end for call in d.messages[i].tool_calls]
    if len(made) > 1:
        (first, second), changed = made[:2], d
        for index in range(len(d.messages)):
            message = d.messages[index]
            renamed = (c.model_copy(update={"id": first.id}) if c is second else c for c in message.tool_calls)
            own = message.tool_call_id == second.id
            changed = _put(
                changed, index, tool_calls=tuple(renamed), tool_call_id=first.id if own else message.tool_call_id
            )
        yield changed


def _missing_said(d):
    """The value that is to be missing, said by the user and set by the system prompt."""
    if missing := d.meta.get("missing"):
        for index in (0, 1):
            told = f" The {missing['name']} is {missing['value']}."
            yield _put(d, index, content=d.messages[index].content + told)


def _unasked(d):
    if d.meta.get("missing"):
        yield _put(d, 2, content="All right, thank you for telling me.")


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


def _asked(d, words):
    """The user's last words changed."""
    for index in [i for i, m in enumerate(d.messages) if m.role == "user"][-1:]:
        yield _put(d, index, content=words(d.messages[index].content))


def _said_back(d):
    for index in _talk(d)[-1:]:
        yield _put(d, index, content=next(m.content for m in reversed(d.messages[:index]) if m.role == "user"))


def _masked(d):
    yield d.model_copy(update={"messages": tuple(m.model_copy(update={"train": False}) for m in d.messages)})


def _denied(d):
    for index in _answers(d):
        if not any('"error"' in m.content for m in d.messages[:index]):
            yield _put(d, index, content="I'm sorry, I could not do it.")


def _promised(d):
    """Nothing is called, and the answer says that it was done."""
    if d.type == "single":
        yield _messages(d, lambda m: [*m[:2], say("I've booked it for you.")])


def _tool_of_benchmark(d):
    yield d.model_copy(
        update={"tools": (*d.tools, WEATHER.model_copy(update={"name": "ferry_timetable", "parameters": FERRY}))}
    )


FERRY = schema(
    ("harbour",), harbour={"type": "string", "description": "Harbour"}, cars={"type": "integer", "description": "Cars"}
)
WORDS = (
    "".join(parts)
    for parts in itertools.product(("bra", "no", "tel", "mi"), ("lo", "ra", "sun", "ke"), ("dan", "pir", "os", "ul"))
)
LONG = ". ".join(
    f"{first.title()} {second}" for first, second in itertools.islice(itertools.permutations(WORDS, 2), 1200)
)
QUESTION = json.loads(BENCHMARK.read_text().splitlines()[0])["question"]
KEY = "AKIA" + "IOSFODNN7ABCDEFG"
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
    "B invented value": lambda d: _value(d, lambda part, value: _string(part, value) and value.isalpha() and len(part) < 4 and "enum" not in part, lambda v: "Reykjavik"),
    "B invented number": lambda d: _value(d, lambda part, value: part.get("type") == "integer" and "maximum" in part, lambda v: 7),
    "B choice that nobody made": lambda d: _call(
        d, lambda call, api: call.model_copy(update={"arguments": {**call.arguments, "unit": "fahrenheit"}}) if call.name == WEATHER.name else None
    ),
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
    "C result against the return schema": lambda d: _bad_results(d, of_sources=False),
    "C result against the return schema (of a source)": lambda d: _bad_results(d, of_sources=True),
    "C duplicate parallel call": _twice,
    "C parallel calls that depend on each other": _parallel_dependent,
    "C dependent call before its source": _before_source,
    "C dependent value not from its source": lambda d: _fed(d, _renumbered),
    "C dependent value from another field of its source": lambda d: _fed(d, lambda value, other: other),
    "C later call that needs nothing of the first": _unneeded,
    "C two calls under one id": _one_id,
    "C missing value said all the same": _missing_said,
    "C no question for the missing value": _unasked,
    "C every turn masked from the loss": _masked,
    "C answer too long": lambda d: (_put(d, i, content=f"{d.messages[i].content} {LONG}.") for i in _answers(d) if d.type == "single"),
    "C request said back": _said_back,
    "C empty answer": _say(lambda text: ""),
    "C truncated answer": _say(lambda text: text[: len(text) * 2 // 3].rstrip(" .!?")),
    "C repetition loop": _say(lambda text: text + " I can help you with that." * 4),
    "C mixed language (script)": _say(lambda text: text + " 请告诉我更多。"),
    "C mixed language (words)": _say(lambda text: text + " Das ist für Sie eine gute Wahl und nicht zu teuer."),
    "C control characters": _say(lambda text: text[:5] + "\x07" + text[5:]),
    "C leaked prompt text": _say(lambda text: LEAK + text),
    "C leaked template mark": _say(lambda text: text + "<|im_end|>"),
    "C call though a required value is missing": _required_unsaid,
    "D one of several intents not called": lambda d: _drop_intent(d),
    "D superfluous call": lambda d: _superfluous(d),
    "D call though nothing fits": lambda d: _call_for_nothing(d),
    "D refusal though a function fits": lambda d: _refusal(d),
    "D asks for what was given": lambda d: _asks(d),
    "D tool error ignored and success claimed": lambda d: _claims(d),
    "D answer contradicts the output": lambda d: _contradicts(d),
    "D answer adds facts": lambda d: (_put(d, i, content=d.messages[i].content + " It costs 99 euros.") for i in _answers(d)),
    "D last request unanswered": lambda d: (_messages(d, lambda m: m[:-1]),),
    "D thinking contradicts the action": lambda d: _thought(d),
    "D success denied": _denied,
    "D success claimed and nothing called": _promised,
    "E secret": lambda d: _asked(d, lambda text: f"{text} The key is {KEY}."),
    "E personal data": lambda d: _asked(d, lambda text: f"{text} I am lena.vogt@posteo.de, by the way."),
    "E question of a benchmark": lambda d: _asked(d, lambda text: QUESTION),
    "E tool of a benchmark": _tool_of_benchmark,
}  # fmt: skip


def _planned(dialog):
    """The dialog with the plan's word on what is wanted."""
    names = {call.name for i in _turns(dialog) for call in dialog.messages[i].tool_calls}
    return dialog.model_copy(
        update={"meta": {**dialog.meta, "wanted": [api.id for api in dialog.tools if api.name in names]}}
    )


def _drop_intent(d):
    """Of two different functions in one turn, each left out."""
    for index in _turns(d)[:1]:
        made = d.messages[index].tool_calls
        for left in range(len(made) if len({call.name for call in made}) > 1 else 0):
            changed = _put(_planned(d), index, tool_calls=(*made[:left], *made[left + 1 :]))
            yield _messages(changed, _without(index + 1 + left))


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
    for api, arguments, told, answer in (
        (WEATHER, {"city": "Lima", "date": "2026-05-02"}, {"summary": "sunny", "high": 24}, "It will be sunny at 24."),
        (
            SEARCH,
            {"origin": "Lyon", "destination": "Turin"},
            {"train_id": "TR-4410", "price": 41},
            "Train TR-4410 it is.",
        ),
    ):
        made, given = calls(("c1", api.name, arguments)), result("c1", api.name, told)
        yield _messages(d, lambda m, made=made, given=given, answer=answer: [*m[:-1], made, given, say(answer)])


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


def _dialect(dialog):
    """The tools in the dialect of the published sets: a dict of floats instead of an object of numbers."""
    row = WRITERS["toolace"](dialog)
    for ours, theirs in (("object", "dict"), ("number", "float")):
        row["system"] = row["system"].replace(f'"type": "{ours}"', f'"type": "{theirs}"')
    yield "toolace", row


DIALECT = "A another dialect of JSON Schema"


def spoilt_rows(kind, dialog):
    """(format, row) of every way in which a kind of bad writing spoils a dialog."""
    if kind == DIALECT:
        yield from _dialect(dialog)
        return
    for name, change in ROWS[kind]:
        yield from ((name, row) for row in _reworded(name, change)(dialog))


def as_row(dialog, form):
    """A stranger's row that holds a dialog: JSON text in a format."""
    row = WRITERS[form](dialog)
    if form == "openai":  # which has room for what a tool returns
        for tool, api in zip(row["tools"], dialog.tools, strict=True):
            tool["function"]["returns"] = api.returns
    return json.dumps(row)


# The rules that must tell each kind, all of them in each dialog that it spoils. Others may tell something too.
EXPECTED = {
    "A invalid JSON Schema": {"api_definition"},
    "A no description": {"api_definition"},
    "A required outside properties": {"api_definition"},
    "A duplicate tools": {"duplicate_tools"},
    "A unknown API": {"known_api"},
    "A API name off by case": {"known_api"},
    "A API name off by a letter": {"known_api"},
    "A missing required argument": {"required_arguments"},
    "A unknown argument": {"unknown_arguments"},
    "A wrong scalar type": {"arguments_valid"},
    "A number as string": {"arguments_valid"},
    "A enum": {"arguments_valid"},
    "A minimum or maximum": {"arguments_valid"},
    "A pattern": {"arguments_valid"},
    "A format (date)": {"arguments_valid"},
    "A format (email)": {"arguments_valid"},
    "A format (URI)": {"arguments_valid"},
    "A length": {"arguments_valid"},
    "A array item of a wrong type": {"arguments_valid"},
    "A nested object without a required field": {"arguments_valid"},
    "A nested unknown field": {"unknown_arguments"},
    "A arguments encoded twice": {"call_syntax"},
    "A malformed call syntax": {"call_syntax"},
    "A prose mixed into a call where the system prompt forbids it": {"call_syntax"},
    "A wrong call syntax for the system prompt": {"call_syntax"},
    DIALECT: {"schema_dialect"},
    "B invented value": {"argument_provenance"},
    "B invented number": {"argument_provenance"},
    "B choice that nobody made": {"argument_provenance"},
    "B two values swapped": {"swapped_values"},
    "B a value that the user has since corrected": {"corrected_value"},
    "B a relative date resolved wrongly": {"argument_provenance"},
    "B currency changed": {"units_kept"},
    "B unit changed": {"units_kept"},
    "B placeholder (string)": {"placeholder_values"},
    "B placeholder (<city>)": {"placeholder_values"},
    "C role order broken": {"role_order"},
    "C role order broken (tool first)": {"role_order"},
    "C tool result without a call": {"results_match_calls"},
    "C tool result under another name": {"results_match_calls"},
    "C fewer results than calls": {"results_match_calls"},
    "C more results than calls": {"results_match_calls"},
    "C result against the return schema": {"results_valid"},
    "C result against the return schema (of a source)": {"results_valid"},
    "C duplicate parallel call": {"duplicate_calls"},
    "C parallel calls that depend on each other": {"argument_provenance", "structure_of_type"},
    "C dependent call before its source": {"argument_provenance", "dependence"},
    "C dependent value not from its source": {"argument_provenance", "dependence"},
    "C dependent value from another field of its source": {"source_field"},
    "C later call that needs nothing of the first": {"dependence"},
    "C two calls under one id": {"call_ids"},
    "C missing value said all the same": {"missing_value_asked"},
    "C no question for the missing value": {"missing_value_asked"},
    "C every turn masked from the loss": {"trainable"},
    "C answer too long": {"message_length"},
    "C request said back": {"echoed_request"},
    "C empty answer": {"necessary_fields"},
    "C truncated answer": {"response_complete"},
    "C repetition loop": {"repetition"},
    "C mixed language (script)": {"mixed_language"},
    "C mixed language (words)": {"mixed_language"},
    "C control characters": {"invalid_characters"},
    "C leaked prompt text": {"leaked_prompt"},
    "C leaked template mark": {"leaked_prompt", "call_syntax"},
    "C call though a required value is missing": {"argument_provenance"},
    "D one of several intents not called": {"intents_called", "structure_of_type"},
    "D superfluous call": {"intents_called"},
    "D call though nothing fits": {"structure_of_type", "argument_provenance"},
    "D refusal though a function fits": {"structure_of_type", "intents_called"},
    "D asks for what was given": {"structure_of_type", "intents_called"},
    "D tool error ignored and success claimed": {"answer_grounded"},
    "D answer contradicts the output": {"answer_grounded"},
    "D answer adds facts": {"answer_grounded"},
    "D last request unanswered": {"necessary_fields"},
    "D thinking contradicts the action": {"thought_agrees"},
    "D success denied": {"success_denied"},
    "D success claimed and nothing called": {"structure_of_type"},
    "E secret": {"secrets"},
    "E personal data": {"personal_data"},
    "E question of a benchmark": {"contamination"},
    "E tool of a benchmark": {"contamination"},
}
# In a stranger's dialog, whose plan nobody knows, or in one of its formats, other rules must tell these kinds; where there are
# none, none can.
OF_STRANGERS = {
    "B choice that nobody made": {"inferred_values"},
    "C parallel calls that depend on each other": {"argument_provenance"},
    "C dependent call before its source": {"argument_provenance"},
    "C dependent value not from its source": {"argument_provenance"},
    "C later call that needs nothing of the first": set(),
    "C missing value said all the same": set(),
    "C no question for the missing value": set(),
    "C leaked template mark": {"leaked_prompt"},
    ("C result against the return schema", "toolace"): {"answer_grounded"},  # the format has no return schemas
    ("C result against the return schema (of a source)", "toolace"): {"argument_provenance"},
    ("C two calls under one id", "toolace"): set(),  # nor ids
    "D one of several intents not called": {"answer_grounded"},
    "D superfluous call": {"answer_grounded"},
    "D call though nothing fits": {"argument_provenance"},
    "D refusal though a function fits": set(),
    "D asks for what was given": set(),
    "D thinking contradicts the action": set(),  # no format has thoughts
    "D success claimed and nothing called": {"claimed_call"},
}


# Good dialogs


def unfiltered(count):
    """(dialogs, why the others fell): `count` tasks of all kinds of up to three requests, each played once by a perfect model, with
    every rule switched off: what the rules say of them is not what let them through."""
    rules = {rule.id: "off" for rule in registered()}
    config = parse({"verify": {"rules": rules, "repair": 0, "experts": {}}, "generate": {"rounds": 1}})
    engines, pool = Engines(config, {"small": IdealEngine()}), Pool.of(IDEAL_APIS)
    kinds = sorted(kind for kind in PLANNED if not kind.startswith("multi_turn") or kind[-2:] in ("_2", "_3"))

    async def play():
        numbered = ((number, kinds[number % len(kinds)]) for number in range(count))
        tasks = [Task(f"{kind}-{number}", kind, number, number) for number, kind in numbered]
        return [await rollout(task, pool, config, engines.for_task(task.id)) for task in tasks]

    outcomes = asyncio.run(play())
    return [item.dialog for item in outcomes if item.dialog], [item.verdicts[0] for item in outcomes if not item.dialog]
