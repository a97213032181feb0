"""How well a model judges: each expert on the defect suite, of which it is told nothing, and on the good dialogs behind it.

    python -m benchmarks.judge --model qwen2.5-coder-0.5b-instruct

For each expert: which share of the defects that are its to find it finds (recall), how many of the dialogs that it rejects are
defective (precision, with as many good dialogs as there are defects would weigh alike: both counts are given), and the votes that
it took. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import time

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from tests.defects import base, spoilt
from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.dlv.experts.panel import judge
from toolace_ray.engines.roles import Engines
from toolace_ray.models import resolve
from toolace_ray.records.dialog import Dialog

THEIRS = {
    "consistency": [
        "D call though nothing fits",
        "D refusal though a function fits",
        "D superfluous call",
        "A unknown API",
    ],
    "hallucination": ["B invented value", "C call though a required value is missing"],
    "tool_response": ["C result against the return schema", "C tool result under another name"],
    "grounding": ["D tool error ignored and success claimed", "D answer contradicts the output", "D answer adds facts"],
    "meaning": ["C repetition loop", "C truncated answer", "C mixed language (words)", "C mixed language (script)"],
}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--each", type=int, default=6, help="defective dialogs of a kind at most")
    parser.add_argument("--votes", type=int, default=3)
    parser.add_argument("--against", type=int, default=2)
    parser.add_argument("--experts", nargs="+", choices=THEIRS, default=list(THEIRS))
    options = parser.parse_args()
    from toolace_ray.engines.vllm import VllmEngine

    engine = VllmEngine(
        resolve(options.model), max_model_len=4096, enforce_eager=True, dtype="bfloat16", kv_cache_memory_bytes=2 << 30
    )
    good = list(base().values())
    result: dict[str, object] = {"model": options.model, "votes": f"{options.against} of {options.votes}"}
    started = time.monotonic()
    for name in options.experts:
        kinds = THEIRS[name]
        config = parse({"verify": {"experts": {name: {"votes": options.votes, "against": options.against}}}})
        engines = Engines(config, {"small": engine})

        async def rejected(dialogs: list[Dialog], config: Config = config, engines: Engines = engines) -> int:
            found = await asyncio.gather(
                *(
                    judge(dialog, config.verify, engines.for_task(f"{dialog.id}-{i}"))
                    for i, dialog in enumerate(dialogs)
                )
            )
            return sum(map(bool, found))

        wrong = await rejected(good)
        by_kind = {}
        for kind in kinds:
            dialogs = [item for dialog in good for item in spoilt(kind, dialog)][: options.each]
            by_kind[kind] = (await rejected(dialogs), len(dialogs))
        hit, all_of = (sum(pair[i] for pair in by_kind.values()) for i in (0, 1))
        result[name] = {
            "recall": round(hit / all_of, 2),
            "precision": round(hit / (hit + wrong), 2) if hit + wrong else None,
            "good rejected": f"{wrong} of {len(good)}",
            "by kind": {kind: f"{a} of {b}" for kind, (a, b) in by_kind.items()},
        }
        print(name, json.dumps(result[name]), flush=True)
    result["seconds"] = round(time.monotonic() - started)
    await engine.close()
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
