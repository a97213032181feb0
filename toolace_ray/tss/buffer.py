"""The example buffer: a quality-diversity grid with one elite for each cell of domain x complexity (MAP-Elites).

Invariants: merging is commutative, associative and idempotent, so grids of many workers join in any order; a cell's
elite is the API of the highest quality, of equal ones that with the lowest id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from toolace_ray.records.api import Api
from toolace_ray.tss.features import complexity_bin, quality

Cell = tuple[str, int]  # domain (lower case) and bin of complexity


@dataclass
class Buffer:
    """Cell -> its elite, as (quality, API)."""

    cells: dict[Cell, tuple[float, Api]] = field(default_factory=dict)

    def offer(self, api: Api) -> bool:
        """Take an API where it betters its cell's elite; True when it was taken."""
        cell = (api.domain[0].lower() if api.domain else "", complexity_bin(api))
        return self._offer(cell, quality(api), api)

    def _offer(self, cell: Cell, value: float, api: Api) -> bool:
        old = self.cells.get(cell)
        if old is not None and (-old[0], old[1].id) <= (-value, api.id):
            return False
        self.cells[cell] = (value, api)
        return True

    def merge(self, other: Buffer) -> Buffer:
        """The grid of both."""
        merged = Buffer(dict(self.cells))
        for cell, (value, api) in other.cells.items():
            merged._offer(cell, value, api)
        return merged

    def elites(self) -> Iterator[tuple[Cell, float, Api]]:
        """The cells in their order."""
        for cell in sorted(self.cells):
            yield cell, *self.cells[cell]

    @classmethod
    def of(cls, apis: Iterable[Api]) -> Buffer:
        """The grid of some APIs."""
        grid = cls()
        for api in apis:
            grid.offer(api)
        return grid
