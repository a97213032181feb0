"""The assistant agent: four actions, a structured thought before each, and a consensus of several samples (section 2.2).

Invariants: a call that it makes validates against its API; samples agree when they make the same calls after
normalisation or choose the same kind of action without a call; where none agree one is kept and its turn masked from the
loss.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolace_ray.calls import pythonic
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Message, ToolCall
from toolace_ray.records.json import load_json
from toolace_ray.schemas.validate import errors
from toolace_ray.schemas.walk import keywords, rebuild
from toolace_ray.sdg.difficulty.measure import normal
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Plan
from toolace_ray.text.dates import spoken_day
from toolace_ray.text.tidy import clean

Kind = Literal["call", "ask", "summarise", "reply"]
TALK: tuple[Kind, ...] = ("ask", "summarise", "reply")
MOST_CALLS = 4
AGREEING = 2  # samples that must agree
DECISION_TOKENS = 400
MAX_TEXT = 320
MAX_THOUGHT = 100
MAX_STRING = 200
MOST_ITEMS = 8
MAX_INTEGER = 10**12
MAX_NESTING = 8
THOUGHTS = ("request", "function", "values")


@dataclass(frozen=True)
class Action:
    """What the assistant decides to do, and the thought before it."""

    kind: Kind
    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    thought: str = ""

    @property
    def key(self) -> str:
        """Equal for actions that agree."""
        if self.kind != "call":
            return self.kind
        return "call " + " & ".join(
            f"{number} x {call}" for call, number in sorted(Counter(map(normal, self.calls)).items())
        )


@dataclass(frozen=True)
class Decision:
    """The samples that agree (or the one that is kept), how many were drawn, and whether they agree."""

    actions: tuple[Action, ...]
    drawn: int
    agreed: bool


class Assistant:
    """Decides what to do next in one dialog.

    Args:
        max_samples: samples drawn at most for one decision; 1 asks for no consensus.
    """

    def __init__(
        self,
        plan: Plan,
        engines: TaskEngines,
        max_samples: int,
        thinking: bool,
        temperature: float,
        seed: Callable[[], int],
    ) -> None:
        self._plan, self._engines, self._max_samples = plan, engines, max_samples
        self._thinking, self._temperature, self._seed = thinking, temperature, seed
        self._apis = {api.name: api for api in plan.tools}
        self._schema = decision_schema(plan.tools, thinking)
        self._functions = [
            {"name": api.name, "description": api.description, "parameters": outline(api)} for api in plan.tools
        ]

    async def decide(self, messages: Sequence[Message], number: int) -> Decision:
        """The next action. `number` counts the dialog's calls so far and makes the new ones' ids.

        Raises:
            Unfit: no sample could be read.
            EngineError: the engine could not be asked.
        """
        rendered = prompt("assistant").render(
            today=spoken_day(self._plan.today), functions=self._functions, lines=list(_lines(messages))
        )
        if self._plan.language != "English":
            rendered[0]["content"] += f" Whatever language the examples are in, write texts in {self._plan.language}."
        votes: dict[str, list[Action]] = {}
        first: Action | None = None
        drawn, reason = 0, "no candidate"
        needed = min(AGREEING, self._max_samples)
        while drawn < self._max_samples:
            count = needed if not drawn else 1
            request = GenerateRequest(
                messages=rendered,
                n=count,
                max_tokens=DECISION_TOKENS,
                temperature=self._temperature,
                seed=self._seed(),
                json_schema=self._schema,
            )
            for sample in (await self._engines.generate("assistant", request)).samples:
                drawn += 1
                try:
                    action = self._action_from(sample.text, number, sample.thought)
                except ValueError as error:
                    reason = str(error)
                    continue
                first = first or action
                votes.setdefault(action.key, []).append(action)
            best = max(votes.values(), key=len, default=[])
            if len(best) >= needed:
                return Decision(tuple(best), drawn, self._max_samples > 1)
        if first is None:
            raise Unfit("assistant", reason)
        return Decision((first,), drawn, False)

    def _action_from(self, text: str, number: int, reasoning: str) -> Action:
        """An action from a sample. Raises ValueError for one that can't be carried out."""
        decision = load_json(text)
        if not isinstance(decision, dict) or decision.get("action") not in ("call", *TALK):
            raise ValueError("no action")
        thought = "; ".join(str(part) for part in (clean(reasoning), *map(decision.get, THOUGHTS)) if part)
        if decision["action"] != "call":
            words = " ".join(str(decision.get("text") or "").split())
            if not words:
                raise ValueError(f"{decision['action']} without a text")
            return Action(decision["action"], text=words, thought=thought)
        items = decision.get("calls")
        if not isinstance(items, list) or not 1 <= len(items) <= MOST_CALLS:
            raise ValueError("no calls")
        calls = []
        for index, item in enumerate(items):
            api = self._apis.get(str(item.get("name"))) if isinstance(item, dict) else None
            if api is None or not isinstance(item.get("arguments"), dict):
                raise ValueError("a call of no function")
            if problems := errors(api.parameters, item["arguments"], 1):
                raise ValueError(f"{api.name}: {problems[0]}")
            calls.append(ToolCall(id=f"call_{number + index + 1}", name=api.name, arguments=item["arguments"]))
        return Action("call", tuple(calls), thought=thought)


