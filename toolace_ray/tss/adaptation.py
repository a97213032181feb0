"""Adaptation: which functionalities each API is to have, and how it is to be enriched (paper section 2.1, adaptation).

Invariants: what is drawn depends on the tree, the seed, the generation and what was used before alone; no two APIs get
the same set of functionalities; a domain's share follows log(1 + its functionalities) and what it had already.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from toolace_ray.records.json import digest
from toolace_ray.tss.speciation import Node, paths

LEVEL_WEIGHTS = (8, 4, 2, 1)  # of one, two, three, four functionalities: the simple ones are the useful ones
MAX_TAKEN = 6  # names that a writer is told are taken
TRIES = 12  # draws of a set in a domain before it counts as a miss
MISSES = 3  # misses in a row after which a domain is taken to be exhausted
SMALL = 12  # functionalities of a domain up to which all its sets are tried before it is given up


@dataclass(frozen=True)
class Subtree:
    """What one API is to be made of: nodes near each other in one domain. Their number is the diversity level.

    `added` is the node that an indicator adds to the others, where one does.
    """

    domain: tuple[str, ...]
    nodes: tuple[str, ...]
    added: str | None = None


@dataclass(frozen=True)
class Design:
    """One attempt: its subtree, the order in which indicators are tried, and how many are to succeed.

    `example` is the index of an example to show; `taken` are names of APIs that have some of these functionalities.
    """

    subtree: Subtree
    indicators: tuple[str, ...]
    steps: int
    example: int | None = None
    taken: tuple[str, ...] = ()

    def claims(self) -> tuple[str, ...]:
        """The node sets that no other API may have: the whole one, and that without the added node."""
        whole = claim(self.subtree.nodes)
        if self.subtree.added is None:
            return (whole,)
        return (whole, claim(node for node in self.subtree.nodes if node != self.subtree.added))


def claim(nodes: Iterable[str]) -> str:
    """A set of nodes as 16 hexadecimal digits."""
    return digest(*sorted(nodes))


@dataclass
class History:
    """What earlier generations used: sets claimed, APIs by domain and by node, indicators that worked and that did not."""

    claimed: set[str] = field(default_factory=set)
    domains: Counter[str] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    worked: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)
    """Node -> names of the APIs that have it."""


class _Domain:
    """The functionalities of one domain, and which of them had the fewest APIs."""

    def __init__(self, name: str, nodes: list[Node], used: Mapping[str, int], rng: random.Random) -> None:
        self.name = name
        self.nodes = nodes
        self.by_parent: dict[str | None, list[Node]] = {}
        for node in nodes:
            self.by_parent.setdefault(node.parent, []).append(node)
        self.queue = [(used.get(node.id, 0), rng.random(), index) for index, node in enumerate(nodes)]
        heapq.heapify(self.queue)
        self.misses = 0


class Adaptation:
    """Draws designs.

    Args:
        nodes: the tree.
        history: what was used before; it is not changed.
        max_level: functionalities of one API at most.
        indicators: ids of the indicators to steer; `functionality_added` needs a node of its own.
        max_steps: indicators applied to one API at most.
        examples: number of the examples that may be shown.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        seed: str,
        history: History,
        max_level: int,
        indicators: Sequence[str],
        max_steps: int,
        examples: int = 0,
    ) -> None:
        self._rng = random.Random(seed)
        self._names = paths(nodes)
        self._claimed = set(history.claimed)
        self._max_level = max_level
        self._max_steps = max_steps
        self._indicators = list(indicators)
        self._applications = Counter({name: history.worked[name] for name in indicators})
        self._rate = {
            name: (history.worked[name] + 2) / (history.worked[name] + history.dropped[name] + 2) for name in indicators
        }
        self._example_count = examples
        self._used_names = history.names
        by_domain: dict[str, list[Node]] = {}
        for node in sorted(nodes, key=lambda node: node.id):
            if node.kind == "functionality" and not node.apis:
                by_domain.setdefault(self._names[node.id][0], []).append(node)
        self._domains = {
            name: _Domain(name, functionalities, history.nodes, self._rng)
            for name, functionalities in by_domain.items()
        }
        self._shares = {name: math.log(1 + len(domain.nodes)) for name, domain in self._domains.items()}
        # D'Hondt's rule: the next API goes where the weight, divided by one more than what is there, is the largest.
        self._heap = [
            (-self._shares[name] / (1 + history.domains[name]), self._rng.random(), name, history.domains[name])
            for name in self._domains
        ]
        heapq.heapify(self._heap)

    def __iter__(self) -> Iterator[Design]:
        """Designs until the tree has no further set of functionalities."""
        while self._heap:
            _, tie, name, count = heapq.heappop(self._heap)
            domain = self._domains[name]
            order, steps = self._indicator_order()
            subtree = self._subtree(domain, "functionality_added" in order[:steps])
            if subtree is None:
                domain.misses += 1
                if domain.misses < MISSES:
                    heapq.heappush(self._heap, (-self._shares[name] / (2 + count), tie, name, count))
                continue
            domain.misses = 0
            if subtree.added is None:
                order = [indicator for indicator in order if indicator != "functionality_added"]
            design = Design(subtree, tuple(order), steps, self._example(), self._taken(subtree))
            self._claimed.update(design.claims())
            self._applications.update(order[:steps])
            heapq.heappush(self._heap, (-self._shares[name] / (2 + count), tie, name, count + 1))
            yield design

    def _indicator_order(self) -> tuple[list[str], int]:
        """Indicators in a random order in which the rare ones, and those that mostly work, tend to come first."""
        # Exponential variates divided by the weights sort as drawing without replacement would (Efraimidis, Spirakis).
        weighed = sorted(
            (self._rng.expovariate(1.0) * (1 + self._applications[name]) / self._rate[name], name)
            for name in self._indicators
        )
        return [name for _, name in weighed], min(self._rng.randint(0, self._max_steps), len(weighed))

    def _subtree(self, domain: _Domain, add: bool) -> Subtree | None:
        for _ in range(TRIES):
            uses, _, index = domain.queue[0]
            anchor = domain.nodes[index]
            levels = LEVEL_WEIGHTS[: min(self._max_level, len(domain.nodes))]
            level = self._rng.choices(range(1, len(levels) + 1), levels)[0]
            if add and len(levels) > 1:
                level = max(level, 2)
            nodes = (anchor, *self._neighbours(domain, anchor, level - 1))
            subtree = self._unclaimed(nodes, add and len(nodes) > 1)
            # The anchor goes to the back whether it worked or not: the next try begins elsewhere.
            heapq.heapreplace(domain.queue, (uses + 1, self._rng.random(), index))
            if subtree is not None:
                return subtree
        return self._remaining(domain) if len(domain.nodes) <= SMALL else None

    def _unclaimed(self, nodes: tuple[Node, ...], add: bool) -> Subtree | None:
        ids = tuple(node.id for node in nodes)
        path = self._names[ids[0]][:-1]
        for subtree in (Subtree(path, ids, ids[-1]), Subtree(path, ids)) if add else (Subtree(path, ids),):
            if not self._claimed.intersection(Design(subtree, (), 0).claims()):
                return subtree
        return None

    def _neighbours(self, domain: _Domain, anchor: Node, count: int) -> list[Node]:
        """Random nodes near the anchor: of its parent first, then of the domain; never one that holds another."""
        chosen: list[Node] = []
        near = [node for node in domain.by_parent[anchor.parent] if node.id != anchor.id]
        for pool in (near, domain.nodes):
            for node in self._rng.sample(pool, min(len(pool), 4 * count)):
                kin = {anchor.id, anchor.parent, *(item.id for item in chosen), *(item.parent for item in chosen)}
                if len(chosen) < count and node.id not in kin and node.parent not in kin - {anchor.parent}:
                    chosen.append(node)
        return chosen

    def _remaining(self, domain: _Domain) -> Subtree | None:
        """The first unclaimed set of a small domain."""
        from itertools import combinations

        for level in range(1, min(self._max_level, len(LEVEL_WEIGHTS), len(domain.nodes)) + 1):
            for nodes in combinations(domain.nodes, level):
                if (subtree := self._unclaimed(nodes, False)) is not None:
                    return subtree
        return None

    def _example(self) -> int | None:
        return self._rng.randrange(self._example_count) if self._example_count else None

    def _taken(self, subtree: Subtree) -> tuple[str, ...]:
        names = [name for node in subtree.nodes for name in self._used_names.get(node, ())]
        return tuple(dict.fromkeys(names))[-MAX_TAKEN:]
