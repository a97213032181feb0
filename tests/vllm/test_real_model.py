"""Where words matter: the embedded 0.5B model words requests and answers for a pool of three APIs."""

import asyncio

import pytest

from tests.material import APIS
from toolace_ray.config.load import parse
from toolace_ray.dlv.layer import run_rules
from toolace_ray.engines.roles import Engines
from toolace_ray.models import fetched
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

MODEL = "qwen2.5-coder-0.5b-instruct"


@pytest.mark.real_model
@pytest.mark.skipif(
    fetched(MODEL) is None, reason=f"{MODEL} is not in the cache; `toolace models fetch {MODEL}` brings it"
)
def test_the_embedded_model_makes_dialogs_that_pass(loop):
    from toolace_ray.engines.vllm import VllmEngine

    async def make():
        return VllmEngine(
            str(fetched(MODEL)), max_model_len=2048, enforce_eager=True, dtype="bfloat16", kv_cache_memory_bytes=1 << 30
        )

    async def play():
        tasks = [
            Task(f"{kind}-{i}", kind, i, i)
            for kind in ("single.plain", "dependent.chain_2", "non_tool.missing")
            for i in range(3)
        ]
        return await asyncio.gather(*(rollout(task, pool, config, engines.for_task(task.id)) for task in tasks))

    config = parse({"generate": {"max_tools": 2}})
    pool = Pool.of(APIS)
    engine = loop(make())
    try:
        engines = Engines(config, {"small": engine})
        outcomes = loop(play(), timeout=500)
    finally:
        loop(engine.close())
    made = [outcome.dialog for outcome in outcomes if outcome.dialog]
    # Nine attempts; this model passes the rules in more than half of them, so three leaves room for luck.
    assert len(made) >= 3, [outcome.verdicts for outcome in outcomes]
    for dialog in made:
        assert run_rules(dialog, config.verify) == []
        assert dialog.meta["models"]["user"].endswith(MODEL)
