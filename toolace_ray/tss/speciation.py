"""Speciation: a document becomes a domain and its functionalities; all together become the API context tree.

Invariant: the tree depends on the set of extractions alone, not on their order.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.limits import load_json
from toolace_ray.prompts import prompt
from toolace_ray.schema import Api, Record, digest
from toolace_ray.tss.sources import Document

MAX_FUNCTIONALITIES = 6
SAME_DOMAIN = 0.88  # difflib ratio from which two domain names are one ("Parcel tracking", "Parcels tracking")
MAX_GLOSS = 100
_NOTHING = {"", "none", "other", "unknown", "n/a"}
_FIELDS = {
    "",
    "domain",
    "topic",
    "functionalities",
    "functionality",
    "name",
    "gloss",
}  # a weak model lists its own form
_NAME = {"type": "string", "minLength": 3, "maxLength": 40}
EXTRACTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "domain": _NAME,
        "topic": _NAME,
        "functionalities": {
            "type": "array",
            "maxItems": MAX_FUNCTIONALITIES,
            "items": {
                "type": "object",
                "properties": {"name": _NAME, "gloss": {"type": "string", "minLength": 5, "maxLength": MAX_GLOSS}},
                "required": ["name", "gloss"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["domain", "topic", "functionalities"],
    "additionalProperties": False,
}


class Functionality(Record):
    """One thing a program could ask for: a verb phrase and a one-line gloss."""

    name: str
    gloss: str


class Extraction(Record):
    """What was read out of one document; no functionalities for a document that is about no API."""

    document: str
    path: str
    domain: str
    topic: str
    functionalities: tuple[Functionality, ...]


class Node(Record):
    """A node of the context tree. `kind` is domain, topic or functionality; `documents` are the ids it stems from."""

    id: str
    parent: str | None
    kind: str
    name: str
    gloss: str = ""
    documents: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()


async def speciate(document: Document, seed: int, engines: TaskEngines) -> Extraction:
    """Read a document's domain, topic and functionalities. Raises EngineError, or ValueError for an unreadable answer."""
    request = GenerateRequest(
        messages=prompt("speciate").render(text=document.text),
        max_tokens=400,
        temperature=0.2,
        seed=seed,
        json_schema=EXTRACTION_SCHEMA,
    )
    answer = await engines.generate("writer", request)
    found = load_json(answer.samples[0].text)
    unique: dict[str, Functionality] = {}
    for item in found["functionalities"]:
        name, gloss = _tidy(item["name"]).replace("_", " "), _tidy(item["gloss"])
        if len(item["gloss"]) >= MAX_GLOSS:  # cut by the decoder: drop the word it was cut in
            gloss = gloss.rpartition(" ")[0]
        if gloss and name.lower() not in _FIELDS:
            unique.setdefault(name.lower(), Functionality(name=name, gloss=gloss))
    topic = _tidy(found["topic"]).replace("_", " ").capitalize()
    domain = _tidy(found["domain"]).replace("_", " ").capitalize()
    topic = next((name for name in (topic, domain) if name.lower() not in _NOTHING), "Other")
    return Extraction(
        document=document.id,
        path=document.path,
        domain=topic if domain.lower() in _NOTHING else domain,
        topic=topic,
        functionalities=tuple(unique.values()),
    )


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip(" .,;:\"'")


def grow(extractions: Iterable[Extraction], apis: Iterable[Api]) -> list[Node]:
    """The context tree of all extractions and imported APIs, near-duplicate domains and topics merged."""
    nodes: dict[str, Node] = {}
    canonical: dict[str | None, list[tuple[str, str]]] = {}

    def node(kind: str, name: str, parent: str | None, gloss: str, document: str, api: str | None = None) -> str:
        node_id = ""
        if kind != "functionality":
            siblings = canonical.setdefault(parent, [])
            for key, known in siblings:
                if difflib.SequenceMatcher(None, name.lower(), key).ratio() >= SAME_DOMAIN:
                    node_id = known
                    break
            else:
                node_id = digest(parent or "", name.lower(), length=12)
                siblings.append((name.lower(), node_id))
        else:
            node_id = digest(parent or "", name.lower(), length=12)
        old = nodes.get(node_id) or Node(id=node_id, parent=parent, kind=kind, name=name, gloss=gloss)
        documents = tuple(sorted({*old.documents, document}))
        linked = tuple(sorted({*old.apis, api})) if api else old.apis
        nodes[node_id] = old.model_copy(update={"documents": documents, "apis": linked})
        return node_id

    for item in sorted(extractions, key=lambda item: item.document):
        if item.functionalities:
            domain = node("domain", item.domain, None, "", item.document)
            topic = node("topic", item.topic, domain, "", item.document)
            for functionality in item.functionalities:
                node("functionality", functionality.name, topic, functionality.gloss, item.document)
    for api in sorted(apis, key=lambda api: api.id):
        parent: str | None = None
        document = api.lineage.documents[0] if api.lineage.documents else ""
        for depth, name in enumerate(api.domain[:2]):
            parent = node("topic" if depth else "domain", name, parent, "", document)
        node("functionality", api.name.replace("_", " "), parent, api.description[:100], document, api.id)
    return sorted(nodes.values(), key=lambda node: (node.kind, node.id))


def paths(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """Node id -> names from the root down to it."""
    by_id = {node.id: node for node in nodes}

    def path(node: Node) -> tuple[str, ...]:
        return (*path(by_id[node.parent]), node.name) if node.parent in by_id else (node.name,)

    return {node.id: path(node) for node in by_id.values()}
