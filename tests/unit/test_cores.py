"""Cores divided among the engines of a machine."""

import io
import itertools
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pools import Pools, shares
from jobs import session
from jobs.check import expected_tokens
from jobs.progress import Progress
from toolace_ray.config.load import parse
from toolace_ray.config.tree import ROLES, PoolConfig, QuotaConfig
from toolace_ray.engines.cores import Core, Place, Share, machine, own_place, place
from toolace_ray.engines.vllm import COMPILE_FROM, pays_to_compile

sizes = st.integers(1, 96)
weights = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 16.0]), min_size=1, max_size=12)


def one_node(count):
    return [Core(cpu) for cpu in range(count)]


@given(sizes, weights)
def test_shares_are_disjoint_and_use_every_core(count, reserved):
    places = [place(one_node(count), count, Share(tuple(reserved), i)) for i in range(len(reserved))]
    taken = [cpu for found in places for cpu in found.cpus]
    assert all(found.threads == len(found.cpus) >= 1 for found in places)
    if count >= len(reserved):
        assert sorted(taken) == list(range(count))
    else:
        assert all(len(found.cpus) == 1 for found in places)
        assert set(taken) == set(range(count))


@given(sizes, st.lists(st.integers(1, 64), min_size=1, max_size=8))
def test_what_reserves_more_gets_at_most_one_core_fewer(count, reserved):
    cores = [len(place(one_node(count), count, Share(tuple(reserved), i)).cpus) for i in range(len(reserved))]
    for left, right in itertools.permutations(range(len(reserved)), 2):
        if reserved[left] > reserved[right]:
            assert cores[left] >= cores[right] - 1  # a bound is rounded


@given(weights, st.integers(1, 4), st.integers(1, 16))
def test_no_share_spans_numa_nodes(reserved, nodes, each):
    cores = [Core(node * each + i, node) for node in range(nodes) for i in range(each)]
    for i in range(len(reserved)):
        found = place(cores, len(cores), Share(tuple(reserved), i))
        assert len({cpu // each for cpu in found.cpus}) == 1


def test_two_engines_of_two_numa_nodes_have_one_each():
    cores = [Core(cpu, cpu // 8) for cpu in range(16)]
    assert place(cores, 16, Share((1.0, 1.0), 0)).cpus == tuple(range(8))
    assert place(cores, 16, Share((1.0, 1.0), 1)).cpus == tuple(range(8, 16))


def test_where_less_is_allowed_than_there_is_threads_are_counted_and_not_bound():
    """In a container that may use 4 of 64 CPUs, its neighbours would bind themselves to the same first four."""
    assert place(one_node(64), 64, Share((1.0,), 0, cpus=4)) == Place(4)
    assert place(one_node(64), 64, Share((1.0, 1.0), 1, cpus=4)) == Place(2)
    assert place(one_node(64), 64, Share((1.0,) * 8, 3, cpus=4)) == Place(1)


def test_the_users_number_of_threads_stands():
    assert place(one_node(8), 8, Share(threads=3)) == Place(3, tuple(range(8)))
    assert place(one_node(8), 8, Share(cpus=2, threads=3)) == Place(3)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads are bound on Linux alone")
def test_only_cores_of_this_process_are_given(monkeypatch):
    mine = os.sched_getaffinity(0)
    assert {core.cpu for core in machine()} <= mine
    assert set(own_place(Share()).cpus) <= mine
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {max(mine)})
    assert own_place(Share()) == Place(1, (max(mine),))


def test_hyperthreads_are_one_core(tmp_path, monkeypatch):
    for cpu, siblings, node in ((0, "0,4", 0), (1, "1,5", 0), (2, "2,6", 1), (3, "3,7", 1)):
        for twin in (cpu, cpu + 4):
            (tmp_path / f"cpu{twin}" / "topology").mkdir(parents=True)
            (tmp_path / f"cpu{twin}" / "topology" / "thread_siblings_list").write_text(f"{siblings}\n")
            (tmp_path / f"cpu{twin}" / f"node{node}").mkdir()
    monkeypatch.setattr("toolace_ray.engines.cores.SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert machine() == [Core(0, 0), Core(1, 0), Core(2, 1), Core(3, 1)]


def test_the_replicas_of_all_pools_on_a_machine_share_it(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    small, large = PoolConfig(cpus=1), PoolConfig(cpus=3, env={"OMP_NUM_THREADS": "5"})
    remote = PoolConfig(engine="openai", url="http://host/v1")
    found = shares([small, remote, small, large, small], ["a", "a", "b", "a", "a"], {"a": 8.0, "b": 4.0})
    assert [found[i] for i in (0, 3, 4)] == [
        Share((1.0, 3.0, 1.0), 0, 8.0), Share((1.0, 3.0, 1.0), 1, 8.0, 5), Share((1.0, 3.0, 1.0), 2, 8.0)
    ]  # fmt: skip
    assert found[2] == Share((1.0,), 0, 4.0)


def test_the_environment_of_the_command_stands_too(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (found,) = shares([PoolConfig()], ["a"], {"a": 8.0})
    assert found.threads == 7


def test_a_model_is_compiled_where_the_work_is_long_and_a_compiler_is_there(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)
    assert pays_to_compile(2 * COMPILE_FROM, threads=2)
    assert not pays_to_compile(2 * COMPILE_FROM - 1, threads=2)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not pays_to_compile(2 * COMPILE_FROM, threads=2)


@pytest.mark.parametrize(("dialogs", "compiled"), [(28, False), (10_000, True)])
def test_a_run_tells_its_engines_how_much_there_is_to_do(dialogs, compiled, monkeypatch, tmp_path):
    told = []

    class Replica:
        def __init__(self, pool, config, share, work):
            told.append(work)

    class Started(Pools):
        def _place(self, name):
            return [None] * self._config.pools[name].replicas

        def _shares(self, placed):
            return [Share()] * len(placed)

        def _start(self, name, config, group, share, work):
            return Replica(name, config, share, work)

        def _await(self, name, actors):
            return None

    monkeypatch.setattr(session, "Pools", Started)
    monkeypatch.setattr(session.Session, "ray", lambda self: None)
    config = parse(
        {
            "run": {"path": str(tmp_path)},
            "pools": {"small": {"engine": "simulated", "replicas": 2}},
            "roles": dict.fromkeys(ROLES, "small"),
            "evolve": {"apis": 0},
            "generate": {"quotas": {**dict.fromkeys(QuotaConfig.model_fields, 0), "single": dialogs}},
        }
    )
    session.Session(config, None, Progress(io.StringIO())).pools()
    assert len(told) == 2
    assert sum(told) == pytest.approx(expected_tokens(config))
    assert pays_to_compile(told[0], threads=2) == compiled
