"""How often samples of the assistant agree, by their number, and what an agreement is worth.

    python -m benchmarks.consensus --run runs/demo --model qwen2.5-coder-0.5b-instruct --samples 5

At every assistant turn of a run's accepted dialogs (played to a blueprint, so that the right action is known) the
assistant agent decides with up to --samples samples. The last line is one JSON object: the share of decisions in which two
samples agree by k, how many of the agreed and of the other decisions are right, and the same for a single sample.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from toolace_ray.config.load import parse
from toolace_ray.engines.roles import Engines
from toolace_ray.models import resolve
from toolace_ray.records.dialog import Dialog, Message
from toolace_ray.sdg.assistant import Action, Assistant
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Plan, Task
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore


def right(dialog: Dialog, index: int) -> str:
    """What the dialog does at a turn, as a key of the assistant's actions; answers are summaries or replies."""
    message = dialog.messages[index]
    if message.tool_calls:
        return Action("call", message.tool_calls).key
    return "ask" if message.content.rstrip().endswith("?") else "tell"


def told(action: Action) -> str:
    return "tell" if action.kind in ("summarise", "reply") else action.key


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", action="append", required=True)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--dialogs", type=int, default=30)
    parser.add_argument("--no-thinking", action="store_true")
    options = parser.parse_args()
    import datetime

    from toolace_ray.engines.vllm import VllmEngine

    dialogs = [row_dialog(row) for run in options.run for row in RunStore(run).rows("dialogs")]
    dialogs = random.Random(1).sample(dialogs, min(options.dialogs, len(dialogs)))
    engine = VllmEngine(
        resolve(options.model), max_model_len=8192, enforce_eager=True, dtype="bfloat16", kv_cache_memory_bytes=2 << 30
    )
    config = parse({"execution": {"request_timeout": 3600}})
    engines = Engines(config, {"small": engine})

    async def decide(dialog: Dialog, index: int) -> tuple[str, int, bool, str, str] | None:
        task = Task(dialog.id, dialog.kind, dialog.attempt, dialog.seed)
        plan = Plan(task, datetime.date.fromisoformat(dialog.today), (), dialog.tools)
        rng = random.Random(f"{dialog.id}/{index}")
        assistant = Assistant(
            plan,
            engines.for_task(dialog.id),
            options.samples,
            not options.no_thinking,
            0.8,
            lambda: rng.getrandbits(31),
        )
        before: list[Message] = list(dialog.messages[:index])
        try:
            found = await assistant.decide(before, 0)
        except Unfit:
            return None
        return ("call" if dialog.messages[index].tool_calls else "talk", found.drawn, found.agreed,
                told(found.actions[0]), right(dialog, index))  # fmt: skip

    turns = [(d, i) for d in dialogs for i, message in enumerate(d.messages) if message.role == "assistant"]
    started = time.monotonic()
    found = await asyncio.gather(*(decide(dialog, index) for dialog, index in turns))
    await engine.close()
    made = [item for item in found if item]
    result: dict[str, object] = {
        "model": options.model,
        "thinking": not options.no_thinking,
        "dialogs": len(dialogs),
        "decisions": len(turns),
        "unreadable": len(turns) - len(made),
        "seconds": round(time.monotonic() - started),
    }
    for name, items in (("all", made), *((kind, [m for m in made if m[0] == kind]) for kind in ("call", "talk"))):
        agreed = [item for item in items if item[2]]
        others = [item for item in items if not item[2]]
        by = Counter(item[1] for item in agreed)
        result[name] = {
            "decisions": len(items),
            "agreed by k": {
                k: round(sum(by[i] for i in by if i <= k) / max(1, len(items)), 3)
                for k in range(2, options.samples + 1)
            },
            "right where two agree": round(sum(i[3] == i[4] for i in agreed) / max(1, len(agreed)), 3),
            "right at k = 2": round(sum(i[3] == i[4] for i in agreed if i[1] == 2) / max(1, by[2]), 3),
            "right where none do": round(sum(i[3] == i[4] for i in others) / max(1, len(others)), 3),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
