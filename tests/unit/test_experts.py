"""The model layer with scripted judges: who is asked what, how many votes it takes, and what they see."""

import asyncio
import json

import pytest

from tests.material import BOOK, WEATHER, ScriptedEngine, calls, good_dialogs, result, say, user
from toolace_ray.config.load import parse
from toolace_ray.dlv.experts.consistency import fitting
from toolace_ray.dlv.experts.panel import judge, questions
from toolace_ray.dlv.experts.question import turn_groups
from toolace_ray.engines.roles import Engines

GOOD = good_dialogs()
ALL = ["consistency", "hallucination", "tool_response", "grounding", "meaning"]


def setting(*names, votes=3, against=2, **more):
    return parse({"verify": {"experts": {name: {"votes": votes, "against": against} for name in names}}, **more})


def told(dialog, config, **engines):
    pools = {"small": engines.pop("engine")} if "engine" in engines else engines
    return asyncio.run(judge(dialog, config.verify, Engines(config, pools).for_task("x")))


def vote(*answers, field="function"):
    """A judge that gives its answers in turn, whatever the requests' sizes are."""
    left = list(answers)

    def answer(request):
        texts = [left.pop(0) for _ in range(request.n)]
        return [
            json.dumps({"evidence": "because", field: text}) if not text.startswith("{") and text != "garbage" else text
            for text in texts
        ]

    return ScriptedEngine(answer)


YES, NO = "get_forecast", "none"


@pytest.mark.parametrize(
    ("answers", "rejected", "used"),
    [
        ((YES, YES, NO), False, 2),
        ((NO, NO, YES), True, 2),
        ((YES, NO, NO), True, 3),
        ((NO, YES, YES), False, 3),
        ((NO, "garbage", "{}"), False, 3),
    ],
)
def test_the_majority_decides_as_soon_as_it_is_certain(answers, rejected, used):
    engine = vote(*answers)
    verdicts = told(GOOD["single"], setting("consistency"), engine=engine)
    assert bool(verdicts) is rejected
    assert sum(request.n for request in engine.requests) == used
    if rejected:
        assert (verdicts[0].stage, verdicts[0].rule, verdicts[0].turn) == ("experts", "consistency", 4)
        assert "because" in verdicts[0].evidence


def test_one_vote_in_favour_ends_a_unanimous_jury():
    engine = vote(YES)
    assert told(GOOD["single"], setting("consistency", against=3), engine=engine) == []
    assert [request.n for request in engine.requests] == [1]


def test_what_nobody_can_read_is_no_favour():
    (verdict,) = told(GOOD["single"], setting("consistency"), engine=vote("garbage", "garbage", "{}"))
    assert verdict.rule == "unreadable"


def test_no_expert_is_asked_where_none_is_configured():
    engine = vote()
    assert told(GOOD["single"], parse({"verify": {"experts": {}}}), engine=engine) == []
    assert engine.requests == []


def test_judges_of_several_pools_vote_in_turn():
    pools = {name: {"engine": "simulated"} for name in "abc"}
    roles = {**dict.fromkeys(("writer", "user", "assistant", "tool"), "a"), "judge": {"a": 1, "b": 1}}
    first, second = vote(NO, NO), vote(NO, NO)
    config = setting("consistency", votes=4, against=4, pools=pools, roles=roles)
    (verdict,) = told(GOOD["single"], config, a=first, b=second, c=vote())
    assert "4 of 4" in verdict.evidence
    assert len(first.requests) == len(second.requests) == 2


def test_every_turn_group_is_judged_and_the_consistency_judge_sees_no_call():
    dialog = GOOD["multi_turn"]
    assert [(item.start, item.end) for item in turn_groups(dialog)] == [(1, 5), (5, 9)]
    first, second = questions(dialog, ["consistency"])
    assert "weather be like in Lima tomorrow?" in first.messages[-1]["content"]
    assert "weather be like in Lima tomorrow? And the same for Lyon?" in second.messages[-1]["content"]
    assert all("2026-05-02" not in item.messages[-1]["content"] for item in (first, second))
    assert fitting(dialog, turn_groups(dialog)[1]) == {"get_forecast"}


def test_an_answer_to_a_question_belongs_to_the_request_before():
    dialog = GOOD["clarification"]
    assert [(item.start, item.end) for item in turn_groups(dialog)] == [(1, 7)]
    (question,) = questions(dialog, ["consistency"])
    assert "How will the weather be tomorrow? For Lima, please." in question.messages[-1]["content"]


