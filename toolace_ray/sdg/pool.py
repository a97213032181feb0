"""The API pool as planning needs it: shelves by what an API is good for, the tool graph, and neighbours for distractors.

Invariants: made once a process in time linear in the pool's size; every draw afterwards costs the same however large
the pool is; the order of the APIs given does not matter.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from toolace_ray.records.api import Api, ApiError

MAX_SPOKEN = 5  # values that one request can carry and still sound like a person
MAX_SHORT = 3  # values of a call that is asked for together with another one
LONGEST_CHAIN = 5
MOST_EDGES = 64  # producers looked at for one parameter, and neighbours for one API
SIMILAR = 0.6  # Jaccard similarity of two names' words from which a result feeds a parameter
_IDENTIFYING = {"id", "code", "number", "reference", "key"}
_VALUE_ERROR = re.compile(
    r"\b(400|404|410|422)\b|not.?found|unknown|invalid|not (known|available|valid)|no (such|free)|not exist"
)
_COMMON = {
    "name", "level", "type", "kind", "status", "state", "category", "date", "time", "day", "month", "year", "title", "text",
    "description", "unit", "message", "value", "amount", "count", "size", "format", "language", "mode", "note",
}  # fmt: skip
_BARE = {"id", "name", "number", "code", "the"}  # words that tell nothing of what they name
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
VERBS = {
    "get", "find", "list", "search", "create", "add", "set", "update", "delete", "remove", "book", "check", "show", "make",
    "read", "fetch", "look", "lookup", "cancel", "reserve", "send", "start", "stop", "open", "close", "post", "put",
}  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """Of the tool graph: the returned `field` of `source` feeds the required parameter `name` of `target`."""

    source: Api
    target: Api
    field: str
    name: str


Shelf = Mapping[str, tuple[Api, ...]]  # domain -> APIs


@lru_cache(maxsize=1 << 17)
def words(name: str) -> frozenset[str]:
    """The words of an identifier in lower case, without a plural s: bookingIds and booking_id are the same."""
    lowered = (word.lower() for word in _WORD.findall(name))
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word for word in lowered
    )


def domain(api: Api) -> str:
    """The root of the API's domain path, lower case."""
    return api.domain[0].lower() if api.domain else ""


def topic(api: Api) -> str:
    """The first two levels of the API's domain path, lower case: the subtree it hangs in."""
    return " > ".join(api.domain[:2]).lower()


def spoken(api: Api) -> int:
    """How many values a request for this API states at least: its required parameters, those of type object by their fields."""
    return sum(
        len(schema.get("properties") or ()) or 1
        for name in api.required
        if isinstance(schema := api.properties.get(name), dict)
    )


@lru_cache(maxsize=1 << 16)
def identifying(name: str) -> bool:
    """True for parameters such as flight_id or order_number, which people do not know by heart."""
    name_words = _WORD.findall(name)
    return bool(name_words) and name_words[-1].lower() in _IDENTIFYING


def askable(api: Api) -> list[str]:
    """The required parameters that a person may forget to say: no booleans, no identifiers, nothing nested."""
    return [
        name
        for name in api.required
        if api.properties[name].get("type") in ("string", "integer", "number") and not identifying(name)
    ]


def variable(api: Api) -> list[str]:
    """The askable parameters (see there) that can have two values: those without an enum, or with one of two or more."""
    return [name for name in askable(api) if len(api.properties[name].get("enum") or (1, 2)) > 1]


def nested(api: Api) -> bool:
    """True where a required parameter is an array or an object."""
    return any(api.properties[name].get("type") in ("array", "object") for name in api.required)


def corrections(api: Api) -> list[tuple[str, ApiError]]:
    """(required parameter, documented error that tells of its value): another value may be right.

    The error must be of a kind that a value causes, and its message must name the parameter.
    """
    pairs = []
    for error in api.errors:
        if not _VALUE_ERROR.search(f"{error.code} {error.message}".lower()):
            continue
        message_words = words(error.message)
        for name in api.required:
            if api.properties[name].get("type") in ("string", "integer", "number") and message_words & (
                words(name) - _BARE
            ):
                pairs.append((name, error))
    return pairs


def listings(api: Api) -> list[str]:
    """The returned fields that may be an empty list; the name "" for a result that is one itself."""
    if api.returns.get("type") == "array":
        return [] if api.returns.get("minItems") else [""]
    properties = api.returns.get("properties") or {}
    return [
        name
        for name, schema in properties.items()
        if isinstance(schema, dict) and schema.get("type") == "array" and not schema.get("minItems")
    ]


