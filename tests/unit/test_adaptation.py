import pickle
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.material import BOOK, SEARCH, WEATHER
from toolace_ray.schemas.walk import shape
from toolace_ray.text.dedup import Exact, NearDuplicates, api_key, nearest
from toolace_ray.tss.adaptation import Adaptation, History, claim
from toolace_ray.tss.buffer import Buffer
from toolace_ray.tss.features import MAX_BIN, complexity_bin, quality
from toolace_ray.tss.indicators import INDICATORS
from toolace_ray.tss.speciation import Node

NAMES = list(INDICATORS)


def tree(sizes):
    """Domains of some sizes: domain i has sizes[i] functionalities in topics of three."""
    nodes = []
    for d, size in enumerate(sizes):
        nodes.append(Node(id=f"d{d}", parent=None, kind="domain", name=f"Domain {d}"))
        for t in range(-(-size // 3)):
            nodes.append(Node(id=f"d{d}t{t}", parent=f"d{d}", kind="topic", name=f"topic {t}"))
        nodes += [
            Node(id=f"d{d}f{f}", parent=f"d{d}t{f // 3}", kind="functionality", name=f"do {f}") for f in range(size)
        ]
    return nodes


def draw(nodes, count, seed="7/g0000", history=None, level=3, steps=3, examples=0):
    adaptation = Adaptation(nodes, seed, history or History(), level, NAMES, steps, examples)
    return [design for design, _ in zip(adaptation, range(count), strict=False)]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99), st.integers(1, 4))
def test_sets_are_unique_small_and_of_one_domain(sizes, seed, level):
    nodes = tree(sizes)
    designs = draw(nodes, 200, f"{seed}/g0000", level=level)
    claims = [found for design in designs for found in design.claims()]
    assert len(claims) == len(set(claims))
    for design in designs:
        assert 1 <= len(design.subtree.nodes) <= level
        assert len({node.split("f")[0] for node in design.subtree.nodes}) == 1
        assert len(set(design.subtree.nodes)) == len(design.subtree.nodes)
        assert design.subtree.added in (None, design.subtree.nodes[-1])
        assert 0 <= design.steps <= 3
    assert designs == draw(nodes, 200, f"{seed}/g0000", level=level)


def test_other_seeds_and_generations_draw_otherwise():
    nodes = tree([9, 9, 9])
    drawn = [draw(nodes, 20, seed) for seed in ("7/g0000", "8/g0000", "7/g0001")]
    assert drawn[0] != drawn[1]
    assert drawn[0] != drawn[2]


def test_a_small_tree_is_used_up_and_then_ends():
    designs = draw(tree([3]), 1000, steps=0)
    assert {claim(design.subtree.nodes) for design in designs} == {
        claim(nodes)
        for nodes in (["d0f0"], ["d0f1"], ["d0f2"], ["d0f0", "d0f1"], ["d0f0", "d0f2"], ["d0f1", "d0f2"], ["d0f0", "d0f1", "d0f2"])
    }  # fmt: skip
    assert draw(tree([3]), 10, history=History(claimed={claim(design.subtree.nodes) for design in designs})) == []


def test_domains_share_by_the_logarithm_of_their_size_and_what_they_had():
    nodes = tree([60, 8, 8, 8])
    share = Counter(design.subtree.domain[0] for design in draw(nodes, 200))
    # log(61) / (log(61) + 3 log(9)) = 0.384
    assert 74 <= share["Domain 0"] <= 80
    had = History(domains=Counter({"Domain 0": 100}))
    share = Counter(design.subtree.domain[0] for design in draw(nodes, 60, history=had))
    assert share["Domain 0"] == 0


def test_every_functionality_is_met_before_any_is_met_often():
    designs = draw(tree([30]), 30, steps=0)
    used = Counter(node for design in designs for node in design.subtree.nodes[:1])
    assert max(used.values()) <= 2  # an anchor whose set was drawn from its other side goes to the back
    assert len(used) >= 27


def test_rare_indicators_come_first_and_those_that_never_work_last():
    nodes = tree([60] * 8)
    common = History(worked=Counter({name: 1000 for name in NAMES if name != "enum_added"}))
    first = Counter(design.indicators[0] for design in draw(nodes, 40, history=common))
    assert first.most_common(1)[0][0] == "enum_added"
    hopeless = History(dropped=Counter({"pattern_added": 500}))
    first = Counter(design.indicators[0] for design in draw(nodes, 200, history=hopeless))
    assert first["pattern_added"] <= 3
    steered = Counter(name for design in draw(nodes, 300) for name in design.indicators[: design.steps])
    named = [steered[name] for name in NAMES if name != "functionality_added"]
    assert max(named) <= 1.6 * min(named)


def test_examples_are_drawn_and_taken_names_are_told():
    designs = draw(tree([40, 40]), 100, examples=3)
    assert {design.example for design in designs} == {0, 1, 2}
    history = History(names={"d0f1": ["do_one", "do_more"]})
    taken = {design.taken for design in draw(tree([3]), 6, history=history) if "d0f1" in design.subtree.nodes}
    assert taken == {("do_one", "do_more")}
    assert all(design.example is None and design.taken == () for design in draw(tree([4]), 5))


