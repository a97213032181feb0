"""`toolace check --probe`: what the servers of a configuration can do."""

import json

import pytest
from click.testing import CliRunner

from jobs.cli import main
from tests.mock_server import MockServer


def probe(tmp_path, **pools):
    path = tmp_path / "config.yaml"
    roles = dict.fromkeys(("writer", "user", "assistant", "tool", "judge"), next(iter(pools)))
    path.write_text(json.dumps({"run": {"path": str(tmp_path / "run")}, "pools": pools, "roles": roles}))
    done = CliRunner().invoke(main, ["check", "--probe", "--config", str(path)])
    assert not (tmp_path / "run").exists()
    return done.exit_code, done.output


def pool(url, **more):
    return {"engine": "openai", "url": url, "model": "m", **more}


def test_a_server_that_can_everything_is_asked_once(tmp_path):
    with MockServer(context=32768) as server:
        code, text = probe(
            tmp_path, teacher=pool(server.url), local={"engine": "vllm"}, rehearsal={"engine": "simulated"}
        )
        assert server.requests == 1
    assert code == 0, text
    for part in (
        f"pool teacher: m at {server.url} answers",
        "several answers a request (n): yes",
        "JSON schemas: yes",
        "fields: max_tokens, temperature, top_p, seed, stop\n",
        "tokens: it counts them (prompt 7, answers 10)",
        "context: 32768 tokens\n",
        "pool local: vllm, not asked: a probe starts no engine",
        "pool rehearsal: simulated, not asked",
    ):
        assert part in text


def test_what_a_server_can_not_is_told(tmp_path):
    refuses = {name: {"error": {"message": f"Unsupported parameter: '{name}'"}} for name in ("max_tokens", "seed", "response_format")}  # fmt: skip
    says = ['Sure: {"city": "Paris", "river": "Seine"}']
    with MockServer(context=4096, refuses=refuses, ignores=("n", "usage"), says=says) as server:
        code, text = probe(tmp_path, teacher=pool(server.url))
    assert code == 0, text
    for part in (
        "(n): no, it is asked once for each",
        "JSON schemas: no, they go into the prompt and answers are validated",
        "fields: max_completion_tokens, temperature, top_p, stop; left out: max_tokens, seed",
        "tokens: it counts none; they are estimated",
        "context: 4096 tokens; pools.teacher.context is 8192: set it to 4096 at most",
    ):
        assert part in text
    assert "does not keep" not in text


def test_a_server_that_keeps_no_schema_at_all_is_told(tmp_path):
    with MockServer(ignores=("response_format",)) as server:
        code, text = probe(tmp_path, teacher=pool(server.url))
    assert code == 0, text
    assert "an answer does not keep the schema: 'A fixed answer.'" in text
    assert "context: its list of models does not say; pools.teacher.context is 8192" in text


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_refuses_us_is_one_sentence_and_the_others_are_asked_too(tmp_path, status, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-0123456789")
    answer = {"error": {"message": "Incorrect API key provided: sk-0123456789"}}
    with MockServer(script=[(status, answer)], forever=True) as server, MockServer() as other:
        pools = {"teacher": pool(server.url, api_key_env="TEACHER_KEY"), "judge": pool(other.url)}
        code, text = probe(tmp_path, **pools)
        assert server.requests == other.requests == 1
    assert code == 2
    assert (
        f"pool teacher: m at {server.url} gave no answer: pool teacher: {server.url}/chat/completions answered {status}"
        in text
    )
    assert f"pool judge: m at {other.url} answers" in text
    assert text.splitlines()[-1] == "error: no answer from pools.teacher; see above"
    assert "0123456789" not in text


def test_a_server_that_is_not_there(tmp_path):
    with MockServer() as server:
        url = server.url
    code, text = probe(tmp_path, teacher=pool(url))
    assert code == 2
    assert "no connection" in text
