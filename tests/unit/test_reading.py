"""Strangers' rows in every format, and strangers' files."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.datasets import as_table, numbered, verify_all
from jobs.verify import Outcome, table, verify
from tests.material import good_dialogs
from toolace_ray.calls import hermes
from toolace_ray.config.tree import Config, VerifyConfig
from toolace_ray.corpus import datasets
from toolace_ray.corpus.datasets import Portion, Refused
from toolace_ray.corpus.formats import READERS, read
from toolace_ray.corpus.formats.guess import guess
from toolace_ray.corpus.formats.openai import write as to_openai
from toolace_ray.corpus.formats.reading import Unreadable
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.rules.texts import invalid_character
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog, ToolCall
from toolace_ray.store.rows import verdicts_json

CONFIG = VerifyConfig()
TOOL = {
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "City"}},
        "required": ["city"],
    },
}
CALL = {"name": "get_weather", "arguments": {"city": "Lima"}}
ASKED, SAID = "How is the weather in Lima?", "It is sunny in Lima, at 24 degrees."
RESULT = {"summary": "sunny", "high": 24}


def tagged(call):
    return hermes.render([ToolCall(name=call["name"], arguments=call["arguments"])])


def sharegpt(**more):
    turns = [
        {"from": "human", "value": ASKED},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": json.dumps(RESULT)},
        {"from": "gpt", "value": SAID},
    ]
    return {"conversations": turns, "tools": json.dumps([TOOL]), **more}


def hermes_row(call=None, tools=None):
    tools = tools or json.dumps([{"type": "function", "function": TOOL}])
    told = json.dumps({"name": "get_weather", "content": RESULT})
    return {
        "id": "h1",
        "conversations": [
            {"from": "system", "value": f"You call functions. <tools>\n{tools}\n</tools> Use the tags <tool_call>."},
            {"from": "human", "value": ASKED},
            {"from": "gpt", "value": call or f"Let me look.\n{tagged(CALL)}"},
            {"from": "tool", "value": f"<tool_response>\n{told}\n</tool_response>"},
            {"from": "gpt", "value": SAID},
        ],
    }


def xlam(**more):
    parameters = {
        "city": {"type": "str", "description": "City"},
        "days": {"type": "int, optional", "description": "Days", "default": 1},
    }
    tool = {**TOOL, "parameters": parameters}
    return {"id": 7, "query": ASKED, "tools": json.dumps([tool]), "answers": json.dumps([CALL]), **more}


PUBLISHED = {
    "system": "You are an expert in composing functions. Here is a list of functions in JSON format that you can invoke:\n"
    + json.dumps(
        [{**TOOL, "name": "Get Weather", "parameters": {**TOOL["parameters"], "type": "dict"}, "required": None}]
    )
    + ". \nShould you decide to return the function call(s). \nPut it in the format of [func1(params_name=params_value)]\nNO other text MUST be included.",
    "conversations": [
        {"from": "user", "value": ASKED},
        {"from": "assistant", "value": '[Get Weather(city="Lima")]'},
        {"from": "tool", "value": json.dumps([{"name": "Get Weather", "results": RESULT}])},
        {"from": "assistant", "value": SAID},
    ],
}
ROWS = {"sharegpt": sharegpt(), "hermes": hermes_row(), "xlam": xlam(), "toolace": PUBLISHED}


@pytest.mark.parametrize("form", ROWS)
def test_every_format_is_read(form):
    dialog = read(ROWS[form], form).dialog
    (call,) = [call for message in dialog.messages for call in message.tool_calls]
    assert (call.name, call.arguments) == ("Get Weather" if form == "toolace" else "get_weather", {"city": "Lima"})
    assert [api.name for api in dialog.tools] == [call.name]
    assert dialog.type == "single"
    roles = [message.role for message in dialog.messages if message.role != "system"]
    assert roles == (["user", "assistant"] if form == "xlam" else ["user", "assistant", "tool", "assistant"])
    told = verify_row(json.dumps(ROWS[form]), form, CONFIG)
    assert told.accepted, told.verdicts
    assert {verdict.rule for verdict in told.verdicts} <= {"schema_dialect"}


def test_xlams_parameters_become_a_schema():
    schema = read(xlam(), "xlam").dialog.tools[0].parameters
    assert schema["required"] == ["city"]
    assert {name: item["type"] for name, item in schema["properties"].items()} == {"city": "string", "days": "integer"}


def rows_with(kind, form="sharegpt", **more):
    city = {"type": kind, "description": "City", **more}
    tool = {**TOOL, "parameters": {"type": "dict", "properties": {"city": city}, "required": ["city"]}}
    if form == "sharegpt":
        return sharegpt(tools=json.dumps([tool]))
    return {"messages": PLAIN, "tools": [{"type": "function", "function": tool}]}


@pytest.mark.parametrize(
    ("kind", "read_as"),
    [
        ("str", {"type": "string"}),
        ("STRING", {"type": "string"}),
        ("str, optional", {"type": "string"}),
        ("Optional[str]", {"type": ["string", "null"]}),
        ("str | None", {"type": ["string", "null"]}),
        ("Union[int, str]", {"type": ["integer", "string"]}),
        ("Optional[Union[int, str]]", {"type": ["integer", "string", "null"]}),
        ("Optional[int | str]", {"type": ["integer", "string", "null"]}),
        ("Union[str, Optional[int]]", {"type": ["string", "integer", "null"]}),
        (
            "Optional[Union[str, List[Optional[str]]]]",
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": ["string", "null"]}},
                    {"type": "null"},
                ]
            },
        ),
        ("Union[str, List[str]]", {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
        ("Literal['Lima', 'Oslo, Norway']", {"enum": ["Lima", "Oslo, Norway"]}),
        ("Any", {}),
        (["str", "None"], {"type": ["string", "null"]}),
    ],
)
@pytest.mark.parametrize("form", ["sharegpt", "openai"])
def test_pythons_types_are_translated_and_told(kind, read_as, form):
    row = rows_with(kind, form)
    (tool,) = read(row, form).dialog.tools
    assert tool.properties["city"] == {"description": "City", **read_as}
    told = verify_row(json.dumps(row), form, CONFIG)
    assert told.accepted, told.verdicts
    assert {verdict.rule for verdict in told.verdicts} == {"schema_dialect"}
    assert json.loads(told.line) == row


@pytest.mark.parametrize(
    "kind",
    [
        "wizard",
        "Literal[wizard]",
        "List[",
        "Union[str, wizard]",
        pytest.param("List[" * 12 + "int" + "]" * 12, id="twelve lists"),
        pytest.param("Literal[" + "-" * 20_000 + "1]", id="signs"),
        pytest.param("Literal[" + "-" * 1000 + "1]", id="fewer signs"),
        "Literal[{[]: 1}]",
        "Literal[b'Lima']",
        "Literal[1e999]",
    ],
)
def test_types_that_nobody_knows_are_refused(kind):
    told = verify_row(json.dumps(rows_with(kind)), "sharegpt", CONFIG)
    assert "api_definition" in {verdict.rule for verdict in told.verdicts if verdict.severity == "reject"}


@pytest.mark.parametrize(("said", "accepted"), [("City", True), ("", False)])
def test_a_description_may_stand_where_a_reference_leads(said, accepted):
    schema = {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "$defs": {"City": {"type": "string", "description": said}},
    }
    row = {"messages": PLAIN, "tools": [{**TOOL, "parameters": schema}]}
    assert verify_row(json.dumps(row), "openai", CONFIG).accepted is accepted


def test_a_translated_type_is_held_against_the_call():
    told = verify_row(json.dumps(rows_with("Literal['Oslo']")), "sharegpt", CONFIG)
    assert "arguments_valid" in {verdict.rule for verdict in told.verdicts}


def test_older_drafts_are_translated_and_told():
    draft4 = {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "description": "Days"}
    draft7 = {"type": "array", "items": [{"type": "number"}, {"type": "string"}], "description": "Pair"}
    null = {"type": "string", "nullable": True, "enum": ["a"], "description": "Letter"}
    properties = {**TOOL["parameters"]["properties"], "days": draft4, "pair": draft7, "letter": null}
    schema = {**TOOL["parameters"], "properties": properties, "$schema": "http://json-schema.org/draft-04/schema#"}
    row = {"messages": PLAIN, "tools": [{**TOOL, "parameters": schema}]}
    read_as = read(row, "openai").dialog.tools[0].properties
    assert read_as["days"] == {"type": "integer", "exclusiveMinimum": 0, "description": "Days"}
    assert read_as["pair"]["prefixItems"] == draft7["items"]
    assert (read_as["letter"]["type"], read_as["letter"]["enum"]) == (["string", "null"], ["a", None])
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert told.accepted, told.verdicts
    assert len(told.verdicts) == 4


def test_arrows_nulls_are_left_out_of_json_lines_as_of_tables(tmp_path):
    """What pyarrow makes of rows whose tools have different parameters, written out as JSON."""
    weather = {"type": "function", "function": TOOL}
    tides = {"harbour": {"type": "string", "description": "Harbour", "enum": ["Lima", "Oslo"]}}
    other = {
        **TOOL,
        "name": "get_tides",
        "parameters": {"type": "object", "properties": tides, "required": ["harbour"]},
    }
    call = {"id": "c2", "function": {"name": "get_tides", "arguments": {"harbour": "Lima"}}}
    row = {
        "messages": [{**turn} for turn in PLAIN],
        "tools": [weather, {"type": "function", "function": other}],
    }
    row["messages"][0]["content"] += " And the tides?"
    row["messages"][1] = {**PLAIN[1], "tool_calls": [*PLAIN[1]["tool_calls"], call]}
    row["messages"][3:3] = [{"role": "tool", "tool_call_id": "c2", "content": '{"high": "at noon"}'}]
    row["messages"][4] = {"role": "assistant", "content": SAID + " High tide is at noon."}
    (filled,) = pa.Table.from_pylist([row]).to_pylist()
    assert filled["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"city": "Lima", "harbour": None}
    told = verify_row(json.dumps(filled), "openai", CONFIG)
    assert told.accepted, told.verdicts
    assert {verdict.rule for verdict in told.verdicts} == {"schema_dialect"}
    assert json.loads(told.line) == filled
    filled["messages"][1]["tool_calls"][0]["function"]["arguments"]["moon"] = 1
    told = verify_row(json.dumps(filled), "openai", CONFIG)
    assert "unknown_arguments" in {verdict.rule for verdict in told.verdicts}


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("[Summary (short)] Two nights in Lima, then the ferry.", True),
        ("[Note] All is well.", True),
        ("[get_weather(city)] is called.", False),
        ('[get_weather (city="Lima")] Now.', False),
        ('[get_weather(city="Lima"', False),
    ],
)
def test_prose_in_brackets_is_prose_and_a_broken_call_is_not(text, prose):
    row = {
        **PUBLISHED,
        "conversations": [{"from": "user", "value": "Sum it up."}, {"from": "assistant", "value": text}],
    }
    told = verify_row(json.dumps(row), "toolace", CONFIG)
    assert ("call_syntax" not in {verdict.rule for verdict in told.verdicts}) is prose, told.verdicts


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (tagged(CALL)[:-5], "</tool_call>"),
        ("<tool_call>\n{'name': 'get_weather'}\n</tool_call>", "no valid JSON"),
        ('[get_weather(city="Lima")]', "a call in pythonic syntax"),
    ],
)
def test_calls_that_cannot_be_read_are_told(call, said):
    told = verify_row(json.dumps(hermes_row(call)), "hermes", CONFIG)
    assert any(verdict.rule == "call_syntax" and said in verdict.evidence for verdict in told.verdicts), told.verdicts


@pytest.mark.parametrize(
    ("form", "row", "reason"),
    [
        ("openai", {"prompt": "x"}, "no list 'messages' or 'conversation' or 'conversations' (there is: prompt)"),
        ("openai", {"messages": [{"role": "wizard", "content": "x"}]}, "a message of role 'wizard'"),
        ("openai", {"messages": [{"role": "user", "content": "x"}], "tools": 3}, "tools: int, not a list"),
        ("xlam", {"id": 1}, "no text 'query'"),
        ("toolace", [1], "list, not an object"),
        ("sharegpt", sharegpt(tools="[{"), "Expecting"),
    ],
)
def test_a_row_that_is_no_dialog_says_why(form, row, reason):
    with pytest.raises(Unreadable) as error:
        read(row, form)
    assert reason in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.sampled_from(["user", "assistant", "tool"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["messages", "conversations", "role", "from", "content", "value", "tools", "name", "arguments", "tool_calls",
                         "function", "parameters", "properties", "type", "query", "answers", "system", "id", "required"]) | st.text(max_size=5),
        inner, max_size=5,
    ),
    max_leaves=30,
)  # fmt: skip


def told_by(row, form):
    """The verdicts on a row, none of which is that the reader or a rule failed on it."""
    told = verify_row(json.dumps(row), form, CONFIG)
    assert not any(v.rule == "internal" or "the rule failed" in v.evidence for v in told.verdicts), (row, told.verdicts)
    return told


@given(JSON, st.sampled_from(sorted(READERS)))
def test_no_row_breaks_the_reader_or_a_rule(row, form):
    told_by(row, form)


def places(value):
    """The paths of all parts of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *path) for key, part in inner for path in places(part))]


