import asyncio

import pytest

from tests.mock_server import MockServer
from toolace_ray.engines.openai import OpenAIEngine
from toolace_ray.engines.protocol import BadRequest, EngineDead, EngineError, EngineTimeout, GenerateRequest


def ask(url, count=1, key="", **more):
    async def run():
        engine = OpenAIEngine(url, "m", api_key=key)
        request = GenerateRequest([{"role": "user", "content": "x"}], **more)
        try:
            return await asyncio.gather(*(engine.generate(request) for _ in range(count)))
        finally:
            await engine.close()

    return asyncio.run(run())


def test_busy_answers_are_asked_again():
    with MockServer(fail_every=3) as server:
        answers = ask(server.url, 10)
        assert len(answers) == 10
        assert server.failed >= 3
        assert server.requests == 10 + server.failed


def test_usage_is_the_servers():
    with MockServer() as server:
        (answer,) = ask(server.url, n=3)
        assert (answer.prompt_tokens, answer.cached_tokens, answer.tokens) == (7, 4, 15)


def test_the_key_is_sent_and_a_wrong_request_is_not_repeated():
    with MockServer(fail_every=1, fail_status=400) as server:
        with pytest.raises(BadRequest, match=r"answered 400: .*injected"):
            ask(server.url, key="sk-1")
        assert server.requests == 1
        assert server.seen[0][1]["Authorization"] == "Bearer sk-1"


def test_a_server_that_only_fails_is_a_timeout():
    with MockServer(fail_every=1, fail_status=503) as server, pytest.raises(EngineTimeout):
        ask(server.url, timeout=0.6)


def test_no_server_is_a_dead_engine():
    with MockServer() as server:
        url = server.url
    with pytest.raises(EngineDead, match="no connection"):
        ask(url)


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"choices": [{}]}', b'{"choices": []}'])
def test_an_answer_that_is_none_says_so(body):
    with MockServer(body=body) as server, pytest.raises(EngineError):
        ask(server.url)


def test_many_requests_share_the_session():
    with MockServer(latency=0.05, slots=200) as server:
        ask(server.url, 100)
        assert server.most_flying > 50
