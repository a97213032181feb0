"""An engine on the CPU computes on the cores it was given, in one process."""

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.vllm.conftest import OPTIONS
from toolace_ray.config.load import parse
from toolace_ray.config.tree import ROLES
from toolace_ray.engines.cores import Share, own_place
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.vllm import VllmEngine

REQUEST = GenerateRequest([{"role": "user", "content": "hello"}], max_tokens=64, timeout=200)
CORES = os.sched_getaffinity(0)


def pools(model, *more, **env):
    """A configuration with the pool `small`, and a pool of its own for each role of `more`."""
    pool = {"engine": "vllm", "model": model, "cpus": 0.2, "options": OPTIONS, "env": env}
    roles = {**dict.fromkeys(ROLES, "small"), **{role: role for role in more}}
    return parse({"pools": {"small": pool, **dict.fromkeys(more, pool)}, "roles": roles})


def computing(replica_pid):
    """The processes of a replica's engine, by what vLLM calls them."""
    return {process.cmdline()[0]: process for process in psutil.Process(replica_pid).children(recursive=True)
            if process.cmdline() and process.cmdline()[0].startswith("VLLM::")}  # fmt: skip


def bound_to(process):
    """The cores of a process: of all its threads together."""
    return set().union(*(os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{process.pid}/task").iterdir()))


def where(worker):
    """Runs in the engine's process."""
    import torch

    return os.getpid(), torch.get_num_threads(), sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize("share", [Share(), Share((1.0, 1.0), 1), Share(cpus=1.0), Share(threads=1)])
def test_an_engine_has_the_threads_and_cores_of_its_share(share, tiny_model, loop, monkeypatch):
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # to send it `where`
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray does

    async def ask():
        engine = VllmEngine(tiny_model, share=share, **OPTIONS)
        try:
            # The process that started it is what it was.
            assert os.sched_getaffinity(0) == CORES
            assert os.environ["OMP_NUM_THREADS"] == "1"
            assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ
            await engine.generate(REQUEST)
            return await engine._llm.collective_rpc(where)
        finally:
            await engine.close()

    ((pid, threads, cpus),) = loop(ask())
    expected = own_place(share)
    assert pid != os.getpid()
    assert threads == expected.threads
    assert cpus == sorted(expected.cpus or CORES)


@pytest.mark.skipif(len(CORES) < 2, reason="two engines of one core share it")
def test_the_replicas_of_a_machine_have_cores_of_their_own_and_keep_them(tiny_model, ray_local, loop):
    from actors.pools import Pools, clients

    ray = ray_local
    with Pools(pools(tiny_model)) as started:
        (engine,) = computing(ray.get(started.handles["small"].replicas[0].pid.remote())).values()
        assert bound_to(engine) == set(own_place(Share()).cpus)
    with Pools(pools(tiny_model, "judge")) as started:
        replicas = [started.handles[name].replicas[0] for name in ("small", "judge")]
        engines = [computing(ray.get(replica.pid.remote())) for replica in replicas]
        assert [list(found) for found in engines] == [["VLLM::EngineCore"]] * 2, (
            "one process computes, none waits for it"
        )
        first, second = (bound_to(found["VLLM::EngineCore"]) for found in engines)
        assert first
        assert second
        assert not first & second
        os.kill(engines[0]["VLLM::EngineCore"].pid, signal.SIGKILL)
        client = clients(started.handles, 8)["small"]
        assert loop(client.generate(REQUEST)).tokens > 0
        (again,) = computing(ray.get(replicas[0].pid.remote())).values()
        assert again.pid != engines[0]["VLLM::EngineCore"].pid
        assert bound_to(again) == first


def test_what_the_user_tells_vllm_stands(tiny_model, ray_local):
    from actors.pools import Pools

    core = min(CORES)
    with Pools(pools(tiny_model, VLLM_CPU_OMP_THREADS_BIND=str(core))) as started:
        engines = computing(ray_local.get(started.handles["small"].replicas[0].pid.remote()))
        worker = engines.pop("VLLM::Worker")
        assert list(engines) == ["VLLM::EngineCore"]
        assert {core} in [os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{worker.pid}/task").iterdir()]


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling a model for the CPU needs g++")
@pytest.mark.parametrize("options", [{}, {"enforce_eager": True}])
def test_a_model_is_compiled_where_there_is_much_to_do_and_the_user_does_not_say_otherwise(options, tiny_model, loop):
    given = {name: value for name, value in OPTIONS.items() if name != "enforce_eager"} | options

    async def ask():
        engine = VllmEngine(tiny_model, work=1e9, **given)
        try:
            assert engine._llm.vllm_config.model_config.enforce_eager == bool(options)
            assert (await engine.generate(REQUEST)).tokens > 0
        finally:
            await engine.close()

    loop(ask())