def replaced(value, path, part):
    """A value with another part at `path`."""
    if not path:
        return part
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], part)
    return copy


@pytest.mark.parametrize("form", sorted(READERS))
def test_no_part_of_a_dialog_breaks_the_reader_or_a_rule(form):
    """Each part of a row that is a dialog of its format, in turn replaced by values of every kind."""
    row = dict(ROWS.get(form, {"messages": PLAIN, "tools": [TOOL]}))
    for key in {"tools", "answers"} & set(row):
        row[key] = json.loads(row[key]) if isinstance(row[key], str) else row[key]
    assert told_by(row, form).accepted
    for path in places(row)[1:]:
        for part in (None, True, 3, 1.5, 10**30, "", "x", "user", "[{", [], [3], {}, {"a": 1}):
            told_by(replaced(row, path, part), form)


def test_files_are_read_in_portions_that_share_no_line(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"n": number, "x": "y" * (number % 97)}) for number in range(2000)]
    path.write_text("\n".join(lines))
    size = path.stat().st_size
    for step in (size + 1, 4096, 333, 50):
        parts = [Portion(str(path), start, min(start + step, size)) for start in range(0, size, step)]
        assert [row for part in parts for row in datasets.rows(part)] == lines


def test_arrays_and_tables_are_read(tmp_path):
    rows = [{"a": 1, "b": None}, {"a": 2, "b": {"c": "x"}}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    (tmp_path / "c.json").write_text("\n".join(map(json.dumps, rows)))
    found = [
        [json.loads(row) for part in datasets.portions(path) for row in datasets.rows(part)]
        for path in datasets.files(str(tmp_path))
    ]
    assert found == [rows, [{"a": 1}, {"a": 2, "b": {"c": "x"}}], rows]


GOOD = [json.dumps(to_openai(dialog)) for dialog in list(good_dialogs().values())[:3]]


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(["", "  ", "{no json", "x" * 100, *GOOD]), max_size=12), min_size=1, max_size=3),
    st.integers(40, 5000),
    st.booleans(),
)
def test_a_row_is_told_by_its_file_and_line(tmp_path_factory, files, step, ended):
    folder = tmp_path_factory.mktemp("set")
    parts, lines = [], {}
    for number, rows in enumerate(files):
        path = folder / f"{number}.jsonl"
        path.write_text("\n".join(rows) + "\n" * ended)
        size = path.stat().st_size
        parts += [(str(path), start, min(start + step, size)) for start in range(0, size, step)]
        lines |= {(str(path), line): row for line, row in enumerate(rows, 1) if row.strip()}
    names = ("path", "start", "end")
    tables = (
        table
        for part in parts
        for table in verify_all(pa.Table.from_pylist([dict(zip(names, part, strict=True))]), "openai", CONFIG)
    )
    found = [((row["path"], row["row"]), row["line"]) for row in numbered(tables)]
    assert found == list(lines.items())


