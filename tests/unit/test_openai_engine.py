import asyncio
import json
import logging
from email.utils import formatdate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mock_server import MockServer
from toolace_ray.config.load import parse
from toolace_ray.config.tree import PoolConfig
from toolace_ray.engines.build import build
from toolace_ray.engines.dialect import extracted
from toolace_ray.engines.faults import MAX_READ, MAX_WORDS, read_fault, seconds_to_wait
from toolace_ray.engines.openai import OpenAIEngine
from toolace_ray.engines.protocol import (
    BadRequest,
    EngineDead,
    EngineError,
    EngineRefused,
    EngineTimeout,
    GenerateRequest,
)
from toolace_ray.errors import UserError

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
GOOD = '{"city": "Rome", "days": 2}'


def ask(url, count=1, key="", engine=None, one_after_another=False, **more):
    async def run():
        made = OpenAIEngine(url, "m", api_key=key, **(engine or {}))
        request = GenerateRequest([{"role": "user", "content": "x"}], **more)
        try:
            if one_after_another:
                return [await made.generate(request) for _ in range(count)]
            return await asyncio.gather(*(made.generate(request) for _ in range(count)))
        finally:
            await made.close()

    return asyncio.run(run())


def refusal(name, message=None, **more):
    """What OpenAI answers to a field that a model does not take."""
    message = message or f"Unsupported parameter: '{name}' is not supported with this model."
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": name,
            "code": "unsupported_parameter",
            **more,
        }
    }


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("toolace_ray.engines.openai.FIRST_PAUSE", 0.001)


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
        assert not answer.estimated


def test_the_key_is_sent_and_a_wrong_request_is_not_repeated():
    with MockServer(fail_every=1, fail_status=400) as server:
        with pytest.raises(BadRequest, match=r"answered 400: .*injected"):
            ask(server.url, key="sk-1")
        assert server.requests == 1
        assert server.seen[0][1]["Authorization"] == "Bearer sk-1"


def test_a_server_that_only_fails_is_a_timeout_that_tells_the_last_failure():
    with MockServer(fail_every=1, fail_status=503) as server, pytest.raises(EngineTimeout, match="last: 503: injected"):
        ask(server.url, timeout=0.6)


def test_no_server_is_a_dead_engine():
    with MockServer() as server:
        url = server.url
    with pytest.raises(EngineDead, match=r"no connection.*pools\.teacher\.url"):
        ask(url, engine={"pool": "teacher"})


def test_many_requests_share_the_session():
    with MockServer(latency=0.05, slots=200) as server:
        ask(server.url, 100)
        assert server.most_flying > 50


def test_a_url_with_the_whole_path_is_the_same():
    with MockServer() as server:
        ask(f"{server.url}/chat/completions")
        assert server.requests == 1


# Several answers


def test_a_server_that_ignores_n_is_asked_n_times_and_that_is_said_once(caplog):
    with MockServer(ignores=("n",)) as server, caplog.at_level(logging.WARNING):
        first, second = ask(server.url, 2, n=3, seed=7, one_after_another=True, engine={"pool": "teacher"})
        assert len(first.samples) == len(second.samples) == 3
        assert (first.prompt_tokens, first.tokens) == (21, 15)
        assert [body.get("n") for body in server.bodies] == [3] + [None] * 5
        # With one seed the answers of one request would all be the same.
        assert sorted(body["seed"] for body in server.bodies[3:]) == [7, 8, 9]
        assert len({body["seed"] for body in server.bodies[:3]}) == 3
    assert [record.getMessage().count("asked once for each") for record in caplog.records] == [1]
    assert "pool teacher" in caplog.text


@pytest.mark.parametrize(
    "message", ["'n' must be 1", "Only one completion choice is allowed", "n > 1 is not supported", "[{'type': 'less_than_equal', 'loc': ('body', 'n')}]"]
)  # fmt: skip
def test_a_server_that_refuses_n_is_asked_n_times(message):
    with MockServer(refuses={"n": {"error": {"message": message}}}) as server:
        (answer,) = ask(server.url, n=3)
        assert len(answer.samples) == 3
        assert server.requests == 4


