"""The agents of the role-play one by one: the assistant's consensus, the tool agent's memory."""

import asyncio
import json
import random

import pytest

from tests.material import BOOK, LIST, SEARCH, WEATHER, IdealEngine, ScriptedEngine, act, schema
from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import Generation, Sample
from toolace_ray.engines.roles import Engines
from toolace_ray.records.api import TRANSIENT, ApiError
from toolace_ray.records.dialog import Message, ToolCall
from toolace_ray.schemas.validate import errors
from toolace_ray.sdg.assistant import Assistant, decision_schema
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Intent, Task, make_plan
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout
from toolace_ray.sdg.tools import ToolAgent

POOL = Pool.of((WEATHER, SEARCH, BOOK, LIST))
LIMA = {"name": "get_forecast", "arguments": {"city": "Lima", "date": "2026-05-02"}}
LYON = {"name": "get_forecast", "arguments": {"city": "Lyon", "date": "2026-05-02"}}
SHOUTED = {"name": "get_forecast", "arguments": {"date": "2026-05-02", "city": "LIMA "}}


def plan_with(*tools):
    found = make_plan(Task("t", "single.plain", 0, 1), POOL, Config().generate)
    return type(found)(**{**{name: getattr(found, name) for name in found.__dataclass_fields__}, "tools": tools})


def decide(answers, most=3):
    engine = ScriptedEngine(answers)
    engines = Engines(Config(), {"small": engine}).for_task("t")
    assistant = Assistant(plan_with(WEATHER, SEARCH), engines, most, True, 0.8, lambda: 1)
    said = [Message(role="user", content="How will the weather be in Lima tomorrow?")]
    return asyncio.run(assistant.decide(said, 0)), engine


CALL, ASK, TELL = act("call", calls=[LIMA]), act("ask", text="Which city?"), act("reply", text="I can't.")


@pytest.mark.parametrize(
    ("answers", "most", "kind", "drawn", "agreed"),
    [
        ([[CALL, act("call", calls=[SHOUTED])]], 3, "call", 2, True),  # the same after normalisation
        ([[ASK, act("ask", text="For which one?")]], 3, "ask", 2, True),  # the same kind of action is enough
        ([[CALL, ASK], [CALL]], 3, "call", 3, True),
        ([[CALL, ASK], [ASK]], 3, "ask", 3, True),
        ([[CALL, act("call", calls=[LYON])], [ASK]], 3, "call", 3, False),
        ([[CALL, act("call", calls=[LIMA, LYON])], [act("call", calls=[LYON, LIMA])]], 3, "call", 3, True),
        ([["garbage", CALL], [CALL]], 3, "call", 3, True),
        ([[CALL, ASK]], 2, "call", 2, False),
        ([[CALL]], 1, "call", 1, False),
        ([[CALL, ASK], [TELL], [TELL]], 5, "reply", 4, True),
    ],
)
def test_consensus(answers, most, kind, drawn, agreed):
    decision, engine = decide(answers, most)
    assert (decision.actions[0].kind, decision.drawn, decision.agreed) == (kind, drawn, agreed)
    assert [request.n for request in engine.requests] == [min(2, most)] + [1] * (drawn - min(2, most))
    assert decision.actions[0].thought == "r; f; v"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("no json", ""),
        (json.dumps({"action": "dance"}), "no action"),
        (act("call", calls=[]), "no calls"),
        (act("call", calls=[{"name": "order_pizza", "arguments": {}}]), "no function"),
        (act("call", calls=[{"name": "get_forecast", "arguments": {"city": "Lima"}}]), "get_forecast"),
        (act("ask", text=" "), "without a text"),
    ],
)
def test_what_cannot_be_carried_out_is_no_decision(answer, reason):
    with pytest.raises(Unfit, match=reason or None):
        decide([[answer, answer], [answer]])


def test_the_prompt_holds_tools_dialog_and_date_and_the_answer_is_constrained():
    _, engine = decide([[CALL, CALL]])
    prompt = engine.requests[0].messages[-1]["content"]
    assert prompt.startswith("Today: ")
    assert 'get_forecast: Tell the weather forecast of a city for one day. {"city": "string, required, City"' in prompt
    assert prompt.endswith("User: How will the weather be in Lima tomorrow?")
    form = engine.requests[0].json_schema
    for text in (CALL, ASK):
        assert errors(form, json.loads(text), 1) == []
    assert errors(form, json.loads(act("call", calls=[{"name": "x", "arguments": {}}])), 1)
    assert "request" not in json.dumps(decision_schema([WEATHER], thinking=False))