def test_a_file_is_called_by_its_path_below_the_folder_of_all(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    for name in ("a.jsonl", "sub/a.jsonl"):
        (tmp_path / name).write_text("{}")
    assert list(datasets.names(datasets.files(str(tmp_path))).values()) == ["a.jsonl", "sub/a.jsonl"]
    assert list(datasets.names(datasets.files(f"{tmp_path}/sub/*")).values()) == ["a.jsonl"]
    monkeypatch.chdir(tmp_path)
    assert datasets.names(["a.jsonl"]) == {"a.jsonl": "a.jsonl"}


def test_json_lines_under_another_name_are_cut_at_line_breaks_alone(tmp_path):
    rows = [{"a": "one\u2028two\x85three"}, {"a": 2}]
    path = tmp_path / "a.json"
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    first, blank, second = datasets.rows(Portion(str(path), 0, path.stat().st_size))
    assert [json.loads(first), blank, json.loads(second)] == [rows[0], None, rows[1]]


def test_one_odd_value_of_a_table_or_an_array_is_one_odd_row(tmp_path):
    texts = pa.Array.from_buffers(
        pa.string(),
        3,
        [None, pa.py_buffer(bytes((0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0))), pa.py_buffer(b"a\xffb")],
    )
    pq.write_table(pa.table({"t": texts}), tmp_path / "a.parquet")
    days = pa.array([0, 10**9, 1], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"t": days}), tmp_path / "b.parquet")
    for name in ("a.parquet", "b.parquet"):
        first, odd, last = datasets.rows(Portion(str(tmp_path / name), 0, 1))
        assert isinstance(odd, Refused), name
        assert not isinstance(first, Refused)
        assert not isinstance(last, Refused)
    for depth in range(300, 1100, 10):  # what can just be read can perhaps not be written
        (tmp_path / "c.json").write_text("[1, " + "[" * depth + "]" * depth + "]")
        assert all(isinstance(row, str) for row in datasets.rows(Portion(str(tmp_path / "c.json"), 0, 1)))


