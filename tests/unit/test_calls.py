import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace_ray.calls import SYNTAXES, Parsed, ParseFailure
from toolace_ray.records.dialog import ToolCall

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
KEY = TEXT | st.sampled_from(["city", "from", "class", "start-date", "a=b", "**", "user id", ""])
CALL = st.builds(ToolCall, name=NAME, arguments=st.dictionaries(KEY, JSON, max_size=4))


def content(calls):
    return [(call.name, json.dumps(call.arguments, sort_keys=True)) for call in calls]


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(calls=st.lists(CALL, min_size=1, max_size=4))
def test_parse_gives_back_what_was_rendered(syntax, calls):
    parsed = SYNTAXES[syntax].parse(SYNTAXES[syntax].render(calls))
    assert isinstance(parsed, Parsed), parsed
    assert content(parsed.calls) == content(calls)
    assert parsed.content == ""


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(text=st.text(max_size=200) | st.text(alphabet="[]{}()<>\"',=;tool_call/|*name:arguments 1", max_size=120))
def test_any_text_gives_a_value(syntax, text):
    assert isinstance(SYNTAXES[syntax].parse(text), Parsed | ParseFailure)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(calls=st.lists(CALL, min_size=1, max_size=3), data=st.data())
def test_a_cut_off_text_never_loses_a_call_silently(syntax, calls, data):
    text = SYNTAXES[syntax].render(calls)
    cut = data.draw(st.integers(1, len(text) - 1))
    parsed = SYNTAXES[syntax].parse(text[:cut])
    if isinstance(parsed, Parsed) and parsed.calls:
        # hermes and llama3 have no closing mark for the list: a cut exactly between two calls is a shorter list.
        assert syntax in ("hermes", "llama3")
        assert content(parsed.calls) == content(calls)[: len(parsed.calls)]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_prose_is_content(syntax):
    assert SYNTAXES[syntax].parse(" I can help with that. ") == Parsed((), "I can help with that.")
    assert SYNTAXES[syntax].render([]) == ""


@pytest.mark.parametrize(
    ("syntax", "text", "reason"),
    [
        ("openai", '[{"function": {"name": "f", "arguments": {"a": 1}}}]', "string that holds"),
        ("openai", '[{"function": {"name": "f", "arguments": "\\"{}\\""}}]', "encoded twice"),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "encoded twice"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {}}', "</tool_call>"),
        ("hermes", "text </tool_call>", "without"),
        ("llama3", '{"name": "f", "parameters": {}} {"name": "g", "parameters": {}}', "semicolons"),
        ("llama3", '{"name": "f", "parameters": {"a": NaN}}', "NaN"),
        ("llama3", '{"name": "f", "parameters": {"a": 1, "a": 2}}', "repeats"),
        ("pythonic", "[f(1)]", "name=value"),
        ("pythonic", "[f(a=__import__('os'))]", "no literal"),
        ("pythonic", "[f(a=1, a=2)]", "twice"),
        ("pythonic", "[f(a=true)]", "no literal"),
        ("pythonic", "[]", "empty"),
        ("toolace", "[f(a=1)", "closed"),
        ("toolace", "[f(a=1)] and so on", "text after"),
    ],
)
def test_failures_say_why(syntax, text, reason):
    failure = SYNTAXES[syntax].parse(text)
    assert isinstance(failure, ParseFailure)
    assert reason in failure.reason


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("bomb", ["[" * 10_000, '{"name":' * 10_000, "x" * 300_000])
def test_bombs_are_refused_before_parsing(syntax, bomb):
    heads = {
        "openai": '[{"function":',
        "hermes": "<tool_call>",
        "pythonic": "[f(a=",
        "toolace": "[f(a=",
        "llama3": "<|python_tag|>",
    }
    assert isinstance(SYNTAXES[syntax].parse(heads[syntax] + bomb), ParseFailure)


def test_known_dialects():
    assert SYNTAXES["toolace"].parse('[Get Weather(city="Rome", metric=true, days=None)]') == Parsed(
        (ToolCall(name="Get Weather", arguments={"city": "Rome", "metric": True, "days": None}),)
    )
    assert SYNTAXES["pythonic"].parse("[math.add(a=1, b=-2.5)]").calls[0].arguments == {"a": 1, "b": -2.5}
    assert SYNTAXES["llama3"].parse('<|python_tag|>{"name": "f", "parameters": {}}').calls[0].name == "f"
    hermes = SYNTAXES["hermes"].parse('Sure.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    assert hermes == Parsed((ToolCall(name="f", arguments={}),), "Sure.")
