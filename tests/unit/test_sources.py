import json
from pathlib import Path

import pytest

from tests.samples import WEATHER
from toolace_ray.config import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.schema import Api
from toolace_ray.tss import gate, sources

ROOT = Path(__file__).parents[2]
SPEC = {
    "openapi": "3.0.3",
    "info": {"title": "Desk"},
    "paths": {
        "/rooms/{room}": {
            "parameters": [{"name": "room", "in": "path", "required": True, "description": "Room", "schema": {"type": "string"}}],
            "get": {
                "operationId": "get room!",
                "description": "Look up a room of the house.",
                "parameters": [
                    {"name": "floor", "in": "query", "description": "Floor", "schema": {"type": "integer", "nullable": True, "minimum": 0, "exclusiveMinimum": True}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Room"}}}},
                              "404": {"description": "No such room."}},
            },
        },
        "/loop": {"post": {"summary": "A schema that refers to itself.", "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}}}}}},
        "/clash/{a}": {"post": {"parameters": [{"name": "a", "in": "path", "schema": {"type": "string"}}],
                                "requestBody": {"content": {"application/json": {"schema": {"properties": {"a": {}}}}}}}},
    },
    "components": {"schemas": {
        "Room": {"type": "object", "properties": {"name": {"type": "string", "example": "Blue", "description": "Name"}}, "required": ["name"]},
        "Loop": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Loop"}, "x": {"type": "string", "description": "X"}}},
    }},
}  # fmt: skip


def write(path, tree):
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return str(path)


def test_openapi_operations_become_apis(tmp_path):
    items = list(sources.import_openapi(write(tmp_path / "a.json", SPEC)))
    room, loop = [item for item in items if isinstance(item, Api)]
    assert [item for item in items if isinstance(item, str)] == [
        "POST /clash/{a}: 'a' is both a parameter and in the request body"
    ]
    assert room.name == "get_room"
    assert room.properties["floor"] == {"type": ["integer", "null"], "description": "Floor", "exclusiveMinimum": 0}
    assert room.required == ("room",)
    assert "X-Trace" not in room.properties
    assert room.errors[0].message == "No such room."
    assert room.example_return == {"name": "Blue"}
    assert not room.side_effects
    assert loop.side_effects
    assert gate.check(room) == []


def test_the_examples_pass_the_gate():
    config = SourcesConfig(
        documents=(str(ROOT / "examples/documents"),),
        openapi=(str(ROOT / "examples/specs/*.openapi.json"),),
        mcp=(str(ROOT / "examples/specs/*.mcp.json"),),
    )
    found = sources.files(config)
    assert len(found["documents"]) == 12
    apis = [api for path in found["openapi"] for api in sources.import_openapi(path)]
    apis += [api for path in found["mcp"] for api in sources.import_mcp(path)]
    assert len(apis) == 15
    assert [verdict for api in apis for verdict in gate.check(api)] == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "not a readable JSON"),
        ("a.json", "[1]", "not an OpenAPI 3.x document"),
        ("a.json", '{"swagger": "2.0", "paths": {}}', "not an OpenAPI 3.x document"),
        ("a.json", '{"openapi": "3.1.0"}', "no `paths`"),
        ("a.json", "[" * 5000, "not a readable JSON"),
        ("a.yaml", "a: &-x [1]\nb: *-x", "aliases"),
        ("a.yaml", "a: [", "not a readable JSON or YAML"),
    ],
)
def test_a_file_that_is_no_spec_is_named(tmp_path, name, text, says):
    path = write(tmp_path / name, text)
    with pytest.raises(UserError, match=says) as error:
        list(sources.import_openapi(path))
    assert str(error.value).startswith(path)


def test_an_ordinary_yaml_spec_is_read(tmp_path):
    text = """
openapi: 3.0.3
info: {title: Tea & Coffee}
paths:
  /tea:
    get:
      operationId: find_tea
      description: Find a tea by its harvest day.
      parameters:
        - {name: day, in: query, required: true, description: Day, schema: {type: string, format: date}, example: 2024-05-01}
      responses:
        200: {description: ok, content: {application/json: {schema: {type: object, properties: {tea: {type: string, description: Tea}}}}}}
        default: {description: An error.}
"""
    (api,) = sources.import_openapi(write(tmp_path / "a.yaml", text))
    assert api.domain == ("Tea & Coffee",)
    assert api.example_arguments == {"day": "2024-05-01"}
    assert gate.check(api) == []