def test_a_damaged_row_group_is_as_many_rows_as_it_has(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"t": [f"{number:050d}" for number in range(40)]})
    pq.write_table(table, path, row_group_size=20, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)
    found = [row for part in datasets.portions(str(path)) for row in datasets.rows(part)]
    assert [isinstance(row, Refused) for row in found] == [True] * 20 + [False] * 20


@pytest.mark.parametrize("turns", [None, "x", 7, {}])
def test_a_masked_turn_is_marked_where_the_turns_are(turns):
    row = json.loads(GOOD[0])
    row["conversation"] = row.pop("messages")
    row["conversation"][-1]["content"] += " and the"
    config = VerifyConfig(rules={"response_complete": "mask"})
    told = verify_row(json.dumps({"messages": turns, **row}), "openai", config)
    assert told.accepted, told.verdicts
    assert [item.get("weight") for item in json.loads(told.line)["conversation"]] == [None] * 4 + [0]


def test_what_a_row_does_to_us_is_a_verdict_on_that_row(monkeypatch):
    def sick(*_):
        raise KeyError("x")

    monkeypatch.setattr("toolace_ray.corpus.verification.dialog_key", sick)
    told = verify_row(GOOD[0], "openai", CONFIG)
    assert not told.accepted
    assert [(verdict.rule, verdict.evidence) for verdict in told.verdicts] == [("internal", "KeyError: 'x'")]
    assert told.line == GOOD[0]
    with pytest.raises(UserError):
        verify_row(GOOD[0], "openai", VerifyConfig(decontaminate=("nowhere.jsonl",)))


def test_limits_come_before_parsing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'"' + b"x" * (10 << 20) + b'"\n' + b"[" * 10_000 + b"\n\xff\xfe\n{}\n")
    long, deep, coded, good = datasets.rows(Portion(str(path), 0, path.stat().st_size))
    assert isinstance(long, Refused)
    assert "10485762 bytes" in long or "10485763 bytes" in long
    assert isinstance(deep, Refused)
    assert isinstance(coded, Refused)
    assert good == "{}"


def test_a_broken_table_is_the_users(tmp_path):
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(UserError, match="no Parquet file"):
        list(datasets.portions(str(tmp_path / "a.parquet")))


