"""MCP tool lists as servers write them."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from toolace_ray.config.tree import McpServerConfig
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.tss import mcp_client, specs

PYDANTIC = {
    "name": "findRooms",
    "description": "",
    "inputSchema": {
        "title": "findRoomsArguments", "type": "object", "required": ["kind", "guest_ids"],
        "properties": {
            "kind": {"enum": ["single", "double"], "title": "Kind", "type": "string"},
            "guest_ids": {"items": {"type": "integer"}, "type": "array"},
            "after": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
            "place": {"$ref": "#/$defs/Place"},
        },
        "$defs": {"Place": {"title": "Place", "type": "object", "properties": {"postCode": {"type": "string", "examples": ["1010"]}}}},
    },
}  # fmt: skip


def read(tmp_path, tools, **settings):
    path = tmp_path / "hotel.mcp.json"
    path.write_text(json.dumps(tools if isinstance(tools, list) else {"tools": tools["tools"]}))
    return list(specs.import_mcp(str(path), **settings))


def test_what_has_no_description_is_described_by_code(tmp_path):
    (api,) = read(tmp_path, [PYDANTIC])
    assert gate.check(api) == []
    assert api.description == "Find rooms (Hotel)."
    assert {name: schema["description"] for name, schema in api.properties.items()} == {
        "kind": "Kind", "guest_ids": "Guest ids", "after": "After (date)", "place": "Place",
    }  # fmt: skip
    assert api.properties["place"]["properties"]["postCode"]["description"] == "Post code, for example 1010"
    assert api.properties["after"]["type"] == "string"
    assert "descriptions derived: kind, guest_ids, after, place, place.postCode" in api.lineage.notes
    assert "description derived" in api.lineage.notes


def test_or_is_refused(tmp_path):
    (api,) = read(tmp_path, [PYDANTIC], undescribed="refuse")
    assert {verdict.rule for verdict in gate.check(api)} == {"description", "parameter_description"}
    assert "descriptions derived" not in " ".join(api.lineage.notes)


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ({"name": "a"}, "tool 0 ('a'): it has no inputSchema, so what it takes is not known"),
        ({"inputSchema": {}}, "tool 0: it has no name"),
        ({"name": "a", "inputSchema": True}, "tool 0 ('a'): its inputSchema is a truth value, no schema"),
        ({"name": "a", "description": ["list"], "inputSchema": {}}, "tool 0 ('a'): its description is a list, no text"),
        (3, "tool 0: a number in place of a tool"),
        (
            {"name": "a", "inputSchema": {"properties": {"x": {"$ref": "#/$defs/X"}}}},
            "tool 0 ('a'): the reference '#/$defs/X' leads nowhere",
        ),
        (
            {"name": "a", "inputSchema": {"properties": {"x": {"$ref": "other.json"}}}},
            "tool 0 ('a'): the reference 'other.json' leads out",
        ),
    ],
)
def test_a_tool_that_is_none_is_told_in_a_sentence_and_the_others_stay(tmp_path, tool, says):
    reason, api = read(tmp_path, {"tools": [tool, PYDANTIC]})
    assert reason.startswith(says)
    assert isinstance(api, Api)


def test_a_union_of_objects_keeps_its_parameters(tmp_path):
    parts = [
        {"type": "object", "properties": {name: {"type": "string", "description": name}}, "required": [name]}
        for name in ("title", "plan")
    ]
    (api,) = read(
        tmp_path, [{"name": "plan", "description": "Makes or shows a plan.", "inputSchema": {"anyOf": parts}}]
    )
    assert set(api.properties) == {"title", "plan"}
    assert api.parameters["anyOf"] == [{"required": ["title"]}, {"required": ["plan"]}]
    assert gate.check(api) == []
    parts[1]["properties"]["title"] = {"type": "integer"}
    (reason,) = read(
        tmp_path, [{"name": "plan", "description": "Makes or shows a plan.", "inputSchema": {"anyOf": parts}}]
    )
    assert "union" in reason


ROOMS = {
    "name": "find_rooms",
    "description": "Finds the rooms of a hotel.",
    "inputSchema": {"type": "object", "properties": {"city": {"type": "string", "description": "City"}}},
}


def test_a_list_that_goes_on_elsewhere_says_so(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"result": {"tools": [ROOMS], "nextCursor": "page 2"}}))
    api, reason = specs.import_mcp(str(path))
    assert api.name == "find_rooms"
    assert reason == "the list: it goes on behind its `nextCursor`, and the tools there were not read"
    path.write_text(json.dumps({"tools": [ROOMS], "nextCursor": None}))
    assert len(list(specs.import_mcp(str(path)))) == 1


def test_so_does_the_list_of_a_live_server_that_has_more_tools_than_are_asked_for(monkeypatch):
    class Client:
        """A server of two pages."""

        def __init__(self, endpoint):
            del endpoint

        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            pass

        async def list_tools(self, cursor):
            names = ("b", "c") if cursor else ("a",)
            tools = [SimpleNamespace(model_dump=lambda name=name, **_: {**ROOMS, "name": name}) for name in names]
            return SimpleNamespace(tools=tools, next_cursor=None if cursor else "page 2")

    @contextlib.asynccontextmanager
    async def transport(server):
        yield None

    monkeypatch.setattr("mcp.Client", Client)
    monkeypatch.setattr(mcp_client, "transport", transport)
    server = McpServerConfig(url="http://127.0.0.1:9/mcp")

    def listed(**limits):
        for name, limit in {"MAX_TOOLS": 10, "MAX_PAGES": 10, **limits}.items():
            monkeypatch.setattr(mcp_client, name, limit)
        items = specs.import_tools(json.loads(mcp_client.list_tools("hotel", server)), "hotel", live=True)
        return [item if isinstance(item, str) else item.name for item in items]

    reason = "the list: it goes on behind its `nextCursor`, and the tools there were not read"
    assert listed() == ["a", "b", "c"]
    assert listed(MAX_PAGES=1) == ["a", reason]
    assert listed(MAX_TOOLS=1) == ["a", reason]
    assert listed(MAX_TOOLS=2) == ["a", "b", reason]


def test_what_a_server_says_of_a_tool_but_not_of_its_call_is_told(tmp_path):
    more = {"execution": {"taskSupport": "required"}, "_meta": {"a": 1}, "icons": None}
    hints = {"readOnlyHint": True, "destructiveHint": False, "title": "Rooms"}
    (api,) = read(tmp_path, [{**ROOMS, **more, "annotations": hints}])
    told = "of the tool, not carried: annotations.destructiveHint, execution, _meta"
    assert (api.lineage.notes[0], api.side_effects) == (told, False)
    (api,) = read(tmp_path, [{**ROOMS, "annotations": {"readOnlyHint": "false"}}])
    assert api.side_effects
    assert api.lineage.notes[0] == "of the tool, not carried: annotations.readOnlyHint"


def test_schemas_are_translated_as_those_of_lists_of_tools(tmp_path):
    schema = {
        "properties": {
            "a": {"type": "STRING", "description": "A"},
            "b": {"type": "string", "description": "B", "required": True},
        }
    }
    (api,) = read(tmp_path, [{**ROOMS, "inputSchema": {"type": "object", **schema}}])
    assert {name: part["type"] for name, part in api.properties.items()} == {"a": "string", "b": "string"}
    assert api.required == ("b",)
    note, _ = api.lineage.notes  # the other one is on the answer
    assert note.startswith("translated, in its inputSchema: ")
    assert "type 'STRING' read as 'string'" in note
    output = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}
    (api,) = read(tmp_path, [{**ROOMS, "outputSchema": output}])
    assert api.returns == {"type": "object", "properties": {"n": {"type": "integer"}}}
    (api,) = read(tmp_path, [{**ROOMS, "outputSchema": "text"}])
    assert "the answer is given as text: its outputSchema is a text, no schema" in api.lineage.notes


@pytest.mark.parametrize("key", ["input_schema", "parameters", "parametersJsonSchema"])
def test_other_names_of_the_input_schema_are_read_and_told(tmp_path, key):
    tool = {**{word: ROOMS[word] for word in ("name", "description")}, key: ROOMS["inputSchema"]}
    (api,) = read(tmp_path, [tool])
    assert set(api.properties) == {"city"}
    assert f"`{key}` read as inputSchema" in api.lineage.notes


def test_a_file_whose_name_begins_with_a_dot_has_a_domain(tmp_path):
    path = tmp_path / ".mcp.json"
    path.write_text(json.dumps([{**ROOMS, "description": ""}]))
    (api,) = specs.import_mcp(str(path))
    assert (api.domain, api.description) == (("Mcp",), "Find rooms (Mcp).")