# Fields that a server does not take


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("temperature", refusal("temperature", "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.", code="unsupported_value")),
        ("seed", {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 3}]}),
        ("stop", refusal("stop")),
        ("top_p", {"message": "`temperature` and `top_p` cannot both be specified for this model."}),
        ("top_p", {"error": "Unrecognized request argument supplied: top_p"}),
        ("seed", {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}}),
    ],
)  # fmt: skip
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(name, error, caplog):
    with MockServer(refuses={name: error}) as server, caplog.at_level(logging.WARNING):
        ask(server.url, 3, seed=3, stop=("\n",), one_after_another=True)
        assert server.failed == 1
        assert all(name not in body for body in server.bodies[1:])
        others = {"temperature", "seed", "stop", "top_p", "max_tokens"} - {name}
        assert all(others <= set(body) for body in server.bodies)
    assert len(caplog.records) == 1
    assert name in caplog.text


def test_max_completion_tokens_takes_the_place_of_max_tokens():
    error = refusal("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")  # fmt: skip
    with MockServer(refuses={"max_tokens": error}) as server:
        ask(server.url, 2, max_tokens=99, one_after_another=True)
        assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 99, 99]
        assert server.failed == 1


def test_a_model_that_refuses_several_fields_is_found_out_field_by_field_by_many_at_once():
    refuses = {name: refusal(name) for name in ("max_tokens", "temperature", "top_p", "n")}
    with MockServer(refuses=refuses) as server:
        answers = ask(server.url, 20, n=2)
        assert [len(answer.samples) for answer in answers] == [2] * 20


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 900. This model's maximum context length is 512 tokens and your request has 200 input tokens",
        "max_tokens is too large: 50000. This model supports at most 16384 completion tokens, whereas you provided 50000.",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 7 instead.",
        "The prompt about the temperature in Rome can't be answered.",
        "Invalid value: the property 'billing' of the prompt's tool is missing its api_key, which is not valid.",
        "1 validation error: messages[0].content: String should match pattern, input_value='Pay: insufficient funds'",
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_the_requests_fault(message, caplog):
    with MockServer(script=[(400, {"error": {"message": message, "param": None}})], forever=True) as server:
        with pytest.raises(BadRequest):
            ask(server.url)
        assert server.requests == 1
    assert not caplog.records


def test_the_configuration_leaves_fields_out_and_a_field_that_it_gives_is_never_left_out():
    with MockServer(refuses={"seed": refusal("seed")}) as server:
        body = {"max_tokens": None, "top_p": None, "n": None, "chat_template_kwargs": {"enable_thinking": False}}
        ask(server.url, engine={"body": body}, n=2)
        assert server.requests == 2
        for sent in server.bodies:
            assert sent["max_completion_tokens"] == 256
            assert not {"max_tokens", "top_p", "n"} & set(sent)
            assert sent["chat_template_kwargs"] == {"enable_thinking": False}
        with pytest.raises(BadRequest, match="seed"):
            ask(server.url, engine={"body": {"seed": 5}})


def test_answers_are_cut_here_where_a_server_takes_no_stop():
    with MockServer(refuses={"stop": refusal("stop")}, says=["One line.\nAnother one."]) as server:
        (answer,) = ask(server.url, stop=("\n",))
        assert [sample.text for sample in answer.samples] == ["One line."]


# Schemas

NO_SCHEMA = [
    refusal("response_format"),
    {"error": {"message": "This response_format type is unavailable now", "type": "invalid_request_error", "param": None}},
    {"error": {"message": "'response_format.type' : value must be one of [text json_object]"}},
    {"error": "json_schema is not supported by this server"},
]  # fmt: skip


@pytest.mark.parametrize("error", NO_SCHEMA)
@pytest.mark.parametrize("says", [GOOD, f"```json\n{GOOD}\n```", f"Here you are [1]:\n\n{GOOD}\n\nAnything else?"])
def test_a_schema_that_a_server_refuses_goes_into_the_prompt(error, says):
    with MockServer(refuses={"response_format": error}, says=[says]) as server:
        answers = ask(server.url, 2, json_schema=SCHEMA, one_after_another=True)
        assert [sample.text for answer in answers for sample in answer.samples] == [GOOD] * 2
        assert server.failed == 1
        assert json.dumps(SCHEMA) in server.bodies[-1]["messages"][-1]["content"]


