"""Figures of a report as SVG text (matplotlib, without a display)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from toolace_ray.tss.speciation import Node, paths

MOST_BARS = 20
MOST_DOMAINS = 40  # of the tree's picture; the rest are one sector
MIN_DEGREES = 0.25  # thinner sectors can't be seen
COLOUR, SECOND = "#2f6f9f", "#c26a2d"


def bars(
    title: str, counts: Counter[Any], ordered: bool = False, other: Counter[Any] | None = None, name: str = ""
) -> str:
    """A bar chart of the largest counts, or of all in their order (`ordered`, for numbers).

    Args:
        other: a second count over the same keys, drawn beside the first.
        name: what the two counts are, as "first|second".
    """
    keys = (
        sorted({*counts, *(other or ())})
        if ordered
        else [key for key, _ in (counts + (other or Counter())).most_common(MOST_BARS)]
    )
    figure, axes = _axes(title, 5.4, 0.9 + 0.26 * max(len(keys), 3))
    places = range(len(keys))
    height = 0.4 if other is not None else 0.7
    first, _, second = name.partition("|")
    axes.barh(
        [place - (height / 2 if other is not None else 0) for place in places],
        [counts[key] for key in keys],
        height,
        color=COLOUR,
        label=first,
    )
    if other is not None:
        axes.barh(
            [place + height / 2 for place in places], [other[key] for key in keys], height, color=SECOND, label=second
        )
        axes.legend(fontsize=8, frameon=False)
    axes.set_yticks(list(places), [_label(key) for key in keys], fontsize=8)
    axes.invert_yaxis()
    for place, key in zip(places, keys, strict=True):
        if other is None:
            axes.text(counts[key], place, f" {counts[key]:,}", va="center", fontsize=7)
    return _svg(figure)


def histogram(title: str, values: Sequence[float], label: str) -> str:
    """A histogram of values between 0 and 1."""
    figure, axes = _axes(title, 5.4, 2.6)
    axes.hist(values, bins=25, range=(0.0, 1.0), color=COLOUR)
    axes.set_xlabel(label, fontsize=8)
    return _svg(figure)


def tree(nodes: Sequence[Node]) -> str:
    """The context tree as rings: domains inside, topics around them, functionalities outside; width is leaves."""
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    leaves: dict[str, int] = {}

    def weigh(node: Node) -> int:
        leaves[node.id] = sum(weigh(below) for below in children.get(node.id, ())) or 1
        return leaves[node.id]

    roots = sorted(children.get(None, []), key=lambda node: (-weigh(node), node.name))
    figure, axes = _axes("", 8.0, 8.0)
    axes.set_axis_off()
    axes.set_aspect("equal")
    total = sum(leaves[node.id] for node in roots) or 1
    import matplotlib as mpl

    palette = mpl.colormaps["tab20"]

    def ring(siblings: Sequence[Node], depth: int, start: float, colour: Any) -> None:
        for index, node in enumerate(siblings):
            share = 360.0 * leaves[node.id] / total
            if share < MIN_DEGREES:
                start += share
                continue
            shade = palette(index % 20) if depth == 0 else colour
            axes.add_patch(
                mpl.patches.Wedge((0, 0), 0.34 + 0.2 * (depth + 1), start, start + share, width=0.19,
                                  facecolor=shade, edgecolor="white", linewidth=0.4, alpha=1.0 - 0.2 * min(depth, 3))
            )  # fmt: skip
            if share > (5 if depth == 0 else 9):
                _write_name(axes, node.name, 0.34 + 0.2 * depth + 0.1, start + share / 2, 6 if depth else 7)
            below = sorted(children.get(node.id, ()), key=lambda item: (-leaves[item.id], item.name))
            if depth < 3:
                ring(below, depth + 1, start, shade)
            start += share

    ring(roots[:MOST_DOMAINS], 0, 0.0, None)
    axes.text(0, 0, f"{len(roots)} domains\n{total} leaves", ha="center", va="center", fontsize=9)
    axes.set_xlim(-1.2, 1.2)
    axes.set_ylim(-1.2, 1.2)
    return _svg(figure)


def depth_of(nodes: Sequence[Node]) -> Counter[int]:
    """Level -> nodes on it; domains are on level 1."""
    return Counter(len(path) for path in paths(nodes).values())


def _write_name(axes: Any, text: str, radius: float, angle: float, size: int) -> None:
    import math

    x, y = radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))
    rotation = angle if -90 <= ((angle + 180) % 360) - 180 <= 90 else angle + 180
    label = text if len(text) <= 18 else text[:17] + "…"
    axes.text(x, y, _label(label), ha="center", va="center", rotation=rotation, fontsize=size)


def _label(key: Any) -> str:
    # matplotlib reads $...$ as mathematics, and names come from documents and models.
    text = str(key)
    return (text if len(text) <= 34 else text[:33] + "…").replace("$", r"\$")


def _axes(title: str, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as an <svg> element; the same figure always gives the same text."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "toolace-ray", "svg.fonttype": "none"}):
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]
