"""Speciation: a document becomes a domain and its functionalities, these are divided until they are atomic, and all
together become the API context tree (paper section 2.1, speciation).

Invariants: the tree depends on what was read, in the order of the attempts, alone; a node that is there never goes or
changes its id, so the tree grows with its documents.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

from rapidfuzz import fuzz, process

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api
from toolace_ray.records.base import Record
from toolace_ray.records.json import digest, load_json
from toolace_ray.tss.readers import Document

MAX_FUNCTIONALITIES = 6
MAX_PARTS, MAX_SIBLINGS = 4, 8
SAME_NAME = (
    88  # similarity in percent (rapidfuzz ratio) from which two names are one ("Cinema booking", "Cinemas boking")
)
_EMPTY_WORDS = {"and", "the", "of", "for", "a", "an", "service", "services", "system", "systems", "management", "app"}
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


DIVISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "parts": {**EXTRACTION_SCHEMA["properties"]["functionalities"], "maxItems": MAX_PARTS},
    },
    "required": ["parts"],
    "additionalProperties": False,
}
NodeKind = Literal["domain", "topic", "functionality"]


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


class Division(Record):
    """A functionality that is to be divided: `path` leads to it from its domain."""

    node: str
    path: tuple[str, ...]
    gloss: str
    siblings: tuple[str, ...]


class Parts(Record):
    """What a functionality was divided into; no parts for an atomic one."""

    node: str
    parts: tuple[Functionality, ...]


class Node(Record):
    """A node of the context tree; `documents` are the ids of the documents it stems from."""

    id: str
    parent: str | None
    kind: NodeKind
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
    extracted = load_json(answer.samples[0].text)
    unique: dict[str, Functionality] = {}
    for item in extracted["functionalities"]:
        name, gloss = _tidy(item["name"]).replace("_", " "), _tidy(item["gloss"])
        if len(item["gloss"]) >= MAX_GLOSS:  # cut by the decoder: drop the word it was cut in
            gloss = gloss.rpartition(" ")[0]
        if gloss and name.lower() not in _FIELDS:
            unique.setdefault(name.lower(), Functionality(name=name, gloss=gloss))
    topic = _tidy(extracted["topic"]).replace("_", " ").capitalize()
    domain = _tidy(extracted["domain"]).replace("_", " ").capitalize()
    topic = next((name for name in (topic, domain) if name.lower() not in _NOTHING), "Other")
    return Extraction(
        document=document.id,
        path=document.path,
        domain=topic if domain.lower() in _NOTHING else domain,
        topic=topic,
        functionalities=tuple(unique.values()),
    )


async def divide(work: Division, seed: int, engines: TaskEngines) -> Parts:
    """The narrower functionalities of one; none when it is atomic. Raises EngineError, or ValueError for a bad answer."""
    request = GenerateRequest(
        messages=prompt("divide").render(
            path=" > ".join(work.path), gloss=work.gloss, siblings=", ".join(work.siblings) or "none"
        ),
        max_tokens=250,
        temperature=0.4,
        seed=seed,
        json_schema=DIVISION_SCHEMA,
    )
    answer = await engines.generate("writer", request)
    divided = load_json(answer.samples[0].text)
    taken = [canonical(name) for name in (*work.path, *work.siblings)]
    parts: list[Functionality] = []
    for item in divided["parts"]:
        name, gloss = _tidy(item["name"]).replace("_", " "), _tidy(item["gloss"])
        word = canonical(name)
        if not gloss or len(name.split()) < 2 or prompt("divide").shares(gloss) or _nearest(word, taken) is not None:
            continue  # what repeats its parent, a sibling or another part is no part
        taken.append(word)
        parts.append(Functionality(name=name, gloss=gloss))
    return Parts(node=work.node, parts=tuple(parts) if len(parts) > 1 else ())  # one part is the whole


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip(" .,;:\"'")


@lru_cache(maxsize=1 << 16)
def canonical(name: str) -> str:
    """A name as it is compared: lower case, singular, without words that say nothing about what it is."""
    words = re.findall(r"[^\W_]+", name.lower())
    meaningful = [word for word in words if word not in _EMPTY_WORDS] or words
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
        for word in meaningful
    )


def _nearest(word: str, names: Sequence[str]) -> int | None:
    """Index of the known name that is (nearly) the same; None when there is none."""
    match = process.extractOne(word, names, scorer=fuzz.ratio, score_cutoff=SAME_NAME)
    return None if match is None else int(match[2])


class _Names:
    """The canonical names below each parent: a name that is nearly one of them is that one."""

    def __init__(self) -> None:
        self._ids: dict[str | None, dict[str, str]] = {}

    def find(self, parent: str | None, name: str, fuzzy: bool) -> str | None:
        """The node that a name stands for."""
        ids = self._ids.get(parent, {})
        word = canonical(name)
        if word in ids or not fuzzy:
            return ids.get(word)
        index = _nearest(word, list(ids))
        node = None if index is None else list(ids.values())[index]
        if node is not None:
            ids[word] = node  # the next one of this spelling is found at once
        return node

    def add(self, parent: str | None, name: str, node: str) -> None:
        """Make a name known."""
        self._ids.setdefault(parent, {})[canonical(name)] = node


def grow(
    before: Iterable[Node], extractions: Iterable[Extraction], divisions: Iterable[Parts], apis: Iterable[Api]
) -> list[Node]:
    """The context tree with what was read since: near-duplicate domains and topics are merged into the ones there are.

    Nodes of `before` stay what they are (they may gain documents and APIs), so whatever refers to them stays right.
    What comes first names a domain: extractions and divisions are to be given in the order of their attempts.
    """
    nodes = {node.id: node for node in before}
    documents_of = {node.id: set(node.documents) for node in nodes.values()}
    apis_of = {node.id: set(node.apis) for node in nodes.values()}
    names = _Names()
    for node in nodes.values():
        names.add(node.parent, node.name, node.id)

    def put(kind: NodeKind, name: str, parent: str | None, gloss: str, documents: Iterable[str], api: str = "") -> str:
        node_id = names.find(parent, name, kind != "functionality") or digest(parent or "", canonical(name), length=12)
        if node_id not in nodes:
            nodes[node_id] = Node(id=node_id, parent=parent, kind=kind, name=name, gloss=gloss)
            documents_of[node_id], apis_of[node_id] = set(), set()
            names.add(parent, name, node_id)
        documents_of[node_id].update(filter(None, documents))
        if api:
            apis_of[node_id].add(api)
        return node_id

    for item in extractions:
        if item.functionalities:
            domain = put("domain", item.domain, None, "", (item.document,))
            topic = put("topic", item.topic, domain, "", (item.document,))
            for functionality in item.functionalities:
                put("functionality", functionality.name, topic, functionality.gloss, (item.document,))
    for division in divisions:
        for part in division.parts:
            put("functionality", part.name, division.node, part.gloss, documents_of[division.node])
    for api in apis:
        parent: str | None = None
        for depth, name in enumerate(api.domain[:2]):
            parent = put("topic" if depth else "domain", name, parent, "", api.lineage.documents[:1])
        gloss = _tidy(api.description[:MAX_GLOSS])
        put("functionality", api.name.replace("_", " "), parent, gloss, api.lineage.documents[:1], api.id)
    grown = []
    for node in nodes.values():
        references = {"documents": tuple(sorted(documents_of[node.id])), "apis": tuple(sorted(apis_of[node.id]))}
        same = references == {"documents": node.documents, "apis": node.apis}
        grown.append(node if same else node.model_copy(update=references))
    return grown


def to_divide(nodes: Sequence[Node], divided: Collection[str], depth: int, leaves: int) -> list[Division]:
    """The functionalities that may be divided next: unasked leaves above the depth limit, as many as leaves are left.

    Args:
        divided: ids of the nodes that were asked about before.
        depth: levels of the tree at most; domain, topic and functionality are the first three.
        leaves: functionalities without parts that the tree may have at most.
    """
    names = paths(nodes)
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    undivided = [node for node in nodes if node.kind == "functionality" and node.id not in children]
    room = leaves - len(undivided)
    chosen = [node for node in undivided if not node.apis and node.id not in divided and len(names[node.id]) < depth]
    return [
        Division(
            node=node.id,
            path=names[node.id],
            gloss=node.gloss,
            siblings=tuple(other.name for other in children[node.parent][: MAX_SIBLINGS + 1] if other.id != node.id)[
                :MAX_SIBLINGS
            ],
        )
        for node in chosen[: max(room, 0) // (MAX_PARTS - 1)]  # each becomes MAX_PARTS leaves at most
    ]


def paths(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """Node id -> names from the root down to it."""
    by_id = {node.id: node for node in nodes}

    def path(node: Node) -> tuple[str, ...]:
        return (*path(by_id[node.parent]), node.name) if node.parent in by_id else (node.name,)

    return {node.id: path(node) for node in by_id.values()}
