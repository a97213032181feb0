"""What is left behind in this process by a table that went through Ray Data; no cluster is needed for that."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
from ray.data import DataContext

from actors import ordered

TABLES = [pa.table({"a": [number]}) for number in range(3)]


class Dataset:
    """Stands for Ray Data's: gives the tables, and remembers whether their order was to be kept."""

    def __init__(self):
        self.kept = []

    def _same(self, *_, **__):
        return self

    repartition = map_batches = _same

    def iter_batches(self, **_):
        for table in TABLES:
            self.kept.append(DataContext.get_current().execution_options.preserve_order)
            yield table


@pytest.fixture
def dataset(monkeypatch):
    made = Dataset()
    monkeypatch.setattr(ordered, "ray", SimpleNamespace(data=SimpleNamespace(from_arrow=lambda _: made)))
    return made


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("taken", [1, 3])
def test_order_is_kept_for_this_table_alone(dataset, monkeypatch, before, taken):
    """Whether all of it is taken or it is left halfway."""
    options = DataContext.get_current().execution_options
    monkeypatch.setattr(options, "preserve_order", before)
    tables = ordered.in_order(TABLES[0], lambda block: iter([block]), (), 1, 1)
    assert [next(tables) for _ in range(taken)] == TABLES[:taken]
    tables.close()
    assert dataset.kept == [True] * taken
    assert options.preserve_order is before
