import asyncio
import datetime
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.material import APIS, BOOK, IDEAL_APIS, SEARCH, WEATHER, IdealEngine, ScriptedEngine, schema
from toolace_ray.config.load import parse
from toolace_ray.dlv.layer import run_rules
from toolace_ray.engines.protocol import BadRequest, GenerateRequest, Generation, Sample
from toolace_ray.engines.roles import Engines
from toolace_ray.records.kinds import PLANNED
from toolace_ray.schemas.draw import draw, fill, hole_schema, instance
from toolace_ray.schemas.validate import errors
from toolace_ray.sdg import wording
from toolace_ray.sdg.balance import apportion, quotas
from toolace_ray.sdg.invented import plain_words
from toolace_ray.sdg.plans import Difficulty, NoPlan, Task, feasible, make_plan
from toolace_ray.sdg.pool import Pool, domain, words
from toolace_ray.sdg.rollout import rollout
from toolace_ray.text.values import find, variants_of

POOL = Pool.of(IDEAL_APIS)
CONFIG = parse({"verify": {"experts": {}}})
TODAY = datetime.date(2026, 5, 1)


def play(kind, seed, engine=None, config=CONFIG, pool=POOL):
    engine = engine or IdealEngine()
    task = Task(f"{kind}-{seed}", kind, 0, seed)
    engines = Engines(config, {"small": engine}).for_task(task.id)
    return asyncio.run(rollout(task, pool, config, engines))


def shape(dialog):
    """What is done in each message, as a word of letters: user, say, call with its number, tool, error."""
    letters = []
    for message in dialog.messages[1:]:
        if message.role == "tool":
            letters.append("e" if '"error"' in message.content else "t")
        elif message.tool_calls:
            letters.append(f"c{len(message.tool_calls)}")
        else:
            letters.append(message.role[0])
    return "".join(letters)


SHAPES = {
    "single.plain": "uc1ta", "single.nested": "uc1ta", "single.error": "uc1ea", "single.empty": "uc1ta",
    "parallel.same_api": "uc([23])t+a", "parallel.several_apis": "uc([23])t+a",
    **{f"dependent.chain_{n}": "u" + "c1t" * n + "a" for n in range(2, 6)},
    "non_tool.no_function": "ua", "non_tool.missing": "ua", "non_tool.small_talk": "ua", "non_tool.knowledge": "ua",
    "clarification.ask": "uauc1ta",
    "recovery.retry": "uc1ec1ta", "recovery.correct": "uc1eauc1ta",
}  # fmt: skip


@settings(max_examples=200)
@given(st.sampled_from(list(PLANNED)), st.integers(0, 2**31 - 1))
def test_a_dialog_of_any_kind_and_seed_passes_every_rule_and_has_its_structure(kind, seed):
    outcome = play(kind, seed)
    if outcome.dialog is None:
        # The ideal engine never fails; drawn calls may be equal, which is no dialog.
        assert "are the same" in outcome.verdicts[0].evidence
        return
    dialog = outcome.dialog
    assert (dialog.kind, dialog.type) == (kind, PLANNED[kind])
    assert run_rules(dialog, CONFIG.verify) == []
    assert {record.source for record in dialog.provenance} <= {"literal", "normalised", "tool_output"}
    if kind.startswith("multi_turn"):
        requests = sum(message.role == "user" for message in dialog.messages)
        assert requests == int(kind.rpartition("_")[2])
        plan = make_plan(Task("x", kind, 0, seed), POOL, CONFIG.generate)
        assert any(wish.like is not None or wish.link is not None for wish in plan.intents)
    else:
        assert re.fullmatch(SHAPES[kind], shape(dialog)), shape(dialog)
    names = [api.name for api in dialog.tools]
    assert len(set(names)) == len(names)


ROLEPLAY = parse({"generate": {"strategy": "roleplay"}, "verify": {"experts": {}}})


