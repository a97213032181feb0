"""Rows in the layouts of published sets, with words of our own: what each layout holds is read, and held to the rules."""

import json

import pytest

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import read
from toolace_ray.corpus.verification import verify_row

CONFIG = VerifyConfig()
TIDES = {
    "name": "get_tides",
    "description": "Tells when the water is high and low at a harbour.",
    "parameters": {
        "type": "object",
        "properties": {
            "harbour": {"type": "string", "description": "Name of the harbour"},
            "in_metres": {"type": "boolean", "description": "Heights in metres", "default": True},
        },
        "required": ["harbour"],
    },
}
ASKED, SAID = "When is high water at Bergen?", "High water at Bergen is at 14:20."
RESULT = {"high": "14:20", "low": "08:05"}


def rejecting(row, form):
    """The rules that reject a row."""
    told = verify_row(json.dumps(row, ensure_ascii=False), form, CONFIG)
    return {verdict.rule: verdict.evidence for verdict in told.verdicts if verdict.severity == "reject"}


def calls(row, form):
    return [(call.name, call.arguments) for item in read(row, form).dialog.messages for call in item.tool_calls]


def hermes_row(call):
    return {
        "conversations": [
            {"from": "system", "value": f"You call functions. <tools>\n{json.dumps([TIDES])}\n</tools>"},
            {"from": "human", "value": ASKED},
            {"from": "gpt", "value": call},
            {"from": "tool", "value": f"<tool_response>\n{json.dumps(RESULT)}\n</tool_response>"},
            {"from": "gpt", "value": SAID},
        ]
    }


@pytest.mark.parametrize("form", ["hermes", "sharegpt"])
def test_calls_that_hermes_writes_as_python_are_read_and_told(form):
    row = hermes_row(
        "<tool_call>\n{'arguments': {'harbour': 'Bergen', 'in_metres': True}, 'name': 'get_tides'}\n</tool_call>\n"
    )
    assert calls(row, form) == [("get_tides", {"harbour": "Bergen", "in_metres": True})]
    told = verify_row(json.dumps(row), form, CONFIG)
    assert told.accepted, told.verdicts
    assert ("schema_dialect", 2) in {(verdict.rule, verdict.turn) for verdict in told.verdicts}


@pytest.mark.parametrize(
    "call", ["{'name': 'get_tides', 'arguments': open('x')}", "{'name': 'get_tides'", "{'name': 'get_tides'}"]
)
def test_what_is_neither_json_nor_a_literal_is_no_call(call):
    assert "call_syntax" in rejecting(hermes_row(f"<tool_call>\n{call}\n</tool_call>"), "hermes")


def olmo_row(written, **more):
    return {
        "messages": [
            {
                "role": "system",
                "content": "You call functions.",
                "functions": json.dumps([TIDES]),
                "function_calls": None,
            },
            {"role": "user", "content": ASKED, "functions": None, "function_calls": None},
            {"role": "assistant", "content": None, "functions": None, "function_calls": written},
            {"role": "environment", "content": json.dumps(RESULT), "functions": None, "function_calls": None},
            {"role": "assistant", "content": SAID, "functions": None, "function_calls": None},
        ],
        **more,
    }


def test_olmos_rows_have_their_functions_and_calls_beside_the_words():
    row = olmo_row("get_tides(harbour='Bergen', in_metres=true)")
    assert calls(row, "openai") == [("get_tides", {"harbour": "Bergen", "in_metres": True})]
    assert rejecting(row, "openai") == {}
    assert "argument_provenance" in rejecting(olmo_row("get_tides(harbour='Stavanger')"), "openai")
    assert "known_api" in rejecting(olmo_row("get_waves(harbour='Bergen')"), "openai")


def test_olmos_calls_are_one_a_line_and_no_call_is_dropped():
    row = olmo_row("get_tides(harbour='Bergen')\nget_tides(harbour='Oslo (east)\\n')")
    assert [arguments["harbour"] for _, arguments in calls(row, "openai")] == ["Bergen", "Oslo (east)\n"]
    assert "cannot be read" in rejecting(olmo_row("get_tides(harbour='Bergen"), "openai")["call_syntax"]


@pytest.mark.parametrize(
    ("marks", "lacking"),
    [
        ({"harbour": {"required": True}, "day": {"required": False}}, None),
        ({"harbour": {"required": True}, "day": {"required": True}}, "day"),
        ({"harbour": {"required": True, "default": "Bergen"}, "day": {"default": "2024-05-01"}}, None),
        ({"harbour": {}, "day": {}}, "day"),
    ],
)
def test_parameters_without_a_schema_around_them_say_which_are_required(marks, lacking):
    properties = {name: {"type": "string", "description": name, **mark} for name, mark in marks.items()}
    tool = {"name": "get_tides", "description": TIDES["description"], "parameters": properties}
    answers = [{"name": "get_tides", "arguments": {"harbour": "Bergen"}}]
    row = {"query": ASKED, "tools": json.dumps([tool]), "answers": json.dumps(answers)}
    assert rejecting(row, "xlam") == ({"required_arguments": f"get_tides lacks {lacking}"} if lacking else {})


@pytest.mark.parametrize(
    ("form", "weight"), [("openai", "loss_weight"), ("sharegpt", "loss_weight"), ("openai", "weight")]
)
def test_a_turn_whose_loss_has_no_weight_is_masked(form, weight):
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "At 14:20.", weight: 0.0}]
    turns += [{"role": "user", "content": "And low water?"}, {"role": "assistant", "content": "At 08:05.", weight: 1.0}]
    assert [item.train for item in read({"messages": turns}, form).dialog.messages] == [True, False, True, True]