def _lines(messages: Sequence[Message]) -> list[str]:
    """The dialog so far, a line a message."""
    lines = []
    for message in messages:
        if message.role == "tool":
            lines.append(f"Result: {message.content}")
        elif message.tool_calls:
            lines += [f"Call: {pythonic.render([call])[1:-1]}" for call in message.tool_calls]
        else:
            name = {"user": "User", "assistant": "Assistant", "system": "Note"}[message.role]
            lines.append(f"{name}: {' '.join(message.content.split())}")
    return lines


def outline(api: Api) -> dict[str, Any]:
    """Parameter -> what it is, in a few words: type, choices, whether it is required, and its description."""
    descriptions = {}
    for name, schema in api.properties.items():
        parts = [str(schema.get("type", "value"))]
        if schema.get("type") in ("array", "object"):
            parts = [json.dumps({key: schema[key] for key in ("type", "items", "properties") if key in schema})]
        if schema.get("enum"):
            parts.append(f"one of {json.dumps(schema['enum'], ensure_ascii=False)}")
        if schema.get("format"):
            parts.append(str(schema["format"]))
        if name in api.required:
            parts.append("required")
        if schema.get("description"):
            parts.append(str(schema["description"])[:MAX_THOUGHT])
        descriptions[name] = ", ".join(parts)
    return descriptions


def decision_schema(tools: Sequence[Api], thinking: bool) -> dict[str, Any]:
    """What a decoder is held to: an action, with the calls of the tools at hand or with a text."""
    text = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    thoughts: dict[str, Any] = {}
    if thinking:
        thoughts = {name: {"type": "string", "minLength": 1, "maxLength": MAX_THOUGHT} for name in THOUGHTS}
    calls = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_CALLS,
        "items": {
            "anyOf": [
                _closed({"name": {"type": "string", "enum": [api.name]}, "arguments": decodable(api.parameters)})
                for api in tools
            ]
        },
    }
    act = {**thoughts, "action": {"type": "string", "enum": ["call"]}, "calls": calls}
    talk = {**thoughts, "action": {"type": "string", "enum": list(TALK)}, "text": text}
    return {"anyOf": [_closed(act), _closed(talk)]}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def decodable(schema: Any) -> dict[str, Any]:
    """A schema with what grammar backends know of it, bounded; answers are validated against the whole one afterwards."""
    made: dict[str, Any] = rebuild(schema, _decodable, keywords("properties", "items", "anyOf"))
    return made


def _decodable(schema: Any, depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth > MAX_NESTING:
        return {"type": "string", "maxLength": MAX_STRING}
    if "const" in schema:
        return {"enum": [schema["const"]]}
    if schema.get("enum"):
        return {"enum": schema["enum"]}
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return {"anyOf": schema[key]}
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        return {"anyOf": [{**schema, "type": item} for item in kind]}
    if kind == "object":
        properties = schema.get("properties") or {}
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name in schema.get("required", ()) if name in properties],
            "additionalProperties": False,
        }
    if kind == "array":
        least = int(schema.get("minItems", 0))
        most = max(least, min(int(schema.get("maxItems", MOST_ITEMS)), MOST_ITEMS))
        return {"type": "array", "items": schema.get("items"), "minItems": least, "maxItems": most}
    if kind == "integer":
        low, high = schema.get("minimum", -MAX_INTEGER), schema.get("maximum", MAX_INTEGER)
        return {"type": "integer", "minimum": int(low), "maximum": int(high)}
    if kind == "string":
        return {"type": "string", "maxLength": max(1, min(int(schema.get("maxLength", MAX_STRING)), MAX_STRING))}
    return {"type": kind}
