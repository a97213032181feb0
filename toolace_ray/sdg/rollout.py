"""A dialog is one coroutine: plan, gold calls, then the words, each chosen among several candidates by the rules.

Invariants: `rollout` never raises for what a model wrote, it returns a failure with its step and evidence; a dialog it
returns passed the whole rule layer; nothing but the task, the pool, the configuration and the engines' answers
decides the result.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.config.tree import Config
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.engines.protocol import BadRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.describe import purpose
from toolace_ray.records.dialog import Dialog, Message
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.sdg import roleplay, wording
from toolace_ray.sdg.blueprint import Gold, gold_calls
from toolace_ray.sdg.difficulty.guide import Operator, Target, guided
from toolace_ray.sdg.difficulty.measure import features
from toolace_ray.sdg.execution import Servers, Session
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Difficulty, NoPlan, Plan, PlannedGroup, Task, make_plan
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.speech import Constraint, Scene


@dataclass
class Outcome:
    """What an attempt gave: a dialog, or the verdicts that say why not; and what it spent (`seconds` of wall time)."""

    task: Task
    dialog: Dialog | None = None
    verdicts: tuple[Verdict, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


async def rollout(
    task: Task,
    pool: Pool,
    config: Config,
    engines: TaskEngines,
    target: Target | None = None,
    servers: Servers | None = None,
) -> Outcome:
    """Play one dialog, and again where `target` has a band that it does not fit.

    Args:
        servers: answer the calls of their own tools.

    Raises:
        EngineError: an engine could not be asked at all.
    """
    started = time.monotonic()
    outcome = Outcome(task, usage=engines.usage)
    last = Unfit("no_plan", "")
    try:
        plan = make_plan(task, pool, config.generate)
        for attempt in range(config.generate.rounds):
            rng = random.Random(f"play/{task.seed}/{attempt}")
            try:
                outcome.dialog, gold = await play_plan(plan, rng, config, engines, None, servers)
                break
            except Unfit as error:
                last = error
        if outcome.dialog is not None:
            if target is not None:
                replay = _Replay(plan, gold, pool, config, engines, servers)
                outcome.dialog = await _measured(outcome.dialog, target, replay)
            meta = {**outcome.dialog.meta, "features": features(outcome.dialog)}
            outcome.dialog = outcome.dialog.model_copy(update={"meta": meta})
    except NoPlan as error:
        last = Unfit("no_plan", str(error))
    except BadRequest as error:
        last = Unfit("request_refused", str(error))
        outcome.dialog = None
    if outcome.dialog is None:
        outcome.verdicts = (Verdict(stage="generate", rule=last.step, evidence=str(last)[:300]),)
    outcome.seconds = time.monotonic() - started
    return outcome


@dataclass(frozen=True)
class _Replay:
    """Plays the dialog of one plan again with another difficulty (see Replay)."""

    plan: Plan
    gold: list[Gold] | None
    pool: Pool
    config: Config
    engines: TaskEngines
    servers: Servers | None

    @property
    def _roleplay(self) -> bool:
        return self.config.generate.strategy == "roleplay"

    def _planned(self, difficulty: Difficulty) -> Plan:
        return make_plan(self.plan.task, self.pool, self.config.generate, difficulty)

    async def play(self, difficulty: Difficulty, best: Dialog, operator: Operator) -> Dialog:
        """See Replay."""
        plan = self._planned(difficulty)
        tools_matter = self._roleplay or any(group.kind == "no_function" for group in plan.groups)
        if operator.knob == "tools" and not tools_matter:
            return _with_tools(best, plan, self.config)  # no text of the dialog depends on them
        rng = random.Random(f"guided/{plan.task.seed}/{difficulty}")
        gold = self.gold if plan.groups == self.plan.groups else None
        dialog, _ = await play_plan(plan, rng, self.config, self.engines, gold, self.servers)
        return dialog

    def changes(self, operator: Operator, before: Difficulty, after: Difficulty) -> bool:
        """See Replay."""
        if operator.words:
            return not (self._roleplay and operator.blueprint)
        try:
            old, new = self._planned(before), self._planned(after)
        except NoPlan:
            return False
        return (old.groups, old.tools) != (new.groups, new.tools)


async def _measured(dialog: Dialog, target: Target, replay: _Replay) -> Dialog:
    """The dialog with its complexity for the target; guided into the target's band where there is one."""
    engines = replay.engines
    first = complexity = await target.evaluator.measure(dialog, engines)
    record: dict[str, Any] = {"before": round(first.value, 4)}
    if (band := target.band) is not None:
        rng = random.Random(f"guided/{replay.plan.task.seed}")
        dialog, complexity, rounds = await guided(dialog, first, band, target, replay, engines, rng)
        record |= {
            "band": [band.lower, band.upper],
            "in_band": not band.beyond(complexity.value),
            "rounds": rounds,
        }
    meta = {"complexity": {**complexity.record(), **record}, "models": dict(engines.models)}
    return dialog.model_copy(update={"meta": {**dialog.meta, **meta}})


