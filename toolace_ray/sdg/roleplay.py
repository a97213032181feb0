"""Role-play (paper section 2.2): a user, an assistant and a tool agent play a plan to its end, and nothing is gold.

The user holds a fact sheet: for each request the values it will say, and those it says only when asked. The assistant
acts freely; the play goes on until it has called what the user asked for and told the outcome, or it is given up.

Invariants: the user says no value that is not on its sheet; a request is complete when every function that it asks for
was called and answered for, or, where none is asked for, when the assistant has spoken.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from toolace_ray.config.tree import Config
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.api import is_error
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.sdg import invented, wording
from toolace_ray.sdg.assistant import Assistant, Decision
from toolace_ray.sdg.blueprint import OPTIONAL_SHARE
from toolace_ray.sdg.difficulty.measure import normal
from toolace_ray.sdg.execution import Session
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Intent, Plan, PlannedGroup
from toolace_ray.sdg.speech import Scene
from toolace_ray.sdg.tools import ToolAgent

MOST_STEPS = 4  # actions of the assistant beyond one an intent, in one group


@dataclass
class Sheet:
    """What the user knows of one intent.

    Attributes:
        said: values of the request.
        later: values that the user says when asked.
        values: all values but the linked ones.
        linked: parameters that an earlier result gives, of which the user knows nothing.
    """

    intent: Intent
    said: dict[str, Any]
    later: dict[str, Any]
    values: dict[str, Any]
    linked: set[str]


async def converse(
    plan: Plan, rng: random.Random, config: Config, engines: TaskEngines, servers: Session | None = None
) -> Dialog:
    """Play a plan. Raises Unfit, BadRequest, EngineError."""
    scene = Scene(plan, rng, config, engines)
    settings = config.generate
    assistant = Assistant(
        plan, engines, settings.consensus, settings.thinking, settings.temperature, lambda: rng.getrandbits(31)
    )
    agent = ToolAgent(plan, rng, engines, servers)
    scene.open()
    sheets: list[Sheet] = []
    requests: dict[int, str] = {}
    consensus: list[list[Any]] = []
    for index, group in enumerate(plan.groups):
        last = index == len(plan.groups) - 1
        for intent in group.intents:
            sheets.append(await _sheet(intent, group, sheets, plan, rng, engines))
        group_sheets = sheets[len(sheets) - len(group.intents) :]
        request = await _request(scene, group, group_sheets, requests)
        requests.update(dict.fromkeys((intent.number for intent in group.intents), request))
        scene.messages.append(Message(role="user", content=request))
        await _exchange(scene, group, group_sheets, assistant, agent, consensus, last)
    if not any(message.train for message in scene.messages if message.role == "assistant"):
        raise Unfit("consensus", "in no turn two samples agree")
    scene.meta["consensus"] = consensus
    return scene.dialog()


async def _sheet(
    intent: Intent, group: PlannedGroup, sheets: list[Sheet], plan: Plan, rng: random.Random, engines: TaskEngines
) -> Sheet:
    fixed_values: dict[str, Any] = {}
    if intent.like is not None:
        settled = {**sheets[intent.like].values, **sheets[intent.like].later}  # a corrected value holds from then on
        fixed_values = {name: value for name, value in settled.items() if name != intent.varied}
    optional = OPTIONAL_SHARE if intent.missing is None and intent.like is None else 0.0
    drawn = await invented.arguments(intent.api, fixed_values, optional, plan, rng, engines)
    # What an earlier result gives is nothing that the user knows.
    linked = {intent.link.name} if intent.link else sheets[intent.like].linked if intent.like is not None else set()
    values = {name: value for name, value in drawn.items() if name not in linked}
    said = {name: value for name, value in values.items() if name != intent.missing}
    later = {intent.missing: values[intent.missing]} if intent.missing and group.ends == "answer" else {}
    if intent.like is not None and intent.varied is not None and not group.parallel:
        said = {intent.varied: values[intent.varied]}
    if intent.trouble == "correct" and intent.varied is not None:
        other = await invented.arguments(
            intent.api, {name: value for name, value in drawn.items() if name != intent.varied}, 0.0, plan, rng, engines
        )
        later = {intent.varied: other[intent.varied]}
    return Sheet(intent, said, later, values, linked)


async def _request(scene: Scene, group: PlannedGroup, sheets: list[Sheet], requests: dict[int, str]) -> str:
    if group.kind in ("small_talk", "knowledge"):
        is_knowledge = group.kind == "knowledge"
        return await scene.chatted("question" if is_knowledge else "chat_user", group.subject, is_knowledge)
    parts = []
    for sheet in sheets:
        intent = sheet.intent
        if intent.like is not None and not group.parallel and intent.like in requests:
            parts.append(await scene.again(requests[intent.like], sheet.said))
            continue
        hidden = {intent.missing: sheet.values[intent.missing]} if intent.missing else {}
        parts.append(await scene.requested(intent.api, sheet.said, hidden))
    return wording.together(parts, not group.parallel, scene.rng, scene.english)


async def _exchange(
    scene: Scene,
    group: PlannedGroup,
    sheets: list[Sheet],
    assistant: Assistant,
    agent: ToolAgent,
    consensus: list[list[Any]],
    last: bool,
) -> None:
    """The assistant acts until it has answered the request; the tool agent and the user answer it."""
    open_intents = [sheet.intent for sheet in sheets] if group.kind == "calls" and group.ends == "answer" else []
    attempts: dict[int, int] = {}
    apis = {api.name: api for api in scene.plan.tools}
    held_back = {name: value for sheet in sheets for name, value in sheet.later.items()}
    for _ in range(len(sheets) + MOST_STEPS):
        number = sum(len(message.tool_calls) for message in scene.messages)
        decision = await assistant.decide(scene.messages, number)
        action = decision.actions[0]
        consensus.append([action.kind, decision.drawn, decision.agreed])
        turn_fields = {
            "thought": (scene.settings.keep_thoughts and action.thought) or None,
            "train": decision.agreed or scene.settings.consensus == 1,
        }
        if action.kind == "call":
            results = []
            for call in action.calls:
                intent = next((intent for intent in open_intents if intent.api.name == call.name), None)
                if intent is None:
                    raise Unfit("superfluous", f"{call.name} is called, and nothing is asked for that it does")
                _check_values(call, next(sheet for sheet in sheets if sheet.intent is intent), not held_back)
                attempt = attempts.get(intent.number, 0)
                results.append(await agent.call(apis[call.name], call, intent, attempt))
                attempts[intent.number] = attempt + 1
                if not is_error(results[-1]) or intent.trouble == "error":
                    open_intents.remove(intent)
            scene.call(action.calls, results, **turn_fields)
            continue
        ends = last and (action.kind != "ask" or group.ends == "ask") and not open_intents
        scene.messages.append(Message(role="assistant", content=_passing_text(scene, decision, ends), **turn_fields))
        if action.kind == "ask" and held_back:
            revealed, held_back = held_back, {}
            scene.messages.append(Message(role="user", content=await scene.replied(action.text, revealed)))
            continue
        if open_intents:
            raise Unfit("completion", f"{open_intents[0].api.name} was asked for and not called")
        if action.kind == "ask" and group.ends != "ask" and not any(s.intent.trouble == "error" for s in sheets):
            raise Unfit("completion", "asks for what was given")
        return
    raise Unfit("completion", f"no end after {len(sheets) + MOST_STEPS} actions")


def _check_values(call: ToolCall, sheet: Sheet, asked: bool) -> None:
    """Raise Unfit where a call leaves out or changes a value that the user has said."""
    facts = {**sheet.values, **(sheet.later if asked else {})}
    for name, value in facts.items():
        given_call = (
            ToolCall(name=call.name, arguments={name: call.arguments[name]}) if name in call.arguments else None
        )
        if given_call is None or normal(given_call) != normal(ToolCall(name=call.name, arguments={name: value})):
            called_with = json.dumps(call.arguments.get(name), ensure_ascii=False)
            raise Unfit(
                "facts", f"{call.name}: {name} is {called_with}, the user's is {json.dumps(value, ensure_ascii=False)}"
            )


def _passing_text(scene: Scene, decision: Decision, last: bool) -> str:
    """The first of the agreeing texts that the rules let pass. Raises Unfit with the last one's fault."""
    reason = ""
    for action in decision.actions:
        reason = scene.problem(action.text, last) or ""
        if not reason:
            return action.text
    raise Unfit("assistant", f"{reason} in {decision.actions[-1].text!r}")