@settings(max_examples=150)
@given(st.sampled_from(list(PLANNED)), st.integers(0, 2**31 - 1))
def test_a_role_play_of_any_kind_and_seed_passes_every_rule_and_has_its_structure(kind, seed):
    outcome = play(kind, seed, config=ROLEPLAY)
    if outcome.dialog is None:
        # Two calls that were drawn equal.
        assert "again with the same arguments" in outcome.verdicts[0].evidence, outcome.verdicts[0].evidence
        return
    dialog = outcome.dialog
    assert run_rules(dialog, CONFIG.verify) == []
    assert all(message.train for message in dialog.messages)
    if kind.startswith("multi_turn"):
        assert sum(message.role == "user" for message in dialog.messages) == int(kind.rpartition("_")[2])
    else:
        assert re.fullmatch(SHAPES[kind], shape(dialog)), shape(dialog)
    spoken = [message for message in dialog.messages if message.role == "assistant"]
    assert all(message.thought == "r; f; v" for message in spoken)
    assert [kind for kind, _, _ in dialog.meta["consensus"]].count("call") == sum(bool(m.tool_calls) for m in spoken)


@pytest.mark.parametrize("kind", PLANNED)
def test_the_same_seed_gives_the_same_dialog(kind):
    seed = next(seed for seed in range(5, 20) if play(kind, seed).dialog)
    assert play(kind, seed).dialog == play(kind, seed).dialog
    assert play(kind, seed).dialog != play(kind, seed + 20).dialog


def test_every_kind_is_carried_and_chains_follow_the_graph():
    assert feasible(PLANNED, POOL) == set(PLANNED)
    plan = make_plan(Task("x", "dependent.chain_5", 0, 3), POOL, CONFIG.generate)
    assert len({api.name for api in plan.wanted}) == 5
    for wish in plan.intents[1:]:
        source = plan.intents[wish.link.source].api
        assert wish.link.field in source.returns["properties"]
        assert wish.link.name in wish.api.required
    assert feasible(["single.plain", "dependent.chain_2", "dependent.chain_3"], Pool.of(APIS)) == {
        "single.plain",
        "dependent.chain_2",
    }


def test_an_id_feeds_what_is_named_after_its_owner():
    order = SEARCH.model_copy(
        update={
            "name": "create_order",
            "returns": schema(("id",), id={"type": "string", "description": "Order"}),
        }
    )
    track = BOOK.model_copy(
        update={
            "name": "track_order",
            "parameters": schema(("orderId",), orderId={"type": "string", "description": "O"}),
        }
    )
    other = track.model_copy(
        update={
            "name": "cancel_hotel",
            "parameters": schema(("hotel_id",), hotel_id={"type": "string", "description": "H"}),
        }
    )
    away = track.model_copy(update={"name": "track_parcel_order", "domain": ("Post",)})
    edges = Pool.of([order, track, other, away]).edges[order.id]
    assert {(edge.target.name, edge.field, edge.name) for edge in edges} == {
        ("track_order", "id", "orderId"),
        ("track_parcel_order", "id", "orderId"),
    }


def test_candidates_are_drawn_by_the_mix_and_hold_what_is_called():
    near = {"near_duplicate": 1.0}
    for weights, fits in (({"related": 1.0}, True), ({"unrelated": 1.0}, False)):
        config = parse({"generate": {"distractors": weights, "min_tools": 4, "max_tools": 4}}).generate
        for seed in range(20):
            plan = make_plan(Task("x", "single.plain", 0, seed), POOL, config)
            called = plan.wanted[0]
            assert called in plan.tools
            others = [api for api in plan.tools if api != called]
            assert all((domain(api) == domain(called)) is fits for api in others)
    config = parse({"generate": {"distractors": near, "min_tools": 2, "max_tools": 2}}).generate
    for seed in range(20):
        plan = make_plan(Task("x", "single.plain", 0, seed), POOL, config)
        for api in plan.tools:
            assert words(api.name) & words(plan.wanted[0].name)


def test_no_function_has_no_candidate_of_the_domain():
    for seed in range(60):
        plan = make_plan(Task("x", "non_tool.no_function", 0, seed), POOL, CONFIG.generate)
        assert all(api.domain[0] != plan.wanted[0].domain[0] for api in plan.tools)


def test_a_pool_that_cannot_carry_a_kind_says_so():
    with pytest.raises(NoPlan, match="feed each other"):
        make_plan(Task("x", "dependent.chain_2", 0, 1), Pool.of([WEATHER]), CONFIG.generate)
    with pytest.raises(NoPlan, match="one to five required values"):
        make_plan(Task("x", "single.plain", 0, 1), Pool.of([]), CONFIG.generate)


