"""One suite over all engines: what the method may rely on, whatever runs the model."""

import asyncio
import json

import pytest

from tests.mock_server import MockServer
from toolace_ray.engines.openai import OpenAIEngine
from toolace_ray.engines.protocol import BadRequest, EngineTimeout, GenerateRequest, ScoreRequest, Unsupported
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.schemas.validate import errors

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"type": "string", "enum": ["c", "f"]},
    },
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
}


@pytest.fixture(params=["simulated", "openai-mock", "openai-vllm", "vllm"])
def engine(request, loop):
    if request.param == "simulated":
        yield SimulatedEngine(latency_ms=30)
    elif request.param == "vllm":
        yield request.getfixturevalue("vllm_engine")
    elif request.param == "openai-mock":
        with MockServer(latency=0.03) as server:
            made = OpenAIEngine(server.url, "m")
            yield made
            loop(made.close())
    else:
        made = OpenAIEngine(request.getfixturevalue("vllm_server"), "tiny")
        yield made
        loop(made.close())


def chat(text="How is the weather?", **more):
    return GenerateRequest([{"role": "system", "content": "Be short."}, {"role": "user", "content": text}], **more)


def test_n_samples_with_their_counts(engine, loop):
    answer = loop(engine.generate(chat(n=3, max_tokens=16)))
    assert len(answer.samples) == 3
    assert answer.prompt_tokens > 0
    assert answer.tokens == sum(sample.tokens for sample in answer.samples) > 0
    assert all(sample.finish in ("stop", "length") for sample in answer.samples)
    assert 0 <= answer.cached_tokens <= answer.prompt_tokens


def test_a_schema_is_kept(engine, loop):
    answer = loop(engine.generate(chat(n=4, max_tokens=120, temperature=1.0, json_schema=SCHEMA)))
    for sample in answer.samples:
        assert sample.finish == "stop", sample
        # xgrammar lets raw control characters into bounded strings; whoever reads answers must expect them.
        assert errors(SCHEMA, json.loads(sample.text, strict=False)) == []


def test_many_requests_at_once(engine, loop):
    async def ask():
        return await asyncio.gather(*(engine.generate(chat(f"{i}", max_tokens=8)) for i in range(24)))

    assert len(loop(ask())) == 24


def test_a_deadline_is_kept(engine, loop):
    with pytest.raises(EngineTimeout):
        loop(engine.generate(chat("a long story", max_tokens=900, n=8, timeout=0.001)))


def test_scores_or_says_that_it_cannot(engine, loop):
    request = ScoreRequest([5, 6, 7, 8, 9], [(1, 3), (4, 5)])
    if not engine.capabilities.score:
        with pytest.raises(Unsupported):
            loop(engine.score(request))
        return
    score = loop(engine.score(request))
    assert [len(span) for span in score.spans] == [2, 1]
    assert all(value <= 0 for span in score.spans for value in span)
    assert loop(engine.score(request)) == score
    with pytest.raises(BadRequest):
        loop(engine.score(ScoreRequest([5, 6], [(0, 1)])))


def test_capabilities_are_stated(engine):
    assert engine.capabilities.context >= 256
    assert engine.capabilities.model
