"""Generations of a pool on disk, without Ray and without a model."""

import pytest

from tests.material import BOOK, SEARCH, WEATHER
from tests.unit.test_adaptation import tree
from toolace_ray.config.tree import EvolveConfig
from toolace_ray.records.api import Lineage
from toolace_ray.records.usage import Usage
from toolace_ray.store import folder
from toolace_ray.store.rows import API, api_row, usage_columns
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.tss import generations
from toolace_ray.tss.adaptation import claim
from toolace_ray.tss.generations import Evolution, Generation

SETTINGS = EvolveConfig(apis=20, generation_size=10, max_attempts=2)


@pytest.fixture
def store(tmp_path):
    made = RunStore(str(tmp_path))
    made.make(*folder.FOLDERS)
    return made


def row(api, number, kind="g0000"):
    return api_row(
        api, {"id": f"{kind}-{number}", "type": "api", "kind": kind, "attempt": number, **usage_columns(Usage(), 0)}
    )


def made(api, *nodes, **lineage):
    schema = {
        **api.parameters,
        "properties": {k: {"examples": ["x"], **v} if v["type"] == "string" else v for k, v in api.properties.items()},
    }
    returns = {
        **api.returns,
        "properties": {
            k: {**v, "examples": ["x" if v["type"] == "string" else 1]} for k, v in api.returns["properties"].items()
        },
    }
    update = {
        "parameters": schema,
        "returns": returns,
        "functionalities": nodes,
        "domain": ("Domain 0",),
        "lineage": Lineage(**lineage),
    }
    return api.model_copy(update=update)


POOL = [
    made(WEATHER, "d0f0", indicators=("enum_added",)),
    made(SEARCH, "d0f1", "d0f2", dropped=("range_added: no range",)),
    made(BOOK, "d0f3"),
]


def evolution(pool=POOL):
    found = Evolution(NearDuplicates(0.8))
    found.take(row(api, number) for number, api in enumerate(pool))
    return found


def test_what_the_pool_holds_is_taken_over():
    found = evolution()
    assert found.count == 3
    assert found.history.claimed == {claim(["d0f0"]), claim(["d0f1", "d0f2"]), claim(["d0f3"])}
    assert found.history.domains == {"Domain 0": 3}
    assert found.history.worked == {"enum_added": 1}
    assert found.history.dropped == {"range_added": 1}
    assert found.history.names["d0f2"] == ["search_trains"]
    assert found.novelty.repeats(row(WEATHER, 9)["key"], "x") is not None


def test_designs_and_snapshot_are_frozen(store):
    nodes = tree([9, 9])
    count = generations.prepare(store, 1, evolution(), nodes, SETTINGS, 7)
    assert count == 20
    first = [Generation(store, "g0001").design(i) for i in range(count)]
    assert generations.prepare(store, 1, evolution(POOL[:1]), nodes, SETTINGS, 7) == count
    assert [Generation(store, "g0001").design(i) for i in range(count)] == first
    examples = {Generation(store, "g0001").example(design).name for design in first}
    assert examples <= {"get_forecast", "search_trains", "book_seats"}
    assert len(examples) > 1
    assert not {claim(design.subtree.nodes) for design in first} & evolution().history.claimed


def test_the_order_in_which_the_pool_is_taken_over_does_not_matter(tmp_path):
    stores = [RunStore(str(tmp_path / name)) for name in "ab"]
    for store, pool in zip(stores, (POOL, POOL[::-1]), strict=True):
        store.make(*folder.FOLDERS)
        generations.prepare(store, 1, evolution(pool), tree([9, 9]), SETTINGS, 7)
    one, other = ([Generation(store, "g0001").design(i) for i in range(20)] for store in stores)
    assert [(d.subtree, d.indicators, d.steps, d.example) for d in one] == [
        (d.subtree, d.indicators, d.steps, d.example) for d in other
    ]


def test_a_tree_without_anything_left_is_asked_again_when_it_has_grown(store):
    assert generations.prepare(store, 0, evolution([]), [], SETTINGS, 7) == 0
    assert not generations.outgrown(store, 0, tree([3]))
    assert generations.prepare(store, 0, evolution([]), tree([3]), SETTINGS, 7) > 0
    assert not generations.outgrown(store, 0, tree([3]))
    assert generations.outgrown(store, 0, tree([4]))


def test_a_closed_generation_says_what_it_gave(store):
    assert generations.finished(store, 0) is None
    generations.finish(store, 0, 10, 17)
    assert generations.finished(store, 0) == {"accepted": 10, "attempts": 17}


def test_pools_are_loaded_without_doubles(store):
    store.write("apis", "e-apis-g0000-a.parquet", [row(POOL[0], 0), row(POOL[1], 1)], API)
    store.write("apis", "e-apis-g0000-b.parquet", [row(POOL[0], 0)], API)
    assert sorted(api.name for api in folder.load_pool(store)) == ["get_forecast", "search_trains"]