@given(st.integers(0, 300), st.integers(0, 50), st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_quotas_are_shared_out_whole_and_only_grow(total, more, weights):
    named = {str(i): weight for i, weight in enumerate(weights)}
    small, large = apportion(total, named), apportion(total + more, named)
    assert sum(small.values()) == total
    assert all(large[name] >= small[name] for name in named)
    for name, weight in named.items():
        assert abs(small[name] - total * weight / sum(weights)) <= len(weights)


def test_what_the_pool_does_not_carry_goes_to_the_other_features():
    config = parse({"generate": {"quotas": {"dependent": 20, "single": 4}}}).generate
    wanted, moved = quotas(config, {"dependent.chain_2", "dependent.chain_3", "single.plain"})
    assert wanted["dependent.chain_2"] + wanted["dependent.chain_3"] == 20
    assert moved == {"dependent.chain_4": 2, "dependent.chain_5": 1}
    assert quotas(config, set())[0]["dependent.chain_2"] == 12


def test_dials_turn_a_plan_and_leave_the_rest_alone():
    task = Task("x", "parallel.same_api", 0, 4)
    plan, more = (
        make_plan(task, POOL, CONFIG.generate, difficulty) for difficulty in (None, Difficulty(calls=1, tools=3))
    )
    assert len(more.wanted) == len(plan.wanted) + 1
    assert (plan.today, plan.style, plan.wanted[0]) == (more.today, more.style, more.wanted[0])


def test_another_language_is_told_to_the_speakers():
    config = parse({"generate": {"languages": {"German": 1}}, "verify": {"experts": {}}})
    engine = IdealEngine()
    dialog = play("single.plain", 2, engine, config).dialog
    assert dialog.meta["language"] == "German"
    told = [r.messages[0]["content"] for r in engine.requests if r.json_schema is None]
    assert told
    assert all("write in German" in text for text in told)


def test_words_that_never_fit_end_in_the_ledger_with_the_reason():
    outcome = play("single.plain", 1, ScriptedEngine(lambda request: "Nothing of the kind."))
    assert outcome.dialog is None
    (verdict,) = outcome.verdicts
    assert (verdict.stage, verdict.rule) in {("generate", "request"), ("generate", "arguments")}
    assert outcome.usage.requests >= CONFIG.generate.rounds


def test_a_refused_request_ends_the_attempt_alone():
    def refuse(request):
        raise BadRequest("too long")

    outcome = play("single.plain", 1, ScriptedEngine(refuse))
    assert outcome.verdicts[0].rule == "request_refused"


def test_the_best_candidate_that_passes_is_taken():
    good = "What will the weather be in Lima on 2026-05-03?"
    values = [(("city",), "Lima"), (("date",), "2026-05-03")]
    bad = {
        "I need the weather for Lima.": "does not say '2026-05-03'",
        "What is the weather in Lima on 2026-05-03 at 9 degrees?": "invents 9",
        "Is Lima nice on 2026-05-03?": "does not say what it is for",
        "Sure, here is the weather in Lima on 2026-05-03?": "speaks like an assistant",
        "The weather in Lima on 2026-05-03 is fine.": "asks for nothing",
        "What is the get_forecast of Lima on 2026-05-03?": "code in the words",
    }
    assert wording.request_fault(good, WEATHER, values, TODAY, {}) is None
    assert wording.request_fault("Weather for Lima on May 3rd, please.", WEATHER, values, TODAY, {}) is None
    for text, reason in bad.items():
        assert reason in (wording.request_fault(text, WEATHER, values, TODAY, {}) or ""), text
    assert "is to be missing" in (wording.request_fault(good, WEATHER, [], TODAY, {"city": "Lima"}) or "")


def test_a_user_makes_no_identifier_up():
    values = [(("seats",), 3)]
    assert wording.request_fault("Please book 3 seats on the train.", BOOK, values, TODAY, {}) is None
    assert "invents TR-9999" in (
        wording.request_fault("Please book 3 seats on train TR-9999.", BOOK, values, TODAY, {}) or ""
    )
    assert wording.reply_fault("It is TR-1020.", [(("train_id",), "TR-1020")], TODAY) is None


REMIND = WEATHER.model_copy(
    update={
        "name": "add_reminder",
        "description": "Adds a reminder to an event. It comes at noon where nothing is said.",
        "parameters": schema(
            ("minutes_before",),
            minutes_before={"type": "integer", "description": "How many minutes before the event the reminder comes."},
            hour={"type": "integer", "description": "Hour of the reminder"},
            start={"type": "string", "description": "Time at which it begins, written HH:MM"},
            day={"type": "string", "format": "date", "description": "Day of the event"},
            nights={"type": "integer", "description": "Nights"},
            place={"type": "integer", "description": "Place in the list"},
            span={"type": "string", "enum": ["this week", "next week"], "description": "When"},
            at={"type": "string", "format": "date-time", "description": "Moment of the event"},
        ),
    }
)


@pytest.mark.parametrize(
    ("said", "values", "invented"),
    [
        ("34 minutes before 7:00 PM", {"minutes_before": 34}, "7:00 PM"),
        ("34 minutes before the event at noon", {"minutes_before": 34}, "noon"),
        ("34 minutes before half past seven", {"minutes_before": 34}, "half past seven"),
        ("34 minutes before the event of tomorrow", {"minutes_before": 34}, "tomorrow"),
        ("34 minutes before the event of May 3rd", {"minutes_before": 34}, "May 3rd"),
        ("34 minutes before the event of next Friday", {"minutes_before": 34}, "next Friday"),
        ("at 7:00 PM, not at 8:00 PM", {"start": "19:00"}, "8:00 PM"),
        ("on May 4th, or on Sunday", {"day": "2026-05-04"}, "on Sunday"),
        ("34 minutes before", {"minutes_before": 34}, None),
        ("34 minutes before what begins at 7:00 PM", {"minutes_before": 34, "start": "19:00"}, None),
        ("in half an hour, which is 30 minutes", {"minutes_before": 30}, None),
        ("from 7 PM", {"start": "19:00"}, None),
        ("for half past seven", {"start": "19:30"}, None),
        ("for 7:30 in the evening", {"start": "7:30"}, None),
        ("at seven in the evening", {"start": "19:00"}, None),
        ("at noon", {"start": "12:00"}, None),
        ("at 7:00 PM", {"hour": 19}, None),
        ("tomorrow at 7:30 pm", {"at": "2026-05-02T19:30:00"}, None),
        ("today, 34 minutes before", {"minutes_before": 34}, None),
        ("tonight at 7:30 PM", {"start": "19:30"}, None),
        ("on the 4th", {"day": "2026-05-04"}, None),
        ("on the 4th march", {"day": "2027-03-04"}, None),
        ("for the 3rd in the list", {"place": 3}, None),
        ("in 3 days, for 3 nights", {"nights": 3}, None),
        ("for next week", {"span": "next week"}, None),
    ],
)  # fmt: skip
def test_a_user_makes_no_time_and_no_date_up(said, values, invented):
    stated = wording.stated_values(values)
    fault = wording.request_fault(f"Please add a reminder {said}, thanks.", REMIND, stated, TODAY, {})
    assert fault == (invented and f"invents {invented}")
    assert wording.reply_fault(f"It is {said}, thanks.", stated, TODAY) == fault
    if invented:
        told = (
            f"The event is at 7:00 PM or 8:00 PM, noon, 19:30, on May 2, May 3, 2026-05-08 or, well, 2026-05-03; {said}"
        )
        assert wording.reply_fault(f"It is {said}, thanks.", stated, TODAY, True, told) is None


def test_what_the_api_is_for_may_be_said():
    noon = REMIND.model_copy(update={"description": "Adds a reminder to an event of tomorrow at noon."})
    text = "Please add a reminder to tomorrow's event, 34 minutes before noon."
    stated = [(("minutes_before",), 34)]
    assert wording.request_fault(text, noon, stated, TODAY, {}) is None
    assert wording.request_fault(text, REMIND, stated, TODAY, {}) == "invents noon"


@given(st.dates(TODAY - datetime.timedelta(300), TODAY + datetime.timedelta(300)), st.times(), st.data())
def test_a_date_and_a_time_may_be_said_in_all_their_ways(date, time, data):
    values = {"day": date.isoformat(), "start": f"{time:%H:%M}"}
    ways = {name: [value, *variants_of(value, TODAY)] for name, value in values.items()}
    shown = {name: data.draw(st.sampled_from(found), label=name) for name, found in ways.items()}
    text = f"Please take {shown['day']}, from {shown['start']}."
    stated = wording.stated_values(values)
    if all(find(value, text, TODAY) for value in values.values()):
        assert wording.reply_fault(text, stated, TODAY) is None


@pytest.mark.parametrize("strategy", ["blueprint", "roleplay"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("single.plain", "Please do this for me"),
        ("parallel.several_apis", "Please do this for me"),
        ("non_tool.no_function", "Please do this for me"),
        ("clarification.ask", "Please take"),
        ("recovery.correct", "Please take"),
        ("multi_turn.turns_3", "The same, please"),
    ],
)
def test_no_user_of_a_planned_dialog_makes_a_time_up(kind, words, strategy):
    class Late(IdealEngine):
        def words(self, system, asked, request):
            text = super().words(system, asked, request)
            return f"{text[:-1]}, well before 7:00 PM." if (text or "").startswith(words) else text

    config = parse({"generate": {"strategy": strategy, "rounds": 1}, "verify": {"repair": 0, "experts": {}}})
    outcomes = [play(kind, seed, Late(), config) for seed in range(6)]
    assert any(outcome.verdicts and "invents 7:00 PM" in outcome.verdicts[0].evidence for outcome in outcomes)
    for outcome in outcomes:
        assert not any("7:00 PM" in message.content for message in getattr(outcome.dialog, "messages", ()))


def test_who_asks_does_not_speak_like_who_serves():
    assert wording.user_talk_fault("Thanks a lot, that was quick!", "thanks", False, TODAY) is None
    for text in (
        "I'm glad I could help! I hope all is well.",
        "You're welcome, any time.",
        "How can I help you today, friend.",
    ):
        assert "speaks like an assistant" in (wording.user_talk_fault(text, "thanks", False, TODAY) or "")
    assert wording.user_talk_fault("What is a tide?", "sea", True, TODAY) is None
    assert wording.user_talk_fault("A tide is a thing.", "sea", True, TODAY) == "is no question"


def test_the_same_is_never_asked_for_of_a_refusal():
    for seed in range(300):
        plan = make_plan(Task("x", "multi_turn.turns_6", 0, seed), POOL, CONFIG.generate)
        for before, exchange in zip(plan.groups, plan.groups[1:], strict=False):
            if any(wish.like is not None for wish in exchange.intents) and not exchange.parallel:
                assert before.kind in ("calls", "small_talk")


def test_chains_come_from_all_domains_and_a_hub_is_no_burden():
    def api(number, place):
        return SEARCH.model_copy(
            update={
                "name": f"open_case_{number}",
                "domain": (f"Place {place}",),
                "returns": schema(("case_id",), case_id={"type": "string", "description": "Case"}),
                "parameters": schema(("title",), title={"type": "string", "description": "Title"}),
            }
        )

    closing = [
        BOOK.model_copy(
            update={
                "name": f"close_case_{place}",
                "domain": (f"Place {place}",),
                "parameters": schema(("case_id",), case_id={"type": "string", "description": "Case"}),
            }
        )
        for place in range(4)
    ]
    many = [api(number, 0 if number < 200 else number % 4) for number in range(230)]
    pool = Pool.of([*many, *closing])
    assert max(len(found) for found in pool.edges.values()) <= 64
    places = {domain(pool.chain(2, random.Random(seed))[0].source) for seed in range(60)}
    assert places == {f"place {place}" for place in range(4)}
    renamed = BOOK.model_copy(
        update={
            "name": "close_it",
            "domain": ("Place 0",),
            "parameters": schema(("hotel_case_id",), hotel_case_id={"type": "string", "description": "C"}),
        }
    )
    assert any(edge.name == "hotel_case_id" for found in Pool.of([many[0], renamed]).edges.values() for edge in found)


def test_a_refusal_offers_what_there_is():
    functions = "Find a recipe by its ingredients. Tell the weather forecast."
    for text, reason in {
        "I'm sorry, I can't book trains. I can find a recipe for you.": None,
        "I'm sorry, I can't book trains.": None,
        "I can't book trains. I can look up words in a dictionary.": "offers what there is not",
        "I'm sorry, I can't, but I have booked it.": "claims to have done it",
        "Here is your train.": "does not say that it can't",
        "I'm sorry, I can't book 7 trains.": "invents 7",
    }.items():
        assert (reason or "") in (wording.decline_fault(text, "Book a train", functions, TODAY) or ""), text
        assert (reason is None) == (wording.decline_fault(text, "Book a train", functions, TODAY) is None), text


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("Lima", True),
        ('"Blue" Hall', True),
        ("#4", True),
        ("Übersee", True),
        (":[{", False),
        (",swimming", False),
        ("中央", False),
    ],
)
def test_invented_values_areplain_words(value, fits):
    if fits:
        plain_words({"x": value}, WEATHER)
    else:
        with pytest.raises(ValueError, match=r"begin like a value|another script"):
            plain_words({"x": value}, WEATHER)


