"""The target's loss against the shape of dialogs, as in the paper's figure 2.

    python -m benchmarks.complexity --pool runs/demo --run runs/demo --model smollm2-135m-instruct --templates 600

Two sets are scored: dialogs over a pool's APIs whose words come from templates (so that shapes of every kind are there in
numbers), and the accepted dialogs of runs, whose words a model wrote. Violin plots go to --output, one file a set; the
last line is one JSON object with Spearman's rank correlations and the medians that the plots show. With --check the
first dialogs' losses are held against transformers'.
"""

import argparse
import asyncio
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import numpy as np

from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import BadRequest, GenerateRequest, Generation, Sample
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.engines.template import ChatTemplate
from toolace_ray.models import resolve
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import PLANNED
from toolace_ray.sdg.difficulty.measure import Complexity, LossEvaluator, features
from toolace_ray.sdg.plans import Task, feasible
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout
from toolace_ray.store.folder import load_pool
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore

Measured = tuple[dict[str, Any], Complexity]  # a dialog's features and what its target makes of it

OPENINGS = (
    "Could you help me with this: {wish} The {values}.",
    "Please take care of it, {values}. I mean: {wish}",
    "I need your help, and here is what matters: {values}. {first} it, please.",
    "Can you do the usual for me with {values}? {first} it.",
)


class Templates(SimulatedEngine):
    """Words from templates, near to the APIs' descriptions and far from them; values drawn by the simulated engine."""

    def __init__(self) -> None:
        super().__init__(latency_ms=0, slip=0.0, first_choice=0.5)

    async def generate(self, request: GenerateRequest) -> Generation:
        if request.json_schema is not None:
            return await super().generate(request)
        rng = random.Random(f"{request.seed}")
        text = self._words(request.messages[0]["content"], request.messages[-1]["content"], rng)
        return Generation((Sample(text, "stop", 9),) * request.n, prompt_tokens=10)

    def _words(self, system: str, asked: str, rng: random.Random) -> str:
        lines = dict(line.partition(": ")[::2] for line in asked.splitlines())
        if "Functions" in lines:
            return "I'm sorry, I can't do that with the functions that I have."
        if "Missing" in lines:
            return f"Which {lines['Missing'].partition(' (')[0]} would you like?"
        if "Wrong" in lines:
            return f"That is not known. Which {lines['Wrong']} should it be instead?"
        if "Error" in lines:
            return f"I'm sorry, that didn't work: {lines['Error']}"
        if "Topic" in lines:
            return "What is the best thing about it?" if "question" in system else "It has been a nice long afternoon."
        for label, words in (("Value", "Please take"), ("Now", "The same, please, but with")):
            if label in lines:
                return f"{words} {_said(json.loads(lines[label]))}."
        if "Results" in lines:
            found = list(_leaves(json.loads(lines["Results"])))
            return f"Here is what I found: {', '.join(found)}." if found else "Nothing was found, there is none."
        if '"wish": ' in asked:
            facts = json.loads(asked[asked.index("{") :])
            first = (re.findall(r"\w+", facts["wish"]) or ["Do"])[0]
            form = rng.choice(OPENINGS)
            return form.format(wish=facts["wish"], first=first, values=_said(facts["values"]))
        return "That is good to know, and there is much to like about it."