NEEDS: dict[str, Callable[[Api], bool]] = {
    "plain": lambda api: True,
    "short": lambda api: spoken(api) <= MAX_SHORT,
    "nested": nested,
    "errors": lambda api: bool(api.errors),
    "askable": lambda api: bool(askable(api)),
    "variable": lambda api: bool(variable(api)),
    "short variable": lambda api: spoken(api) <= MAX_SHORT and bool(variable(api)),
    "correctable": lambda api: bool(corrections(api)),
    "listing": lambda api: bool(listings(api)),
}
"""Need of an intent -> the test that an API must pass; shelves hold APIs with 1 to MAX_SPOKEN required values alone."""


@dataclass(frozen=True)
class Pool:
    """The pool with its indexes.

    Attributes:
        shelves: need (see NEEDS) -> domain -> APIs.
        pairs: domains in which two short APIs of different names are.
        topics: the first two levels of the domain path -> APIs.
        edges: id of an API -> edges of the tool graph that leave it.
        starts: calls in a chain -> domain -> APIs that may begin one.
        reach: id of an API -> calls in the longest chain that begins with it, at most LONGEST_CHAIN.
        alike: word of a name -> APIs.
    """

    apis: tuple[Api, ...]
    domains: dict[str, tuple[Api, ...]]
    topics: dict[str, tuple[Api, ...]]
    shelves: dict[str, Shelf]
    pairs: tuple[str, ...]
    edges: dict[str, tuple[Edge, ...]]
    starts: dict[int, dict[str, tuple[Api, ...]]]
    reach: dict[str, int]
    alike: dict[str, tuple[Api, ...]]

    @staticmethod
    def of(apis: Iterable[Api]) -> Pool:
        """Index a pool."""
        ordered = sorted(apis, key=lambda api: api.id)
        sayable = [api for api in ordered if 1 <= spoken(api) <= MAX_SPOKEN]
        shelves: dict[str, Shelf] = {
            need: _grouped((api for api in sayable if fits(api)), domain) for need, fits in NEEDS.items()
        }
        pairs = tuple(key for key, group in shelves["short"].items() if len({api.name for api in group}) > 1)
        edges = _graph(ordered)
        reach = _reach(edges)
        starts = {
            length: _grouped((api for api in sayable if reach.get(api.id, 1) >= length), domain)
            for length in range(2, LONGEST_CHAIN + 1)
        }
        alike: dict[str, list[Api]] = defaultdict(list)
        for api in ordered:
            for word in words(api.name):
                alike[word].append(api)
        return Pool(
            tuple(ordered),
            _grouped(ordered, domain),
            _grouped(ordered, topic),
            shelves,
            tuple(sorted(pairs)),
            edges,
            starts,
            reach,
            {word: tuple(group) for word, group in alike.items()},
        )

    def draw(self, need: str, rng: random.Random, home: str | None = None) -> Api | None:
        """An API from a shelf, its domain drawn first (or `home`), so that a large imported spec does not drown the rest.

        None where the shelf, or its part in `home`, is empty.
        """
        shelf = self.shelves[need]
        group = shelf.get(home, ()) if home is not None else shelf[rng.choice(list(shelf))] if shelf else ()
        return rng.choice(group) if group else None

    def chain(self, length: int, rng: random.Random) -> list[Edge] | None:
        """The edges of a chain of `length` calls, each fed by the one before; None where no walk found one."""
        starts = self.starts.get(length) or {}
        for _ in range(16 if starts else 0):
            first = rng.choice(starts[rng.choice(list(starts))])  # a domain first, here too
            if (walk := self._walk(first, length, rng)) is not None:
                return walk
        return None

    def _walk(self, first: Api, length: int, rng: random.Random) -> list[Edge] | None:
        walk: list[Edge] = []
        last, seen = first, {first.name}
        value_count = spoken(first)
        while len(walk) < length - 1:
            left = length - 1 - len(walk)
            open_edges = [
                edge
                for edge in self.edges.get(last.id, ())
                if edge.target.name not in seen
                and self.reach.get(edge.target.id, 1) >= left
                and value_count + spoken(edge.target) - 1 <= MAX_SPOKEN + length - 2
            ]
            if not open_edges:
                return None
            edge = rng.choice(open_edges)
            walk.append(edge)
            last = edge.target
            seen.add(last.name)
            value_count += spoken(last) - 1
        return walk

    def neighbours(self, api: Api, rng: random.Random) -> list[Api]:
        """APIs whose names share a rare word with this one's, nearest first by the words of name and description."""
        words_by_rarity = sorted((len(self.alike.get(word, ())), word) for word in words(api.name) - VERBS)
        own_words = _described(api)
        near: dict[str, Api] = {}
        for size, word in words_by_rarity:
            group = self.alike.get(word, ())
            for other in group if size <= MOST_EDGES else rng.sample(group, MOST_EDGES):
                if other.name != api.name:
                    near.setdefault(other.id, other)
            if len(near) >= MOST_EDGES:
                break
        return sorted(near.values(), key=lambda other: (-_jaccard(own_words, _described(other)), other.id))


