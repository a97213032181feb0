"""Secrets, people's data, benchmarks' questions and near-duplicates."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import WEATHER, calls, good_dialogs, result, say, user
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats.openai import write as to_openai
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.dlv.layer import run_rules
from toolace_ray.errors import UserError
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.text.privacy import masked, masked_values, scan
from toolace_ray.tss.readers import Limits, read

GOOD = good_dialogs()
AWS = "AKIA" + "IOSFODNN7ABCDEFG"
OPENAI = "sk-proj-" + "a1B2c3D4" * 6


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        (f"the key is {AWS}.", "AWS Access Key", True),
        (f"use {OPENAI} please", "OpenAI key", True),
        ("-----BEGIN RSA PRIVATE KEY-----", "Private Key", True),
        ("write to lena.vogt@posteo.de today", "email", False),
        ("card 4012 8888 8888 1881 expires", "card", False),
        ("pay to DE89 3704 0044 0532 0130 00 now", "iban", False),
        ("my number is 536-22-8726", "ssn", False),
        ("call +49 30 901820 tomorrow", "phone", False),
    ],
)
def test_what_is_private_is_found_and_replaced(text, kind, secret):
    (found,) = scan(text)
    assert (found.kind, found.secret) == (kind, secret)
    changed, count = masked(text)
    assert count == 1
    assert text[found.start : found.end] not in changed
    assert [item for item in scan(changed) if item.secret == secret] == []


@pytest.mark.parametrize(
    "text",
    [
        "flight FL-2041 on 2026-05-02 at 14:30, booking BK-3785", "alice@mail.example and bob@example.com", "call +1 202-555-0143",
        "order 4012 8888 8888 1882", "id 3f2504e0-4f89-41d3-9a0c-0305e82c3301", "get_exchange_rate_history(from=2026-01-01)",
        "version 1.2.3.4", "1234567890", "a total of 12,345,678.90 euros", "created at 1714521600002",
    ],
)  # fmt: skip
def test_what_is_nobodys_is_left_alone(text):
    assert scan(text) == []


@given(st.text(max_size=300))
def test_any_text_can_be_scanned(text):
    changed, count = masked(text)
    assert (changed == text) == (count == 0)


def test_equal_values_get_equal_stand_ins():
    changed, count = masked("from a.b@posteo.de to c.d@posteo.de, copy to a.b@posteo.de")
    assert count == 3
    assert changed == "from person1@mail.example to person2@mail.example, copy to person1@mail.example"


def _told(dialog, **settings):
    return {(verdict.rule, verdict.severity) for verdict in run_rules(dialog, VerifyConfig(**settings))}


def test_a_dialog_with_a_secret_is_rejected_or_masked():
    messages = GOOD["single"].messages
    dialog = GOOD["single"].model_copy(
        update={"messages": (*messages[:-1], say(f"It will be sunny at 24, says {AWS}."))}
    )
    assert ("secrets", "reject") in _told(dialog)
    row = json.dumps(to_openai(dialog))
    assert not verify_row(row, "openai", VerifyConfig()).accepted
    kept = verify_row(row, "openai", VerifyConfig(private="mask"))
    assert kept.accepted
    assert AWS not in kept.line


CARD, CARD_STANDS = 4012888888881881, 4000000000000000
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.sampled_from([
        CARD, float(CARD), "card 4012 8888 8888 1881", "lena.vogt@posteo.de", "Hi,\nlena.vogt@posteo.de", f'say "{AWS}"',
        json.dumps({"card": CARD, "note": "Hi,\nlena.vogt@posteo.de"}),
        json.dumps(json.dumps({"card": CARD, "note": "Hi,\nlena.vogt@posteo.de"})),
        "<tool_call>" + json.dumps({"name": "pay", "arguments": {"card": CARD, "to": "Hi\nlena.vogt@posteo.de"}}) + "</tool_call>",
    ]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5), inside, max_size=4)
)


@given(VALUES, st.booleans())
def test_a_masked_row_is_a_row_without_what_was_private(value, ascii):
    row = {**to_openai(GOOD["single"]), "more": value}
    told = verify_row(json.dumps(row, ensure_ascii=ascii), "openai", VerifyConfig(private="mask"))
    assert told.accepted, told.verdicts
    read = json.loads(told.line)
    assert read["messages"] == row["messages"]
    assert shape(read["more"]) == shape(row["more"])
    for secret in (str(CARD), "4012 8888", "vogt", AWS):
        assert secret not in told.line
    assert verify_row(told.line, "openai", VerifyConfig(private="mask")).line == told.line


def shape(value):
    """A JSON value with the types of its leaves in their place; JSON in a text is looked into, between tags too."""
    if isinstance(value, dict):
        return list(map(shape, value.values()))
    if isinstance(value, list):
        return list(map(shape, value))
    if isinstance(value, str) and value.startswith("<tool_call>"):
        value = value.removeprefix("<tool_call>").removesuffix("</tool_call>")
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return "text of", shape(json.loads(value))
        except ValueError:
            return str
    return type(value)


def test_a_number_that_is_a_cards_becomes_the_number_that_stands_for_it():
    messages = (
        GOOD["single"].messages[0],
        user("Pay with 4012 8888 8888 1881, my other card is 4012888888881881."),
        calls(("c1", "pay", {"card": CARD, "at": 1714521600002, "float": float(CARD), "share": 0.5123456789012346})),
        result("c1", "pay", {"card": CARD, "mail": "lena.vogt@posteo.de"}),
        say("Paid with 4012888888881881."),
    )
    row = to_openai(GOOD["single"].model_copy(update={"messages": messages}))
    changed, places = masked_values(row)
    assert places == 7
    _, asked, called, told, said = changed["messages"]
    assert asked["content"] == f"Pay with {CARD_STANDS}, my other card is {CARD_STANDS}."
    arguments = json.loads(called["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"card": CARD_STANDS, "at": 1714521600002, "float": CARD_STANDS, "share": 0.5123456789012346}
    assert json.loads(told["content"]) == {"card": CARD_STANDS, "mail": "person3@mail.example"}
    assert said["content"] == f"Paid with {CARD_STANDS}."


def test_two_keys_of_one_stand_in_lose_no_value():
    changed, _ = masked_values({"4012888888881881": 1, "4012 8888 8888 1881": 2})
    assert sorted(changed.values()) == [1, 2]


def test_documents_are_masked_or_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(f"Ask lena.vogt@posteo.de for the key {AWS} of the weather service.")
    (document,) = read(str(path), Limits(1000, 1 << 20, "text", "mask"))
    assert AWS not in document.text
    assert "person1@mail.example" in document.text
    (reason,) = read(str(path), Limits(1000, 1 << 20, "text", "reject"))
    assert "2 secrets or personal data" in reason
    (document,) = read(str(path), Limits(1000, 1 << 20, "text", "keep"))
    assert AWS in document.text


def test_a_benchmarks_question_and_a_benchmarks_tool_are_rejected(tmp_path):
    question = "Could you please tell me what the weather will be like in Lima tomorrow morning?"
    path = tmp_path / "bench.jsonl"
    tool = {
        "name": "Get.Forecast",
        "description": "x",
        "parameters": {"type": "dict", "properties": {key: {} for key in WEATHER.properties}},
    }
    rows = [
        {"id": "1", "question": [[{"role": "user", "content": question}]], "function": []},
        {"id": "2", "function": [tool]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    dialog = GOOD["single"]
    assert ("contamination", "reject") in _told(dialog, decontaminate=(str(path),))  # the tool
    path2 = tmp_path / "questions.jsonl"
    path2.write_text(json.dumps(rows[0]))
    assert ("contamination", "reject") not in _told(dialog, decontaminate=(str(path2),))
    asked = dialog.model_copy(update={"messages": (dialog.messages[0], user(question), *dialog.messages[2:])})
    assert ("contamination", "reject") in _told(asked, decontaminate=(str(path2),))
    short = tmp_path / "short.json"
    short.write_text(json.dumps([{"query": "Weather in Lima tomorrow"}]))
    asked = dialog.model_copy(
        update={"messages": (dialog.messages[0], user("weather in Lima, tomorrow?"), *dialog.messages[2:])}
    )
    assert ("contamination", "reject") in _told(asked, decontaminate=(str(short),))


@pytest.mark.parametrize(("who", "what"), [("from", "value"), ("role", "content")])
def test_what_a_benchmarks_assistant_says_is_no_question(tmp_path, who, what):
    path = tmp_path / "bench.jsonl"
    said = {"human": GOOD["parallel"].messages[1].content, "gpt": GOOD["single"].messages[1].content}
    path.write_text(json.dumps({"conversations": [{who: name, what: text} for name, text in said.items()]}))
    assert ("contamination", "reject") in _told(GOOD["parallel"], decontaminate=(str(path),))
    assert ("contamination", "reject") not in _told(GOOD["single"], decontaminate=(str(path),))


def test_a_benchmark_that_is_not_there_is_said():
    with pytest.raises(UserError, match=r"verify\.decontaminate: nowhere\.jsonl"):
        run_rules(GOOD["single"], VerifyConfig(decontaminate=("nowhere.jsonl",)))


def test_near_duplicates_are_told_and_others_are_not():
    near = NearDuplicates(0.9)
    assert near.repeats(dialog_key(GOOD["single"]), "a") is None
    assert near.repeats(dialog_key(GOOD["parallel"]), "b") is None
    assert near.repeats(dialog_key(GOOD["single"]), "c") == "the same as a"
    messages = GOOD["single"].messages
    reworded = (*messages[:-1], say("Lima: sunny, and 24 degrees at most."))
    assert "the same as a" in near.repeats(dialog_key(GOOD["single"].model_copy(update={"messages": reworded})), "d")
    other = (
        messages[0], user("What will the weather be like in Quito tomorrow?"),
        calls(("c1", "get_forecast", {"city": "Quito", "date": "2026-05-02"})),
        result("c1", "get_forecast", {"summary": "sunny", "high": 24}), say("It will be sunny in Quito, with a high of 24 degrees."),
    )  # fmt: skip
    assert near.repeats(dialog_key(GOOD["single"].model_copy(update={"messages": other})), "e") is None
