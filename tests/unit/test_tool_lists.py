"""Lists of tools in OpenAI's, Anthropic's and Gemini's forms as a source of APIs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ingest import _file_rows
from jobs.cli import main
from toolace_ray.config.tree import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.tss import sources, specs
from toolace_ray.tss.readers import Limits
from toolace_ray.tss.spec_files import MAX_SPEC_CHARS

ROOT = Path(__file__).parents[2]
CITY = {"type": "object", "properties": {"city": {"type": "string", "description": "City"}}, "required": ["city"]}
CHAT = {"type": "function", "function": {"name": "tell_weather", "description": "Tell the weather of a city.", "parameters": CITY, "strict": True}}  # fmt: skip
FLAT = {"type": "function", "name": "find_hotels", "description": "Find hotels in a city.", "parameters": CITY}
ANTHROPIC = {"name": "book_table", "description": "Book a table in a city.", "input_schema": CITY, "cache_control": {"type": "ephemeral"}}  # fmt: skip
BARE = {"name": "find_parking", "description": "Find a place to park in.", "parameters": CITY}
DECLARED = {
    "name": "find_route",
    "description": "Find a way between two places.",
    "parameters": {
        "type": "OBJECT",
        "properties": {
            "start": {"type": "STRING", "description": "Start", "nullable": True},
            "stops": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "1", "maxItems": "5", "description": "Stops"},
            "means": {"type": "STRING", "format": "enum", "enum": ["car", "foot"], "description": "Means"},
        },
        "required": ["start"],
    },
    "response": {"type": "OBJECT", "properties": {"km": {"type": "NUMBER", "description": "Length"}}},
}  # fmt: skip


def read(folder, tree, name="desk.json", **more):
    path = folder / name
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return list(specs.import_tool_lists(str(path), **more))


def one(folder, tool, **more):
    (item,) = read(folder, [tool], **more)
    return item


@pytest.mark.parametrize("tool", [CHAT, FLAT, ANTHROPIC, BARE, {"function": CHAT["function"]}])
def test_a_tool_of_each_form_is_an_api(tmp_path, tool):
    api = one(tmp_path, tool)
    function = tool.get("function", tool)
    assert (api.name, api.description) == (function["name"], function["description"])
    assert api.parameters == CITY
    assert api.returns == {"type": "string", "description": "Text"}  # as of an MCP tool without outputSchema
    assert (api.lineage.source, api.lineage.operation, api.domain) == ("tools", function["name"], ("Desk",))
    assert gate.check(api) == []


def test_what_a_client_says_of_a_tool_but_not_of_its_call_is_told(tmp_path):
    silent = "nothing is said of the answer, it is given as text"
    assert one(tmp_path, CHAT).lineage.notes == ("of the tool, not carried: strict", silent)
    assert one(tmp_path, ANTHROPIC).lineage.notes == ("of the tool, not carried: cache_control", silent)
    assert one(tmp_path, FLAT).lineage.notes == (silent,)


@pytest.mark.parametrize("key", ["functionDeclarations", "function_declarations"])
def test_geminis_declarations_are_translated_and_it_is_told(tmp_path, key):
    (api,) = read(tmp_path, {"tools": [{key: [DECLARED]}]})
    assert api.properties == {
        "start": {"type": ["string", "null"], "description": "Start"},
        "stops": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 5, "description": "Stops"},
        "means": {"type": "string", "format": "enum", "enum": ["car", "foot"], "description": "Means"},
    }
    assert api.required == ("start",)
    assert api.returns["properties"] == {"km": {"type": "number", "description": "Length"}}
    told = " ".join(api.lineage.notes)
    for part in (
        "type 'STRING' read as 'string'",
        "nullable read as",
        "minItems as text",
        "in its response: type 'NUMBER'",
    ):
        assert part in told
    assert gate.check(api) == []


@pytest.mark.parametrize(
    "tree",
    [
        [CHAT, FLAT, ANTHROPIC, {"functionDeclarations": [DECLARED]}],
        {"tools": [CHAT, FLAT, ANTHROPIC, {"function_declarations": [DECLARED]}]},
        {"model": "m", "messages": [], "tools": [CHAT, FLAT, [ANTHROPIC], {"functionDeclarations": [DECLARED]}]},
        {"functions": [CHAT["function"], FLAT, ANTHROPIC, DECLARED]},
        [[CHAT], {"tools": [FLAT]}, {"tools": {}, "functions": [ANTHROPIC, DECLARED]}],
    ],
)
def test_lists_come_bare_wrapped_and_mixed(tmp_path, tree):
    names = ["tell_weather", "find_hotels", "book_table", "find_route"]
    assert [api.name for api in read(tmp_path, tree)] == names
    lines = "\n".join(json.dumps(item) for item in tree) if isinstance(tree, list) else json.dumps(tree) + "\n\n"
    assert [api.name for api in read(tmp_path, lines, "a.jsonl")] == names


def test_a_tool_alone_is_a_list_of_one(tmp_path):
    assert [api.name for api in read(tmp_path, CHAT)] == ["tell_weather"]


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"type": "web_search"}, ["web_search"]),
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 5}, ["web_search"]),
        ({"type": "bash_20250124", "name": "bash"}, ["bash"]),
        ({"type": "mcp", "server_label": "d", "server_url": "https://example.org"}, ["mcp"]),
        ({"googleSearch": {}}, ["googleSearch"]),
        ({"google_search": {}, "code_execution": {}}, ["google_search", "code_execution"]),
        ({"functionDeclarations": [], "urlContext": {}}, ["urlContext"]),
        ({"tools": [{"type": "hologram_preview", "size": 3}]}, ["hologram_preview"]),  # nobody knows all of them
    ],
)
def test_a_tool_that_its_provider_runs_is_refused_by_name(tmp_path, entry, names):
    *reasons, api = read(tmp_path, [entry, CHAT])
    assert isinstance(api, Api)
    assert len(reasons) == len(names)
    for reason, name in zip(reasons, names, strict=True):
        assert f"({name!r}): a built-in tool that its provider runs" in reason


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ({"type": "custom", "name": "run_sql", "format": {"type": "text"}}, "tool 0 ('run_sql'): a custom tool, which takes a text"),
        ({"type": "custom", "custom": {"name": "run_sql"}}, "a custom tool, which takes a text"),
        ({"type": "function", "function": {"parameters": CITY}}, "it has no name"),
        ({"input_schema": CITY}, "it has no name"),
        ({**FLAT, "name": 3}, "it has no name"),
        ({**FLAT, "name": ""}, "it has no name"),
        ({**FLAT, "description": ["a"]}, "its description is a list, no text"),
        ({**FLAT, "parameters": [CITY]}, "its parameters is a list, no schema"),
        ({**FLAT, "parameters": "{}"}, "its parameters is a text, no schema"),
        ({**FLAT, "parameters": {"properties": {"x": {"$ref": "#/$defs/X"}}}}, "the reference '#/$defs/X' leads nowhere"),
        ({**FLAT, "parameters": {"type": "object", "properties": {"x": 3}}}, "'x' has '3' in place of a schema"),
        ({**FLAT, "description": "A broken \ud83d one."}, "surrogate"),
    ],
)  # fmt: skip
def test_a_tool_that_cannot_be_carried_is_a_sentence_and_the_others_stay(tmp_path, tool, says):
    reason, api = read(tmp_path, [tool, CHAT])
    assert reason.startswith("tool 0")
    assert says in reason
    assert isinstance(api, Api)


def test_openai_and_gemini_may_leave_parameters_out(tmp_path):
    bare = {"name": "list_rooms", "description": "List all rooms of the house."}
    for tree in (
        {"type": "function", **bare},
        {"type": "function", "function": bare},
        {"functionDeclarations": [bare]},
    ):
        (api,) = read(tmp_path, [tree])
        assert api.properties == {}
        assert "no parameters are given: it takes none" in api.lineage.notes
        assert gate.check(api) == []
    *_, reason = read(tmp_path, [CHAT, bare])
    assert "neither parameters nor input_schema" in reason


def test_what_stands_beside_a_function_counts_where_the_function_does_not_say_it(tmp_path):
    bare = {"name": "tell_weather", "parameters": CITY}
    beside = {"description": "Tell the weather of a city.", "annotations": {"readOnlyHint": True}}
    api = one(tmp_path, {"type": "function", "function": bare, **beside})
    assert (api.description, api.side_effects) == (beside["description"], False)
    assert api.lineage.notes == ("nothing is said of the answer, it is given as text",)
    api = one(tmp_path, {"type": "function", "function": {"name": "tell_weather", **beside}, "parameters": CITY})
    assert api.parameters == CITY
    assert api.lineage.notes == ("nothing is said of the answer, it is given as text",)
    other = {"type": "object", "properties": {"day": {"type": "string", "description": "Day"}}}
    api = one(tmp_path, {**CHAT, "parameters": other, "description": "Another description.", "name": "tell_weather"})
    assert (api.parameters, api.description) == (CITY, CHAT["function"]["description"])
    assert "beside its function, not carried: parameters, description" in api.lineage.notes
    api = one(tmp_path, {**FLAT, "input_schema": other})
    assert api.lineage.notes[0] == "of the tool, not carried: input_schema"


@pytest.mark.parametrize(
    "tree",
    [
        {"id": "asst_1", "name": "My helper", "object": "assistant", "tools": [CHAT, {"type": "code_interpreter"}]},
        {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "tools": [CHAT, {"type": "mcp"}]}},
        {"custom_id": "1", "params": {"model": "m", "tools": [CHAT, {"type": "bash_20250124", "name": "bash"}]}},
        {"request": {"contents": [], "tools": [CHAT, {"googleSearch": {}}]}},
    ],
)  # fmt: skip
def test_assistants_and_the_requests_of_batches_hold_tools(tmp_path, tree):
    for text, name in ((json.dumps(tree), "a.json"), (json.dumps(tree) + "\n", "a.jsonl")):
        api, reason = read(tmp_path, text, name)
        assert api.name == "tell_weather"
        assert "a built-in tool" in reason


def test_a_tool_that_has_something_called_tools_is_a_tool(tmp_path):
    assert one(tmp_path, {**FLAT, "tools": ["hammer"]}).name == "find_hotels"


def test_a_file_whose_name_begins_with_a_dot_has_a_domain(tmp_path):
    (api,) = read(tmp_path, [{**FLAT, "name": "search", "description": ""}], ".tools.json")
    assert (api.domain, api.description) == (("Tools",), "Search (Tools).")


def test_the_form_of_an_answer_is_kept_or_its_loss_told(tmp_path):
    answer = {"type": "object", "properties": {"id": {"type": "string", "description": "Id"}}}
    for key in ("output_schema", "outputSchema", "response", "responseJsonSchema"):
        assert one(tmp_path, {**FLAT, key: answer}).returns == answer
    api = one(tmp_path, {**FLAT, "output_schema": [answer]})
    assert api.returns["type"] == "string"
    assert api.lineage.notes == ("the answer is given as text: its output_schema is a list, no schema",)


def test_a_namespace_is_a_domain_and_tells_its_tools_apart(tmp_path):
    tree = [{"type": "namespace", "name": "crm", "description": "Customers", "tools": [FLAT]}, FLAT]
    inner, outer = read(tmp_path, tree)
    assert inner.domain == ("Desk", "crm")
    assert inner.lineage.operation == "crm.find_hotels"
    assert inner.name == "find_hotels"
    assert outer.name != inner.name
    assert outer.name.startswith("find_hotels_")


def test_requests_that_repeat_their_tools_give_each_once(tmp_path):
    other = {**FLAT, "parameters": {"type": "object", "properties": {}}}
    lines = "\n".join(json.dumps({"messages": [], "tools": [CHAT, FLAT]}) for _ in range(50)) + "\n" + json.dumps(other)
    first, second, third = read(tmp_path, lines, "log.jsonl")
    assert (first.name, second.name) == ("tell_weather", "find_hotels")
    assert third.name.startswith("find_hotels_")


def test_what_is_not_described_follows_the_key(tmp_path):
    bare = {
        "type": "function",
        "name": "findRooms",
        "parameters": {"type": "object", "properties": {"maxPrice": {"type": "number"}}},
    }
    api = one(tmp_path, bare)
    assert gate.check(api) == []
    assert api.properties["maxPrice"]["description"] == "Max price"
    assert {"description derived", "descriptions derived: maxPrice"} <= set(api.lineage.notes)
    rules = {verdict.rule for verdict in gate.check(one(tmp_path, bare, undescribed="refuse"))}
    assert rules == {"description", "parameter_description"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3", "a number in place of a tool"),
        ("[]", "no list of tools"),
        ("{}", "no tool in any form"),
        ('{"tools": []}', "no list of tools"),
        ('[{"name": "Ann", "age": 3}]', "neither parameters nor input_schema"),
        ('{"type": "FeatureCollection", "features": []}', "no tool in any form (its keys: type, features)"),
        ('[{"name": "x", "type": "object", "properties": {}}]', "neither parameters nor input_schema"),
        ('{"tools": [{"name": "x", "type": "object"}]}', "neither parameters nor input_schema"),
        ('[{"id": 3, "type": "page", "title": "Home"}]', "no tool in any form (its keys: id, type, title)"),
        ('{"openapi": "3.0.0", "paths": {}}', "its keys: openapi, paths"),
        ("{", "not a readable JSON"),
        ('{"tools": [], "tools": []}', "repeats the key 'tools'"),
        ("[" * 100 + "]" * 100, "lists stand in lists"),
        ("[" * 5000 + "]" * 5000, "not a readable JSON"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not a readable JSON"),
        ('[{"x": NaN}]', "not a readable JSON"),
        ("[" + "9" * 5000 + "]", "not a readable JSON"),
    ],
)
def test_a_file_without_tools_is_named(tmp_path, text, says):
    for name in ("a.json", "a.jsonl"):
        with pytest.raises(UserError) as error:
            read(tmp_path, text, name)
        assert str(error.value).startswith(str(tmp_path / name))
        assert says in str(error.value) or name == "a.jsonl"
        assert len(str(error.value)) < 600


def test_encodings(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([CHAT]).encode())
    assert [api.name for api in specs.import_tool_lists(str(path))] == ["tell_weather"]
    for data, says in ((json.dumps([CHAT]).encode("utf-16"), "UTF-16"), (b'[{"name": "\xff"}]', "not UTF-8 text")):
        path.write_bytes(data)
        with pytest.raises(UserError, match=says):
            list(specs.import_tool_lists(str(path)))


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(MAX_SPEC_CHARS + 1)
    with pytest.raises(UserError, match="the limit is"):
        list(specs.import_tool_lists(str(path)))


def test_a_broken_line_is_told_and_the_others_go_on(tmp_path):
    first, reason, deep, last = read(
        tmp_path, "\n".join([json.dumps(CHAT), '{"name": ', "[" * 400 + "]" * 400, json.dumps(FLAT)]), "a.jsonl"
    )
    assert (first.name, last.name) == ("tell_weather", "find_hotels")
    assert reason.startswith("line 2: not readable JSON")
    assert deep.startswith("line 3: not readable JSON")


def test_of_entries_that_are_no_tools_each_is_told(tmp_path):
    items = read(tmp_path, [*({"name": f"n{index}"} for index in range(1000)), CHAT])
    assert sum(isinstance(item, Api) for item in items) == 1
    assert len(items) == 1001


def test_other_peoples_words_for_types_are_read(tmp_path):
    """The dialects of published sets, which are read in the rows of dialogs, too."""
    xlam = {"city": {"type": "str", "description": "City"}, "days": {"type": "int, optional", "description": "Days"}}
    api = one(tmp_path, {**FLAT, "parameters": xlam})
    assert api.properties == {
        "city": {"type": "string", "description": "City"},
        "days": {"type": "integer", "description": "Days"},
    }
    assert api.required == ("city",)
    assert "type 'int, optional' read as 'integer'" in " ".join(api.lineage.notes)


# Hostile values ------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["type", "function", "name", "description", "parameters", "input_schema", "inputSchema", "functionDeclarations", "tools",
     "functions", "response", "properties", "required", "items", "enum", "anyOf", "allOf", "$ref", "$defs", "nullable", "default",
     "minItems", "minimum", "pattern", "additionalProperties", "googleSearch", "x", ""]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["function", "object", "OBJECT", "string", "STRING", "array", "custom", "namespace", "name", "#", "#/$defs/x", "int, optional", "\ud800"])
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=5), max_leaves=25
)
WHOLE = st.fixed_dictionaries(
    {"type": st.just("function"), "name": st.just("find") | JSON, "description": st.just("Find what is lost.") | JSON},
    optional={"parameters": st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(KEYS, JSON, max_size=4)}) | JSON,
              "response": JSON, "annotations": JSON, "title": JSON},
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=JSON | st.lists(WHOLE, min_size=1, max_size=3), undescribed=st.sampled_from(["derive", "refuse"]))
def test_no_json_breaks_the_reader(tmp_path, tree, undescribed):
    for name, text in (("a.json", json.dumps(tree)), ("a.jsonl", json.dumps(tree) + "\n" + json.dumps(CHAT))):
        path = tmp_path / name
        path.write_text(text)
        limits = Limits(6000, 1 << 20, "text", undescribed=undescribed)
        for row in _file_rows("tools", str(path), limits):  # what evolve makes of the file: it never raises
            assert row["kind"] in ("api", "refused", "unread")
            assert str(row["text"]).encode()
            if row["kind"] == "api" and not json.loads(row["verdicts"] or "[]"):
                assert gate.check(Api.model_validate_json(row["text"])) == []


# Configuration -------------------------------------------------------------------------------------------------------


def test_the_example_passes_the_gate():
    apis = list(specs.import_tool_lists(str(ROOT / "examples/specs/kitchen.tools.json")))
    assert [api.name for api in apis] == ["set_oven", "list_stock", "plan_meals"]
    assert [verdict for api in apis for verdict in gate.check(api)] == []


def test_lists_of_tools_alone_are_a_source(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([CHAT, FLAT]))
    (tmp_path / "b.jsonl").write_text(json.dumps(ANTHROPIC))
    (tmp_path / "c.yaml").write_text("")
    config = SourcesConfig(tools=(str(tmp_path),))
    found = sources.files(config)
    assert [Path(path).name for path in found["tools"]] == ["a.json", "b.jsonl"]
    assert not any(paths for kind, paths in found.items() if kind != "tools")
    assert sources.named(SourcesConfig(tools=(str(tmp_path / "a.json"),)))["tools"] == [str(tmp_path / "a.json")]
    tree = {
        "run": {"path": str(tmp_path / "run")},
        "pools": {"small": {"engine": "simulated"}},
        "sources": {"tools": [str(tmp_path)]},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(tree))
    done = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "config.yaml")])
    assert done.exit_code == 0, done.output
    assert "files: tools 2; 3 APIs imported" in done.output


def test_a_named_file_that_is_none_is_the_users_error(tmp_path):
    (tmp_path / "a.json").write_text('{"hello": "world"}')
    tree = {
        "run": {"path": str(tmp_path / "run")},
        "pools": {"small": {"engine": "simulated"}},
        "sources": {"tools": [str(tmp_path / "a.json")]},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(tree))
    for command in ("evolve", "check"):
        done = CliRunner().invoke(main, [command, "--config", str(tmp_path / "config.yaml")])
        assert done.exit_code == 2
        assert done.output.startswith(f"error: {tmp_path / 'a.json'}: no list of tools")
        assert done.output.count("\n") == 1
    assert not (tmp_path / "run" / "run.yaml").exists()
