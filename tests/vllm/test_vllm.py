"""What only vLLM can show: scores like transformers', requests that are too long, engines that die, models that are none."""

import math
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.vllm.conftest import OPTIONS
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import BadRequest, GenerateRequest, ScoreRequest
from toolace_ray.errors import UserError


def test_scores_agree_with_transformers(tiny_model, vllm_engine, loop):
    import torch
    from transformers import AutoModelForCausalLM

    ids = list(range(40, 90))
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    expected = -sum(float(logits[i - 1, ids[i]]) for i in range(10, 50)) / 40
    (span,) = loop(vllm_engine.score(ScoreRequest(ids, [(10, 50)]))).spans
    assert math.isclose(-sum(span) / 40, expected, abs_tol=0.05)


def test_a_prompt_beyond_the_context_is_refused(vllm_engine, loop):
    with pytest.raises(BadRequest, match="context"):
        loop(vllm_engine.generate(GenerateRequest([{"role": "user", "content": "city " * 3000}])))
    with pytest.raises(BadRequest, match="context"):
        loop(vllm_engine.score(ScoreRequest([5] * 2000, [(1, 2)])))


def children(pid):
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    found = [int(item) for item in listed.split()]
    return found + [below for child in found for below in children(child)]


def pool(model):
    return parse({"pools": {"small": {"engine": "vllm", "model": model, "cpus": 0.5, "options": OPTIONS}}})


@pytest.mark.parametrize("victim", ["engine", "replica"])
def test_a_replica_that_was_killed_comes_back_and_leaves_no_orphan(victim, tiny_model, ray_local, loop):
    """Its engine is a child process: of a replica that is killed itself, Ray must end it."""
    from actors.pools import Pools, clients

    with Pools(pool(tiny_model)) as pools:
        replica = pools.handles["small"].replicas[0]
        client = clients(pools.handles, 8)["small"]
        request = GenerateRequest([{"role": "user", "content": "hello"}], max_tokens=8, timeout=200)
        assert loop(client.generate(request)).tokens > 0
        first = ray_local.get(replica.pid.remote())
        brood = children(first)
        assert brood, "the engine has no process of its own"
        core = next(pid for pid in brood if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(core if victim == "engine" else first, signal.SIGKILL)
        assert loop(client.generate(request)).tokens > 0
        assert ray_local.get(replica.pid.remote()) != first
        left = [pid for pid in brood if os.path.exists(f"/proc/{pid}/stat") and state(pid) not in "Z"]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == []


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_model_that_cannot_be_loaded_is_one_sentence(tmp_path, ray_local):
    from actors.pools import Pools

    (tmp_path / "config.json").write_text('{"architectures": ["NoSuchModel"], "model_type": "none"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"^pools\.small: the engine could not start") as error,
        Pools(pool(str(tmp_path))),
    ):
        pytest.fail("the pool started")
    assert "\n" not in str(error.value)


def test_the_document_of_vllms_own_server_is_imported(vllm_server, tmp_path):
    """A large real OpenAPI document: nothing raises, references are followed, and what is refused has a reason."""
    from urllib.request import urlopen

    from toolace_ray.records.api import Api
    from toolace_ray.schemas import gate
    from toolace_ray.tss import specs

    path = tmp_path / "vllm.openapi.json"
    with urlopen(f"{vllm_server.removesuffix('/v1')}/openapi.json", timeout=30) as answer:
        path.write_bytes(answer.read())
    items = list(specs.import_openapi(str(path)))
    apis = {item.name: item for item in items if isinstance(item, Api)}
    assert len(apis) >= 15
    chat = next(api for name, api in apis.items() if name.startswith("create_chat_completion"))
    assert chat.side_effects
    assert chat.properties["temperature"]["type"] == ["number", "null"]
    assert "$ref" not in chat.model_dump_json()
    verdicts = {name: gate.check(api) for name, api in apis.items()}
    assert any(not found for found in verdicts.values())
    assert all(verdict.evidence for found in verdicts.values() for verdict in found)
