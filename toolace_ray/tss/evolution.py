"""Evolution: an API's definition is written by a model from its subtree, then enriched by diversity indicators.

Invariants: an API that is returned passed the gate; an indicator is in its lineage only if its post-condition held; one
that did not hold is in `dropped` with its reason, and left no trace in the API.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api, ApiError, Lineage
from toolace_ray.records.json import load_json
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas import gate
from toolace_ray.schemas.walk import kind_of
from toolace_ray.schemas.walk import texts as field_texts
from toolace_ray.tss.adaptation import Design
from toolace_ray.tss.fields import (
    DESCRIPTION,
    IDENTIFIER,
    MAX_DESCRIPTION,
    MAX_FIELDS,
    field_schema,
    flat,
    object_schema,
    property_of,
)
from toolace_ray.tss.indicators import INDICATORS, post_condition, target_of
from toolace_ray.tss.sense import off_topic, related, whole
from toolace_ray.tss.speciation import Node

MAX_EXCERPT = 700
MAX_SOURCES = 8  # documents of a functionality whose passages are looked through
MAX_LINES = 8  # parameters of an API that a prompt tells of
MUTATION_TRIES = 2  # of one indicator, each of `samples` candidates; then it is dropped
RULES = {
    "enum_added": "the values to choose from",
    "range_added": "smallest and largest value",
    "pattern_added": "a regular expression for the whole value",
    "format_added": "a format",
    "length_added": "shortest and longest length in characters",
}

DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": IDENTIFIER,
        "description": DESCRIPTION,
        "parameters": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_FIELDS,
            "items": field_schema(required={"type": "boolean"}),
        },
        "returns": {"type": "array", "minItems": 1, "maxItems": MAX_FIELDS - 1, "items": field_schema()},
        "changes_state": {"type": "boolean"},
    },
    "required": ["name", "description", "parameters", "returns", "changes_state"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Writing:
    """How the writer is asked: candidates a request, and their temperature."""

    samples: int
    temperature: float


@dataclass(frozen=True)
class Evolved:
    """What an attempt gave: an API that passed the gate, or the last candidate that did not, with the gate's verdict."""

    api: Api | None
    verdict: Verdict | None = None
    failed: Api | None = None


def excerpt(text: str, nodes: Sequence[Node]) -> str:
    """The paragraphs of a document that share most words with the nodes, in their order, up to MAX_EXCERPT characters."""
    wanted = {word[:5] for node in nodes for word in re.findall(r"[a-z]{4,}", f"{node.name} {node.gloss}".lower())}
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    scores = [len(wanted & {word[:5] for word in re.findall(r"[a-z]{4,}", part.lower())}) for part in parts]
    chosen: list[int] = []
    room = MAX_EXCERPT
    for index in sorted(range(len(parts)), key=lambda i: (-scores[i], i)):
        if len(parts[index]) <= room and (scores[index] or not chosen):
            chosen.append(index)
            room -= len(parts[index])
    return "\n".join(parts[index] for index in sorted(chosen)) or text[:MAX_EXCERPT]


