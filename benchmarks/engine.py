"""What a pool on this machine's CPU brings of bare vLLM's speed.

    python -m benchmarks.engine --rounds 2 --before

Arms, each in processes of its own and one after another, in the order A B A B:
- `product`: the pool of configs/local.yaml as a run starts it (local Ray, Pools, and the pool client in this process);
- `bare`: AsyncLLM alone in the best way that is known for it, with the same options, on all cores;
- `before` (--before): the product with vLLM's own defaults for the CPU: a core kept back, a scheduling and a computing
  process, and blocks of 128 tokens;
- `compiled` (--compiled): the product with its model compiled.

Each arm answers the same three loads, and starts with an empty prefix cache:
- `dialogs`: what dialogs ask for, recorded here from rollouts on the simulated engine over the APIs of examples/specs: their
  prompts, schemas, numbers of samples and limits. Answers end by themselves: every arm draws its own from the same model;
- `decode`: short prompts for long texts, cut at 64 tokens, so that their lengths are all but equal;
- `prefill`: prompts of some 640 tokens without a common beginning, one token each.
A rate is all generated (prefill: prompt) tokens by the time from the first request to the last answer. `idle_cpus` is what an arm takes,
Ray included, in seconds after that in which it has nothing to do: an engine that waits in a busy loop takes a whole core. The last line is
one JSON object: `ratio` is the median over the rounds of product to bare in `dialogs`, `best_tokens_per_s` the best median there.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring import cpu_seconds
from toolace_ray.config.load import load
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import Capabilities, GenerateRequest, Generation
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.models import resolve
from toolace_ray.records.api import Api
from toolace_ray.records.kinds import VARIANTS
from toolace_ray.schemas.leaf import WORDS
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout
from toolace_ray.tss import specs

ROOT = Path(__file__).parents[1]
IDLE_SECONDS = 8.0
KINDS = tuple(
    f"{kind}.{name}" for kind in ("single", "parallel", "non_tool", "clarification") for name in VARIANTS[kind]
)
Ask = Callable[[GenerateRequest], Awaitable[tuple[int, int]]]  # -> generated and prompt tokens


class Recorder:
    """An engine that keeps what it was asked."""

    def __init__(self, engine: SimulatedEngine, requests: list[GenerateRequest]) -> None:
        self.capabilities: Capabilities = engine.capabilities
        self.requests, self.generate_with, self.score = requests, engine.generate, engine.score

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        self.requests.append(request)
        return await self.generate_with(request)


async def recorded(config: Config, count: int) -> list[GenerateRequest]:
    """The first `count` requests of dialogs of many kinds."""
    apis = [
        item
        for path in sorted((ROOT / "examples" / "specs").glob("*.openapi.json"))
        for item in specs.import_openapi(str(path))
        if isinstance(item, Api)
    ]
    found: list[GenerateRequest] = []
    # A judge by chance would end most dialogs at their first request.
    config = config.model_copy(update={"verify": config.verify.model_copy(update={"experts": {}})})
    engines = Engines(config, {name: Recorder(SimulatedEngine(latency_ms=0), found) for name in config.pools})
    pool, number = Pool.of(apis), 0
    while len(found) < count:
        task = Task(f"{KINDS[number % len(KINDS)]}-{number}", KINDS[number % len(KINDS)], number, number)
        await rollout(task, pool, config, engines.for_task(task.id))
        number += 1
    return found[:count]


def loads(config: Config, requests: int, seed: int) -> dict[str, list[GenerateRequest]]:
    """The three loads: `requests` of dialogs and for long texts, a sixth of that for long prompts."""
    rng = random.Random(seed)

    def chat(text: str, tokens: int) -> GenerateRequest:
        return GenerateRequest([{"role": "user", "content": text}], max_tokens=tokens, temperature=1.0)

    return {
        "dialogs": asyncio.run(recorded(config, requests)),
        "decode": [chat(f"Tell a long story about a {rng.choice(WORDS)}.", 64) for _ in range(requests)],
        "prefill": [chat(" ".join(rng.choices(WORDS, k=430)), 1) for _ in range(requests // 6)],
    }


async def measure(ask: Ask, work: dict[str, list[GenerateRequest]], in_flight: int) -> dict[str, Any]:
    """Rates of every load with `in_flight` requests at once; CPUs that this process and all below it take in each, and idle."""
    found: dict[str, Any] = {}
    await ask(dataclasses.replace(work["decode"][0], max_tokens=4))
    for name, requests in work.items():
        room, totals = asyncio.Semaphore(in_flight), [0, 0]

        async def one(request: GenerateRequest, room: asyncio.Semaphore, totals: list[int]) -> None:
            async with room:
                generated, prompt = await ask(request)
                totals[0] += generated
                totals[1] += prompt

        cpu, started = cpu_seconds(), time.monotonic()
        await asyncio.gather(*(one(request, room, totals) for request in requests))
        seconds = time.monotonic() - started
        found[name] = round(totals[name == "prefill"] / seconds, 1)
        found[f"{name}_cpus"] = round((cpu_seconds() - cpu) / seconds, 2)
        found[f"{name}_tokens"] = totals[name == "prefill"]
    cpu, started = cpu_seconds(), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    found["idle_cpus"] = round((cpu_seconds() - cpu) / (time.monotonic() - started), 2)
    return found


def product(config: Config, work: dict[str, list[GenerateRequest]], in_flight: int) -> dict[str, Any]:
    """The arms of the product."""
    from actors.pools import Pools, clients
    from jobs.cluster import ray_session

    with ray_session(config):
        cpu, begun = cpu_seconds(), time.monotonic()
        with Pools(config) as pools:
            start, start_cpu = round(time.monotonic() - begun, 1), round(cpu_seconds() - cpu, 1)
            (client,) = clients(pools.handles, config.execution.affinity_margin).values()

            async def ask(request: GenerateRequest) -> tuple[int, int]:
                answer = await client.generate(request)
                return answer.tokens, answer.prompt_tokens

            return {"start_s": start, "start_cpu_s": start_cpu, **asyncio.run(measure(ask, work, in_flight))}


async def bare(config: Config, work: dict[str, list[GenerateRequest]], in_flight: int) -> dict[str, Any]:
    """The arm `bare`: nothing of ours but the requests."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    from vllm import AsyncEngineArgs, SamplingParams, TokensPrompt
    from vllm.config import StructuredOutputsConfig
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
    from vllm.v1.engine.async_llm import AsyncLLM

    (pool,) = config.pools.values()
    cpu, begun = cpu_seconds(), time.monotonic()
    options = {"max_num_seqs": pool.max_in_flight, "block_size": 32, "enforce_eager": True, **pool.options}
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=resolve(pool.model), distributed_executor_backend="uni", disable_log_stats=True,
            structured_outputs_config=StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True), **options,
        )
    )  # fmt: skip
    start, start_cpu = round(time.monotonic() - begun, 1), round(cpu_seconds() - cpu, 1)
    tokenizer, numbers = engine.get_tokenizer(), iter(range(1 << 30))

    async def ask(request: GenerateRequest) -> tuple[int, int]:
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in request.messages], add_generation_prompt=True, return_dict=False
        )
        schema = request.json_schema
        params = SamplingParams(
            n=request.n, temperature=request.temperature, top_p=request.top_p, max_tokens=request.max_tokens,
            stop=list(request.stop) or None, output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(json=schema) if schema else None,
        )  # fmt: skip
        last: Any = None
        async for output in engine.generate(TokensPrompt(prompt_token_ids=ids), params, str(next(numbers))):
            last = output
        return sum(len(item.token_ids) for item in last.outputs), len(ids)

    try:
        return {"start_s": start, "start_cpu_s": start_cpu, **await measure(ask, work, in_flight)}
    finally:
        engine.shutdown()