# The tool agent


def answer(request):
    """Another word for every hole at every request."""
    answer.count += 1
    properties = request.json_schema["properties"]
    return json.dumps(
        {name: f"word{answer.count}" if form["type"] == "string" else 7 for name, form in properties.items()}
    )


answer.count = 0


def agent(engine=answer):
    engines = Engines(Config(), {"small": ScriptedEngine(engine)}).for_task("t")
    return ToolAgent(plan_with(WEATHER), random.Random(1), engines)


def called(api, **arguments):
    return ToolCall(id="c", name=api.name, arguments=arguments)


def test_the_same_call_gives_the_same_answer_until_something_changes():
    async def play():
        mine = agent()
        first = await mine.call(WEATHER, called(WEATHER, city="Lima", date="2026-05-02"))
        again = await mine.call(WEATHER, called(WEATHER, city="Lima", date="2026-05-02"))
        other = await mine.call(WEATHER, called(WEATHER, city="Lyon", date="2026-05-02"))
        await mine.call(BOOK, called(BOOK, train_id="TR-1", seats=2))
        later = await mine.call(WEATHER, called(WEATHER, city="Lima", date="2026-05-02"))
        return first, again, other, later

    first, again, other, later = asyncio.run(play())
    assert first == again
    assert first["summary"] != other["summary"]
    assert first["summary"] != later["summary"]


def test_what_was_said_of_a_thing_stays_true_and_changes_are_remembered():
    status = BOOK.model_copy(
        update={
            "name": "get_train",
            "side_effects": False,
            "parameters": schema(("train_id",), train_id={"type": "string", "description": "T"}),
            "returns": schema(
                ("price", "seats"),
                price={"type": "number", "description": "Price", "minimum": 1, "maximum": 500},
                seats={"type": "integer", "description": "Seats"},
            ),
        }
    )

    async def play():
        mine = agent()
        found = await mine.call(SEARCH, called(SEARCH, origin="Lyon", destination="Turin"))
        train = found["train_id"]
        before = await mine.call(status, called(status, train_id=train))
        await mine.call(BOOK, called(BOOK, train_id=train, seats=3))
        after = await mine.call(status, called(status, train_id=train))
        return found, before, after

    found, before, after = asyncio.run(play())
    assert before["price"] == after["price"] == found["price"]
    assert after["seats"] == 3


@pytest.mark.parametrize("trouble", ["error", "correct", "retry", "empty"])
def test_trouble_strikes_as_planned(trouble):
    api = (
        LIST
        if trouble == "empty"
        else WEATHER.model_copy(
            update={
                "errors": (
                    ApiError(code="404", message="The city is not known."),
                    ApiError(code="500", message="Broken."),
                )
            }
        )
    )
    call = called(api, city="Lima", date="2026-05-02")
    wish = Intent(0, api, trouble=trouble, varied="city")
    first, second = (asyncio.run(agent().call(api, call, wish, attempt)) for attempt in (0, 1))
    if trouble == "empty":
        assert first == {"concerts": []}
        return
    code = first["error"]["code"]
    assert code in {"error": ("404", "500"), "correct": ("404",), "retry": [e.code for e in TRANSIENT]}[trouble]
    assert errors(api.returns, second, 1) == []


def test_the_same_wrong_call_fails_again_and_another_value_helps():
    api = WEATHER.model_copy(update={"errors": (ApiError(code="404", message="The city is not known."),)})
    wish = Intent(0, api, trouble="correct", varied="city")

    async def play():
        mine = agent()
        bad = called(api, city="Lima", date="2026-05-02")
        first = await mine.call(api, bad, wish, 0)
        return (
            first,
            await mine.call(api, bad, wish, 1),
            await mine.call(api, called(api, city="Quito", date="2026-05-02"), wish, 2),
        )

    first, again, other = asyncio.run(play())
    assert first == again
    assert "error" in first
    assert set(other) == {"summary", "high"}


def test_two_things_with_one_call_are_not_mixed_up():
    order = BOOK.model_copy(
        update={
            "name": "create_order",
            "parameters": schema(("customer_id",), customer_id={"type": "string", "description": "C"}),
            "returns": schema(
                ("order_id", "name"),
                order_id={"type": "string", "description": "O", "examples": ["OR-1234"]},
                name={"type": "string", "description": "Product"},
            ),
        }
    )
    customer = order.model_copy(
        update={
            "name": "get_customer",
            "side_effects": False,
            "returns": schema(("name",), name={"type": "string", "description": "Name"}),
        }
    )

    async def play():
        mine = agent()
        made = await mine.call(order, called(order, customer_id="C-7755"))
        return made, await mine.call(customer, called(customer, customer_id="C-7755"))

    made, found = asyncio.run(play())
    assert made["name"] != found["name"]


