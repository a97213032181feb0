"""The report of a run: one self-contained HTML page, without scripts; all that models and documents wrote is escaped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2

from toolace_ray.corpus import figures
from toolace_ray.records.api import Api
from toolace_ray.records.json import digest
from toolace_ray.tss.intake import Intake, short_names
from toolace_ray.tss.speciation import Node
from toolace_ray.tss.statistics import PoolStatistics, tree_counts

MOST_DOMAINS = 300  # of the tree that the page unfolds
MOST_BELOW = 60  # children of one node that it unfolds
EXAMPLES = 12
OPEN_SOURCES, MOST_SOURCES = 20, 2000  # that the page shows at once, and that it holds at all
MOST_NOTES = 12  # kinds of notes of one source


def render(
    title: str,
    run: str,
    simulated: bool,
    pool: PoolStatistics,
    distances: Sequence[float],
    nodes: Sequence[Node],
    examples: Sequence[Api],
    intakes: Sequence[Intake] = (),
) -> str:
    """The page. `distances` are those of `tss.statistics.distances`."""
    counts = tree_counts(nodes)
    tried = pool.apis + pool.rejected.total()
    median = sorted(distances)[len(distances) // 2] if distances else None
    facts = [
        ("APIs", f"{pool.apis:,}"),
        *((f"of them {source}", f"{count:,}") for source, count in pool.sources.most_common()),
        ("domains", f"{len(pool.domains):,}"),
        ("with nested parameters", _share(pool.nested, pool.apis)),
        ("with constrained parameters", _share(pool.constrained, pool.apis)),
        ("passed of all tried", _share(pool.apis, tried)),
        ("duplicates of those that passed the gate", f"{100 * pool.duplicate_rate:.1f} %"),
        ("indicators applied / dropped", f"{pool.applied.total():,} / {pool.dropped.total():,}"),
    ]
    if median is not None:
        facts.append(("median distance to the nearest API (Jaccard)", f"{median:.2f}"))
    charts = [
        figures.bars("APIs by domain", pool.domains),
        figures.bars("Parameters of an API", pool.parameters, ordered=True),
        figures.bars("Types of parameters", pool.types),
        figures.bars("APIs with a constraint of a kind", pool.constraints),
        figures.bars("Complexity (bin of the example buffer)", pool.bins, ordered=True),
    ]
    if pool.levels:
        charts.append(figures.bars("Functionalities of an API (diversity level)", pool.levels, ordered=True))
        charts.append(figures.bars("Indicators", pool.applied, other=pool.dropped, name="applied|dropped"))
    if len(pool.generations) > 1:
        charts.append(figures.bars("APIs by generation", pool.generations, ordered=True))
    if distances:
        charts.append(figures.histogram("Distance to the nearest API", distances, "estimated Jaccard distance"))
    if nodes:
        charts.append(figures.bars("Nodes by level of the tree", figures.depth_of(nodes), ordered=True))
    tree = _branches(nodes)
    rejected = [(rule, f"{count:,}", f"{100 * count / tried:.1f} %") for rule, count in pool.rejected.most_common()]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    page = environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    return page.render(
        title=title,
        run=run,
        simulated=simulated,
        facts=facts,
        figures=charts,
        sources=_sources(intakes),
        rejected=rejected,
        tree_facts=f"{counts['nodes']:,} nodes: {counts['domain']:,} domains, {counts['topic']:,} topics, "
        f"{counts['functionality']:,} functionalities, of which {counts['leaves']:,} have no parts",
        tree_figure=figures.tree(nodes) if nodes else "",
        tree=tree[:MOST_DOMAINS],
        left_out=max(len(tree) - MOST_DOMAINS, 0),
        examples=[
            (f"{api.name} ({' > '.join(api.domain)})", json.dumps(api.model_dump(), indent=1, ensure_ascii=False))
            for api in examples
        ],
    )


def _sources(intakes: Sequence[Intake]) -> dict[str, Any]:
    """The table of the sources: the rows that are shown at once, those that are folded, and why all that was refused was."""
    rows = [
        {
            "name": name,
            "whole_name": item.source,
            "kind": item.kind or "-",
            "counts": [item.met, item.apis, item.pruned, item.noted, item.refused.total()],
            "seconds": "-" if item.seconds is None else f"{item.seconds:,.1f}",
            "told": [
                *_reasons(item),
                *((f"noted {number:,} x {kind}", "") for kind, number in item.notes.most_common(MOST_NOTES)),
            ],
        }
        for item, name in zip(intakes[:MOST_SOURCES], short_names(intakes), strict=False)
    ]
    refused = sum((item.refused for item in intakes), Counter[str]())
    return {
        "number": len(intakes),
        "open": rows[:OPEN_SOURCES],
        "folded": rows[OPEN_SOURCES:],
        "left_out": len(intakes) - len(rows),
        "met": sum(item.met for item in intakes),
        "total": refused.total(),
        "refused": refused.most_common(),
    }


def _reasons(item: Intake) -> Iterator[tuple[str, str]]:
    """Each reason why something of a source was refused, and an example of what was; of one alone it is the reason."""
    for why, count in item.refused.most_common():
        example = item.examples[why]
        yield (f"refused {count:,} x {why}", example) if count > 1 else (f"refused 1 x {example}", "")


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f} %)" if whole else "0"


def _branches(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """The tree as nested branches, each with its number of leaves, sorted by name."""
    children: dict[str | None, list[Node]] = {}
    for node in sorted(nodes, key=lambda node: node.name.lower()):
        children.setdefault(node.parent, []).append(node)

    def branch(node: Node) -> dict[str, Any]:
        below = [branch(item) for item in children.get(node.id, ())]
        leaves = sum(item["leaves"] for item in below) or 1
        unfolded, folded = below[:MOST_BELOW], below[MOST_BELOW:]
        if folded:
            more = {"name": f"and {len(folded):,} more", "gloss": "", "apis": (), "below": [], "leaves": 0}
            unfolded = [*unfolded, more]
        return {"name": node.name, "gloss": node.gloss, "apis": node.apis, "below": unfolded, "leaves": leaves}

    return [branch(node) for node in children.get(None, ())]


class ApiReservoir:
    """Some APIs of a stream, those whose hash with the seed is the lowest: the same ones in whatever order they come."""

    def __init__(self, seed: int, size: int = EXAMPLES) -> None:
        self._seed, self._size = seed, size
        self._chosen: list[tuple[str, Api]] = []

    def take(self, api: Api) -> None:
        """Consider one more API of the stream."""
        rank = digest(str(self._seed), api.id)
        if len(self._chosen) < self._size or rank < self._chosen[-1][0]:
            self._chosen = sorted([*self._chosen, (rank, api)], key=lambda item: item[0])[: self._size]

    @property
    def chosen(self) -> list[Api]:
        """The APIs chosen so far, `size` at most, in the order of their hashes."""
        return [api for _, api in self._chosen]
