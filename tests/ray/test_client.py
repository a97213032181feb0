"""The pool client over real actors: refusals, deadlines, deaths, affinity."""

import asyncio
import os

import pytest

from actors.client import PoolClient
from actors.pools import Pools, clients
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import Capabilities, EngineTimeout, GenerateRequest, ScoreRequest
from toolace_ray.errors import UserError


def config(replicas=2, **simulated):
    pool = {"engine": "simulated", "cpus": 0.1, "replicas": replicas, "simulated": simulated}
    pool["max_in_flight"] = simulated.pop("max_in_flight", 64)
    return parse({"pools": {"small": pool}})


def request(text="hello", **more):
    return GenerateRequest([{"role": "user", "content": text}], **more)


def test_requests_are_answered_and_scored(ray_local):
    with Pools(config()) as pools:
        client = clients(pools.handles, 8)["small"]

        async def ask():
            answers = await asyncio.gather(*(client.generate(request(f"{i}", n=2)) for i in range(20)))
            score = await client.score(ScoreRequest([1, 2, 3], [(1, 3)]))
            return answers, score

        answers, score = asyncio.run(ask())
        assert all(len(answer.samples) == 2 for answer in answers)
        assert len(score.spans[0]) == 2
        assert client.capabilities.score


def test_full_replicas_refuse_and_everything_is_answered_still(ray_local):
    with Pools(config(max_in_flight=1, latency_ms=30)) as pools:
        client = clients(pools.handles, 8)["small"]

        async def ask():
            return await asyncio.gather(*(client.generate(request(f"{i}")) for i in range(12)))

        assert len(asyncio.run(ask())) == 12


def test_a_deadline_is_kept(ray_local):
    with Pools(config(replicas=1, latency_ms=60_000)) as pools:
        client = clients(pools.handles, 8)["small"]
        with pytest.raises(EngineTimeout):
            asyncio.run(client.generate(request(timeout=0.3)))


def test_requests_of_a_killed_replica_are_answered_by_another(ray_local):
    with Pools(config(latency_ms=400)) as pools:
        client = clients(pools.handles, 8)["small"]
        first = pools.handles["small"].replicas[0]

        async def ask():
            tasks = [asyncio.ensure_future(client.generate(request(f"{i}"))) for i in range(8)]
            assert await first.pid.remote()  # after its first requests, which it took in before this one
            ray_local.kill(first, no_restart=False)
            answers = await asyncio.gather(*tasks)
            # Ray has started it again: it serves as before.
            assert await first.pid.remote()
            return answers

        assert len(asyncio.run(ask())) == 8


def test_an_engine_that_cannot_start_is_one_sentence(ray_local, tmp_path):
    pool = {"engine": "openai", "url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY", "cpus": 0.1}
    with pytest.raises(UserError, match="NO_SUCH_KEY") as error, Pools(parse({"pools": {"small": pool}})):
        pytest.fail("the pool started")
    assert "\n" not in str(error.value)


def test_a_replica_that_dies_while_it_starts_is_one_sentence(ray_local, monkeypatch):
    class Dying:
        def __init__(self, *_):
            pass

        async def ready(self):
            os._exit(137)  # as the kernel ends a process that takes too much memory

    monkeypatch.setattr("actors.pools.Replica", Dying)
    with (
        pytest.raises(UserError, match=r"^pools\.small: a replica died while it started.*memory") as error,
        Pools(config()),
    ):
        pytest.fail("the pool started")
    assert "\n" not in str(error.value)


def test_routing_prefers_the_last_replica_within_the_margin():
    client = PoolClient("p", [None, None, None], Capabilities("m", 10), margin=2)
    client._remember("dialog", 1)
    assert client.pick("dialog") == 1
    client._views[1].mine = 2
    assert client.pick("dialog") == 1
    client._take_report(1, 3)
    assert client.pick("dialog") in (0, 2)
    client._views[0].mine = 1
    assert client.pick("other") == 2
    assert client.pick("other", {2}) == 0
    assert client.pick("other", {0, 1, 2}) is None