def test_requests_are_joined_like_speech():
    text = wording.together(["Find a train to Turin", "Could you book 3 seats?"], True, random.Random(1))
    assert text.startswith("Find a train to Turin. ")
    assert text.endswith("could you book 3 seats?")
    assert " I need" in wording.together(["A?", "I need B."], False, random.Random(1))


def test_wishes_leave_out_what_programs_need():
    api = SEARCH.model_copy(
        update={"description": "Find the best train that find_city found and returns its train_id. More."}
    )
    assert wording.purpose(api) == "Find the best train."


@given(st.integers(0, 10**6))
def test_drawn_and_filled_arguments_are_valid(seed):
    rng = random.Random(seed)
    for api in APIS:
        value, holes = draw(api.parameters, rng, TODAY, 0.5)
        found = instance(hole_schema(holes), rng)
        assert errors(api.parameters, fill(value, holes, found)) == []


def test_roles_go_to_their_pools():
    config = parse(
        {
            "pools": {"a": {"engine": "simulated", "price_completion": 2.0}, "b": {"engine": "simulated"}},
            "roles": {"writer": "a", "user": {"a": 1, "b": 1}, "assistant": "b", "tool": "b", "judge": "a"},
        }
    )
    engines = Engines(config, {"a": ScriptedEngine(lambda r: "a"), "b": ScriptedEngine(lambda r: "b")})
    users = {engines.for_task(f"t{i}").chosen["user"][0] for i in range(40)}
    assert users == {"a", "b"}
    task = engines.for_task("t1")
    assert task.chosen == engines.for_task("t1").chosen
    answer = asyncio.run(task.generate("writer", GenerateRequest([{"role": "user", "content": "x"}], n=3)))
    assert [sample.text for sample in answer.samples] == ["a"] * 3
    assert task.usage.cost == pytest.approx(answer.tokens * 2.0 / 1e6)


