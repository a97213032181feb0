"""A dialog is one coroutine: plan, gold calls, then the words, each chosen among several candidates by the rules.

Invariants: `rollout` never raises for what a model wrote, it returns a failure with its step and evidence; a dialog it
returns passed the whole rule layer; nothing but the task, the pool, the configuration and the engines' answers
decides the result.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.config import Config, Role
from toolace_ray.dlv.checks import code_names
from toolace_ray.dlv.provenance import trace
from toolace_ray.dlv.rules import rejects, run_rules
from toolace_ray.engines.protocol import BadRequest, GenerateRequest
from toolace_ray.engines.roles import TaskEngines, Usage
from toolace_ray.prompts import prompt, versions
from toolace_ray.schema import Dialog, Message, Verdict
from toolace_ray.sdg import wording
from toolace_ray.sdg.blueprint import GoldCall, Unfit, day, gold_calls
from toolace_ray.sdg.plans import NoPlan, Plan, Pool, Task, make_plan

WORD_TOKENS = 90
SYSTEM = (
    "You are a helpful assistant that can call functions. Today is {day}.",
    "You answer with the help of the functions you are given and ask when something is missing. The date is {day}.",
    "It is {day}. Use the functions at hand where they fit; where none fits, say so.",
)
Fault = Callable[[str], str | None]


@dataclass
class Outcome:
    """What an attempt gave: a dialog, or the verdicts that say why not; and what it spent (`seconds` of wall time)."""

    task: Task
    dialog: Dialog | None = None
    verdicts: tuple[Verdict, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


async def rollout(task: Task, pool: Pool, config: Config, engines: TaskEngines) -> Outcome:
    """Play one dialog. Raises EngineError when an engine could not be asked at all."""
    started = time.monotonic()
    outcome = Outcome(task, usage=engines.usage)
    last = Unfit("no_plan", "")
    try:
        plan = make_plan(task, pool, config.generate)
        for attempt in range(config.generate.rounds):
            rng = random.Random(f"play/{task.seed}/{attempt}")
            try:
                outcome.dialog = await _play(plan, rng, config, engines)
                break
            except Unfit as error:
                last = error
    except NoPlan as error:
        last = Unfit("no_plan", str(error))
    except BadRequest as error:
        last = Unfit("request_refused", str(error))
    if outcome.dialog is None:
        outcome.verdicts = (Verdict(stage="generate", rule=last.step, evidence=str(last)[:300]),)
    outcome.seconds = time.monotonic() - started
    return outcome


async def _play(plan: Plan, rng: random.Random, config: Config, engines: TaskEngines) -> Dialog:
    gold = await gold_calls(plan, rng, engines)
    request = await _request(plan, gold, rng, config, engines)
    opening = [
        Message(role="system", content=rng.choice(SYSTEM).format(day=day(plan.today))),
        Message(role="user", content=request),
    ]
    if plan.variant == "no_function":
        return await _decline(plan, opening, rng, config, engines)
    if plan.variant == "missing":
        return await _ask(plan, gold[0], opening, rng, config, engines)
    turns = [[item] for item in gold] if plan.link else [gold]
    for turn in turns:
        opening.append(Message(role="assistant", tool_calls=tuple(item.call for item in turn)))
        opening += [
            Message(
                role="tool",
                content=json.dumps(item.result, ensure_ascii=False),
                tool_call_id=item.call.id,
                name=item.call.name,
            )
            for item in turn
        ]
    results = [item.result for item in gold]
    if plan.variant == "error":
        messages = prompt("apologise").render(request=request, error=results[0]["error"]["message"])
    else:
        messages = prompt("answer").render(request=request, results=results)
    return await _finish(
        plan,
        opening,
        messages,
        lambda text: None,
        lambda text: wording.answer_score(text, results, plan.today),
        rng,
        config,
        engines,
        "answer",
    )


async def _request(plan: Plan, gold: list[GoldCall], rng: random.Random, config: Config, engines: TaskEngines) -> str:
    """The user's words: every value said, nothing invented. Each wish is worded by itself, then they are joined:
    a small model says one thing well and two things badly."""
    names = set().union(*(code_names(api) for api in (*plan.tools, *plan.wanted)))

    async def words(item: GoldCall) -> str:
        unsaid = item.linked or plan.missing
        values = wording.stated_values(item.call.arguments, unsaid)
        hidden = {unsaid: item.call.arguments[unsaid]} if unsaid else {}

        def fault(text: str) -> str | None:
            leaked = next((name for name in names if name in text), None)
            return f"names {leaked}" if leaked else wording.request_fault(text, item.api, values, plan.today, hidden)

        facts = {"wish": wording.wish(item.api), "values": wording.shown_values(item.call.arguments, unsaid)}
        messages = prompt("request").render(facts=facts)
        count = config.generate.query_samples
        texts = await _candidates("user", messages, count, fault, rng, config, engines, "request")
        return max(texts, key=lambda text: wording.request_score(text, item.api))

    return wording.together([await words(item) for item in gold], plan.link is not None, rng)


async def _decline(
    plan: Plan, opening: list[Message], rng: random.Random, config: Config, engines: TaskEngines
) -> Dialog:
    request = opening[-1].content
    functions = " ".join(wording.wish(api) for api in plan.tools)
    return await _finish(
        plan,
        opening,
        prompt("decline").render(request=request, functions=functions),
        lambda text: wording.decline_fault(text, request, functions, plan.today),
        lambda text: -len(text) / 1000,
        rng,
        config,
        engines,
        "decline",
    )


async def _ask(
    plan: Plan, gold: GoldCall, opening: list[Message], rng: random.Random, config: Config, engines: TaskEngines
) -> Dialog:
    name = plan.missing or ""
    request = opening[-1].content
    description = str(gold.api.properties[name].get("description") or "")
    shown = name.replace("_", " ")
    return await _finish(
        plan,
        opening,
        prompt("ask").render(request=request, name=shown, description=description),
        lambda text: wording.ask_fault(text, request, name, description, plan.today),
        lambda text: -len(text) / 1000,
        rng,
        config,
        engines,
        "ask",
        {"missing": {"name": name, "value": gold.call.arguments[name]}},
    )


async def _finish(
    plan: Plan,
    opening: list[Message],
    messages: list[dict[str, str]],
    fault: Fault,
    score: Callable[[str], float],
    rng: random.Random,
    config: Config,
    engines: TaskEngines,
    step: str,
    meta: dict[str, Any] | None = None,
) -> Dialog:
    """The assistant's last words, chosen among candidates by what the whole rule layer says of the dialog."""

    def dialog(text: str) -> Dialog:
        draft = Dialog(
            id=plan.task.id,
            type=plan.task.type,
            kind=plan.task.kind,
            attempt=plan.task.attempt,
            seed=plan.task.seed,
            today=plan.today.isoformat(),
            tools=plan.tools,
            messages=(*opening, Message(role="assistant", content=text)),
            meta={
                "variant": plan.variant,
                "wanted": [api.id for api in plan.wanted],
                "domain": list(plan.wanted[0].domain),
                "strategy": "blueprint",
                "models": dict(engines.models),
                "prompts": versions(),
                **(meta or {}),
            },
        )
        return draft.model_copy(update={"provenance": trace(draft)})

    def whole(text: str) -> str | None:
        if reason := fault(text):
            return reason
        found = rejects(run_rules(dialog(text), config.verify))
        return f"{found[0].rule}: {found[0].evidence}" if found else None

    texts = await _candidates("assistant", messages, config.generate.answer_samples, whole, rng, config, engines, step)
    return dialog(max(texts, key=score))


async def _candidates(
    role: Role,
    messages: list[dict[str, str]],
    count: int,
    fault: Fault,
    rng: random.Random,
    config: Config,
    engines: TaskEngines,
    step: str,
) -> list[str]:
    """The candidates without fault, all different. Raises Unfit with the last fault when there is none."""
    request = GenerateRequest(
        messages=messages,
        n=count,
        max_tokens=WORD_TOKENS,
        temperature=config.generate.temperature,
        seed=rng.getrandbits(31),
        stop=("\n",),
    )
    answer = await engines.generate(role, request)
    passed: dict[str, None] = {}
    reason = "no candidate"
    for sample in answer.samples:
        text = wording.tidy(sample.text)
        problem = "cut at max_tokens" if sample.finish == "length" else fault(text)
        if problem is None:
            passed[text] = None
        else:
            reason = f"{problem} in {text!r}"
    if not passed:
        raise Unfit(step, reason)
    return list(passed)
