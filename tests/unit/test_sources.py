import json
from pathlib import Path

import pytest

from actors.ingest import _file_rows, import_row
from tests.material import WEATHER
from toolace_ray.config.tree import McpServerConfig, SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.tss import mcp_client, sources, specs
from toolace_ray.tss.readers import Limits

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
    items = list(specs.import_openapi(write(tmp_path / "a.json", SPEC)))
    room, loop, clash = items
    assert set(clash.properties) == {"a", "body_a"}
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
    assert len(found["document"]) == 12
    apis = [api for path in found["openapi"] for api in specs.import_openapi(path)]
    apis += [api for path in found["mcp"] for api in specs.import_mcp(path)]
    assert len(apis) == 15
    assert [verdict for api in apis for verdict in gate.check(api)] == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "not a readable JSON"),
        ("a.json", "[1]", "not an OpenAPI 3.x or Swagger 2 document"),
        ("a.json", '{"swagger": "1.2", "paths": {}}', "not an OpenAPI 3.x or Swagger 2 document"),
        ("a.json", '{"openapi": "3.1.0"}', "no `paths`"),
        ("a.json", "[" * 5000, "not a readable JSON"),
        ("a.yaml", "a: &a [*a]", "inside what it refers to"),
        (
            "a.yaml",
            "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 30 if i else ['1'])}]\n" for i in range(9)),
            "aliases",
        ),
        ("a.yaml", "openapi: 3.0.0\npaths:\n  /a: {}\n  /a: {}", "line 4: a mapping repeats the key '/a'"),
        ("a.json", '{"paths": {}, "paths": {}}', "repeats the key 'paths'"),
        ("a.yaml", "a: [", "not a readable JSON or YAML"),
        ("a.yaml", "openapi: 3.0.0\npaths: {}\nx:\n " + "- " * 40_000 + "a", "nested deeper than 200"),
        ("a.yaml", "? - " * 50_000 + "a", "nested deeper than 200"),
        ("a.yaml", "[" + "#\n[" * 100_000, "nested deeper than 200"),
        ("a.yaml", "{a: " * 30_000, "nested deeper than 200"),
    ],
)
def test_a_file_that_is_no_spec_is_named(tmp_path, name, text, says):
    path = write(tmp_path / name, text)
    with pytest.raises(UserError, match=says) as error:
        list(specs.import_openapi(path))
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
    (api,) = specs.import_openapi(write(tmp_path / "a.yaml", text))
    assert api.domain == ("Tea & Coffee",)
    assert api.example_arguments == {"day": "2024-05-01"}
    assert gate.check(api) == []


def multiplying(required):
    """Schemas each of which has a text and 30 times the next one: 30^8 texts when all are followed."""
    text = {"type": "string", "description": "Text"}
    schemas = {
        f"S{i}": {
            "type": "object",
            "properties": {"text": text, **{f"p{k}": {"$ref": f"#/components/schemas/S{i + 1}"} for k in range(30)}},
            "required": [f"p{k}" for k in range(30)] if required else [],
        }
        for i in range(8)
    }
    return {"schemas": {**schemas, "S8": text}}


def multiplied(body, required):
    """A document with one operation that takes, or answers with, what multiplies."""
    content = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    operation = {"post": {"requestBody": content}} if body else {"get": {"responses": {"200": content}}}
    return {"openapi": "3.1.0", "paths": {"/x": operation}, "components": multiplying(required)}


@pytest.mark.parametrize(("body", "required"), [(True, False), (False, False), (False, True)])
def test_references_that_multiply_are_cut(body, required, tmp_path):
    """What is optional, and of an answer any part."""
    (api,) = specs.import_openapi(write(tmp_path / "a.json", multiplied(body, required)))
    assert len(api.model_dump_json()) < 50_000
    assert list((api.parameters if body else api.returns)["properties"]) == ["text"]
    notes = [note for note in api.lineage.notes if "left out, optional: " in note]
    assert notes == [
        f"{'' if body else 'in the answer, '}left out, optional: {', '.join(f'p{k}' for k in range(12))} and 18 more"
    ]


