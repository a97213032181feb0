import asyncio
import datetime
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples import APIS, SEARCH, WEATHER, ScriptedEngine, good_dialogs
from toolace_ray.config import Config, parse
from toolace_ray.dlv.experts import consistency, fitting
from toolace_ray.dlv.rules import run_rules
from toolace_ray.engines.protocol import BadRequest, GenerateRequest
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.simulated import SimulatedEngine, instance
from toolace_ray.instances import draw, fill, hole_schema
from toolace_ray.schema import KINDS
from toolace_ray.sdg import wording
from toolace_ray.sdg.blueprint import _plain_words
from toolace_ray.sdg.plans import NoPlan, Pool, Task, make_plan
from toolace_ray.sdg.rollout import rollout
from toolace_ray.validation import errors

POOL = Pool.of(APIS)
CONFIG = Config()
TODAY = datetime.date(2026, 5, 1)


def play(kind, seed, engine=None, config=CONFIG):
    engine = engine or SimulatedEngine(latency_ms=0, slip=0.0)
    task = Task(f"{kind}-{seed}", kind, 0, seed)
    engines = Engines(config, {"small": engine}).for_task(task.id)
    return asyncio.run(rollout(task, POOL, config, engines))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(0, 2**31 - 1))
def test_a_dialog_of_any_type_and_seed_passes_every_rule(kind, seed):
    # Without a model asking and declining are a matter of luck, so there are many candidates.
    outcome = play(kind, seed, config=parse({"generate": {"answer_samples": 24}}))
    if outcome.dialog is None:
        # The ideal engine never fails; two drawn calls may be equal, which is no dialog.
        assert outcome.verdicts[0].rule == "arguments"
        return
    assert outcome.dialog.kind == kind
    assert outcome.dialog.type == KINDS[kind]
    assert run_rules(outcome.dialog, CONFIG.verify) == []
    assert outcome.usage.requests > 0
    assert {record.source for record in outcome.dialog.provenance} <= {"literal", "normalised", "tool_output"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_dialog(kind):
    assert play(kind, 5).dialog == play(kind, 5).dialog
    assert play(kind, 5).dialog != play(kind, 6).dialog


def test_variants_and_chains_all_occur():
    seen = {make_plan(Task("x", kind, 0, seed), POOL, CONFIG.generate).variant for kind in KINDS for seed in range(60)}
    assert seen == {"plain", "error", "same_api", "two_apis", "chain", "no_function", "missing"}
    plan = make_plan(Task("x", "dependent", 0, 3), POOL, CONFIG.generate)
    assert (plan.link.source.name, plan.link.target.name, plan.link.name) == ("search_trains", "book_seats", "train_id")


def test_no_function_has_no_candidate_of_the_domain():
    for seed in range(60):
        plan = make_plan(Task("x", "no_function", 0, seed), POOL, CONFIG.generate)
        assert all(api.domain[0] != plan.wanted[0].domain[0] for api in plan.tools)


def test_a_pool_without_links_says_so():
    with pytest.raises(NoPlan, match="no result of one API feeds"):
        make_plan(Task("x", "dependent", 0, 1), Pool.of([WEATHER]), CONFIG.generate)
    with pytest.raises(NoPlan, match="between one and five"):
        make_plan(Task("x", "single", 0, 1), Pool.of([]), CONFIG.generate)


def test_words_that_never_fit_end_in_the_ledger_with_the_reason():
    outcome = play("single", 1, ScriptedEngine(lambda request: "Nothing of the kind."))
    assert outcome.dialog is None
    (verdict,) = outcome.verdicts
    assert (verdict.stage, verdict.rule) in {("generate", "request"), ("generate", "arguments")}
    assert outcome.usage.requests >= CONFIG.generate.rounds


def test_a_refused_request_ends_the_attempt_alone():
    def refuse(request):
        raise BadRequest("too long")

    outcome = play("single", 1, ScriptedEngine(refuse))
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
def test_invented_values_are_plain_words(value, fits):
    if fits:
        _plain_words({"x": value}, WEATHER)
    else:
        with pytest.raises(ValueError, match=r"begin like a value|another script"):
            _plain_words({"x": value}, WEATHER)


def test_requests_are_joined_like_speech():
    text = wording.together(["Find a train to Turin", "Could you book 3 seats?"], True, random.Random(1))
    assert text.startswith("Find a train to Turin. ")
    assert text.endswith("could you book 3 seats?")
    assert " I need" in wording.together(["A?", "I need B."], False, random.Random(1))


def test_wishes_leave_out_what_programs_need():
    api = SEARCH.model_copy(
        update={"description": "Find the best train that find_city found and returns its train_id. More."}
    )
    assert wording.wish(api) == "Find the best train."


@given(st.integers(0, 10**6))
def test_drawn_and_filled_arguments_are_valid(seed):
    rng = random.Random(seed)
    for api in APIS:
        value, holes = draw(api.parameters, rng, TODAY, 0.5)
        found = instance(hole_schema(holes), rng)
        assert errors(api.parameters, fill(value, holes, found)) == []


def vote(*answers):
    names = {"yes": "get_forecast", "no": "none"}
    texts = [f'{{"evidence": "because", "function": "{names[a]}"}}' if a in names else a for a in answers]
    return ScriptedEngine(lambda request: texts)


@pytest.mark.parametrize(
    ("answers", "rejected"),
    [
        (("yes", "yes", "no"), False),
        (("no", "no", "yes"), True),
        (("no", "garbage", "{}"), False),
        (("no", "no", "no"), True),
    ],
)
def test_experts_reject_by_majority_of_the_votes_asked_for(dialog, answers, rejected):
    engine = vote(*answers)
    config = parse({"verify": {"consistency_votes": 3}})
    verdicts = asyncio.run(consistency(dialog, config.verify, Engines(config, {"small": engine}).for_task("x")))
    assert bool(verdicts) is rejected
    if rejected:
        assert verdicts[0].stage == "experts"
        assert verdicts[0].turn == len(dialog.messages) - 1
        assert "because" in verdicts[0].evidence
    prompt = engine.requests[0].messages[-1]["content"]
    assert "What will the weather be like in Lima tomorrow?" in prompt
    assert "get_forecast: Tell the weather forecast of a city for one day.\n" in prompt
    assert fitting(dialog) == {"get_forecast"}


def test_experts_can_be_switched_off(dialog):
    config = parse({"verify": {"consistency_votes": 0}})
    assert asyncio.run(consistency(dialog, config.verify, Engines(config, {"small": vote()}).for_task("x"))) == []


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


def test_what_the_request_may_ask_for_follows_from_what_was_done():
    dialogs = good_dialogs()
    assert fitting(dialogs["dependent"]) == {"search_trains", "book_seats"}
    assert fitting(dialogs["no_function"]) == {"none"}
    missing = dialogs["missing"]
    assert fitting(missing) is None
    assert fitting(missing.model_copy(update={"meta": {"wanted": [WEATHER.id]}})) == {"get_forecast"}
