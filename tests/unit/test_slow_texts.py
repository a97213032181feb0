"""Rows made to be slow to judge: each text is looked at a few times, whatever it holds.

Read in quadratic or cubic time these would take from minutes to days, which the limit on this file ends.
"""

import json

import pytest

from tests.material import calls, good_dialogs, result, say, user
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.registry import RULES
from toolace_ray.dlv.view import View
from toolace_ray.tss import specs

pytestmark = pytest.mark.timeout(100)
CONFIG = VerifyConfig()
BLANKS = 200_000
TOOL = {"name": "get_weather", "description": "Tell the weather.", "parameters": {"type": "object", "properties": {}}}


def row(*turns, tools=(TOOL,)):
    return json.dumps({"tools": list(tools), "messages": [{"role": role, "content": text} for role, text in turns]})


def rules(line, format="openai"):
    return {verdict.rule for verdict in verify_row(line, format, CONFIG).verdicts}


def findings(rule, *messages):
    """What one rule finds in a stranger's dialog, without the limit on its size."""
    dialog = good_dialogs()["single"].model_copy(update={"messages": messages, "kind": "single.imported"})
    return [evidence for _, evidence in RULES[rule].check(View(dialog))]


def test_a_result_of_blanks_between_tags_that_do_not_close():
    turns = [("human", "Hello."), ("tool", "<tool_response>" + " " * BLANKS), ("gpt", "Hello.")]
    line = json.dumps({"conversations": [{"from": who, "value": text} for who, text in turns]})
    assert "size" in rules(line, "sharegpt")


def test_a_type_of_blanks():
    parameters = {"city": {"type": " " * 900_000 + "x, optional"}}
    assert "api_definition" in rules(
        row(("user", "Hello."), ("assistant", "Hi."), tools=[{**TOOL, "parameters": parameters}])
    )


@pytest.mark.parametrize(
    "kind", ["List[" * 20_000 + "]" * 20_000, "Union[" * 20_000 + "]" * 20_000, "x" + "]" * 1_000_000 + "|"]
)
def test_a_type_of_brackets(kind):
    tool = {**TOOL, "parameters": {"city": {"type": kind}}}
    assert "api_definition" in rules(row(("user", "Hello."), ("assistant", "Hi."), tools=[tool]))


@pytest.mark.parametrize(
    "text",
    [
        "```" + " " * 60_000 + "{",
        "\n" * 20_000 + "Action: x" + "\n" * 20_000 + "{",
    ],
)
def test_an_answer_of_blanks_that_opens_like_a_call(text):
    assert "message_length" in rules(row(("user", "Hello."), ("assistant", text)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Find the weather in Rome not Paris. " + "may 1, " * 8000, True),
        ("The weather in Paris, please. " + "well, no, " * 20_000, False),
        ("The weather in Paris, please. " + "well, no, " * 20_000 + "No, sorry, I meant Rome.", True),
        ("The weather in Paris, please. " + "oh " * 100_000 + ". No, sorry, I meant Rome.", True),
    ],
)
def test_what_is_taken_back_among_many_dates_and_cues(said, told):
    call = calls(("c1", "get_forecast", {"city": "Paris", "date": "2026-05-02"}))
    assert (
        any("was taken back for Rome" in evidence for evidence in findings("corrected_value", user(said), call)) is told
    )


@pytest.mark.parametrize(
    ("rule", "first", "answer", "told"),
    [
        ("answer_grounded", "How are you?", "It is sunny at 24. " + "-" * (1 << 20), False),
        ("mixed_language", "天気はどうですか？", "晴" * 200_000 + " " + "A" * 600_000, False),
        ("mixed_language", "How are you?", "晴" + "“" * 1_000_000, True),
    ],
)
def test_an_answer_of_signs(rule, first, answer, told):
    assert bool(findings(rule, user(first), *good_dialogs()["single"].messages[2:4], say(answer))) is told


def test_a_result_of_letters_that_could_be_a_token():
    told = result("c1", "get_forecast", {"summary": "a" * BLANKS})
    findings("answer_grounded", user("Hello."), calls(("c1", "get_forecast", {})), told, say("Done."))


def test_a_tool_that_needs_a_lot(tmp_path):
    properties = {f"p{number}": {"type": "integer", "description": "A number."} for number in range(40_000)}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    tool = {"name": "add_numbers", "description": "Add numbers.", "inputSchema": schema}
    (tmp_path / "a.json").write_text(json.dumps({"tools": [tool]}))
    (reason,) = specs.import_mcp(str(tmp_path / "a.json"))
    assert "too large" in reason