@given(st.permutations([1, 1.0, True, 0, 0.0, False, -0.0, "1", None]))
def test_a_tool_is_never_read_as_one_that_only_equals_it(values):
    for value in values:
        city = {"type": ["number", "boolean", "string", "null"], "description": "City", "default": value}
        tool = {**TOOL, "name": "get_exact", "parameters": {**TOOL["parameters"], "properties": {"city": city}}}
        dialog = read(sharegpt(tools=json.dumps([tool])), "sharegpt").dialog
        again = Dialog.of(dialog.model_dump_json())
        for (api,) in (dialog.tools, again.tools):
            assert repr(api.properties["city"]["default"]) == repr(value)
        assert again.tools[0].id == dialog.tools[0].id


def rows_of(path):
    return [row for part in datasets.portions(str(path)) for row in datasets.rows(part)]


LINES = "\n".join(GOOD) + "\n"
SPREAD = "\n".join(json.dumps(json.loads(row), indent=2) for row in GOOD)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", LINES.encode("utf-16"), "UTF-16 text; convert"),
        ("a.json", f"[{GOOD[0]}]".encode("utf-16"), "UTF-16 text; convert"),
        ("a.jsonl", LINES.encode("utf-16-le"), "NUL bytes"),
        ("a.jsonl", gzip.compress(LINES.encode()), "a gzip file; add .gz"),
        ("a.jsonl", SPREAD.encode(), "spread over several lines"),
        ("a.json", SPREAD.encode(), "spread over several lines"),
        ("a.jsonl", f"[{','.join(GOOD)}]".encode(), "one JSON array, not JSON lines; name it .json"),
        ("a.jsonl", LINES.replace("\n", "\r").encode(), "CR alone"),
        ("a.json", json.dumps({"openapi": "3.0.0", "paths": {}}).encode(), "specification, not rows"),
        ("a.json", json.dumps({"splits": {"train": 3}}, indent=1).encode(), "one JSON object (splits), not rows"),
        ("a.jsonl.gz", b"\x1f\x8bnothing more", "cannot read it"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        rows_of(tmp_path / name)
    assert said in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("key", ["data", "rows"])
@pytest.mark.parametrize("indent", [None, 2])
def test_rows_below_a_key_are_read(tmp_path, key, indent):
    rows = [json.loads(row) for row in GOOD]
    (tmp_path / "a.json").write_text(json.dumps({"version": {key: "1"}, key: rows}, indent=indent))
    found = rows_of(tmp_path / "a.json")
    assert [json.loads(row) for row in found] == rows
    assert not any("\n" in row for row in found)
    (portion,) = datasets.portions(str(tmp_path / "a.json"))
    assert portion.key == key


def test_an_object_is_decoded_once_on_the_way_to_its_rows(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "data": [json.loads(row) for row in GOOD]}))
    wholes = []

    class Decoder(json.JSONDecoder):
        def raw_decode(self, text, at=0):
            wholes.extend([1] if at == 0 else [])
            return super().raw_decode(text, at)

    monkeypatch.setattr(datasets, "_ENDS", Decoder())
    monkeypatch.setattr(
        "jobs.verify._verified_rows",
        lambda config, parts, form: numbered(verify_all(as_table(parts), form, config.verify)),  # without Ray
    )
    outcome = verify(Config(), str(tmp_path / "a.json"), "auto", str(tmp_path / "out"), True)
    assert (outcome.format, outcome.accepted) == ("openai", len(GOOD))
    assert outcome.notes[1] == "a.json is one object; its rows are taken from 'data'"
    assert len(wholes) == 1


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst"])
def test_compressed_files_are_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    text = LINES if ".jsonl" in suffix else f"[{','.join(GOOD)}]"
    with pa.output_stream(str(path), compression="gzip" if suffix.endswith("gz") else "zstd") as file:
        file.write(text.encode())
    assert rows_of(path) == GOOD
    assert datasets.files(str(tmp_path)) == [str(path)]


def test_a_damaged_compressed_file_tells_where_it_ends(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    lines = [json.dumps({"n": number, "x": os.urandom(60).hex()}) for number in range(3000)]
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-5000])
    *found, last = rows_of(path)
    assert isinstance(last, Refused)
    assert "can't be read on" in last
    assert len(found) > 1000
    assert found == lines[: len(found)]


def test_one_wrong_row_of_an_array_costs_that_row_alone(tmp_path):
    huge = GOOD[1].replace('{"id"', '{"n": ' + "7" * 5000 + ', "id"')
    surrogate = GOOD[1].replace("}", ', "x": "\\ud83d"}', 1)
    deep = "[" * 100_000 + "]" * 100_000
    raw = ("[\n" + ",\n".join([GOOD[0], huge, surrogate, deep, GOOD[2]]) + ", ").encode() + b'{"x": "\xe9"}]'
    (tmp_path / "a.json").write_bytes(raw)
    told = [verify_row(row, "openai", CONFIG) for row in rows_of(tmp_path / "a.json")]
    assert [item.accepted for item in told] == [True, False, False, False, True, False]
    said = [item.verdicts[0].evidence for item in told if item.verdicts]
    assert "an integer of 5000 digits" in said[0]
    assert "lone surrogate" in said[1]
    assert "deeper than 64" in said[2]
    assert "not UTF-8" in said[3]


