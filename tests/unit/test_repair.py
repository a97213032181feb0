"""What fails goes back to its writer with the reason."""

import asyncio
import json

import pytest

from tests.material import IDEAL_APIS, IdealEngine, ScriptedEngine, good_dialogs
from toolace_ray.config.load import parse
from toolace_ray.dlv.repair import repaired
from toolace_ray.engines.protocol import Generation, Sample
from toolace_ray.engines.roles import Engines
from toolace_ray.records.verdict import Verdict
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

GOOD = good_dialogs()


class Careless(IdealEngine):
    """Words every request without its values, until it is told what is wrong."""

    async def generate(self, request):
        last = request.messages[-1]["content"]
        if (
            request.json_schema is None
            and '"wish": ' in request.messages[-3 if "That is not right" in last else -1]["content"]
        ):
            if "That is not right" not in last:
                return Generation((Sample("Please do something for me.", "stop", 5),) * request.n, prompt_tokens=10)
            self.requests.append(request)
            asked = request.messages[-3]["content"]
            facts = json.loads(asked[asked.index("{") :])
            values = ", ".join(f"{name} {value}" for name, value in facts["values"].items())
            text = f"Please do this for me: {facts['wish']} {values}."
            return Generation((Sample(text, "stop", 9),) * request.n, prompt_tokens=10)
        return await super().generate(request)


@pytest.mark.parametrize(("rounds", "accepted"), [(0, False), (1, True)])
def test_words_that_fail_go_back_with_the_reason(rounds, accepted):
    config = parse({"verify": {"repair": rounds, "experts": {}}, "generate": {"rounds": 1}})
    engine = Careless()
    engines = Engines(config, {"small": engine})
    task = Task("single.plain-1", "single.plain", 3, 3)
    outcome = asyncio.run(rollout(task, Pool.of(IDEAL_APIS), config, engines.for_task(task.id)))
    assert (outcome.dialog is not None) is accepted
    if accepted:
        assert outcome.dialog.meta["repairs"] == 1
        told = [m for request in engine.requests for m in request.messages if "That is not right" in m["content"]]
        assert told
    else:
        assert outcome.verdicts[0].rule == "request"


def test_an_answer_that_an_expert_rejects_is_written_again():
    bad = "It will be sunny in Lima, and a high of 24 degrees is out of the question."
    dialog = GOOD["single"]
    dialog = dialog.model_copy(
        update={"messages": (*dialog.messages[:-1], dialog.messages[-1].model_copy(update={"content": bad}))}
    )
    verdict = Verdict(
        stage="experts", rule="grounding", turn=4, evidence="2 of 2 votes: contradicts ('out of the question')"
    )
    engine = ScriptedEngine(lambda request: ["It costs 99 euros.", bad, "Lima will be sunny at 24 degrees."])
    config = parse({})
    mended = asyncio.run(repaired(dialog, verdict, config, Engines(config, {"small": engine}).for_task("x")))
    assert (
        mended.messages[-1].content == "Lima will be sunny at 24 degrees."
    )  # the first one breaks a rule, the second is the same
    assert mended.meta["repairs"] == 1
    prompt = engine.requests[0].messages
    assert prompt[-2] == {"role": "assistant", "content": bad}
    assert "out of the question" in prompt[-1]["content"]
    assert '"high": 24' in prompt[-3]["content"]
    worse = ScriptedEngine(lambda request: "It costs 99 euros.")
    assert asyncio.run(repaired(dialog, verdict, config, Engines(config, {"small": worse}).for_task("x"))) is None


def test_what_no_answer_can_mend_is_left_alone():
    config = parse({})
    engine = ScriptedEngine(lambda request: "x")
    verdict = Verdict(stage="experts", rule="consistency", turn=4, evidence="x")
    assert (
        asyncio.run(repaired(GOOD["single"], verdict, config, Engines(config, {"small": engine}).for_task("x"))) is None
    )
    assert engine.requests == []