def test_the_experts_of_one_turn_group_share_the_beginning_of_their_prompts():
    told = say("It will be sunny in Lima, 24 degrees and no wind.")
    dialog = GOOD["single"].model_copy(update={"messages": (*GOOD["single"].messages[:-1], told)})
    asked = questions(dialog, ALL)
    assert [question.expert for question in asked] == ["consistency", "tool_response", "grounding", "meaning"]
    whole = [json.dumps(question.messages) for question in asked if question.expert in ("tool_response", "meaning")]
    check = whole[0].rindex("Check: ")
    assert len({text[:check] for text in whole}) == 1
    assert len(set(whole)) == 2


def test_only_what_provenance_could_not_trace_is_asked():
    assert questions(GOOD["single"], ["hallucination"]) == []
    dialog = GOOD["single"].model_copy(
        update={
            "messages": (
                GOOD["single"].messages[0],
                user("Book me something on TR-1, just for us."),
                calls(("c1", "book_seats", {"train_id": "TR-1", "seats": 2})),
                result("c1", "book_seats", {"booking": "BK-1"}),
                say("Booked: BK-1."),
            )
        }
    )
    (question,) = questions(dialog, ["hallucination"])
    assert "which words say seats = 2?" in question.messages[-1]["content"]
    assert question.answers == ("none", "Book me something on TR-1,", "just for us.")
    assert BOOK.description.rstrip(".") in question.messages[-1]["content"]
    (verdict,) = told(dialog, setting("hallucination"), engine=vote("none", "none", field="verdict"))
    assert (verdict.rule, verdict.turn) == ("hallucination", 2)
    assert told(dialog, setting("hallucination"), engine=vote("just for us.", "just for us.", field="verdict")) == []


@pytest.mark.parametrize(
    ("said", "new"),
    [
        ("It will be sunny in Lima, with a high of 24 degrees.", ()),
        ("Lima will be sunny. It costs 99 euros.", ("It costs 99 euros.",)),
        ("It will be sunny in Lima, with a high of 29 degrees.", ("with a high of 29 degrees.",)),
        ("It will rain in Lima, 24 degrees.", ("It will rain in Lima,",)),
        ("Sunny and 24 degrees, but take a coat.", ("but take a coat.",)),
    ],
)
def test_the_judge_names_a_part_and_only_one_with_something_new_counts(said, new):
    dialog = GOOD["single"].model_copy(update={"messages": (*GOOD["single"].messages[:-1], say(said))})
    asked = questions(dialog, ["grounding"])
    if not new:
        assert asked == []
        return
    assert asked[0].against == set(new)
    assert new[0] in asked[0].answers
    (verdict,) = told(dialog, setting("grounding"), engine=vote(new[0], new[0], field="verdict"))
    assert (verdict.rule, verdict.turn) == ("grounding", 4)
    known = next(part for part in asked[0].answers if part not in new)
    assert told(dialog, setting("grounding"), engine=vote(known, known, field="verdict")) == []


def test_words_of_refusal_are_known_where_the_result_is_an_error():
    failed = result("c1", "get_forecast", {"error": {"code": "404", "message": "No such city."}})
    for said, asked in (("I couldn't find Lima.", 0), ("It is sunny in Lima.", 1)):
        messages = (*GOOD["single"].messages[:3], failed, say(said))
        assert len(questions(GOOD["single"].model_copy(update={"messages": messages}), ["grounding"])) == asked


def test_the_first_reason_ends_the_asking():
    engine = vote("does not fit", "does not fit", field="verdict")
    (verdict,) = told(GOOD["single"], setting("tool_response", "grounding", "meaning"), engine=engine)
    assert verdict.rule == "tool_response"
    assert len(engine.requests) == 1


def test_a_long_result_is_cut_and_values_are_bounded():
    long = result("c1", "get_forecast", {"summary": "sunny " * 2000, "high": 24})
    messages = (*GOOD["single"].messages[:3], long, *GOOD["single"].messages[4:])
    (question,) = questions(GOOD["single"].model_copy(update={"messages": messages}), ["tool_response"])
    assert len(question.messages[-1]["content"]) < 2000
    many = calls(("c1", "book_seats", {f"k{i}": f"odd{i}" for i in range(60)}))
    messages = (*GOOD["single"].messages[:2], many, *GOOD["single"].messages[3:])
    assert len(questions(GOOD["single"].model_copy(update={"messages": messages}), ["hallucination"])) == 8


def test_what_a_request_may_ask_for_follows_from_what_was_done():
    def fits(dialog):
        return fitting(dialog, turn_groups(dialog)[0])

    assert fits(GOOD["dependent"]) == {"search_trains", "book_seats"}
    assert fits(GOOD["no_function"]) == {"none"}
    missing = GOOD["missing"]
    assert fits(missing) is None
    assert fits(missing.model_copy(update={"meta": {"wanted": [WEATHER.id]}})) == {"get_forecast"}