def test_an_answer_that_does_not_validate_is_asked_for_again_and_counted():
    says = ["I can't.", '{"city": "Paris", "days": 1}', GOOD]
    with MockServer(refuses={"response_format": NO_SCHEMA[0]}, says=says) as server:
        (answer,) = ask(server.url, json_schema=SCHEMA, seed=1)
        assert [sample.text for sample in answer.samples] == [GOOD]
        assert (answer.tokens, answer.prompt_tokens) == (15, 21)
        assert len({body["seed"] for body in server.bodies[1:]}) == 3


def test_only_the_samples_that_do_not_validate_are_asked_for_again_and_not_for_ever():
    with MockServer(refuses={"response_format": NO_SCHEMA[0]}, says=[GOOD, "no", GOOD, "never"]) as server:
        (answer,) = ask(server.url, json_schema=SCHEMA, n=4)
        assert [sample.text for sample in answer.samples] == [GOOD, GOOD, "never", "never"]
        assert [body.get("n", 1) for body in server.bodies] == [4, 4, 2, 2]


def test_a_schema_that_a_server_ignores_goes_into_the_prompt_too():
    with MockServer(ignores=("response_format",), says=["A fixed answer.", GOOD]) as server:
        ask(server.url, 2, json_schema=SCHEMA, one_after_another=True)
        assert ["response_format" in body for body in server.bodies] == [True, False, False]


def test_one_schema_that_a_server_cannot_use_takes_schemas_from_no_other_request():
    error = refusal("response_format", "Invalid schema for response_format 'answer': 'minimum' is not permitted.")
    other = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}

    async def run(url):
        engine = OpenAIEngine(url, "m")
        message = [{"role": "user", "content": "x"}]
        await engine.generate(GenerateRequest(message, json_schema=other))
        await engine.generate(GenerateRequest(message, json_schema=SCHEMA))
        await engine.generate(GenerateRequest(message, json_schema=SCHEMA))
        await engine.generate(GenerateRequest(message, json_schema=other))
        await engine.close()

    with MockServer(script=[None, (400, error)], says=['{"a": true}', GOOD, GOOD, '{"a": true}']) as server:
        asyncio.run(run(server.url))
        assert ["response_format" in body for body in server.bodies] == [True, True, False, False, True]


@pytest.mark.parametrize("text", ["[" * 20000, "{" * 20000, "no JSON", "", "```json\n{\n```", '{"a": ' * 5000])
def test_text_without_json_stays_as_it_is(text):
    assert extracted(text) == text


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)),
       before=st.text("abc .,:\n"), after=st.text("abc .,:\n"))  # fmt: skip
def test_an_object_in_prose_is_found(value, before, after):
    text = json.dumps({"value": value})
    assert json.loads(extracted(f"{before}{text}{after}")) == {"value": value}
    if "```" not in text:
        assert json.loads(extracted(f"{before}```json\n{text}\n```{after}")) == {"value": value}


# Waiting


@pytest.mark.parametrize("header", ["0.05", "0", formatdate(usegmt=True)])
def test_a_server_says_when_to_ask_again(header, monkeypatch):
    monkeypatch.setattr("toolace_ray.engines.openai.FIRST_PAUSE", 1000.0)  # later than the deadline
    with MockServer(script=[(429, {"error": "slow down"}, {"Retry-After": header})]) as server:
        ask(server.url, timeout=5)
        assert server.requests == 2


def test_what_a_retry_after_says():
    assert seconds_to_wait("7", 0.0) == 7
    assert seconds_to_wait("1.5", 0.0) == 1.5
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480.0 - 90) == 90
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480.0 + 90) == 0
    assert [seconds_to_wait(text, 0.0) for text in ("", "soon", "nan", "inf", "-")] == [None] * 5
    assert seconds_to_wait("-3", 0.0) == 0


def test_a_wait_beyond_the_deadline_fails_at_once_with_that_reason_and_holds_for_others():
    with MockServer(script=[(429, {"error": {"message": "slow down"}}, {"Retry-After": "500"})]) as server:

        async def run():
            engine = OpenAIEngine(server.url, "m")
            try:
                for _ in range(2):
                    with pytest.raises(
                        EngineTimeout, match=r"asks to wait (500|499) s more, and .* s are left.*slow down"
                    ):
                        await engine.generate(GenerateRequest([{"role": "user", "content": "x"}], timeout=60))
            finally:
                await engine.close()

        asyncio.run(run())
        assert server.requests == 1


