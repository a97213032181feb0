"""Routing, without Ray: which replica a client takes, by what it was told and how long ago that was."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import RayTaskError

from actors.client import HALF_LIFE, PoolClient
from tests.material import Clock
from toolace_ray.engines.protocol import Capabilities, EngineError, GenerateRequest

LOAD = 1000  # no replica of these tests is told to have more


def client(replicas, margin=0):
    clock = Clock()
    return PoolClient("p", [None] * replicas, Capabilities("m", 10), margin, clock), clock


def test_a_replica_whose_burst_is_over_gets_work_again():
    pool, clock = client(2)
    pool._take_report(0, 100)  # another worker's burst, which nobody tells us the end of
    shares = [0, 0]
    for _ in range(90):
        clock.now += 0.1
        chosen = pool.pick("")
        shares[chosen] += 1
        pool._views[chosen].mine += 1
    assert shares[0] >= 30


def test_a_fresh_report_counts_in_full():
    pool, _ = client(2)
    pool._take_report(0, 10)
    for _ in range(10):
        assert pool.pick("") == 1
        pool._views[1].mine += 1
    pool._views[1].mine += 1
    assert pool.pick("") == 0


@given(
    st.lists(st.tuples(st.integers(0, LOAD), st.integers(0, 64)), min_size=2, max_size=8),
    st.floats(0, 100),
)
def test_after_silence_only_our_own_requests_count(replicas, more):
    pool, clock = client(len(replicas))
    for index, (others, mine) in enumerate(replicas):
        pool._views[index].mine = mine
        pool._take_report(index, others + mine)
    clock.now += HALF_LIFE * LOAD.bit_length() + more  # after so many halvings no report is worth one request
    chosen = pool.pick("")
    assert pool._views[chosen].mine == min(mine for _, mine in replicas)


@given(st.integers(0, LOAD), st.floats(0, 60), st.floats(0, 60))
def test_a_report_only_loses_weight(load, first, second):
    pool, clock = client(1)
    pool._take_report(0, load)
    clock.now = min(first, second)
    before = pool._views[0].load(clock())
    clock.now = max(first, second)
    assert pool._views[0].load(clock()) <= before <= load


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6), st.integers(0, 20), st.data())
def test_a_dialog_stays_within_the_margin_and_leaves_beyond_it(loads, margin, data):
    pool, _ = client(len(loads), margin)
    for index, load in enumerate(loads):
        pool._take_report(index, load)
    last = data.draw(st.integers(0, len(loads) - 1))
    pool._remember("dialog", last)
    chosen = pool.pick("dialog")
    assert (chosen == last) == (loads[last] <= min(loads) + margin)
    assert chosen == last or loads[chosen] == min(loads)


@pytest.mark.parametrize(("fault", "says"), [(AssertionError(), "AssertionError"), (ValueError("at\nlast"), "last")])
def test_a_replicas_fault_is_the_requests_error_whatever_it_says(fault, says, monkeypatch):
    pool, _ = client(1)

    async def ask(*_):
        raise RayTaskError("generate", "Traceback", fault)

    monkeypatch.setattr(pool, "_ask", ask)
    with pytest.raises(EngineError, match=f"^pool p: {says}$"):
        asyncio.run(pool.generate(GenerateRequest([{"role": "user", "content": "x"}])))