def variants():
    found = []
    for api in (WEATHER, SEARCH, BOOK):
        for words in ("", " Quickly and well, in one go.", " x"):
            for domain in ("A", "B"):
                found.append(api.model_copy(update={"description": api.description + words, "domain": (domain,)}))
    return found


APIS = variants()


@given(st.permutations(range(len(APIS))), st.integers(0, len(APIS)), st.integers(0, len(APIS)))
def test_merging_buffers_is_the_same_in_any_order(order, first, second):
    low, high = sorted((first, second))
    parts = [Buffer.of(APIS[i] for i in part) for part in (order[:low], order[low:high], order[high:])]
    whole = Buffer.of(APIS)
    assert parts[0].merge(parts[1]).merge(parts[2]) == whole
    assert parts[2].merge(parts[1].merge(parts[0])) == whole
    assert whole.merge(whole) == whole


def test_a_cell_keeps_its_best():
    poor = WEATHER.model_copy(update={"description": "Weather it is."})
    assert quality(poor) < quality(WEATHER)
    grid = Buffer.of([poor])
    assert grid.offer(WEATHER)
    assert not grid.offer(poor)
    assert [api for _, _, api in grid.elites()] == [WEATHER]


def test_shapes_are_measured():
    item = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 1},
            "b": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        },
    }
    found = shape(
        {
            "type": "object",
            "properties": {"x": {"type": "array", "items": item}, "y": {"type": "string", "enum": ["p"]}},
        }
    )
    assert found.leaves == {"x[].a": "integer", "x[].b[][]": "string", "y": "string"}
    assert found.depth == 5
    assert found.constraints == {"range": 1, "enum": 1}
    assert found.types == {"array of object": 1, "integer": 1, "array of array": 1, "string": 1}
    assert 0 <= complexity_bin(WEATHER) <= MAX_BIN


def test_the_same_under_another_name_is_found_and_named():
    index = NearDuplicates(0.8)
    assert index.repeats(api_key(WEATHER), "first") is None
    assert index.repeats(api_key(SEARCH), "second") is None
    assert index.repeats(api_key(WEATHER), "x") == "the same as first"
    shouted = WEATHER.model_copy(
        update={"name": "Get-Forecast", "description": "Something else entirely, about the sky."}
    )
    assert index.repeats(api_key(shouted), "x") == "the same as first"
    renamed = WEATHER.model_copy(update={"name": "get_weather_forecast", "domain": ("Sky",)})
    assert "% the same as first" in index.repeats(api_key(renamed), "x")
    other = WEATHER.model_copy(
        update={
            "name": "warn_of_storms",
            "description": "Warn of storms at sea, by region.",
            "domain": ("Sky",),
            "parameters": BOOK.parameters,
        }
    )
    assert index.repeats(api_key(other), "third") is None
    assert len(index) == 3
    copied = index.copy()
    assert copied.repeats(api_key(BOOK), "x") is None
    assert index.repeats(api_key(BOOK), "x") is None


def test_descriptions_of_schemas_and_order_of_fields_make_no_new_api():
    properties = {name: {**below, "description": "Other words"} for name, below in reversed(WEATHER.properties.items())}
    worded = WEATHER.model_copy(
        update={
            "domain": ("Z",),
            "parameters": {**WEATHER.parameters, "properties": properties, "required": ["date", "city"]},
        }
    )
    assert api_key(worded)[16:32] == api_key(WEATHER)[16:32]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(APIS), max_size=30), st.sampled_from([0.5, 0.8, 1.0]))
def test_two_admitted_apis_are_never_as_near_as_the_threshold(apis, threshold):
    index, kept = NearDuplicates(threshold), []
    for api in apis:
        if index.repeats(api_key(api), "") is None:
            kept.append({api_key(api)[i : i + 8] for i in range(32, len(api_key(api)), 8)})
    for i, one in enumerate(kept):
        assert all(len(one & other) / len(one | other) < threshold for other in kept[:i])


def test_exact_novelty_lets_empty_keys_pass():
    exact = Exact()
    assert [exact.repeats(key, key) for key in ("a", "", "", "a")] == [None, None, None, "the same as a"]


def test_distances_to_the_nearest():
    keys = [api_key(api) for api in (WEATHER, WEATHER.model_copy(update={"name": "get_the_forecast"}), BOOK)]
    near, _, far = nearest(keys, [0, 1, 2])
    assert near < 0.2 < far
    assert nearest(keys[:1], [0]) == []


@pytest.mark.parametrize("seed", range(3))
def test_many_random_keys_are_all_new(seed):
    rng = random.Random(seed)
    index = NearDuplicates(0.8)
    keys = [
        f"{rng.getrandbits(128):032x}" + "".join(f"{rng.getrandbits(32):08x}" for _ in range(30)) for _ in range(2000)
    ]
    assert all(index.repeats(key, "") is None for key in keys)
    assert all(index.repeats(key, "") for key in keys)


def test_an_index_that_travelled_through_shared_memory_goes_on():
    index, buffers = NearDuplicates(0.8), []
    index.repeats(api_key(WEATHER), "first")
    sent = pickle.dumps(index, protocol=5, buffer_callback=buffers.append)
    arrived = pickle.loads(sent, buffers=[bytes(buffer.raw()) for buffer in buffers])  # bytes can't be written to
    assert arrived.repeats(api_key(SEARCH), "second") is None
    assert arrived.repeats(api_key(WEATHER), "x") == "the same as first"