def test_a_wait_of_a_day_ends_the_run():
    day = [(429, {"error": {"message": "daily limit"}}, {"Retry-After": "86400"})]
    says = r"wait 86400 s .*daily limit.*same command again"
    with MockServer(script=day) as server, pytest.raises(EngineRefused, match=says):
        ask(server.url)


def test_no_limit_stands_below_the_requests_own():
    async def run():
        engine = OpenAIEngine("http://127.0.0.1:9/v1", "m")
        try:
            timeout = engine._open().timeout
            return timeout.total, timeout.sock_read
        finally:
            await engine.close()

    assert asyncio.run(run()) == (None, None)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])
def test_a_passing_fault_is_asked_again(status, no_pauses):
    with MockServer(script=[(status, b"<html><title>busy</title></html>")] * 3) as server:
        ask(server.url)
        assert server.requests == 4


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "Provider returned error", "code": 502}},
        {"error": {"message": "Rate limit exceeded", "code": "rate_limit_exceeded"}},
        {"choices": [{"message": {"content": ""}, "error": {"code": 503, "message": "overloaded"}, "finish_reason": "error"}]},
    ],
)  # fmt: skip
def test_a_passing_fault_inside_a_200_is_asked_again(error, no_pauses):
    with MockServer(script=[(200, error)] * 6) as server:
        ask(server.url)
        assert server.requests == 7


# Answers that are none

NONE = {
    "no json": (b"no json", "no chat completion but no json"),
    "html": (b"<html><style>a{}</style><body><h1>Log in</h1></body></html>", "no chat completion but Log in"),
    "empty": (b"", "an empty body"),
    "list": (b"[]", r"no chat completion but \[\]"),
    "object": (b"{}", "no chat completion"),
    "no message": (b'{"choices": [{}]}', "no chat completion"),
    "null": (b'{"choices": null, "message": "the model is not ready"}', "the model is not ready"),
    "none": (b'{"choices": []}', r"choices.*\[\]"),
    "error": (b'{"error": {"message": "the graphics card is on fire"}}', "the graphics card is on fire"),
    "nested": (b"[" * 100000, "no chat completion"),
    "large number": (b'{"choices": ' + b"9" * 6000 + b"}", "no chat completion"),
}


@pytest.mark.parametrize("name", NONE)
def test_an_answer_that_is_none_is_shown_and_asked_for_a_few_times(name, no_pauses):
    body, says = NONE[name]
    with MockServer(body=body) as server:
        with pytest.raises(EngineError, match=says):
            ask(server.url)
        assert server.requests == 4


def test_an_answer_that_is_none_may_pass(no_pauses):
    with MockServer(script=[(200, b""), (200, {"choices": None})]) as server:
        ask(server.url)
        assert server.requests == 3


@pytest.mark.parametrize(("status", "body"), [(200, b'{"choices": null}'), (400, b'{"error": "no such model"}')])
def test_a_server_that_never_answers_ends_the_run_soon(status, body, no_pauses):
    with MockServer(script=[(status, body)], forever=True) as server:

        async def run():
            engine = OpenAIEngine(server.url, "m", pool="teacher")
            try:
                for _ in range(12):
                    with pytest.raises(EngineError) as error:
                        await engine.generate(GenerateRequest([{"role": "user", "content": "x"}]))
                    if isinstance(error.value, EngineRefused):
                        break
            finally:
                await engine.close()
            return error.value

        refused = asyncio.run(run())
        assert isinstance(refused, EngineRefused)
        assert "check pools.teacher.url, model and body" in str(refused)
        assert server.requests <= 12


def test_a_server_that_answers_is_not_given_up_for_a_few_bad_requests(no_pauses):
    with MockServer(script=[None, *[(400, {"error": "too long"})] * 20]) as server:

        async def run():
            engine = OpenAIEngine(server.url, "m")
            request = GenerateRequest([{"role": "user", "content": "x"}])
            await engine.generate(request)
            for _ in range(20):
                with pytest.raises(BadRequest, match="too long"):
                    await engine.generate(request)
            await engine.generate(request)
            await engine.close()

        asyncio.run(run())


