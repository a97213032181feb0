import json
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.material import BOOK, SEARCH, WEATHER
from toolace_ray.corpus import figures
from toolace_ray.corpus.report import ApiReservoir, render
from toolace_ray.records.api import Lineage
from toolace_ray.text.dedup import api_key
from toolace_ray.tss.speciation import Node
from toolace_ray.tss.statistics import PoolStatistics, distances, tree_counts

MADE = WEATHER.model_copy(
    update={
        "functionalities": ("a", "b"),
        "lineage": Lineage(generation=2, indicators=("enum_added",), dropped=("pattern_added: none",)),
    }
)
POOL = [MADE, SEARCH.model_copy(update={"lineage": Lineage(source="openapi")}), BOOK]


def count(apis):
    found = PoolStatistics()
    for api in apis:
        found.take(api)
    return found


@given(st.permutations(POOL))
def test_counts_do_not_depend_on_the_order(order):
    assert count(order) == count(POOL)
    assert count(order).as_json() == count(POOL).as_json()


def test_the_figures_say_what_the_pool_holds():
    found = count(POOL)
    found.reject("gate", "duplicate")
    found.reject("surplus", "surplus")
    plain = found.as_json()
    assert (found.apis, found.nested, found.constrained) == (3, 0, 2)
    assert plain["sources"] == {"synthesised": 2, "openapi": 1}
    assert plain["levels"] == {"2": 1, "0": 1}
    assert plain["generations"] == {"2": 1, "0": 1}
    assert plain["applied"] == {"enum_added": 1}
    assert plain["dropped"] == {"pattern_added": 1}
    assert plain["types"] == {"string": 6, "integer": 1}
    assert plain["constraints"] == {"length": 1, "format": 1, "enum": 1, "range": 1}
    assert (plain["duplicate_rate"], plain["pass_rate"]) == (0.25, 0.75)
    assert json.loads(json.dumps(plain)) == plain
    assert PoolStatistics().pass_rate == PoolStatistics().duplicate_rate == 0.0


HOSTILE = "<script>alert('$x$ & ü')</script>"
NODES = [
    Node(id="d", parent=None, kind="domain", name=HOSTILE),
    Node(id="t", parent="d", kind="topic", name="$\\frac{1}{"),
    Node(id="f", parent="t", kind="functionality", name="do it", gloss=HOSTILE),
    Node(id="g", parent="f", kind="functionality", name="do half of it", gloss="half"),
]


def test_what_models_wrote_is_escaped():
    api = WEATHER.model_copy(update={"name": "x", "description": HOSTILE, "domain": (HOSTILE,)})
    page = render(HOSTILE, HOSTILE, False, count([api]), [0.5], NODES, [api])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "1 (100.0 %)" in page
    assert tree_counts(NODES) == {"nodes": 4, "domain": 1, "topic": 1, "functionality": 2, "leaves": 1}
    assert figures.depth_of(NODES) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_an_empty_pool_has_a_report():
    assert "<svg" in render("t", "r", True, PoolStatistics(), [], [], [])


def test_figures_are_the_same_every_time():
    counts = Counter({"a": 3, "b" * 60: 1})
    assert figures.bars("t", counts) == figures.bars("t", counts)
    assert figures.tree(NODES) == figures.tree(NODES)


def test_distances_are_between_neighbours_and_linear_in_a_sample():
    keys = [api_key(api) for api in POOL]
    found = distances(keys, 1)
    assert len(found) == 3
    assert found == distances(list(reversed(keys)), 1)
    rng = random.Random(1)
    many = [f"{rng.getrandbits(128):032x}{rng.getrandbits(64):016x}" for _ in range(1500)]
    assert len(distances(many, 1)) == 1000


def test_a_sample_is_seeded_and_uniform_whatever_the_order():
    met = Counter()
    pool = [*POOL, MADE.model_copy(update={"name": "four"})]
    for seed in range(300):
        samples = [ApiReservoir(seed, size=2), ApiReservoir(seed, size=2)]
        for sample, order in zip(samples, (pool, pool[::-1]), strict=True):
            for api in order:
                sample.take(api)
        assert samples[0].chosen == samples[1].chosen
        met.update(api.name for api in samples[0].chosen)
    assert set(met.values()) <= set(range(115, 186))
