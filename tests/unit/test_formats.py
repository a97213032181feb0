import json

import pytest

from tests.material import good_dialogs
from toolace_ray.calls import toolace
from toolace_ray.corpus.formats.openai import write as to_openai
from toolace_ray.corpus.formats.toolace import write as to_toolace

GOOD = good_dialogs()


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_lost_in_openais_format(name):
    dialog = GOOD[name]
    row = to_openai(dialog)
    assert [tool["function"]["name"] for tool in row["tools"]] == [api.name for api in dialog.tools]
    for item, message in zip(row["messages"], dialog.messages, strict=True):
        assert item["role"] == message.role
        assert (item["content"] or "") == message.content
        found = [
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in item.get("tool_calls", ())
        ]
        assert found == [(call.id, call.name, call.arguments) for call in message.tool_calls]
        assert item.get("tool_call_id") == message.tool_call_id
        assert "weight" not in item


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_lost_in_toolaces_format(name):
    dialog = GOOD[name]
    row = to_toolace(dialog)
    assert all(json.dumps(api.name) in row["system"] for api in dialog.tools)
    said = [message for message in dialog.messages if message.role in ("user", "assistant")]
    written = [item for item in row["conversations"] if item["from"] != "tool"]
    for item, message in zip(written, said, strict=True):
        if message.tool_calls:
            calls = toolace.parse(item["value"]).calls
            assert [(call.name, call.arguments) for call in calls] == [
                (c.name, c.arguments) for c in message.tool_calls
            ]
        else:
            assert item["value"] == message.content
    results = [part for item in row["conversations"] if item["from"] == "tool" for part in json.loads(item["value"])]
    assert [part["results"] for part in results] == [json.loads(m.content) for m in dialog.messages if m.role == "tool"]
    assert "masked" not in row


def test_masked_turns_are_told_and_thoughts_are_not():
    dialog = GOOD["single"]
    masked = dialog.messages[2].model_copy(update={"train": False, "thought": "a secret"})
    dialog = dialog.model_copy(update={"messages": (*dialog.messages[:2], masked, *dialog.messages[3:])})
    openai, published = to_openai(dialog), to_toolace(dialog)
    assert [item.get("weight") for item in openai["messages"]] == [None, None, 0, None, None]
    assert published["masked"] == [1]
    assert "secret" not in json.dumps([openai, published])