def test_an_array_that_breaks_off_keeps_the_rows_before(tmp_path):
    (tmp_path / "a.json").write_text(f"[{GOOD[0]}, {GOOD[1]}, {GOOD[2][:50]}")
    first, second, last = rows_of(tmp_path / "a.json")
    assert [first, second] == GOOD[:2]
    assert "can't be read on" in last
    assert isinstance(last, Refused)


QWEN = (
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\nReturn calls."
)
HERMES = (
    "Function signatures are within <tools> </tools> XML tags. Use <tools> well.\n<tools>\n{}\n</tools>\nReturn calls."
)
OTHER = {**TOOL, "name": "get_tides", "description": "Tells the tides of a harbour."}
EXAMPLE = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize(
    "prompt",
    [
        QWEN.format("\n".join(json.dumps({"type": "function", "function": tool}) for tool in (TOOL, OTHER))),
        HERMES.format(",\n".join(json.dumps(tool) for tool in (TOOL, OTHER))),
        HERMES.format("\n".join(json.dumps(tool, indent=2) for tool in (TOOL, OTHER))),
        HERMES.format(json.dumps([TOOL, OTHER], indent=2)),
        HERMES.format(repr([TOOL, OTHER])),
        f"# 可用工具\n\n## get_weather\n\n{json.dumps(TOOL, indent=4)}\n在调用上述函数时\n\n## get_tides\n\n{json.dumps(OTHER)}",
        f"Given the following functions, respond with JSON.\n\n{json.dumps({'type': 'function', 'function': TOOL})}\n\n"
        f"{json.dumps({'type': 'function', 'function': OTHER})}\n\nFor example {EXAMPLE}.",
        f"You have access to these functions -\n{json.dumps(TOOL, indent=4)}\n{json.dumps(OTHER, indent=4)}",
    ],
)
@pytest.mark.parametrize("given", [None, "", "[]", []])
@pytest.mark.parametrize("form", ["sharegpt", "openai"])
def test_tools_of_the_system_prompt_are_taken_where_the_row_has_none(prompt, given, form):
    row = {"conversations": [{"from": "system", "value": prompt}, *sharegpt()["conversations"]], "tools": given}
    if form == "openai":
        row = {"messages": [{"role": "system", "content": prompt}, *PLAIN], "tools": given}
    reading = read(row, form)
    assert [api.name for api in reading.dialog.tools] == ["get_weather", "get_tides"]
    assert all(api.properties["city"]["description"] == "City" for api in reading.dialog.tools)
    assert verify_row(json.dumps(row), form, CONFIG).accepted


PLAIN = [
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
    {"role": "tool", "tool_call_id": "c1", "content": json.dumps(RESULT)},
    {"role": "assistant", "content": SAID},
]


def test_tools_that_are_broken_in_the_prompt_are_a_reason():
    row = {"conversations": [{"from": "system", "value": QWEN.format('{"name": ')}, *sharegpt()["conversations"]]}
    with pytest.raises(Unreadable, match="the tools of the system prompt are no JSON"):
        read(row, "sharegpt")


@pytest.mark.parametrize("form", ["sharegpt", "hermes", "toolace"])
@pytest.mark.parametrize("keys", [("from", "value"), ("role", "content")])
@pytest.mark.parametrize("field", ["tool_calls", "text", "function_call"])
def test_calls_beside_a_text_are_read(form, keys, field):
    calls = [{"id": "c1", "type": "function", "function": CALL}]
    beside = {
        "tool_calls": {"tool_calls": calls},
        "text": {"tool_calls": json.dumps(calls)},
        "function_call": {"function_call": {**CALL, "arguments": json.dumps(CALL["arguments"])}},
    }[field]
    turns = [
        {keys[0]: "user", keys[1]: ASKED},
        {keys[0]: "assistant", keys[1]: "Let me look.", **beside},
        {keys[0]: "tool", keys[1]: json.dumps(RESULT)},
        {keys[0]: "assistant", keys[1]: SAID},
    ]
    row = {"conversations": turns, "functions": [TOOL]}
    dialog = read(row, form).dialog
    assert [(call.name, call.arguments) for item in dialog.messages for call in item.tool_calls] == [
        ("get_weather", {"city": "Lima"})
    ]
    assert verify_row(json.dumps(row), form, CONFIG).accepted
    unknown = {**row, "functions": [OTHER]}
    told = verify_row(json.dumps(unknown), form, CONFIG)
    assert "known_api" in {verdict.rule for verdict in told.verdicts}


@pytest.mark.parametrize("where", ["turn", "row", "result"])
@pytest.mark.parametrize("form", ["openai", "sharegpt"])
def test_calls_in_a_field_that_is_not_read_are_told(where, form):
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    row = {"messages": turns, "tools": [TOOL]}
    assert verify_row(json.dumps(row), form, VerifyConfig(rules={"answer_grounded": "off"})).accepted
    if where == "turn":
        turns[1]["actions"] = [CALL]
    elif where == "row":
        row["function_calls"] = [CALL]
    else:
        turns[1:1] = [{"role": "tool", "content": "{}", "tool_calls": [{"function": CALL}]}]
    told = verify_row(json.dumps(row), form, CONFIG)
    assert "call_syntax" in {verdict.rule for verdict in told.verdicts if verdict.severity == "reject"}