def test_references_that_multiply_are_cut(tmp_path):
    schemas = {
        f"S{i}": {
            "type": "object",
            "properties": {f"p{k}": {"$ref": f"#/components/schemas/S{i + 1}"} for k in range(30)},
        }
        for i in range(8)
    }
    response = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}
    tree = {"openapi": "3.1.0", "paths": {"/x": {"get": {"responses": response}}}, "components": {"schemas": schemas}}
    (reason,) = sources.import_openapi(write(tmp_path / "a.json", tree))
    assert "schema nodes" in reason


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": True}},
        {"properties": {"a": {"type": "array", "items": True, "description": "A"}}},
        {
            "properties": {
                "a": {"type": "array", "items": {"type": "string"}, "minItems": 3_000_000, "description": "A"}
            }
        },
        {"properties": {"a": {"type": "string", "minLength": 300_000_000, "description": "A"}}},
        {"properties": {"a": {"type": "integer", "minimum": 10**30, "description": "A"}}},
    ],
)
def test_schemas_that_nothing_can_be_drawn_from_are_refused(schema):
    api = WEATHER.model_copy(update={"parameters": {"type": "object", **schema}, "example_arguments": None})
    assert {verdict.rule for verdict in gate.check(api)} & {"unwieldy", "schema"}


def test_a_file_that_is_no_tool_list_is_named(tmp_path):
    with pytest.raises(UserError, match="not an MCP tools/list result"):
        list(sources.import_mcp(write(tmp_path / "a.json", '{"a": 1}')))


def test_mcp_results_may_come_wrapped(tmp_path):
    tool = {
        "name": "a b",
        "description": "Do a thing for me.",
        "inputSchema": {"properties": {"x": {"type": "string", "description": "X"}}},
    }
    (api,) = sources.import_mcp(write(tmp_path / "a.json", {"jsonrpc": "2.0", "result": {"tools": [tool]}}))
    assert api.name == "a_b"
    assert gate.check(api) == []


def test_folders_and_globs(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.md").write_text("A")
    (tmp_path / "x" / "b.bin").write_text("B")
    assert sources.expand((str(tmp_path),), (".md",), "k") == [str(tmp_path / "x" / "a.md")]
    for wrong in (tmp_path / "none", tmp_path / "*.txt"):
        with pytest.raises(UserError, match=r"^sources.documents: .*no file ending in \.md"):
            sources.expand((str(wrong),), (".md",), "sources.documents")
    with pytest.raises(UserError, match="nothing to read"):
        sources.files(SourcesConfig())


@pytest.mark.parametrize(("raw", "why"), [(b"\xff\xfe", "not UTF-8"), (b"  ", "empty"), (b"a\x00b", "null bytes")])
def test_documents_that_cannot_be_read_say_why(raw, why):
    assert why in sources.read_document("x", raw, 100)


def test_a_document_is_known_by_its_text():
    one, two = sources.read_document("x", b"text", 100), sources.read_document("y", b"\xef\xbb\xbftext\n", 100)
    assert one.id == two.id


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": "two words"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"description": "short"}, "description"),
        ({"parameters": {"type": "objekt"}}, "schema"),
        ({"parameters": {"type": "array"}}, "parameters_object"),
        ({"parameters": {"type": "object", "properties": {}, "required": ["a"]}}, "required"),
        ({"parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}, "parameter_description"),
        ({"parameters": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}}, "schema"),
        ({"returns": {}}, "returns"),
        ({"example_arguments": {"city": 3}}, "example_call"),
        ({"example_return": {"summary": "x"}}, "example_return"),
    ],
)
def test_the_gate_names_each_fault(changes, rule):
    assert gate.check(WEATHER) == []
    assert rule in {verdict.rule for verdict in gate.check(WEATHER.model_copy(update=changes))}


def test_deep_schemas_are_refused():
    deep = {"type": "object", "properties": {}}
    for _ in range(60):
        deep = {"type": "object", "description": "x", "properties": {"a": deep}}
    assert "schema" in {
        v.rule for v in gate.check(Api.model_construct(**{**WEATHER.model_dump(), "returns": deep, "errors": ()}))
    }