def _said(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {' and '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )


def _leaves(value: Any, name: str = "it") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    elif isinstance(value, bool):
        yield f"{'' if value else 'no '}{name.replace('_', ' ')}"
    elif value is not None:
        yield str(value)


async def templated(pool: Pool, count: int) -> list[Dialog]:
    """Dialogs of every kind that the pool carries, with 1 to 10 candidates."""
    config = parse({"verify": {"rules": {"echoed_request": "off", "repetition": "off"}, "experts": {}}})
    engines = Engines(config, {"small": Templates()})
    kinds = sorted(feasible(PLANNED, pool))
    made: list[Dialog] = []
    tried = 0
    while len(made) < count and tried < 20 * count:
        kind = kinds[tried % len(kinds)]
        task = Task(f"{kind}-{tried}", kind, tried, tried)
        outcome = await rollout(task, pool, config, engines.for_task(task.id))
        made += [outcome.dialog] if outcome.dialog else []
        tried += 1
    print(f"{len(made)} dialogs from templates in {tried} attempts", flush=True)
    return made


async def scored(dialogs: Sequence[Dialog], evaluator: LossEvaluator, engines: Engines, room: int) -> list[Measured]:
    """(features, complexity) of the dialogs that fit into the target's context."""
    gate = asyncio.Semaphore(room)

    async def one(dialog: Dialog) -> Measured | None:
        async with gate:
            try:
                return features(dialog), await evaluator.measure(dialog, engines.for_task(dialog.id))
            except BadRequest:
                return None

    return [item for item in await asyncio.gather(*map(one, dialogs)) if item]


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Rank correlation; equal values share their rank. None where all of `x` are equal."""

    def ranks(values: Sequence[float]) -> Any:
        _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(x), ranks(y))[0, 1]) if len(set(x)) > 1 else None


def groups(items: Sequence[Measured], measure: str) -> dict[str, dict[str, list[float]]]:
    """What the plots are of: title -> label -> losses; `measure` names the loss, "loss" or "call_loss"."""
    shown: dict[str, Callable[[dict[str, Any]], float]] = {
        "candidate APIs": lambda f: f["candidates"],
        "used APIs": lambda f: min(f["used"], 5),
        "dissimilarity of request and descriptions": lambda f: round(min(max(f["dissimilarity"], 0.2), 0.8) * 5) / 5,
        "messages of the user": lambda f: min(f["turns"], 6),
    }
    found = {}
    for title, key in shown.items():
        by: dict[float, list[float]] = {}
        for told, value in items:
            if (loss := getattr(value, measure)) is not None:
                by.setdefault(key(told), []).append(loss)
        found[title] = {str(label): by[label] for label in sorted(by)}
    return found


def draw(items: Sequence[Measured], title: str, path: str) -> None:
    """Two rows of violin plots: the loss over everything that the assistant says, and over its calls alone."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(2, 4, figsize=(14, 6), sharex="col", sharey="row", layout="constrained")
    for axes, measure, label in zip(rows, ("loss", "call_loss"), ("all turns", "call tokens"), strict=True):
        for axis, (name, by) in zip(axes, groups(items, measure).items(), strict=True):
            places = {key: place for place, key in enumerate(groups(items, "loss")[name], 1)}
            kept = {key: values for key, values in by.items() if len(values) >= 3}
            axis.violinplot(list(kept.values()), [places[key] for key in kept], showmedians=True, widths=0.9)
            for key, values in kept.items():
                axis.annotate(len(values), (places[key], 1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=7)  # fmt: skip
            axis.set_xticks(list(places.values()), list(places), fontsize=8)
            if measure == "call_loss":
                axis.set_xlabel(name)
        axes[0].set_ylabel(f"{label}, nats per token")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def against_transformers(
    dialogs: Sequence[Dialog], folder: str, template: ChatTemplate, values: Sequence[Complexity]
) -> float:
    """The largest difference between our losses and transformers' on the first dialogs, in nats."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    worst = 0.0
    for dialog, value in zip(dialogs, values, strict=True):
        (whole,) = template.passes(dialog)
        ids = torch.tensor([whole.ids])
        labels = torch.full_like(ids, -100)
        for turn in whole.turns:
            labels[0, turn.start : turn.end] = ids[0, turn.start : turn.end]
        with torch.no_grad():
            worst = max(worst, abs(float(model(ids, labels=labels).loss) - value.value))
    return worst


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", required=True, help="run whose APIs the template dialogs use")
    parser.add_argument("--run", action="append", default=[], help="runs whose dialogs a model wrote")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--templates", type=int, default=600)
    parser.add_argument("--check", type=int, default=8, help="dialogs held against transformers")
    parser.add_argument("--room", type=int, default=8, help="requests at once")
    parser.add_argument("--output", default="docs/figures")
    options = parser.parse_args()
    from toolace_ray.engines.vllm import VllmEngine

    sets = {"templates": await templated(Pool.of(load_pool(RunStore(options.pool))), options.templates)}
    if options.run:
        sets["model"] = [row_dialog(row) for run in options.run for row in RunStore(run).rows("dialogs")]
    folder = resolve(options.model)
    engine = VllmEngine(
        folder, enforce_eager=True, dtype="bfloat16", kv_cache_memory_bytes=1 << 30, max_num_seqs=options.room
    )
    names = ("writer", "user", "assistant", "tool", "judge", "target")
    config = parse({"roles": dict.fromkeys(names, "small"), "execution": {"request_timeout": 3600}})
    engines = Engines(config, {"small": engine})
    template = ChatTemplate.of(folder)
    evaluator = LossEvaluator(template)
    result: dict[str, Any] = {"model": options.model}
    os.makedirs(options.output, exist_ok=True)
    for name, dialogs in sets.items():
        started = time.monotonic()
        items = await scored(dialogs, evaluator, engines, options.room)
        losses = [value.value for _, value in items]
        calling = [(told, value.call_loss) for told, value in items if value.call_loss is not None]
        draw(items, f"{options.model}: {len(items)} dialogs, words from {'templates' if name == 'templates' else 'a model'}",
             os.path.join(options.output, f"complexity-{name}.svg"))  # fmt: skip
        keys = ("candidates", "used", "calls", "dissimilarity", "depth", "turns")
        result[name] = {
            "dialogs": len(items),
            "seconds": round(time.monotonic() - started),
            "spearman": {key: spearman([told[key] for told, _ in items], losses) for key in keys},
            "spearman_of_call_loss": {
                key: spearman([told[key] for told, _ in calling], [loss for _, loss in calling]) for key in keys
            },
            "medians": {
                measure: {
                    title: {label: round(float(np.median(values)), 3) for label, values in by.items()}
                    for title, by in groups(items, measure).items()
                }
                for measure in ("loss", "call_loss")
            },
        }
        print(name, json.dumps(result[name]), flush=True)
    first = sets["templates"][: options.check]
    values = [await evaluator.measure(dialog, engines.for_task(dialog.id)) for dialog in first]
    await engine.close()
    result["largest difference from transformers (nats)"] = round(
        against_transformers(first, folder, template, values), 4
    )
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