def _with_tools(dialog: Dialog, plan: Plan, config: Config) -> Dialog:
    """The dialog with the plan's candidates. Raises Unfit where a rule rejects it with them."""
    changed = dialog.model_copy(update={"tools": plan.tools})
    if rejections := rejects(run_rules(changed, config.verify)):
        raise Unfit("distractors", f"{rejections[0].rule}: {rejections[0].evidence}")
    return changed


async def play_plan(
    plan: Plan,
    rng: random.Random,
    config: Config,
    engines: TaskEngines,
    gold: list[Gold] | None,
    servers: Servers | None,
) -> tuple[Dialog, list[Gold] | None]:
    """Play a plan by the configured strategy; a blueprint is made unless it is given, and returned.

    Raises:
        Unfit: what the models made can't be used.
        BadRequest: an engine refuses a request.
        EngineError: an engine could not be asked.
    """
    if servers is not None:  # a play has connections of its own: what another one changed is not there
        async with servers.session() as session:
            return await _by_strategy(plan, rng, config, engines, gold, session)
    return await _by_strategy(plan, rng, config, engines, gold, None)


async def _by_strategy(
    plan: Plan,
    rng: random.Random,
    config: Config,
    engines: TaskEngines,
    gold: list[Gold] | None,
    session: Session | None,
) -> tuple[Dialog, list[Gold] | None]:
    if config.generate.strategy == "roleplay":
        return await roleplay.converse(plan, rng, config, engines, session), None
    if gold is None:
        gold = await gold_calls(plan, rng, engines, session)
    scene = Scene(plan, rng, config, engines)
    constraint = _constraint(gold, rng) if plan.difficulty.constraint else None
    scene.open(constraint)
    requests: dict[int, str] = {}
    for index, group in enumerate(plan.groups):
        last = index == len(plan.groups) - 1
        group_gold = [gold[intent.number] for intent in group.intents]
        if group.kind in ("small_talk", "knowledge"):
            await _talk(scene, group, last)
            continue
        request = await _request(scene, group, group_gold, requests, constraint if index == 0 else None)
        requests.update(dict.fromkeys((intent.number for intent in group.intents), request))
        scene.messages.append(Message(role="user", content=request))
        if group.kind == "no_function":
            await decline(scene, request, last)
        else:
            await serve(scene, group, group_gold, request, last)
    return scene.dialog(), gold


def _constraint(gold: list[Gold], rng: random.Random) -> Constraint | None:
    """A value that the system prompt sets instead of the user: of the first intent, which must have another one to say."""
    said = gold[0].said if gold else {}
    varied = {item.intent.varied for item in gold}
    names = [name for name, value in said.items() if isinstance(value, str) and name not in varied]
    if len(said) < 2 or not names:
        return None
    name = rng.choice(sorted(names))
    return Constraint(name, said[name])