# Who is refused, and what

SPENT = [
    (429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    (402, {"error": {"message": "Insufficient Balance"}}),
    (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}),
    (200, {"error": {"code": 402, "message": "This request requires more credits"}}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), SPENT)
def test_a_quota_that_is_spent_ends_the_run(status, body):
    with MockServer(script=[(status, body)], forever=True) as server:
        with pytest.raises(EngineRefused, match=r"quota or credit is spent.*pools\.teacher\.url"):
            ask(server.url, engine={"pool": "teacher"})
        assert server.requests == 1


def test_a_large_refusal_that_repeats_the_prompt_is_the_requests_fault():
    body = {"detail": [{"msg": "not valid", "input": "insufficient funds " * 4000}]}
    with MockServer(script=[(422, body)], forever=True) as server, pytest.raises(BadRequest):
        ask(server.url)


def test_a_limit_of_a_minute_that_calls_itself_a_quota_passes(no_pauses):
    error = [{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 0.1s.", "status": "RESOURCE_EXHAUSTED"}}]  # fmt: skip
    with MockServer(script=[(429, error)]) as server:
        ask(server.url)
        assert server.requests == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "Incorrect API key provided"}}),
        (403, {"error": {"message": "Country, region, or territory not supported"}}),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
    ],
)
def test_a_key_that_is_refused_ends_the_run(status, body):
    with MockServer(script=[(status, body)], forever=True) as server:
        with pytest.raises(EngineRefused, match=r"pools\.teacher\.api_key_env"):
            ask(server.url, engine={"pool": "teacher"})
        assert server.requests == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"message": "Your chosen model requires moderation and your input was flagged", "code": 403, "metadata": {"reasons": ["violence"]}}}),
        (400, {"error": {"code": "content_filter", "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."}}),
        (400, {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}),
        (200, {"choices": [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}]}),
    ],
)  # fmt: skip
def test_a_moderated_prompt_is_that_requests_fault(status, body):
    with MockServer(script=[(status, body)]) as server:

        async def run():
            engine = OpenAIEngine(server.url, "m")
            request = GenerateRequest([{"role": "user", "content": "x"}])
            try:
                with pytest.raises(BadRequest):
                    await engine.generate(request)
                await engine.generate(request)
            finally:
                await engine.close()

        asyncio.run(run())
        assert server.requests == 2


def test_a_403_amid_answers_is_the_prompts_until_there_are_many_in_a_row():
    wall = (403, b"<html><h1>Access denied</h1></html>")
    with MockServer(script=[None, wall, None, *[wall] * 5]) as server:

        async def run():
            engine = OpenAIEngine(server.url, "m")
            request = GenerateRequest([{"role": "user", "content": "x"}])
            for refused in (False, True, False, True, True, True, True):
                if refused:
                    with pytest.raises(BadRequest, match="Access denied"):
                        await engine.generate(request)
                else:
                    await engine.generate(request)
            with pytest.raises(EngineRefused, match="Access denied"):
                await engine.generate(request)
            await engine.close()

        asyncio.run(run())


@pytest.mark.parametrize("status", [404, 405, 302])
def test_a_wrong_address_ends_the_run(status):
    with MockServer(script=[(status, b"", {"Location": "https://x/login"})], forever=True) as server:
        with pytest.raises(EngineRefused, match=rf"answered {status}: .*pools\.teacher\.url.*pools\.teacher\.model"):
            ask(server.url, engine={"pool": "teacher"})
        assert server.requests == 1


KEY = "sk-proj-" + "0123456789abcdef" * 20