async def evolve(
    design: Design,
    nodes: Sequence[Node],
    texts: Callable[[str], str],
    example: Api | None,
    seed: int,
    writing: Writing,
    engines: TaskEngines,
) -> Evolved:
    """Write the API of a design and enrich it.

    Args:
        nodes: the nodes of the design's subtree, in its order.
        texts: gives a document's text by its id, "" for an unknown one.
        example: an API of the example buffer that the writer is shown.
        seed: of the attempt; the requests' seeds derive from it.

    Raises:
        EngineError: the writer could not be asked.
    """
    base = [node for node in nodes if node.id != design.subtree.added]
    defined = await define(design, base, texts, example, seed, writing, engines)
    if defined.api is None:
        return defined
    api = defined.api
    applied: list[str] = []
    dropped: list[str] = []
    rng = random.Random(f"indicators/{seed}")
    added = next((node for node in nodes if node.id == design.subtree.added), None)
    for index, name in enumerate(design.indicators):
        if len(applied) >= design.steps or len(dropped) >= 2 * design.steps:
            break
        if name == "functionality_added" and added is None:
            continue
        touched = {key for key, schema in api.properties.items() if defined.api.properties.get(key) != schema}
        touched.update(*(api.parameters.get("dependentRequired") or {}).values())  # their names stand in descriptions
        target = target_of(INDICATORS[name], api, rng, touched)
        if target is None:
            continue  # it does not apply to this API, which is no failure
        step_seed = seed + 1 + MUTATION_TRIES * index
        changed = await _mutate(name, api, target, added, topic(design, nodes), step_seed, writing, engines)
        if isinstance(changed, Api):
            api = changed
            applied.append(name)
        else:
            dropped.append(f"{name}: {changed}"[:200])
    lineage = api.lineage.model_copy(
        update={
            "parent": example.id if example else None,
            "indicators": tuple(applied),
            "dropped": tuple(dropped),
        }
    )
    return Evolved(api.model_copy(update={"lineage": lineage}))


async def define(
    design: Design,
    nodes: Sequence[Node],
    texts: Callable[[str], str],
    example: Api | None,
    seed: int,
    writing: Writing,
    engines: TaskEngines,
) -> Evolved:
    """Write the plain definition: the first candidate that passes the gate. Raises EngineError."""
    sources = tuple(sorted({document for node in nodes for document in node.documents}))
    messages = prompt("define").render(
        domain=" > ".join(design.subtree.domain),
        functionalities=nodes,
        text=excerpt("\n\n".join(filter(None, map(texts, sources[:MAX_SOURCES]))), nodes),
        taken=design.taken,
    )
    if example is not None and (form := flat(example)) is not None:
        # One more turn of the kind that the prompt begins with: shown so it is a form, told of it would be copied.
        messages[-1:-1] = prompt("define_example").render(domain=" > ".join(example.domain), example=form)
    request = GenerateRequest(
        messages=messages,
        n=writing.samples,
        max_tokens=700,
        temperature=writing.temperature,
        seed=seed,
        json_schema=DEFINITION_SCHEMA,
    )
    answer = await engines.generate("writer", request)
    verdict, failed = Verdict(stage="gate", rule="definition", evidence="no candidate"), None
    for sample in answer.samples:
        try:
            api = build(load_json(sample.text), design, nodes, sources)
        except (ValueError, KeyError, TypeError) as error:
            verdict = Verdict(stage="gate", rule="definition", evidence=f"{error}"[:300])
            continue
        fault = next(iter(gate.check(api)), None) or off_topic(
            api, topic(design, nodes), [node.name for node in nodes], ("define",)
        )
        if fault is None and api.name in design.taken:
            fault = Verdict(stage="gate", rule="duplicate", evidence=f"{api.name} is there already, and was said to be")
        if fault is None:
            return Evolved(api)
        verdict, failed = fault, api
    return Evolved(None, verdict, failed)


async def _mutate(
    name: str,
    api: Api,
    target: str,
    added: Node | None,
    subject: Sequence[str],
    seed: int,
    writing: Writing,
    engines: TaskEngines,
) -> Api | str:
    """The API after one indicator, or why the last candidate was none."""
    indicator = INDICATORS[name]
    messages = prompt(indicator.prompt).render(
        api=api,
        outline=outline(api),
        parameter=_parameter_line(target, api) if target else "",
        returns=_results_line(api),
        rule=RULES.get(name, ""),
        added=added,
    )
    reason = "no candidate"
    for attempt in range(MUTATION_TRIES):
        request = GenerateRequest(
            messages=messages,
            n=writing.samples,
            max_tokens=300,
            temperature=writing.temperature,
            seed=(seed + attempt) % 2**31,
            json_schema=indicator.ask(api, target),
        )
        for sample in (await engines.generate("writer", request)).samples:
            try:
                changed = indicator.apply(api, target, load_json(sample.text))
            except (ValueError, KeyError, TypeError) as error:
                reason = f"{error}"[:150]
                continue
            if name == "functionality_added" and added is not None:
                new_texts = [text for text in _own_texts(changed) if text not in _own_texts(api)]
                if not related(" ".join(new_texts), f"{added.name} {added.gloss}"):
                    reason = f"nothing of what is new tells of {added.name}"
                    continue
                changed = _with_functionality(changed, added)
            if problem := post_condition(name, api, changed):
                reason = problem
            elif fault := next(iter(gate.check(changed)), None) or off_topic(
                changed, subject, [api.description], (indicator.prompt,)
            ):
                reason = f"{fault.rule}: {fault.evidence}"[:150]
            else:
                return changed
    return reason