def test_references_that_multiply_in_what_a_call_needs_are_refused(tmp_path):
    (reason,) = specs.import_openapi(write(tmp_path / "a.json", multiplied(body=True, required=True)))
    assert reason.startswith("POST /x: its schema is too large")


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
        {"properties": {"a": {"anyOf": [{"type": "array", "minItems": 3_000_000}], "description": "A"}}},
        {"properties": {"a": {"type": "array", "minItems": 1e9, "items": {"type": "string"}, "description": "A"}}},
        {
            "properties": {
                "a": {
                    "type": "array",
                    "minItems": 30,
                    "description": "A",
                    "items": {"type": "array", "minItems": 30, "items": {"type": "null"}},
                }
            }
        },
    ],
)
def test_schemas_that_nothing_can_be_drawn_from_are_refused(schema):
    api = WEATHER.model_copy(update={"parameters": {"type": "object", **schema}, "example_arguments": None})
    assert {verdict.rule for verdict in gate.check(api)} & {"unwieldy", "schema"}


def test_a_file_that_is_no_tool_list_is_named(tmp_path):
    with pytest.raises(UserError, match="not an MCP tools/list result"):
        list(specs.import_mcp(write(tmp_path / "a.json", '{"a": 1}')))


def test_mcp_results_may_come_wrapped(tmp_path):
    tool = {
        "name": "a b",
        "description": "Do a thing for me.",
        "inputSchema": {"properties": {"x": {"type": "string", "description": "X"}}},
    }
    (api,) = specs.import_mcp(write(tmp_path / "a.json", {"jsonrpc": "2.0", "result": {"tools": [tool]}}))
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
        v.rule
        for v in gate.check(
            Api.model_construct(**{**WEATHER.model_dump(), "returns": deep, "errors": (), "lineage": WEATHER.lineage})
        )
    }


SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "Pets"},
    "parameters": {"pet": {"name": "pet_id", "in": "path", "required": True, "type": "string", "format": "uuid", "description": "Pet"}},
    "paths": {
        "/pets/{pet_id}": {
            "parameters": [{"$ref": "#/parameters/pet"}],
            "get": {"summary": "Look a pet up by its id.", "responses": {"200": {"description": "A pet", "schema": {"$ref": "#/definitions/Pet"}}}},
            "delete": {"summary": "Remove a pet for good.", "responses": {"204": {"description": "The pet is gone."}}},
        },
        "/pets": {
            "post": {"operationId": "add_pet", "description": "Add a pet to the shop.",
                     "parameters": [{"name": "pet", "in": "body", "schema": {"$ref": "#/definitions/NewPet"}}],
                     "responses": {"201": {"schema": {"$ref": "#/definitions/Pet"}}, "409": {"description": "It is there."}}},
            "put": {"operationId": "send_photo", "description": "Send a photo of a pet.",
                    "parameters": [{"name": "photo", "in": "formData", "type": "file"}], "responses": {"200": {}}},
        },
    },
    "definitions": {
        "Pet": {"allOf": [{"$ref": "#/definitions/NewPet"}, {"type": "object", "properties": {"id": {"type": "string", "description": "Id"}}, "required": ["id"]}]},
        "NewPet": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "description": "Name", "x-nullable": True},
            "friends": {"type": "array", "description": "Friends", "items": {"$ref": "#/definitions/Pet"}}}},
    },
}  # fmt: skip


def test_swagger_2_operations_become_apis(tmp_path):
    items = list(specs.import_openapi(write(tmp_path / "a.json", SWAGGER)))
    look, add = [item for item in items if isinstance(item, Api) and item.name != "delete_pets_pet_id"]
    remove = next(item for item in items if isinstance(item, Api) and item.name == "delete_pets_pet_id")
    assert [item for item in items if isinstance(item, str)] == ["PUT /pets: its body is nothing but an uploaded file"]
    assert look.properties["pet_id"] == {"type": "string", "format": "uuid", "description": "Pet"}
    assert set(look.returns["properties"]) == {"name", "friends", "id"}
    assert look.returns["required"] == ["name", "id"]
    # A pet's friends are pets: the circle is followed once and then cut.
    assert set(look.returns["properties"]["friends"]["items"]["properties"]) == {"name", "id"}
    assert set(add.properties["friends"]["items"]["properties"]) == {"name", "id"}
    assert add.required == ("name",)
    assert add.properties["name"]["type"] == ["string", "null"]
    assert [error.code for error in add.errors] == ["409"]
    assert remove.returns == {"type": "null", "description": "The pet is gone."}
    assert [gate.check(api) for api in (look, add, remove)] == [[], [], []]


