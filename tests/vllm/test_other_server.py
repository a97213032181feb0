"""A server of another make, for real: transformers', which knows less of the protocol than vLLM's."""

import logging

import pytest

from tests.vllm.test_contract import chat
from toolace_ray.engines.openai import OpenAIEngine
from toolace_ray.engines.protocol import BadRequest, EngineTimeout


@pytest.fixture
def engine(transformers_server, tiny_model, loop):
    made = OpenAIEngine(transformers_server, tiny_model, pool="other")
    yield made
    loop(made.close())


def test_it_is_asked_once_for_each_answer_and_that_is_said_once(engine, loop, caplog):
    with caplog.at_level(logging.WARNING):
        answers = [loop(engine.generate(chat(n=3, max_tokens=16))) for _ in range(2)]
    for answer in answers:
        assert len(answer.samples) == 3
        assert answer.tokens == sum(sample.tokens for sample in answer.samples) > 0
        assert answer.prompt_tokens > 0
    (said,) = (record.message for record in caplog.records if "one answer" in record.message)
    assert said.startswith("pool other: http://127.0.0.1:")
    assert said.endswith(" draws one answer a request; it is asked once for each")


def test_its_refusals_and_delays_are_told(engine, transformers_server, loop):
    with pytest.raises(EngineTimeout):
        loop(engine.generate(chat("a long story", max_tokens=900, timeout=0.001)))
    other = OpenAIEngine(transformers_server, "nobody/nothing", pool="other")
    try:
        with pytest.raises(BadRequest, match="nothing"):
            loop(other.generate(chat(max_tokens=4, timeout=60)))
    finally:
        loop(other.close())
