"""A replica as an object of this process."""

import asyncio
import os
import threading

from actors import replica as module
from actors.replica import Replica
from toolace_ray.config.tree import PoolConfig
from toolace_ray.engines.cores import Share
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.simulated import SimulatedEngine


def test_a_replica_answers_while_its_engine_loads(monkeypatch):
    answered = threading.Event()

    def build(config, share, pool, work):
        # A model that is loaded once somebody else was answered; the limit is for a replica that answers nobody.
        assert answered.wait(30), "nobody was answered before the engine was there"
        return SimulatedEngine(latency_ms=0)

    async def ask():
        replica = Replica("small", PoolConfig(engine="simulated", max_in_flight=1), Share())
        request = GenerateRequest([{"role": "user", "content": "hello"}])
        loading = asyncio.ensure_future(replica.generate(request))
        await asyncio.sleep(0)  # lets it begin
        assert await replica.pid() == os.getpid()
        assert (await replica.generate(request)).status == "full"
        answered.set()
        assert (await loading).status == "ok"

    monkeypatch.setattr(module, "build", build)
    asyncio.run(ask())