def test_optional_values_of_generators_are_plain_ones(tmp_path):
    tool = {
        "name": "find",
        "description": "Find a thing somewhere.",
        "inputSchema": {
            "properties": {"near": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None, "description": "Near"}},
            "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string", "description": "City"}}}},
        },
    }  # fmt: skip
    (api,) = specs.import_mcp(write(tmp_path / "a.json", {"tools": [tool]}))
    assert api.properties["near"]["type"] == "object"
    assert api.properties["near"]["description"] == "Near"
    assert "default" not in api.properties["near"]
    assert gate.check(api) == []


def test_bounds_beyond_any_use_are_left_out(tmp_path):
    parameter = {
        "name": "n",
        "in": "query",
        "description": "N",
        "schema": {"type": "integer", "maximum": 2**63 - 1, "minimum": 0},
    }
    operation = {"summary": "Count to some number.", "parameters": [parameter], "responses": {"200": {}}}
    (api,) = specs.import_openapi(write(tmp_path / "a.json", {"openapi": "3.1.0", "paths": {"/n": {"get": operation}}}))
    assert api.properties["n"] == {"type": "integer", "minimum": 0, "description": "N"}


def test_only_specs_that_are_named_one_by_one_are_the_users_error(tmp_path):
    write(tmp_path / "a.json", "{}")
    config = SourcesConfig(openapi=(str(tmp_path / "a.json"), str(tmp_path)), mcp=(str(tmp_path / "*.json"),))
    assert sources.named(config) == {"openapi": [str(tmp_path / "a.json")], "mcp": [], "tools": [], "python": []}


def test_what_cannot_be_judged_or_written_is_refused_and_the_others_go_on(tmp_path):
    tools = [
        {"name": "odd", "description": "A broken \ud83d description.", "inputSchema": {"properties": {}}},
        {"name": "float_bounds", "description": "Takes a text of some length.",
         "inputSchema": {"properties": {"t": {"type": "string", "maxLength": 5.0, "description": "T"}}}},
        {"name": "fine", "description": "Does what it should.", "inputSchema": {"properties": {"t": {"type": "string", "description": "T"}}}},
    ]  # fmt: skip
    path = tmp_path / "a.mcp.json"
    path.write_text(json.dumps({"tools": tools}))
    rows = [import_row("a", item) for item in specs.import_mcp(str(path))]
    assert [row["kind"] for row in rows] == ["refused", "api", "api"]
    assert all(str(row["text"]).encode() for row in rows)


def test_a_file_on_which_a_reader_fails_is_told_and_keeps_what_it_gave(tmp_path, monkeypatch):
    def importer(path, undescribed):
        yield "GET /a: it has no schema"
        raise MemoryError("no room")

    monkeypatch.setitem(specs.IMPORTERS, "openapi", importer)
    rows = list(_file_rows("openapi", "a.json", Limits(6000, 1 << 20, "text")))
    assert [(row["kind"], row["text"]) for row in rows] == [
        ("refused", "GET /a: it has no schema"),
        ("unread", "MemoryError: no room"),
    ]


def test_a_token_is_never_shown(monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cr3t\n")
    server = McpServerConfig(url="http://127.0.0.1:9/mcp", token_env="TOKEN", timeout=20)
    with pytest.raises(UserError) as error:
        mcp_client.list_tools("x", server)
    assert "s3cr3t" not in str(error.value)
    monkeypatch.setenv("TOKEN", "s3cr\u00e9t")
    with pytest.raises(UserError, match="TOKEN holds no token"):
        mcp_client.list_tools("x", server)


def test_a_title_beside_a_reference_does_not_hide_what_is_described_there(tmp_path):
    colour = {"type": "string", "description": "The colour of the walls."}
    room = {"type": "object", "properties": {"paint": {"title": "Paint", "$ref": "#/components/schemas/Colour"}}}
    operation = {
        "operationId": "paint_room",
        "summary": "Paint the walls of a room.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {**room, "required": ["paint"]}}}},
        "responses": {"204": {"description": "Painted."}},
    }
    tree = {
        "openapi": "3.1.0",
        "info": {"title": "Rooms", "version": "1"},
        "paths": {"/rooms": {"post": operation}},
        "components": {"schemas": {"Colour": colour}},
    }
    (api,) = specs.import_openapi(write(tmp_path / "rooms.json", tree))
    assert api.properties["paint"]["description"] == "The colour of the walls."
    assert api.lineage.undescribed == ()