MARKUPS = [
    '<functioncall> {"name": "get_weather", "arguments": \'{"city": "Lima"}\'} <|endoftext|>',
    '<function=get_weather>{"city": "Lima"}</function>',
    'Action: get_weather\nAction Input: {"city": "Lima"}',
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Lima"}\n```<｜tool▁call▁end｜>',
    '```tool_code\nget_weather(city="Lima")\n```',
    '```json\n{"tool": "get_weather", "args": {"city": "Lima"}}\n```',
    '{"action": "get_weather", "action_input": {"city": "Lima"}}',
    '[{"name": "get_weather", "parameters": {"city": "Lima"}}]',
]


@pytest.mark.parametrize("markup", MARKUPS)
@pytest.mark.parametrize("form", ["openai", "sharegpt", "hermes", "toolace"])
def test_a_call_in_markup_that_is_not_read_is_never_prose(markup, form):
    """Also where no tools are found, so that no name of a tool gives the call away."""
    row = {"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": markup}]}
    told = verify_row(json.dumps(row), form, CONFIG)
    assert "call_syntax" in {verdict.rule for verdict in told.verdicts if verdict.severity == "reject"}


def test_parts_of_a_content_are_read_as_anthropic_has_them():
    turns = [
        {"role": "user", "content": [{"type": "text", "text": ASKED}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "A look is needed."},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Lima"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": json.dumps(RESULT)}]}]},
        {"role": "assistant", "content": [{"type": "text", "value": SAID}]},
    ]  # fmt: skip
    tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}
    row = {"messages": turns, "tools": [tool]}
    messages = read(row, "openai").dialog.messages
    assert [item.role for item in messages] == ["user", "assistant", "tool", "assistant"]
    assert (messages[1].thought, messages[1].content) == ("A look is needed.", "Let me look.")
    assert messages[1].tool_calls[0].arguments == {"city": "Lima"}
    assert messages[3].content == SAID
    assert verify_row(json.dumps(row), "openai", CONFIG).accepted
    turns[0]["content"].append({"type": "image_url", "image_url": {"url": "x"}})
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert "a part of type 'image_url'" in told.verdicts[0].evidence


@pytest.mark.parametrize("form", ["openai", "sharegpt"])
def test_thoughts_are_kept_apart_and_leak_nothing(form):
    turns = [{"role": "developer", "content": "Be brief."}, *map(dict, PLAIN)]
    turns[2]["content"] = "<think>\nA look is needed.\n</think>\nLet me look."
    turns[4]["reasoning_content"] = "The result says sunny."
    row = {"messages": [{"role": "system", "content": "Today is 2024-05-01."}, *turns], "tools": [TOOL]}
    messages = read(row, form).dialog.messages
    assert [message.thought for message in messages] == [
        None,
        None,
        "A look is needed.",
        None,
        "The result says sunny.",
    ]
    assert messages[2].content == "Let me look."
    assert messages[0].content == "Today is 2024-05-01.\n\nBe brief."
    told = verify_row(json.dumps(row), form, CONFIG)
    assert told.accepted, told.verdicts
    turns[4]["content"] = "So it is sunny.</think>" + SAID
    told = verify_row(json.dumps(row), form, CONFIG)
    assert "leaked_prompt" in {verdict.rule for verdict in told.verdicts}


def test_ids_that_count_anew_in_each_turn_are_told_apart():
    again = [
        {"role": "user", "content": "And in Cusco?"},
        *map(dict, PLAIN[1:3]),
        {"role": "assistant", "content": "Sunny."},
    ]
    again[1] = {**again[1], "tool_calls": [{"id": "c1", "function": {**CALL, "arguments": {"city": "Cusco"}}}]}
    row = {"messages": [*PLAIN, *again], "tools": [TOOL]}
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert told.accepted, told.verdicts
    twice = [*PLAIN[1]["tool_calls"], {"id": "c1", "function": {**CALL, "arguments": {"city": "Cusco"}}}]
    row = {"messages": [PLAIN[0], {**PLAIN[1], "tool_calls": twice}, PLAIN[2], PLAIN[2], PLAIN[3]], "tools": [TOOL]}
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert "call_ids" in {verdict.rule for verdict in told.verdicts}


def said_in(answer, asked="How is it? " + ASKED):
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {verdict.rule for verdict in verify_row(json.dumps({"messages": turns}), "openai", CONFIG).verdicts}


