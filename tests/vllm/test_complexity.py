"""The target's loss on a real vLLM, held against transformers; thinking models; calibration from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.material import good_dialogs
from tests.vllm.conftest import OPTIONS, TEMPLATE
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.template import ChatTemplate
from toolace_ray.sdg.difficulty.measure import LossEvaluator, solved

ROOT = Path(__file__).parents[2]
ROLES = dict.fromkeys(("writer", "user", "assistant", "tool", "judge", "target"), "small")
LONG = {**OPTIONS, "max_model_len": 8192, "kv_cache_memory_bytes": 512 << 20}


@pytest.fixture(scope="module")
def long_model(tiny_model, tmp_path_factory):
    """The tiny model with room for whole dialogs and a token each for the beginning and the end of a thought."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("long")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=8192, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def thinker(long_model, loop):
    from toolace_ray.engines.vllm import VllmEngine

    async def make():
        return VllmEngine(long_model, 24, **LONG, reasoning_parser="deepseek_r1")

    engine = loop(make())
    yield engine
    loop(engine.close())


def test_the_loss_of_a_dialog_is_transformers_own(long_model, thinker, loop):
    import torch
    from transformers import AutoModelForCausalLM

    template = ChatTemplate.of(long_model)
    model = AutoModelForCausalLM.from_pretrained(long_model, dtype=torch.bfloat16)
    config = parse({"roles": ROLES})
    for dialog in good_dialogs().values():
        engines = Engines(config, {"small": thinker}).for_task("t")
        found = loop(LossEvaluator(template).measure(dialog, engines))
        (whole,) = template.passes(dialog)
        ids = torch.tensor([whole.ids])
        labels = torch.full_like(ids, -100)
        for turn in whole.turns:
            labels[0, turn.start : turn.end] = ids[0, turn.start : turn.end]
        with torch.no_grad():
            expected = float(model(ids, labels=labels).loss)
        assert found.loss == pytest.approx(expected, abs=0.05)
        rates = loop(solved(dialog, template, engines))
        assert len(rates) == len(found.turns)


def test_a_thinking_model_is_stopped_at_its_budget_and_its_answer_is_constrained(thinker, loop):
    assert thinker.capabilities.reason
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Lima", "Lyon"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    messages = [{"role": "user", "content": "Which city? <think>"}]
    answer = loop(thinker.generate(GenerateRequest(messages, n=3, max_tokens=40, temperature=1.0, json_schema=schema)))
    for sample in answer.samples:
        assert json.loads(sample.text)["city"] in ("Lima", "Lyon")
        assert sample.thought  # random words, but thought
        assert sample.tokens <= 64


def test_calibration_from_end_to_end(long_model, tmp_path, environment):
    """Simulated teachers, a tiny random target: it solves next to nothing, and the file says so."""
    path = tmp_path / "prior"
    config = {
        "run": {"path": str(path)},
        "pools": {
            "simulated": {"engine": "simulated", "cpus": 0.2, "max_in_flight": 64},
            "target": {"engine": "vllm", "model": long_model, "cpus": 0.5, "options": LONG},
        },
        "roles": {**dict.fromkeys(ROLES, "simulated"), "target": "target"},
        "sources": {"documents": [], "openapi": ["examples/specs/*.openapi.json"], "mcp": ["examples/specs/*.mcp.json"]},
        "evolve": {"apis": 0},
        "generate": {
            "quotas": {"single": 6, "parallel": 2, "dependent": 2, "non_tool": 2},
            "min_tools": 1,
            "max_tools": 2,
        },
        "verify": {"experts": {}},
        "calibrate": {"epochs": 1, "batch": 4, "cpus": 0.5, "max_tokens": 8192},
    }  # fmt: skip
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "jobs.cli", "calibrate", "--config", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    band = yaml.safe_load((path / "calibration" / "band.yaml").read_text())
    assert band["measure"] == "loss"
    assert band["samples"] == 12
    assert 2.0 < band["lower"] <= band["upper"] < 12.0  # a random model over 600 tokens: about ln 600
    assert band["target"] == long_model
    assert (path / "calibration" / "probe" / "model.safetensors").exists()
    assert "loss by epoch" in done.stderr
    # Nothing is done twice.
    before = {
        found: found.stat().st_mtime_ns for found in (path / "calibration").rglob("*") if found.name != "band.yaml"
    }
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr[-3000:]
    assert {found: found.stat().st_mtime_ns for found in before} == before
    assert "tuning" not in again.stderr