async def _request(
    scene: Scene, group: PlannedGroup, group_gold: list[Gold], requests: dict[int, str], constraint: Constraint | None
) -> str:
    """The user's words. Each intent is worded by itself, then they are joined: a small model says one thing well and two
    things badly."""
    parts = []
    for item in group_gold:
        intent = item.intent
        if intent.like is not None and not group.parallel:
            parts.append(await scene.again(requests[intent.like], item.said))
            continue
        unsaid = [name for name in (intent.missing, intent.link.name if intent.link else None) if name]
        hidden = {name: item.arguments[name] for name in unsaid}
        said = {
            name: value
            for name, value in item.said.items()
            if constraint is None or (name, value) != (constraint.name, constraint.value)
        }
        parts.append(await scene.requested(item.api, said, hidden))
    return wording.together(parts, not group.parallel, scene.rng, scene.english)


async def _talk(scene: Scene, group: PlannedGroup, last: bool) -> None:
    is_knowledge = group.kind == "knowledge"
    text = await scene.chatted("question" if is_knowledge else "chat_user", group.subject, is_knowledge)
    scene.messages.append(Message(role="user", content=text))
    question = False if is_knowledge else None
    await scene.said(
        "explain" if is_knowledge else "chat",
        lambda candidate: wording.talk_fault(candidate, text, question, scene.plan.today, scene.english),
        last,
        said=text,
    )


async def decline(scene: Scene, request: str, last: bool) -> None:
    """Say that no function does what is asked for."""
    functions = " ".join(purpose(api) for api in scene.plan.tools)
    today = scene.plan.today
    await scene.said(
        "decline",
        lambda candidate: wording.decline_fault(candidate, request, functions, today, scene.english),
        last,
        request=request,
        functions=functions,
    )


async def serve(scene: Scene, group: PlannedGroup, group_gold: list[Gold], request: str, last: bool) -> None:
    """Ask for the missing values, make the calls, and tell their results; `group_gold` has the group's intents in order."""
    for item in group_gold:
        if (name := item.intent.missing) is not None:
            if scene.plan.task.type != "multi_turn":  # the rule looks at the first question alone
                scene.meta["missing"] = {"name": name, "value": item.arguments[name]}
            question = await _ask(scene, item, name, request, group.ends == "ask" and last)
            if group.ends == "ask":
                return
            await _reply(scene, question, item.later)
    if group.parallel:
        scene.call([item.calls[0].call for item in group_gold], [item.calls[0].result for item in group_gold])
    else:
        for item in group_gold:
            await _make_calls(scene, item, request)
    results = [item.calls[-1].result for item in group_gold]
    today = scene.plan.today
    prompt_values: dict[str, Any] = {"request": request, "results": results}
    step = "answer"
    if group_gold[-1].intent.trouble == "error":
        step, prompt_values = "apologise", {"request": request, "error": results[0]["error"]["message"]}
    await scene.said(
        step,
        lambda candidate: None,
        last,
        lambda candidate: wording.answer_score(candidate, results, today),
        **prompt_values,
    )


async def _make_calls(scene: Scene, item: Gold, request: str) -> None:
    """The calls of one intent, the second one after what the user says to the first one's error."""
    for index, gold_call in enumerate(item.calls):
        if index and item.intent.trouble == "correct" and item.intent.varied is not None:
            await _reply(scene, await _retell(scene, item, item.intent.varied, request), item.later)
        scene.call([gold_call.call], [gold_call.result])


async def _retell(scene: Scene, item: Gold, name: str, request: str) -> str:
    """Tell an error and ask for another value."""
    description = str(item.api.properties[name].get("description") or "")
    today = scene.plan.today
    error = item.calls[0].result["error"]["message"]
    earlier_text = " ".join(message.content for message in scene.messages) + f" {error}"
    return await scene.said(
        "retell",
        lambda candidate: wording.ask_fault(candidate, earlier_text, name, description, today, scene.english),
        False,
        request=request,
        error=error,
        name=name.replace("_", " "),
    )


async def _ask(scene: Scene, item: Gold, name: str, request: str, last: bool) -> str:
    description = str(item.api.properties[name].get("description") or "")
    today = scene.plan.today
    return await scene.said(
        "ask",
        lambda candidate: wording.ask_fault(candidate, request, name, description, today, scene.english),
        last,
        request=request,
        name=name.replace("_", " "),
        description=description,
    )


async def _reply(scene: Scene, question: str, values: dict[str, Any]) -> None:
    scene.messages.append(Message(role="user", content=await scene.replied(question, values)))
