"""Adaptation and evolution: which functionalities an API is to have, and its definition written by a model.

Invariants: the plan depends on the tree and the seed alone; no two planned APIs have the same set of functionalities;
a definition that is returned passed the gate.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.limits import load_json
from toolace_ray.prompts import prompt
from toolace_ray.schema import Api, Lineage, Verdict
from toolace_ray.tss import gate
from toolace_ray.tss.speciation import Node, paths

MAX_EXCERPT = 700
_IDENTIFIER = {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,30}$"}
_SENTENCE = {"type": "string", "minLength": 8, "maxLength": 90}
_EXAMPLE = {"type": "string", "minLength": 1, "maxLength": 30}
_ANY_NUMBER = {"type": "integer", "minimum": 0, "maximum": 99999}


def _variant(kind: str, example: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One parameter or result of a type: the type decides what its example looks like."""
    fields = {"name": _IDENTIFIER, "description": _SENTENCE, "type": {"const": kind}, **more, "example": example}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _variants(**more: Any) -> dict[str, Any]:
    bounds = {"minimum": _ANY_NUMBER, "maximum": _ANY_NUMBER} if more else {}
    options = {"options": {"type": "array", "maxItems": 6, "items": _EXAMPLE}} if more else {}
    return {
        "anyOf": [
            _variant("string", _EXAMPLE, **more, **options),
            _variant("integer", _ANY_NUMBER, **more, **bounds),
            _variant("number", {"type": "number"}, **more, **bounds),
            _variant("boolean", {"type": "boolean"}, **more),
        ]
    }


DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": _IDENTIFIER,
        "description": {"type": "string", "minLength": 12, "maxLength": 140},
        "parameters": {"type": "array", "minItems": 1, "maxItems": 5, "items": _variants(required={"type": "boolean"})},
        "returns": {"type": "array", "minItems": 1, "maxItems": 4, "items": _variants()},
        "changes_state": {"type": "boolean"},
    },
    "required": ["name", "description", "parameters", "returns", "changes_state"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Subtree:
    """What one API is to be made of: functionality nodes of one topic. Their number is the diversity level."""

    domain: tuple[str, ...]
    nodes: tuple[Node, ...]


def plan(nodes: Sequence[Node], seed: int) -> Iterator[Subtree]:
    """Subtrees in the order they are tried: every functionality alone once, then pairs, then triples of a topic."""
    names = paths(nodes)
    topics: dict[str | None, list[Node]] = {}
    for node in nodes:
        if node.kind == "functionality" and not node.apis:
            topics.setdefault(node.parent, []).append(node)
    for level in (1, 2, 3):
        sets = [
            Subtree(names[group[0].id][:-1], group)
            for members in topics.values()
            for group in itertools.combinations(members, level)
        ]
        random.Random(f"{seed}/subtrees/{level}").shuffle(sets)
        yield from sets


def excerpt(text: str, subtree: Subtree) -> str:
    """The paragraphs of a document that share most words with the subtree, in their order, up to MAX_EXCERPT characters."""
    wanted = {
        word[:5] for node in subtree.nodes for word in re.findall(r"[a-z]{4,}", f"{node.name} {node.gloss}".lower())
    }
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    scores = [len(wanted & {word[:5] for word in re.findall(r"[a-z]{4,}", part.lower())}) for part in parts]
    kept: list[int] = []
    room = MAX_EXCERPT
    for index in sorted(range(len(parts)), key=lambda i: (-scores[i], i)):
        if len(parts[index]) <= room and (scores[index] or not kept):
            kept.append(index)
            room -= len(parts[index])
    return "\n".join(parts[index] for index in sorted(kept)) or text[:MAX_EXCERPT]


async def define(
    subtree: Subtree, documents: Mapping[str, str], seed: int, samples: int, temperature: float, engines: TaskEngines
) -> Api | Verdict:
    """Write an API for a subtree: the first candidate that passes the gate, else the gate's verdict on the last one.

    Args:
        documents: document id -> text.

    Raises:
        EngineError: the writer could not be asked.
    """
    sources = sorted({document for node in subtree.nodes for document in node.documents})
    request = GenerateRequest(
        messages=prompt("define").render(
            domain=" > ".join(subtree.domain),
            functionalities=subtree.nodes,
            text=excerpt("\n\n".join(documents[source] for source in sources if source in documents), subtree),
        ),
        n=samples,
        max_tokens=700,
        temperature=temperature,
        seed=seed,
        json_schema=DEFINITION_SCHEMA,
    )
    answer = await engines.generate("writer", request)
    verdict = Verdict(stage="gate", rule="definition", evidence="no candidate")
    for sample in answer.samples:
        try:
            api = build(load_json(sample.text), subtree, tuple(sources))
        except (ValueError, KeyError, TypeError) as error:
            verdict = Verdict(stage="gate", rule="definition", evidence=f"{error}"[:300])
            continue
        found = gate.check(api)
        if not found:
            return api
        verdict = found[0]
    return verdict


def build(definition: dict[str, Any], subtree: Subtree, documents: tuple[str, ...]) -> Api:
    """An Api from a writer's flat definition. Raises ValueError where an example is empty."""
    parameters: dict[str, Any] = {}
    for item in definition["parameters"]:
        parameters[item["name"]] = _property(item)
    returns = {item["name"]: _property(item) for item in definition["returns"]}
    required = [item["name"] for item in definition["parameters"] if item["required"]] or list(parameters)[:1]
    return Api(
        name=definition["name"],
        description=definition["description"].strip(),
        parameters=_object(parameters, list(dict.fromkeys(required))),
        returns=_object(returns, list(returns)),
        side_effects=definition["changes_state"],
        domain=subtree.domain,
        functionalities=tuple(node.id for node in subtree.nodes),
        lineage=Lineage(documents=documents),
        example_arguments={name: schema["examples"][0] for name, schema in parameters.items()},
        example_return={name: schema["examples"][0] for name, schema in returns.items()},
    )


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _property(item: dict[str, Any]) -> dict[str, Any]:
    kind, value = item["type"], item["example"]
    if isinstance(value, str) and not (value := value.strip()):
        raise ValueError(f"the example of {item['name']} is empty")
    schema: dict[str, Any] = {"type": kind, "description": item["description"].strip()}
    low, high = item.get("minimum", 0), item.get("maximum", 0)
    if low < high and low <= value <= high:  # writers that have no bounds to give write two equal ones
        schema |= {"minimum": low, "maximum": high}
    options = list(dict.fromkeys(option.strip() for option in item.get("options", ()) if option.strip()))
    if len(options) > 1:
        schema["enum"] = options
        value = value if value in options else options[0]
    return {**schema, "examples": [value]}