def configured(arm: str, options: Sequence[str]) -> Config:
    """configs/local.yaml with the arm's and the caller's options of vLLM."""
    given = dict(option.split("=", 1) for option in options)
    config = load(ROOT / "configs" / "local.yaml")
    ((name, pool),) = config.pools.items()
    changed = {"options": {**pool.options, **{key: yaml.safe_load(value) for key, value in given.items()}}}
    if arm == "before":
        changed["options"] = {"block_size": 128, **changed["options"]}
        changed["env"] = {**pool.env, "VLLM_CPU_OMP_THREADS_BIND": "auto"}
    if arm == "compiled":
        changed["options"] = {"enforce_eager": False, **changed["options"]}
    return config.model_copy(update={"pools": {name: pool.model_copy(update=changed)}})


def main() -> None:
    """Parse the arguments, run the arms, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=96, help="of the loads `dialogs` and `decode`")
    parser.add_argument("--in-flight", type=int, default=24, help="requests at once")
    parser.add_argument("--before", action="store_true", help="measure vLLM's own defaults for the CPU as well")
    parser.add_argument("--compiled", action="store_true", help="measure the product with a compiled model as well")
    parser.add_argument(
        "--option", action="append", default=[], help="an engine argument of vLLM for all arms: name=value"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--arm", choices=("product", "bare", "before", "compiled"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
        config = configured(given.arm, given.option)
        work = loads(config, given.requests, given.seed)
        if given.arm == "bare":
            result = asyncio.run(bare(config, work, given.in_flight))
        else:
            result = product(config, work, given.in_flight)
        print(json.dumps(result))
        return
    arms = ["product", "bare", *(["before"] if given.before else []), *(["compiled"] if given.compiled else [])]
    rows: list[dict[str, Any]] = []
    for _ in range(given.rounds):
        for arm in arms:
            with tempfile.TemporaryFile("w+") as log:
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.engine", "--arm", arm, *sys.argv[1:]],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                log.seek(0)
                if done.returncode:
                    raise SystemExit(f"{arm} failed:\n{log.read()[-3000:]}")
            rows.append({"arm": arm, **json.loads(done.stdout.strip().splitlines()[-1])})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    keys = ("dialogs", "decode", "prefill", "dialogs_cpus", "idle_cpus", "start_s", "start_cpu_s")
    medians = {
        arm: {key: statistics.median(row[key] for row in rows if row["arm"] == arm) for key in keys} for arm in arms
    }
    print(f"| arm | {' | '.join(keys)} |\n| --- |{' --- |' * len(keys)}")
    for arm, median in medians.items():
        print(f"| {arm} | {' | '.join(f'{median[key]:g}' for key in keys)} |")
    ours, theirs = ([row["dialogs"] for row in rows if row["arm"] == arm] for arm in ("product", "bare"))
    ratio = statistics.median(left / right for left, right in zip(ours, theirs, strict=True))
    print(
        json.dumps(
            {
                "ratio": round(ratio, 3),
                "best_tokens_per_s": max(median["dialogs"] for median in medians.values()),
                "medians": medians,
                "rounds": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