@pytest.mark.parametrize(
    "answer",
    [
        "कल लीमा में बारिश होगी।",
        "هل تريد توقعات الغد أيضا؟",
        "کل لیما میں بارش ہو گی۔",
        "Վաղը Լիմայում անձրև կլինի։",
        "พรุ่งนี้ฝนจะตกในลิมา",
        "ថ្ងៃស្អែកនឹងមានភ្លៀងនៅលីម៉ា។",
        "မနက်ဖြန် မိုးရွာမယ်။",
        "Der Sprecher sagte: „Morgen regnet es in Lima“",
        "Det hedder »vejret i Lima«",
        "明天利马会下雨。",
        "Завтра в Лиме будет 9 °C, ветер 30 км/ч.",
        "Завтра в Лиме будет 9 °C, ветер 30 km/h и 5mm дождя.",
        "कल लीमा में 24°C और हवा 12 km/h होगी।",
        "غدا في ليما \u206624°C\u2069 مشمس.",
        "It is sunny in Lima. \U0001fa77",
        "It is sunny in Lima. \U0001fae9",
        "It is sunny in Lima. \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "It is sunny in Lima. 3\ufe0f\u20e3",
        "It costs 24 \u20c1 in all.",
    ],
)
def test_answers_in_any_script_end_in_its_ways(answer):
    assert not said_in(answer, answer) & {"response_complete", "invalid_characters", "mixed_language"}


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("कल लीमा में बारिश और", "response_complete"),
        ("هل تريد توقعات الغد،", "response_complete"),
        ("明天利马会下雨，", "response_complete"),
        ("Der Sprecher sagte gestern in Lima “", "response_complete"),
        ("It is sunny in\u202e Lima.", "invalid_characters"),
        ("It is sunny in\ufdd0 Lima.", "invalid_characters"),
        ("It is sunny in\U0001ffff Lima.", "invalid_characters"),
        ("It is sunny in\ue000 Lima.", "invalid_characters"),
        ("It is sunny in\u0007 Lima.", "invalid_characters"),
        ("Завтра в Лиме будет sunny, 9 градусов.", "mixed_language"),
    ],
)
def test_what_breaks_off_in_any_script_is_told(answer, rule):
    assert rule in said_in(answer, "Завтра в Лиме?" if rule == "mixed_language" else answer[:4])


@given(st.characters(exclude_categories=("Cc", "Cs", "Co", "Cn")))
def test_every_assigned_character_can_be_written_but_overrides_and_the_invisible(character):
    strange = character in "\u200b\u2060\ufeff\ufffd\u202d\u202e"
    assert (invalid_character(f"a {character} b") is not None) is strange


@pytest.mark.parametrize(
    ("form", "row"),
    [
        *ROWS.items(),
        ("openai", json.loads(GOOD[0])),
        ("openai", {"conversations": PLAIN}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]}),
        (None, {"text": "no dialog"}),
    ],
)
def test_a_format_is_told_by_the_first_rows(form, row):
    chat = {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]}
    assert guess(["{no json", "[1]", json.dumps(row)]) == form
    if form not in (None, "openai"):
        assert guess([json.dumps(chat), json.dumps(chat), json.dumps(row)]) == form


def test_files_of_several_formats_are_not_taken_for_one(tmp_path):
    for form in ("hermes", "xlam"):
        (tmp_path / f"{form}.jsonl").write_text(json.dumps(ROWS[form]))
    with pytest.raises(UserError, match=r"hermes.jsonl is hermes, xlam.jsonl is xlam"):
        verify(Config(), str(tmp_path), "auto", str(tmp_path / "out"), True)
    (tmp_path / "other.jsonl").write_text('{"text": "x"}')
    with pytest.raises(UserError, match="give --format"):
        verify(Config(), str(tmp_path / "other.jsonl"), "auto", str(tmp_path / "out"), True)


def test_a_person_reads_the_share_then_what_was_translated_then_what_was_refused():
    outcome = Outcome("set", "openai", notes=["taken for openai"])
    for number, row in enumerate([rows_with("str", "openai"), rows_with("Literal['Oslo']", "openai")], 1):
        told = verify_row(json.dumps(row), "openai", CONFIG)
        text = verdicts_json(told.verdicts)
        outcome.add(
            {"accepted": told.accepted, "type": told.type, "verdicts": text, "file": "a", "row": number, "id": ""}
        )
    lines = table(outcome, 120).splitlines()
    assert lines[0].startswith("50.0% can be trained on: 1 of 2 rows")
    assert lines[1] == "taken for openai"
    order = [
        next(i for i, line in enumerate(lines) if word in line)
        for word in ("translated", "type 'str' read as 'string'", "rejected because of", "a:2, turn 1: get_weather")
    ]
    assert order == sorted(order)
    record = outcome.record()
    assert (record["share"], record["notes"]) == (0.5, ["taken for openai"])
    assert record["translated"]["type 'dict' read as 'object'"] == 2


@pytest.mark.parametrize(("key", "accepted"), [("arguments", True), ("args", True), ("input", True), ("kwargs", False)])
def test_a_calls_values_are_read_or_told_wherever_they_stand(key, accepted):
    """The tool requires nothing, so that no other rule notices a call that lost its values."""
    tool = {**TOOL, "parameters": {**TOOL["parameters"], "required": []}}
    call = {"id": "c1", "name": "get_weather", key: {"city": "Lima"}}
    row = {"messages": [PLAIN[0], {**PLAIN[1], "tool_calls": [call]}, *PLAIN[2:]], "tools": [tool]}
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert told.accepted is accepted, told.verdicts
    if not accepted:
        assert {verdict.rule for verdict in told.verdicts} == {"call_syntax"}


@pytest.mark.parametrize("required", [[["city"]], [None, "city"]])
def test_a_list_of_needed_parameters_that_is_none_is_the_definitions_fault_alone(required):
    row = json.loads(json.dumps(to_openai(good_dialogs()["single"])))
    row["tools"][0]["function"]["parameters"]["required"] = required
    told = verify_row(json.dumps(row), "openai", CONFIG)
    assert {verdict.rule for verdict in told.verdicts} == {"api_definition"}