def _grouped(apis: Iterable[Api], key: Callable[[Api], str]) -> dict[str, tuple[Api, ...]]:
    groups: dict[str, list[Api]] = defaultdict(list)
    for api in apis:
        groups[key(api)].append(api)
    return {name: tuple(groups[name]) for name in sorted(groups)}


def _described(api: Api) -> frozenset[str]:
    return words(f"{api.name} {api.description}")


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right) if left and right else 0.0


# The tool graph ----------------------------------------------------------------------------------------------------


def _returned(api: Api) -> Iterator[tuple[str, frozenset[str], str]]:
    """(field, its words, type) of what an API always returns and was not told by its caller.

    A field called just `id` is the id of what the API's name speaks of.
    """
    for name in api.returns.get("required") or ():
        schema = (api.returns.get("properties") or {}).get(name)
        if name in api.properties or not isinstance(schema, dict) or schema.get("enum"):
            continue
        field_words = words(name)
        if len(field_words) == 1 and identifying(name):
            field_words |= words(api.name) - VERBS
        yield name, field_words, str(schema.get("type"))


_Producer = tuple[Api, str, frozenset[str], str]  # the API, its returned field, the field's words, the API's domain


def _graph(apis: Sequence[Api]) -> dict[str, tuple[Edge, ...]]:
    """The tool graph (method.md section 2): a returned field feeds a required parameter of the same type and a similar name.

    Identifiers feed parameters with similar words (booking_id of a booking's `id`); other values, such as an address,
    feed parameters of the same name in the same domain. A bare name such as `code` connects within its domain alone.
    """
    # Identifiers by each of their words and their type; other values by all their words, their type and domain.
    id_producers: dict[tuple[str, str], list[_Producer]] = defaultdict(list)
    value_producers: dict[tuple[frozenset[str], str, str], list[_Producer]] = defaultdict(list)
    for api in apis:
        home = domain(api)
        for name, field_words, kind in _returned(api):
            if identifying(name):
                for word in field_words:
                    id_producers[word, kind].append((api, name, field_words, home))
            elif not field_words <= _COMMON:
                value_producers[field_words, kind, home].append((api, name, field_words, home))
    edges: dict[str, list[Edge]] = defaultdict(list)
    for target in apis:
        if spoken(target) > MAX_SPOKEN:
            continue
        home = domain(target)
        for name in target.required:
            schema = target.properties.get(name)
            if not isinstance(schema, dict) or schema.get("enum") or schema.get("type") not in ("string", "integer"):
                continue
            parameter_words, kind = words(name), str(schema["type"])
            if identifying(name):
                groups = [
                    (len(id_producers[word, kind]), word) for word in parameter_words if (word, kind) in id_producers
                ]
                group = id_producers[min(groups)[1], kind] if groups else []
            else:
                group = value_producers.get((parameter_words, kind, home), [])
            if len(group) > MOST_EDGES:
                group = random.Random(f"edges/{target.id}/{name}").sample(group, MOST_EDGES)
            for source, field, field_words, origin in group:
                same = field_words == parameter_words and len(parameter_words) > 1
                similar = _jaccard(field_words, parameter_words) >= SIMILAR
                if similar and (origin == home or same) and source.name != target.name:
                    edges[source.id].append(Edge(source, target, field, name))
    return {
        source: tuple(
            random.Random(f"out/{source}").sample(leaving, MOST_EDGES) if len(leaving) > MOST_EDGES else leaving
        )
        for source, leaving in edges.items()
    }


def _reach(edges: Mapping[str, Sequence[Edge]]) -> dict[str, int]:
    reach: dict[str, int] = {}
    for length in range(2, LONGEST_CHAIN + 1):
        reach |= {
            source: length
            for source, leaving in edges.items()
            if length == 2 or any(reach.get(edge.target.id, 1) == length - 1 for edge in leaving)
        }
    return reach
