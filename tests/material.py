"""Hand-made APIs and dialogs that are right, for tests that then break them; and a scripted engine."""

import asyncio
import json
import re

import pyarrow as pa

from actors.ingest import _read_all
from toolace_ray.calls import pythonic
from toolace_ray.dlv.trace import trace
from toolace_ray.engines.protocol import Capabilities, Generation, Sample, Score
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.records.api import TRANSIENT, Api, ApiError
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.kinds import KINDS
from toolace_ray.records.usage import Usage
from toolace_ray.store.rows import usage_columns


def schema(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


WEATHER = Api(
    name="get_forecast",
    description="Tell the weather forecast of a city for one day.",
    parameters=schema(
        ("city", "date"),
        city={"type": "string", "description": "City", "maxLength": 40, "examples": ["Lima"]},
        date={"type": "string", "format": "date", "description": "Day"},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Unit", "default": "celsius"},
    ),
    returns=schema(
        ("summary", "high"),
        summary={"type": "string", "description": "In words"},
        high={"type": "integer", "description": "Highest temperature"},
    ),
    errors=(ApiError(code="404", message="The city is not known."),),
    domain=("Weather",),
    example_arguments={"city": "Lima", "date": "2026-05-02"},
    example_return={"summary": "sunny", "high": 24},
)
SEARCH = Api(
    name="search_trains",
    description="Find a train between two cities.",
    parameters=schema(
        ("origin", "destination"),
        origin={"type": "string", "description": "From"},
        destination={"type": "string", "description": "To"},
    ),
    returns=schema(
        ("train_id", "price"),
        train_id={"type": "string", "description": "Train", "examples": ["TR-1020"]},
        price={"type": "number", "description": "Price", "minimum": 1, "maximum": 500},
    ),
    domain=("Travel", "Trains"),
    example_arguments={"origin": "Lyon", "destination": "Turin"},
    example_return={"train_id": "TR-1020", "price": 39.5},
)
BOOK = Api(
    name="book_seats",
    description="Book seats on a train.",
    parameters=schema(
        ("train_id", "seats"),
        train_id={"type": "string", "description": "Train", "examples": ["TR-1020"]},
        seats={"type": "integer", "minimum": 1, "maximum": 9, "description": "Number of seats"},
    ),
    returns=schema(("booking",), booking={"type": "string", "description": "Booking code"}),
    side_effects=True,
    domain=("Travel", "Trains"),
    example_arguments={"train_id": "TR-1020", "seats": 2},
    example_return={"booking": "BK-77"},
)
APIS = (WEATHER, SEARCH, BOOK)


DEFAULTS = {
    "single": "plain",
    "parallel": "same_api",
    "dependent": "chain_2",
    "clarification": "ask",
    "recovery": "retry",
    "multi_turn": "turns_2",
}


def _dialog(kind, messages, **fields):
    kind = next(
        full_kind for full_kind in KINDS if full_kind in (kind, f"{kind}.{DEFAULTS.get(kind)}", f"non_tool.{kind}")
    )
    system = Message(role="system", content="You are a helpful assistant. Today is Friday, 2026-05-01.")
    draft = Dialog(
        id=f"{kind}-000000-test",
        type=KINDS[kind],
        kind=kind,
        attempt=0,
        seed=1,
        today="2026-05-01",
        tools=APIS,
        messages=(system, *messages),
        **fields,
    )
    return draft.model_copy(update={"provenance": trace(draft)})


def user(text):
    return Message(role="user", content=text)


def say(text):
    return Message(role="assistant", content=text)


def calls(*items):
    return Message(role="assistant", tool_calls=tuple(ToolCall(id=i, name=n, arguments=a) for i, n, a in items))


def result(call_id, name, value):
    return Message(role="tool", content=json.dumps(value), tool_call_id=call_id, name=name)


def good_dialogs():
    """One dialog a type (non-tool twice) that every rule must let pass."""
    return {
        "single": _dialog(
            "single",
            [
                user("What will the weather be like in Lima tomorrow?"),
                calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-02"})),
                result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
                say("It will be sunny in Lima, with a high of 24 degrees."),
            ],
        ),
        "parallel": _dialog(
            "parallel",
            [
                user("How will the weather be on May 3rd in Lima, and how in Quito?"),
                calls(
                    ("c1", "get_forecast", {"city": "Lima", "date": "2026-05-03"}),
                    ("c2", "get_forecast", {"city": "Quito", "date": "2026-05-03"}),
                ),
                result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
                result("c2", "get_forecast", {"summary": "light rain", "high": 17}),
                say("Lima will be sunny at 24 degrees, Quito will have light rain at 17."),
            ],
        ),
        "dependent": _dialog(
            "dependent",
            [
                user("Please find a train from Lyon to Turin and book three seats on it."),
                calls(("c1", "search_trains", {"origin": "Lyon", "destination": "Turin"})),
                result("c1", "search_trains", {"train_id": "TR-4410", "price": 41.5}),
                calls(("c2", "book_seats", {"train_id": "TR-4410", "seats": 3})),
                result("c2", "book_seats", {"booking": "BK-905"}),
                say("I booked three seats on train TR-4410 for 41.5 each; your booking code is BK-905."),
            ],
        ),
        "clarification": _dialog(
            "clarification",
            [
                user("How will the weather be tomorrow?"),
                say("For which city would you like the forecast?"),
                user("For Lima, please."),
                calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-02"})),
                result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
                say("It will be sunny in Lima, with a high of 24 degrees."),
            ],
            meta={"missing": {"name": "city", "value": "Lima"}},
        ),
        "recovery": _dialog(
            "recovery",
            [
                user("Please find a train from Lyon to Turin."),
                calls(("c1", "search_trains", {"origin": "Lyon", "destination": "Turin"})),
                result("c1", "search_trains", {"error": {"code": "unavailable", "message": "The service is busy."}}),
                calls(("c2", "search_trains", {"origin": "Lyon", "destination": "Turin"})),
                result("c2", "search_trains", {"train_id": "TR-4410", "price": 41.5}),
                say("Train TR-4410 goes from Lyon to Turin for 41.5."),
            ],
        ),
        "multi_turn": _dialog(
            "multi_turn",
            [
                user("What will the weather be like in Lima tomorrow?"),
                calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-02"})),
                result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
                say("It will be sunny in Lima, with a high of 24 degrees."),
                user("And the same for Lyon?"),
                calls(("c2", "get_forecast", {"city": "Lyon", "date": "2026-05-02"})),
                result("c2", "get_forecast", {"summary": "windy", "high": 15}),
                say("Lyon will be windy at 15 degrees."),
            ],
        ),
        "no_function": _dialog(
            "no_function",
            [user("Can you order me a pizza with olives?"), say("I'm sorry, I can't order food with what I have.")],
        ),
        "missing": _dialog(
            "missing",
            [user("How will the weather be tomorrow?"), say("For which city would you like the forecast?")],
            meta={"missing": {"name": "city", "value": "Lima"}},
        ),
    }


class ScriptedEngine:
    """Answers from a function of the request, or from a list in turn; remembers what it was asked."""

    capabilities = Capabilities(model="scripted", context=4096, score=False)

    def __init__(self, answers):
        self.answers = answers if callable(answers) else iter(answers)
        self.requests = []

    async def generate(self, request):
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self.answers(request) if callable(self.answers) else next(self.answers)
        texts = [answer] if isinstance(answer, str) else list(answer)
        texts = (texts * request.n)[: request.n]
        return Generation(tuple(Sample(text, "stop", max(1, len(text) // 4)) for text in texts), prompt_tokens=10)

    async def score(self, request):
        return Score(())


class Clock:
    """A clock that is turned by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def draft_row(kind, attempt, record="{}", **more):
    """A row of drafts, as a worker commits it; it has cost nothing."""
    task = {"id": f"{kind}-{attempt}", "type": kind.partition(".")[0], "kind": kind, "attempt": attempt, "key": ""}
    return {**task, "record": record, **usage_columns(Usage(), 0.0), **more}


def _chained(number):
    """The API of a chain whose result feeds the next one's parameter."""
    return Api(
        name=f"advance_stage_{'abcde'[number]}",
        description=f"Advance a shipment to stage {'abcde'[number]}.",
        parameters=schema(
            (f"{'abcde'[number]}_ticket_id", "carrier"),
            **{f"{'abcde'[number]}_ticket_id": {"type": "string", "description": "Ticket", "examples": ["TK-100"]}},
            carrier={"type": "string", "description": "Carrier", "maxLength": 30},
        ),
        returns=schema(
            (f"{'abcdef'[number + 1]}_ticket_id",),
            **{
                f"{'abcdef'[number + 1]}_ticket_id": {"type": "string", "description": "Ticket", "examples": ["TK-100"]}
            },
        ),
        domain=("Freight",),
        example_arguments={f"{'abcde'[number]}_ticket_id": "TK-100", "carrier": "Blue Line"},
        example_return={f"{'abcdef'[number + 1]}_ticket_id": "TK-200"},
    )


LIST = Api(
    name="list_concerts",
    description="List the concerts of a city on the given dates.",
    parameters=schema(
        ("city", "dates"),
        city={"type": "string", "description": "City", "maxLength": 40},
        dates={
            "type": "array",
            "description": "Days",
            "items": {"type": "string", "format": "date"},
            "minItems": 1,
            "maxItems": 2,
        },
    ),
    returns=schema(("concerts",), concerts={"type": "array", "description": "Concerts", "items": {"type": "string"}}),
    domain=("Music",),
    example_arguments={"city": "Lima", "dates": ["2026-05-02"]},
    example_return={"concerts": ["Blue Hour"]},
)
IDEAL_APIS = (*APIS, LIST, *(_chained(number) for number in range(5)))
"""A pool that carries dialogs of every kind."""


class IdealEngine(SimulatedEngine):
    """A model that always does what it is asked to, in as plain words as can be; remembers what it was asked."""

    def __init__(self):
        super().__init__(latency_ms=0, slip=0.0, first_choice=1.0)
        self.requests = []

    async def generate(self, request):
        self.requests.append(request)
        if request.json_schema is not None and "Actions:" not in request.messages[0]["content"]:
            return await super().generate(request)
        text = self.words(request.messages[0]["content"], request.messages[-1]["content"], request)
        if text is None:
            return await super().generate(request)
        return Generation((Sample(text, "stop", 9),) * request.n, prompt_tokens=10)

    def words(self, system, asked, request):
        if "Actions:" in system:
            return self.decision(asked)
        lines = dict(line.partition(": ")[::2] for line in asked.splitlines())
        if "Functions" in lines:
            return "I'm sorry, I can't do that with what I have."
        if "Missing" in lines:
            return f"Which {lines['Missing'].partition(' (')[0]} would you like?"
        if "Wrong" in lines:
            return f"That is not known. Which {lines['Wrong']} should it be?"
        if "Error" in lines:
            return f"I'm sorry, that failed: {lines['Error']}"
        if "Topic" in lines:
            return "What is the best thing about it?" if "question" in system else "It has been a nice long afternoon."
        for label, words in (("Value", "Please take"), ("Now", "The same, please, but with")):
            if label in lines:
                return f"{words} {as_words(json.loads(lines[label]))}."
        if '"wish": ' in asked:
            facts = json.loads(asked[asked.index("{") :])
            return f"Please do this for me: {facts['wish']} {as_words(facts['values'])}."
        return None if "{" in asked else "That is good to know, and there is much to like about it."

    def decision(self, asked):
        """What a perfect assistant decides, going by the way this engine words requests."""
        functions, lines = {}, []
        for line in asked.splitlines()[2:]:
            name, _, rest = line.partition(": ")
            if name in ("User", "Assistant", "Call", "Result", "Note"):
                lines.append((name, rest))
            else:
                description, _, parameters = rest.partition(' {"')
                functions[name] = (description, json.loads('{"' + parameters))
        start = max(i for i, (name, text) in enumerate(lines) if name == "User" and not text.startswith("Please take"))
        request, done = lines[start][1], lines[start + 1 :]
        later = [text for name, text in done if name == "User"]
        results = [json.loads(text) for name, text in done if name == "Result"]
        results = results or [json.loads(text) for name, text in lines if name == "Result"]
        wanted = self.wanted_calls(functions, request, results, lines[:start])
        failed = [text for name, text in done if name == "Result" and '"error"' in text]
        answered = sum(name == "Result" for name, _ in done) - len(failed)
        calls_left = wanted[answered:]
        if failed and not any(error.code in failed[-1] for error in TRANSIENT) and not later:
            wrong = failed[-1].partition('"message": "The ')[2].partition(" is not")[0]
            if "known" in failed[-1]:
                return act("ask", text=f"The {wrong} is not known. Which {wrong} should it be?")
            return act("summarise", text=f"I'm sorry, that failed: {json.loads(failed[-1])['error']['message']}")
        if not calls_left:
            texts = [text for name, text in done if name == "Result" and text not in failed]
            if not texts:
                return act("reply", text="I'm sorry, I can't do that, but it is good to know.")
            facts = ", ".join(str(leaf) for text in texts for leaf in scalars(json.loads(text)))
            return act("summarise", text=f"Here it is: {facts}." if facts else "Nothing was found, there is none.")
        for text in later:
            calls_left[0][1].update(values(functions[calls_left[0][0]][1], text))
        ready = []
        for name, arguments in calls_left:
            for key, described in functions[name][1].items():
                if "required" in described and key not in arguments:
                    if any(isinstance(earlier, dict) and key in earlier for earlier in results):
                        arguments[key] = next(earlier[key] for earlier in reversed(results) if key in earlier)
                    elif not ready:
                        return act("ask", text=f"Which {key.replace('_', ' ')} would you like?")
                    else:
                        return act("call", calls=ready)
            ready.append({"name": name, "arguments": arguments})
        return act("call", calls=ready)

    def wanted_calls(self, functions, request, results, before):
        """(name, arguments) of the calls that a request of this engine's wording asks for, in its order."""
        if request.startswith("The same"):
            for name, text in reversed(before):
                if name == "Call":
                    called, arguments = parse_call(text)
                    new = values(functions[called][1], request)
                    if new:
                        return [(called, {**arguments, **new})]
        places = []
        for name, (description, parameters) in functions.items():
            at = request.find(description)
            while at >= 0:
                places.append((at, name, parameters, at + len(description)))
                at = request.find(description, at + 1)
        places.sort()
        ends = [*(item[0] for item in places[1:]), len(request)][: len(places)]
        return [
            (name, values(parameters, request[after:end]))
            for (_, name, parameters, after), end in zip(places, ends, strict=True)
        ]


def act(action, **more):
    return json.dumps({"request": "r", "function": "f", "values": "v", "action": action, **more})


def as_words(facts):
    parts = []
    for name, value in facts.items():
        text = " and ".join(map(str, value)) if isinstance(value, list) else value
        parts.append(f"{name} = {text}")
    return "; ".join(parts)


def values(parameters, text):
    arguments = {}
    for name, kind in parameters.items():
        match = re.search(rf"\b{name.replace('_', ' ')} = (.+?)(?:;|\.$|\. [A-Z]|$)", text)
        if match:
            value = match.group(1)
            arguments[name] = (
                value.split(" and ") if "array" in kind else int(value) if kind.startswith("integer") else value
            )
    return arguments


def parse_call(text):
    call = pythonic.parse(f"[{text}]").calls[0]
    return call.name, dict(call.arguments)


def scalars(value):
    if isinstance(value, dict | list):
        return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in scalars(item)]
    return [value]


def ingested(files, limits):
    """What `actors.ingest.ingest` gives, read in this process without Ray."""
    table = pa.table({"source": [kind for kind, _ in files], "path": [path for _, path in files]})
    yield from _read_all(table, limits)