@pytest.mark.parametrize("strategy", ["blueprint", "roleplay"])
@pytest.mark.parametrize(("refused", "asked"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_a_wording_is_taken_when_the_judges_name_its_function(refused, asked, strategy):
    """They are asked about the best of them first, and about a few only."""

    class Judged(IdealEngine):
        async def generate(self, request):
            if "function" not in (request.json_schema or {}).get("properties", {}):
                answer = await super().generate(request)
                if not answer.samples[0].text.startswith("Please do this"):
                    return answer
                variants = (f"{sample.text} Thank you{'!' * number}" for number, sample in enumerate(answer.samples, 1))
                return Generation(tuple(Sample(text, "stop", 9) for text in variants), prompt_tokens=10)
            wordings.append(request.messages[-1]["content"])
            name = "none" if len(set(wordings)) <= refused else WEATHER.name
            return Generation(
                (Sample(json.dumps({"evidence": "x", "function": name}), "stop", 9),) * request.n, prompt_tokens=10
            )

    wordings = []
    config = parse({"generate": {"strategy": strategy, "rounds": 1}, "verify": {"experts": {"consistency": {}}}})
    outcome = play("single.plain", 3, Judged(), config, Pool.of((WEATHER,)))
    assert len(set(wordings)) == asked
    if refused < asked:
        assert outcome.dialog.messages[1].content in wordings[-1]
    else:
        assert outcome.verdicts[0].rule == "request"
        assert outcome.verdicts[0].evidence.startswith("consistency: 2 of 2 votes: none ('x'), not get_forecast, in ")