@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 403, 404, 429, 503])
@pytest.mark.parametrize(
    "body", [{"error": {"message": f"Incorrect API key provided: {KEY}"}}, KEY.encode(), {"detail": [KEY]}]
)
def test_the_key_is_in_no_message(status, body, no_pauses, caplog):
    script = [(status, body, {"Location": f"https://x/{KEY}"})]
    with MockServer(script=script, forever=True) as server, pytest.raises(EngineError) as error:
        ask(server.url, key=KEY, timeout=1.0)
    told = f"{error.value} {error.value.__cause__} {caplog.text}"
    assert "0123456789" not in told
    assert str(status) in told
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("most", [MAX_WORDS, MAX_READ])
@pytest.mark.parametrize("form", [str, lambda text: json.dumps({"detail": text}), lambda text: json.dumps([1, text])])
def test_no_part_of_a_key_is_left_where_a_long_answer_is_cut(most, form):
    for before in range(most - len(KEY) - 20, most, 20):
        fault = read_fault(500, {}, form(" " * before + KEY).encode(), KEY)
        assert "sk-" not in fault.text + fault.words


# What an answer took


def test_tokens_are_estimated_where_a_server_counts_none_and_that_is_said_once(caplog):
    with MockServer(ignores=("usage",)) as server, caplog.at_level(logging.WARNING):
        for answer in ask(server.url, 2, one_after_another=True, n=2):
            assert answer.tokens == 2 * (len("A fixed answer.") // 4 + 1)
            assert answer.prompt_tokens > 0
            assert answer.estimated == answer.tokens + answer.prompt_tokens
    assert [record.getMessage().count("estimated") for record in caplog.records] == [1]


@pytest.mark.parametrize(("counted", "estimated"), [("prompt_tokens", 5), ("completion_tokens", 1)])
def test_only_what_a_server_does_not_count_is_estimated(counted, estimated):
    choice = {"index": 0, "message": {"role": "assistant", "content": "A long good answer."}, "finish_reason": "stop"}
    answers = [(200, {"choices": [choice], "usage": {counted: 9}}, {}), (200, {"choices": [choice], "usage": {}}, {})]
    with MockServer(script=answers) as server:  # two samples are two requests there, of which the second counts nothing
        (answer,) = ask(server.url, n=2)
    assert answer.tokens + answer.prompt_tokens == 9 + estimated + 5 + 1
    assert answer.estimated == estimated + 5 + 1


TEXTS_WITH_KEYS = st.lists(st.text() | st.just(KEY), max_size=4).map("".join)
BODIES = st.recursive(
    st.none() | TEXTS_WITH_KEYS | st.integers(),
    lambda part: (
        st.lists(part)
        | st.dictionaries(st.sampled_from(["error", "message", "detail", "code", "param", "choices", "loc"]), part)
    ),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    status=st.integers(200, 599),
    raw=st.binary() | TEXTS_WITH_KEYS.map(str.encode) | BODIES.map(json.dumps).map(str.encode),
    headers=st.fixed_dictionaries({"Retry-After": st.text(), "Location": TEXTS_WITH_KEYS}),
)
def test_any_answer_can_be_read(status, raw, headers):
    fault = read_fault(status, headers, raw, KEY)
    assert fault.text
    assert "\n" not in fault.text
    assert KEY[:40] not in fault.text
    assert KEY not in fault.words
    assert fault.retry_after is None or fault.retry_after >= 0


# The configuration


@pytest.mark.parametrize("url", ["", "host:8000/v1", "http://", "http://[/v1", "ftp://host/v1"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(UserError, match=r"pools\.a: engine openai needs url"):
        parse({"pools": {"a": {"engine": "openai", "url": url}}})


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="api_key_env") as error:
        parse({"pools": {"a": {"engine": "openai", "url": "http://me:hunter2@host/v1"}}})
    assert "hunter2" not in str(error.value)


def test_a_key_with_a_line_end_around_it_is_the_key(monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-1\n")

    async def run(url):
        engine = build(PoolConfig(engine="openai", url=url, api_key_env="TEACHER_KEY"), "teacher")
        await engine.generate(GenerateRequest([{"role": "user", "content": "x"}]))
        await engine.close()

    with MockServer() as server:
        asyncio.run(run(server.url))
        assert server.seen[0][1]["Authorization"] == "Bearer sk-1"
    monkeypatch.setenv("TEACHER_KEY", "sk-1\nsk-2")
    with pytest.raises(UserError, match=r"TEACHER_KEY.*header"):
        build(PoolConfig(engine="openai", url="http://127.0.0.1:9/v1", api_key_env="TEACHER_KEY"), "teacher")
