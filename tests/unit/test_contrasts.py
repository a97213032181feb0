import asyncio

import pytest

from tests.material import IDEAL_APIS, IdealEngine
from toolace_ray.config.load import parse
from toolace_ray.dlv.experts.consistency import fitting
from toolace_ray.dlv.experts.question import turn_groups
from toolace_ray.dlv.layer import run_rules
from toolace_ray.engines.roles import Engines
from toolace_ray.records.kinds import CONTRAST_TOOL, PLANNED
from toolace_ray.sdg.contrasts import order, play_contrast, possible
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

POOL = Pool.of(IDEAL_APIS)
CONFIG = parse({"verify": {"experts": {}}})


def engines():
    return Engines(CONFIG, {"small": IdealEngine()}).for_task("t")


def played(kind):
    for seed in range(12):
        outcome = asyncio.run(rollout(Task(f"{kind}-{seed}", kind, 0, seed), POOL, CONFIG, engines()))
        if outcome.dialog:
            yield outcome.dialog


@pytest.mark.parametrize("kind", PLANNED)
def test_contrasts_of_every_kind_are_right(kind):
    found = [contrast for dialog in played(kind) for contrast in possible(dialog)]
    if not kind.startswith(("single", "parallel", "dependent")) or kind == "single.error":
        assert not found
        return
    assert found
    assert len({order(contrast) for contrast in found}) == len(found)
    for number, contrast in enumerate(found):
        dialog = asyncio.run(play_contrast(contrast, Task("t", contrast.kind, number, number), CONFIG, engines()))
        assert run_rules(dialog, CONFIG.verify) == []
        assert (dialog.type, dialog.kind, dialog.meta["contrast_of"]) == ("non_tool", contrast.kind, contrast.base.id)
        called = {call.name for message in contrast.base.messages for call in message.tool_calls}
        request = dialog.messages[1].content
        assert dialog.meta["features"]["calls"] == 0
        if contrast.kind == CONTRAST_TOOL:
            assert request == contrast.base.messages[1].content
            assert fitting(dialog, turn_groups(dialog)[0]) == {"none"}
            homes = {api.domain for api in contrast.base.tools if api.name in called}
            for api in dialog.tools:
                assert api.name not in called
                assert api.domain not in homes
        else:
            assert fitting(dialog, turn_groups(dialog)[0]) == called
            assert contrast.missing in {call.arguments and key for m in contrast.base.messages for call in m.tool_calls for key in call.arguments}  # fmt: skip
            assert dialog.messages[-1].content.endswith("?")
            assert contrast.missing.replace("_", " ") in dialog.messages[-1].content