def test_an_empty_page_counts_nothing():
    counted = LIST.model_copy(
        update={
            "returns": schema(
                ("concerts", "total"),
                concerts={"type": "array", "description": "C", "items": {"type": "string"}},
                total={"type": "integer", "description": "How many", "minimum": 0, "maximum": 90},
            )
        }
    )
    call = called(counted, city="Lima", dates=["2026-05-02"])
    found = asyncio.run(agent().call(counted, call, Intent(0, counted, trouble="empty")))
    assert found == {"concerts": [], "total": 0}


def test_a_call_that_nobody_wished_for_is_not_kept():
    class Busy(IdealEngine):
        def decision(self, asked):
            return act("call", calls=[LIMA]) if "get_forecast" in asked else super().decision(asked)

    config = parse({"generate": {"strategy": "roleplay", "min_tools": 4, "max_tools": 4}, "verify": {"experts": {}}})
    engines = Engines(config, {"small": Busy()}).for_task("t")
    rules = set()
    for seed in range(6):
        outcome = asyncio.run(rollout(Task("t", "non_tool.no_function", 0, seed), POOL, config, engines))
        rules.add(outcome.verdicts[0].rule if outcome.verdicts else "")
    assert "superfluous" in rules


def test_right_arguments_fit_the_grammar():
    api = WEATHER.model_copy(
        update={
            "parameters": schema(
                ("order", "parts", "kind", "note"),
                order={"type": "integer", "description": "O"},
                parts={"type": "array", "description": "P", "items": {"type": "integer"}, "minItems": 10},
                kind={"description": "K", "anyOf": [{"type": "integer"}, {"const": "all"}]},
                note={"type": ["string", "null"], "description": "N"},
            )
        }
    )
    form = decision_schema([api], thinking=False)
    arguments = {"order": 12345678901, "parts": list(range(10)), "kind": "all", "note": "x" * 150}
    for kind in ("all", 3):
        text = json.loads(act("call", calls=[{"name": "get_forecast", "arguments": {**arguments, "kind": kind}}]))
        assert errors(form, {key: text[key] for key in ("action", "calls")}, 1) == []


def test_hostile_tool_answers_are_no_results():
    for text in ("[1]", "3", '"x"', "{}"):
        with pytest.raises(Unfit):
            asyncio.run(
                agent(lambda request, text=text: text).call(WEATHER, called(WEATHER, city="Lima", date="2026-05-02"))
            )


def test_results_that_do_not_fit_are_not_taken():
    with pytest.raises(Unfit, match="begin like a value"):
        asyncio.run(
            agent(lambda request: '{"summary": "}{", "high": 3}').call(
                WEATHER, called(WEATHER, city="Lima", date="2026-05-02")
            )
        )


# The play as a whole


class Forgetful(IdealEngine):
    """Calls with another value than the user's."""

    def decision(self, asked):
        return super().decision(asked).replace('"city": "', '"city": "New ')


def test_a_call_that_is_not_what_the_user_said_is_not_kept():
    config = parse({"generate": {"strategy": "roleplay"}, "verify": {"experts": {}}})
    engines = Engines(config, {"small": Forgetful()}).for_task("t")
    outcomes = [
        asyncio.run(rollout(Task("t", "single.plain", 0, seed), Pool.of((WEATHER,)), config, engines))
        for seed in range(4)
    ]
    assert {outcome.verdicts[0].rule for outcome in outcomes} == {"facts"}
    assert "the user's is" in outcomes[0].verdicts[0].evidence


def test_a_play_in_which_nothing_is_agreed_on_is_not_kept():
    class Torn(IdealEngine):
        """No two of its decisions are alike."""

        async def generate(self, request):
            answer = await super().generate(request)
            if "Actions:" not in request.messages[0]["content"]:
                return answer
            other = Sample(act("ask", text="Which one would you like?"), "stop", 5)
            return Generation((answer.samples[0], *[other] * (request.n - 1)), prompt_tokens=3)

    config = parse({"generate": {"strategy": "roleplay", "consensus": 2}})
    engines = Engines(config, {"small": Torn()}).for_task("t")
    outcome = asyncio.run(rollout(Task("t", "non_tool.small_talk", 0, 1), POOL, config, engines))
    assert outcome.verdicts[0].rule == "consensus"
