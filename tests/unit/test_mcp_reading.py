"""MCP tool lists as servers write them."""

import json

import pytest

from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.tss import specs

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
