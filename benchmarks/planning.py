"""What planning a dialog costs in a small pool and in a large one.

    python -m benchmarks.planning --sizes 3000 10000 30000

The pool's APIs are generated; a fifth of them share words and feed each other. The last line is one JSON object with the
microseconds for indexing an API and for a plan by size, and the ratio of the largest to the smallest in the same run.
"""

import argparse
import json
import random
import time
from typing import Any

import psutil

from toolace_ray.config.tree import GenerateConfig
from toolace_ray.records.api import Api, ApiError
from toolace_ray.records.kinds import PLANNED
from toolace_ray.schemas.leaf import WORDS
from toolace_ray.sdg.plans import NoPlan, Task, make_plan
from toolace_ray.sdg.pool import Pool

VERBS = ("find", "book", "list", "get", "update", "cancel")


def made(number: int) -> Api:
    """A generated API: one domain for every 70, one to four parameters, an identifier in and out."""
    rng = random.Random(number)
    field, thing = f"sector {number // 70}", f"{rng.choice(WORDS)}_{rng.choice(WORDS)}"
    parameters: dict[str, dict[str, Any]] = {
        f"{thing}_id": {"type": "string", "description": "Identifier", "examples": ["AB-10"]}
    }
    for word in rng.sample(WORDS, rng.randint(1, 3)):
        parameters[word] = {"type": rng.choice(("string", "integer")), "description": f"The {word}"}
    returns: dict[str, dict[str, Any]] = {
        f"{rng.choice(WORDS)}_{rng.choice(WORDS)}_id": {"type": "string", "description": "Identifier"}
    }
    returns["items"] = {"type": "array", "description": "Items", "items": {"type": "string"}}
    schema = {"type": "object", "additionalProperties": False}
    return Api(
        name=f"{rng.choice(VERBS)}_{thing}_{number}",
        description=f"{rng.choice(VERBS).capitalize()} the {thing.replace('_', ' ')} of a {rng.choice(WORDS)}.",
        parameters={**schema, "properties": parameters, "required": list(parameters)},
        returns={**schema, "properties": returns, "required": list(returns)},
        errors=(ApiError(code="not_found", message=f"The {thing.replace('_', ' ')} is not known."),),
        domain=(field, f"topic {number // 7}"),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 10000, 30000])
    parser.add_argument("--plans", type=int, default=4000)
    options = parser.parse_args()
    config = GenerateConfig()
    kinds = list(PLANNED)
    found = {}
    for size in options.sizes:
        apis = [made(number) for number in range(size)]
        before = psutil.Process().memory_info().rss
        started = time.perf_counter()
        pool = Pool.of(apis)
        indexed = time.perf_counter() - started
        grown = psutil.Process().memory_info().rss - before
        planned, refused = 0, 0
        started = time.perf_counter()
        for number in range(options.plans):
            try:
                make_plan(Task("x", kinds[number % len(kinds)], number, number), pool, config)
                planned += 1
            except NoPlan:
                refused += 1
        spent = time.perf_counter() - started
        found[size] = {
            "us_per_api_indexed": round(1e6 * indexed / size, 1),
            "us_per_plan": round(1e6 * spent / options.plans, 1),
            "no_plan": refused,
            "edges": sum(map(len, pool.edges.values())),
            "index_mib": round(grown / 2**20),
        }
        print(size, found[size], flush=True)
    small, large = (found[size]["us_per_plan"] for size in (options.sizes[0], options.sizes[-1]))
    print(json.dumps({"sizes": found, "plan_largest_to_smallest": round(large / small, 2)}))


if __name__ == "__main__":
    main()