def _own_texts(api: Api) -> list[str]:
    """What an API says of itself: its description, its fields and theirs."""
    fields = [
        name.replace("_", " ") for schema in (api.parameters, api.returns) for name in schema.get("properties") or ()
    ]
    return [api.description, *fields, *field_texts(api.parameters), *field_texts(api.returns)]


def topic(design: Design, nodes: Sequence[Node]) -> list[str]:
    """The words that an API is to be made from."""
    return [*design.subtree.domain, *(f"{node.name} {node.gloss}" for node in nodes)]


def _with_functionality(api: Api, node: Node) -> Api:
    documents = tuple(sorted({*api.lineage.documents, *node.documents}))
    return api.model_copy(
        update={
            "functionalities": (*api.functionalities, node.id),
            "lineage": api.lineage.model_copy(update={"documents": documents}),
        }
    )


def outline(api: Api) -> str:
    """An API as a few lines: name, description, a line for each of its first parameters."""
    lines = [f"- {_parameter_line(name, api)}" for name in list(api.properties)[:MAX_LINES]]
    return "\n".join([f"{api.name}: {api.description[:200]}", *lines])


def _parameter_line(name: str, api: Api) -> str:
    schema = api.properties[name]
    kind = kind_of(schema) + (", required" if name in api.required else "")
    example = (schema.get("examples") or schema.get("enum") or [None])[0]
    example_text = f" Example: {json.dumps(example, ensure_ascii=False)}" if example is not None else ""
    return f"{name} ({kind}): {schema.get('description', '')}.{example_text}".replace("..", ".")[:300]


def _results_line(api: Api) -> str:
    fields = (api.returns.get("properties") or {}).items()
    return ", ".join(f"{name} ({kind_of(schema)})" for name, schema in fields if isinstance(schema, dict)) or "a value"


def build(definition: dict[str, Any], design: Design, nodes: Sequence[Node], documents: tuple[str, ...]) -> Api:
    """An Api from a writer's flat definition. Raises ValueError where an example is empty."""
    parameters: dict[str, Any] = {}
    for item in definition["parameters"]:
        parameters[item["name"]] = property_of(item)
    returns = {item["name"]: property_of(item) for item in definition["returns"]}
    required = [item["name"] for item in definition["parameters"] if item["required"]] or list(parameters)[:1]
    looked_up = next(
        (name for name in required if "enum" not in parameters[name] and parameters[name]["type"] == "string"), ""
    )
    return Api(
        name=definition["name"],
        description=whole(definition["description"], MAX_DESCRIPTION),
        parameters=object_schema(parameters, list(dict.fromkeys(required))),
        returns=object_schema(returns, list(returns)),
        # What every service answers to a value that it does not know; dialogs of error recovery need it.
        errors=(ApiError(code="not_found", message=f"The {looked_up.replace('_', ' ')} is not known."),)
        if looked_up
        else (),
        side_effects=definition["changes_state"],
        domain=design.subtree.domain,
        functionalities=tuple(node.id for node in nodes),
        lineage=Lineage(documents=documents),
        example_arguments={name: schema["examples"][0] for name, schema in parameters.items()},
        example_return={name: schema["examples"][0] for name, schema in returns.items()},
    )
