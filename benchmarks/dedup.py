"""Gate and near-duplicates over many APIs in one process: cost of an API at growing sizes, and memory.

    python -m benchmarks.dedup --apis 100000

APIs are made as the pool's are (a flat definition, then some indicators) from the simulated engine's drawings; every
tenth is an earlier one with other words here and there, which the index is to find. They stream: none is kept. The last
line is one JSON object; the ratio of the costs of the last and the first part tells whether it is linear.
"""

from __future__ import annotations

import argparse
import json
import random
import time

import psutil

from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.schemas.draw import instance
from toolace_ray.schemas.leaf import WORDS
from toolace_ray.text.dedup import NearDuplicates, api_key
from toolace_ray.tss.adaptation import Design, Subtree
from toolace_ray.tss.evolution import DEFINITION_SCHEMA, build
from toolace_ray.tss.indicators import INDICATORS, target_of
from toolace_ray.tss.speciation import Node

NODE = Node(id="n", parent=None, kind="functionality", name="do", gloss="does it")


def make(number: int) -> Api | None:
    """The API of a number; the same number always gives the same one."""
    rng = random.Random(number)
    domain = f"{rng.choice(WORDS)} {rng.choice(WORDS)}"
    try:
        api = build(instance(DEFINITION_SCHEMA, rng), Design(Subtree((domain,), ("n",)), (), 0), [NODE], ())
        for name in rng.sample(sorted(set(INDICATORS) - {"functionality_added"}), 2):
            if (target := target_of(INDICATORS[name], api, rng)) is not None:
                api = INDICATORS[name].apply(api, target, instance(INDICATORS[name].ask(api, target), rng))
    except ValueError:
        return None
    return api


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apis", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=4)
    options = parser.parse_args()
    index, process = NearDuplicates(0.8), psutil.Process()
    before = process.memory_info().rss
    parts, number, planted, found, rejected = [], 0, 0, 0, 0
    for _ in range(options.parts):
        spent = {"gate": 0.0, "key": 0.0, "index": 0.0}
        done = 0
        while done < options.apis // options.parts:
            number += 1
            twin = number % 10 == 0
            api = make(number - 5 if twin else number)
            if api is None:
                continue
            if twin:
                api = api.model_copy(update={"name": f"the_{api.name}", "domain": ("Elsewhere",)})
            done += 1
            marks = [time.perf_counter()]
            faults = gate.check(api)
            marks.append(time.perf_counter())
            key = api_key(api)
            marks.append(time.perf_counter())
            known = None if faults else index.repeats(key, str(number))
            marks.append(time.perf_counter())
            for name, start, end in zip(spent, marks, marks[1:], strict=False):
                spent[name] += end - start
            rejected += bool(faults)
            planted += twin and not faults
            found += twin and known is not None
        parts.append({name: round(1e6 * seconds / done, 1) for name, seconds in spent.items()})
    first, last = (sum(part.values()) for part in (parts[0], parts[-1]))
    result = {
        "apis": options.apis,
        "us_per_api": parts,
        "last_to_first": round(last / first, 3),
        "kept": len(index),
        "gate_rejected": rejected,
        "planted_duplicates": planted,
        "found_of_them": found,
        "rss_growth_mib": round((process.memory_info().rss - before) / 2**20),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
