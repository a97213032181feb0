"""How well a model judges: the consistency expert on a run's own drafts, as they are and with other functions called.

    python benchmarks/judge.py --run runs/demo --model qwen2.5-coder-0.5b-instruct

A dialog whose calls go to another candidate function is wrong by construction. A draft as it is passed every rule, but a weak
generator's request may be unclear all the same, so that "rejected of drafts" is an upper bound of false rejections. The
last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import random
import time

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from toolace_ray.config import parse
from toolace_ray.dlv import experts
from toolace_ray.engines.roles import Engines
from toolace_ray.models import resolve
from toolace_ray.schema import Dialog, Message, ToolCall
from toolace_ray.storage import RunStore


def exchanged(dialog: Dialog) -> Dialog | None:
    """The dialog with its calls made to another candidate; a call to one where none fitted; None where neither is possible."""
    right = experts.fitting(dialog)
    others = [api.name for api in dialog.tools if right is not None and api.name not in right]
    if not others or dialog.kind == "non_tool.missing":
        return None
    name = random.Random(dialog.id).choice(others)
    if dialog.kind == "non_tool.no_function":
        call = Message(role="assistant", tool_calls=(ToolCall(id="call_1", name=name, arguments={}),))
        return dialog.model_copy(update={"messages": (*dialog.messages, call)})
    messages = [
        message.model_copy(
            update={"tool_calls": tuple(call.model_copy(update={"name": name}) for call in message.tool_calls)}
        )
        for message in dialog.messages
    ]
    return dialog.model_copy(update={"messages": tuple(messages)})


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", default="runs/demo")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    rows = RunStore(arguments.run).rows("drafts/dialogs")
    dialogs = [Dialog.model_validate_json(row["record"]) for row, _ in zip(rows, range(arguments.limit), strict=False)]
    from toolace_ray.engines.vllm import VllmEngine

    engine = VllmEngine(
        resolve(arguments.model),
        max_model_len=4096,
        enforce_eager=True,
        dtype="bfloat16",
        kv_cache_memory_bytes=2 << 30,
    )
    config = parse({"verify": {"consistency_votes": 3, "consistency_against": 1}})
    engines = Engines(config, {"small": engine})
    cases = {"drafts": dialogs}
    cases["other functions called"] = [changed for dialog in dialogs if (changed := exchanged(dialog))]
    result: dict[str, object] = {"model": arguments.model}
    started = time.monotonic()
    for name, items in cases.items():
        found = await asyncio.gather(*(experts.consistency(d, config.verify, engines.for_task(d.id)) for d in items))
        against = [int(verdicts[0].evidence[0]) if verdicts else 0 for verdicts in found]
        result[name] = {
            "dialogs": len(items),
            "rejected by majority": sum(votes >= 2 for votes in against),
            "rejected unanimously": sum(votes == 3 for votes in against),
        }
        print(name, result[name], flush=True)
    result["seconds"] = round(time.monotonic() - started)
    await engine.close()
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
