"""OpenAPI documents as people write them: each is read whole, or refused with its reason."""

import json
import lzma
from pathlib import Path

import pytest

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api, Lineage
from toolace_ray.records.json import digest
from toolace_ray.schemas import gate
from toolace_ray.schemas.validate import errors
from toolace_ray.text.dedup import NearDuplicates, api_key, nearest
from toolace_ray.tss import specs
from toolace_ray.tss.spec_files import read_spec

TEXT = {"type": "string", "description": "Text"}
PARCEL = {"type": "object", "properties": {"address": TEXT, "grams": {"type": "integer", "description": "Weight"}},
          "required": ["address"]}  # fmt: skip
ANSWER = {"200": {"description": "Done.", "content": {"application/json": {"schema": PARCEL}}}}


def document(operation, path="/parcels", method="post", **more):
    operation = {
        "operationId": "send",
        "description": "Sends a parcel to an address.",
        "responses": ANSWER,
        **operation,
    }
    return {"openapi": "3.1.0", "info": {"title": "Desk"}, "paths": {path: {method: operation}}, **more}


def body(schema, kind="application/json", **more):
    return {"requestBody": {"content": {kind: {"schema": schema}}, **more}}


@pytest.fixture
def read(tmp_path):
    def one(tree, name="a.json"):
        path = tmp_path / name
        path.write_bytes(
            tree if isinstance(tree, bytes) else (tree if isinstance(tree, str) else json.dumps(tree)).encode()
        )
        items = list(specs.import_openapi(str(path)))
        assert len(items) == 1
        if isinstance(items[0], Api):
            assert gate.check(items[0]) == []
        return items[0]

    one.folder = tmp_path
    return one


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "application/vnd.desk.v3+json", "*/*", "application/*",
     "application/x-www-form-urlencoded", "multipart/form-data", "application/xml"],
)  # fmt: skip
def test_a_body_of_any_media_type_gives_its_parameters(read, kind):
    api = read(document(body(PARCEL, kind)))
    assert set(api.properties) == {"address", "grams"}
    assert api.required == ("address",)
    assert any(kind in note for note in api.lineage.notes) == ("json" not in kind and "*" not in kind)


def test_of_several_media_types_json_is_taken(read):
    other = {"type": "object", "properties": {"x": TEXT}}
    content = {"text/xml": {"schema": other}, "application/x-www-form-urlencoded": {"schema": other},
               "application/hal+json": {"schema": PARCEL}}  # fmt: skip
    assert set(read(document({"requestBody": {"content": content}})).properties) == {"address", "grams"}


FILE = {"type": "string", "format": "binary", "description": "Photo"}


def test_files_of_a_form(read):
    form = {"type": "object", "properties": {"address": TEXT, "photo": FILE, "more": {"type": "array", "items": FILE}}}
    api = read(document(body(form, "multipart/form-data")))
    assert set(api.properties) == {"address"}
    assert "left out, an uploaded file: photo, more" in api.lineage.notes
    refused = read(document(body({**form, "required": ["photo"]}, "multipart/form-data")))
    assert refused == "POST /parcels: 'photo' is an uploaded file"
    assert "uploaded file" in read(document(body(FILE, "application/octet-stream")))


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ({"requestBody": {"content": {"application/json": {}}}}, "request body has no schema"),
        ({"requestBody": {"required": True}}, "request body has no schema"),
        ({"parameters": [{"name": "q", "in": "querystring", "schema": TEXT}]}, "can't be carried"),
        ({"parameters": [{"in": "query", "schema": TEXT}]}, "has no name"),
        ({"parameters": [{"$ref": "#/components/parameters/Gone"}]}, "leads nowhere"),
        (body({"$ref": "#/components/schemas/Gone"}), "'#/components/schemas/Gone' leads nowhere"),
        (body({"properties": {"a": {"$ref": "#/components/schemas/Gone"}}}), "leads nowhere"),
        (body({"$ref": "https://example.com/a.json#/X"}), "leads out of the document"),
        (body({"$ref": "//example.com/a.json"}), "leads out of the document"),
        (body({"$ref": "../secret.json"}), "leads out of the document's folder"),
        (body({"$ref": "gone.json"}), "there is no such file"),
        (body({"$ref": "#anchor"}), "leads nowhere"),
        (body({"$ref": "#/paths/~1parcels/post/requestBody/content/application~1json/schema"}), "without end"),
        (body({"properties": {"a": 3}}), "in place of a schema"),
        (body({"properties": {"a": TEXT}, "required": "a"}), "`required` that is no list"),
        (body({"properties": {"\ud800": TEXT}}), "lone surrogate"),
        ({"parameters": {"q": 1}}, "a parameter has no name"),
    ],
)
def test_what_a_call_needs_and_cannot_be_carried_refuses(read, operation, says):
    (read.folder.parent / "secret.json").write_text(json.dumps(PARCEL))
    reason = read(document(operation))
    assert isinstance(reason, str)
    assert reason.startswith("POST /parcels: ")
    assert says in reason


def test_a_parameter_with_content_keeps_its_schema(read):
    parameter = {
        "name": "filter",
        "in": "query",
        "description": "Filter",
        "content": {"application/json": {"schema": PARCEL}},
    }
    api = read(document({"parameters": [parameter]}, method="get"))
    assert set(api.properties["filter"]["properties"]) == {"address", "grams"}
    assert api.properties["filter"]["description"] == "Filter"


def test_references_lead_through_the_files_of_the_folder(read):
    (read.folder / "parts").mkdir()
    (read.folder / "parts" / "bodies.yaml").write_text("Parcel: {$ref: 'parcel.json#/definitions/a%7Bb%7D~1c'}")
    (read.folder / "parts" / "parcel.json").write_text(json.dumps({"definitions": {"a{b}/c": PARCEL}}))
    api = read(document(body({"$ref": "./parts/bodies.yaml#/Parcel"})))
    assert set(api.properties) == {"address", "grams"}


def test_a_link_out_of_the_folder_is_not_followed(read, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "b.json"
    outside.write_text(json.dumps(PARCEL))
    (read.folder / "b.json").symlink_to(outside)
    assert "out of the document's folder" in read(document(body({"$ref": "b.json"})))


def test_a_path_item_that_leads_nowhere_is_told(read):
    assert "leads nowhere" in read({"openapi": "3.1.0", "paths": {"/a": {"$ref": "#/components/pathItems/Gone"}}})


@pytest.mark.parametrize("file", ["a\0b.yaml", "a%00b.yaml", "a" * 5000 + ".yaml", "loop.yaml"])
def test_a_reference_to_what_no_file_can_be_called_leads_nowhere(read, file):
    (read.folder / "loop.yaml").symlink_to(read.folder / "loop.yaml")
    item = read(document({}) | {"paths": {"/gone": {"$ref": f"{file}#/x"}}})
    assert item.startswith("/gone: the reference ")
    assert "leads nowhere" in item
    assert "leads nowhere" in read(document(body({"$ref": f"{file}#/x"})))


def test_a_large_schema_is_pruned_to_what_a_call_needs(read):
    schemas = {
        "S5": {"type": "object", "required": ["key"], "properties": {"key": TEXT, **{f"p{i}": TEXT for i in range(40)}}}
    }
    for level in range(5):
        below = {"$ref": f"#/components/schemas/S{level + 1}"}
        names = ["need", *(f"o{i}" for i in range(20))]
        schemas[f"S{level}"] = {"type": "object", "required": ["need"], "properties": dict.fromkeys(names, below)}
    api = read(document(body({"$ref": "#/components/schemas/S0"}), components={"schemas": schemas}))
    needed = api.parameters
    for _ in range(5):
        assert needed["required"] == ["need"]
        needed = needed["properties"]["need"]
    assert needed["required"] == ["key"]
    assert any(note.startswith("left out, optional: ") for note in api.lineage.notes)


def test_what_is_needed_and_has_only_optional_parts_stays(read):
    """A large schema whose deepest needed object requires nothing itself: it is left without its parts, not refused."""
    schemas = {"S5": {"type": "object", "properties": {f"p{i}": TEXT for i in range(40)}}}
    for level in range(5):
        below = {"$ref": f"#/components/schemas/S{level + 1}"}
        names = ["need", *(f"o{i}" for i in range(20))]
        schemas[f"S{level}"] = {"type": "object", "required": ["need"], "properties": dict.fromkeys(names, below)}
    needed = read(document(body({"$ref": "#/components/schemas/S0"}), components={"schemas": schemas})).parameters
    for _ in range(5):
        assert needed["required"] == ["need"]
        needed = needed["properties"]["need"]
    assert needed["type"] == "object"


def test_what_an_optional_part_needs_is_kept_with_it(read):
    """A body of many levels, whose essence is optional as a whole and needs a list of objects below it."""
    wide = {"type": "object", "properties": {f"p{i}": {"type": "object", "properties": {f"q{j}": TEXT for j in range(30)}}
                                             for i in range(30)}}  # fmt: skip
    container = {"type": "object", "required": ["name"], "properties": {
        "ports": {"type": "array", "items": wide}, "name": TEXT, "image": TEXT, "probe": wide}}  # fmt: skip
    spec = {"type": "object", "required": ["containers"], "description": "What it runs", "properties": {
        "affinity": wide, "containers": {"type": "array", "description": "Containers", "items": container}}}  # fmt: skip
    api = read(document(body({"type": "object", "properties": {"name": TEXT, "spec": spec, "status": wide}})))
    kept = api.properties["spec"]["properties"]["containers"]["items"]
    assert (set(kept["properties"]), kept["required"]) == ({"name", "image"}, ["name"])
    assert any("spec.containers[].probe" in note for note in api.lineage.notes)


def test_parameters_whose_descriptions_fill_pages_are_left_out_where_they_are_optional(read):
    long = [
        {"name": f"q{i}", "in": "query", "schema": {**TEXT, "description": "What it is for. " * 80}} for i in range(40)
    ]
    long[30]["required"] = True
    api = read(document({"parameters": long}, method="get"))
    assert 3 < len(api.properties) < 32
    assert api.required == ("q30",)


def test_more_parameters_than_a_function_may_have_are_left_out_and_told(read):
    many = {"type": "object", "properties": {f"p{i}": TEXT for i in range(50)}, "required": ["p49"]}
    room = {"name": "room", "in": "path", "required": True, "schema": TEXT}
    api = read(document({**body(many), "parameters": [room]}, path="/rooms/{room}"))
    assert len(api.properties) == 32
    assert api.required == ("room", "p49")
    assert any("and 7 more" in note for note in api.lineage.notes)
    required = {**many, "required": list(many["properties"])}
    api = next(specs.import_openapi(str(write(read.folder, document(body(required))))))
    assert {verdict.rule for verdict in gate.check(api)} == {"parameter_count"}


def write(folder, tree):
    path = folder / "b.json"
    path.write_text(json.dumps(tree))
    return path


def test_circles_end(read):
    schemas = {
        "Tree": {"type": "object", "required": ["value", "children"], "properties": {
            "value": TEXT, "parent": {"$ref": "#/components/schemas/Tree"},
            "children": {"type": "array", "description": "Below", "items": {"$ref": "#/components/schemas/Tree"}}}},
        "Knot": {"type": "object", "required": ["knot"], "properties": {"knot": {"$ref": "#/components/schemas/Knot"}}},
    }  # fmt: skip
    api = read(document(body({"$ref": "#/components/schemas/Tree"}), components={"schemas": schemas}))
    inner = api.properties["children"]["items"]["properties"]["children"]
    assert inner["maxItems"] == 0
    assert errors(api.parameters, {"value": "a", "children": [{"value": "b", "children": []}]}) == []
    assert "without end" in read(document(body({"$ref": "#/components/schemas/Knot"}), components={"schemas": schemas}))


def test_alternatives_that_hold_themselves_leave_the_others(read):
    value = {
        "oneOf": [
            TEXT,
            {"type": "array", "items": {"$ref": "#/components/schemas/Value"}},
            {"$ref": "#/components/schemas/Value"},
        ]
    }
    api = read(
        document(
            body({"properties": {"v": {"$ref": "#/components/schemas/Value"}}}),
            components={"schemas": {"Value": value}},
        )
    )
    assert errors(api.parameters, {"v": "a"}) == errors(api.parameters, {"v": ["a"]}) == []
    assert any(note.startswith("alternatives left out: v") for note in api.lineage.notes)


def test_an_answer_never_decides(read):
    for answer in (
        {"200": {"$ref": "#/components/responses/Gone"}},
        {"200": {"content": {"application/json": {"schema": {"$ref": "#/gone"}}}}},
        {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        {"200": {"content": {"application/json": {}}}},
        {"200": {"content": {"application/json": {"schema": {"properties": {"a": {"type": {"type": "string"}}}}}}}},
        {"200": {"content": {"application/json": {"schema": {"type": "array", "items": TEXT, "minItems": 999}}}}},
        {},
    ):
        api = read(document({**body(PARCEL), "responses": answer}))
        assert api.returns["type"] == "string"
        assert any(note.startswith("the answer is given as text") for note in api.lineage.notes)


def test_answers_without_a_body_and_by_default(read):
    gone = {"204": {"description": "Gone."}, "4XX": {"description": "Wrong."}, "default": {"description": "Failed."}}
    api = read(document({"responses": gone}, method="delete"))
    assert api.returns == {"type": "null", "description": "Gone."}
    assert [(error.code, error.message) for error in api.errors] == [("4XX", "Wrong."), ("default", "Failed.")]
    assert set(read(document({"responses": {"default": ANSWER["200"]}})).returns["properties"]) == {"address", "grams"}


def test_null_stays(read):
    schemas = {"Kind": {"type": "string", "enum": ["a", "b"], "description": "Kind"}}
    reference = {"$ref": "#/components/schemas/Kind"}
    wanted = {"type": "object", "required": ["e", "r", "a"], "properties": {
        "e": {**schemas["Kind"], "nullable": True}, "r": {**reference, "nullable": True, "description": "Other"},
        "a": {"allOf": [reference], "nullable": True}, "u": {"oneOf": [reference, {"type": "null"}]}}}  # fmt: skip
    api = read(document(body(wanted), components={"schemas": schemas}))
    assert errors(api.parameters, {"e": None, "r": None, "a": None, "u": None}) == []
    assert errors(api.parameters, {"e": "b", "r": "b", "a": "b", "u": "b"}) == []
    assert all(errors(api.parameters, {"e": "a", "r": "a", "a": "a", key: "c"}) for key in "erau")
    assert api.properties["r"]["description"] == "Other"


def test_a_body_that_nobody_describes_is_left_out_where_a_call_may_be_without_it(read):
    """Generators give every operation a body, reading ones too."""
    bare = {"requestBody": {"content": {"application/octet-stream": {}}}}
    room = {"parameters": [{"name": "room", "in": "query", "schema": TEXT}]}
    api = read(document({**bare, **room}, method="get"))
    assert "left out, a body that is not described: application/octet-stream" in api.lineage.notes
    assert set(api.properties) == {"room"}
    optional = {"requestBody": {**bare["requestBody"], "required": False}}
    assert set(read(document({**optional, **room})).properties) == {"room"}
    assert "request body has no schema" in read(document(bare))


def test_a_type_beside_a_reference_does_not_contradict_it(read):
    schemas = {"Parcel": PARCEL}
    parcel = {"$ref": "#/components/schemas/Parcel", "type": "string", "description": "What is sent"}
    api = read(document(body({"type": "object", "properties": {"parcel": parcel}}), components={"schemas": schemas}))
    assert errors(api.parameters, {"parcel": {"address": "a"}}) == []
    assert api.properties["parcel"]["description"] == "What is sent"
    assert "the type beside a reference is another one, the reference counts: parcel" in api.lineage.notes


def test_parts_of_an_allof_hold_together(read):
    parts = {"allOf": [{**PARCEL, "additionalProperties": False},
                       {"properties": {"grams": {"minimum": 5, "maximum": 50}, "day": TEXT}, "required": ["day"]}]}  # fmt: skip
    api = read(document(body(parts)))
    assert api.required == ("address", "day")
    assert api.properties["grams"] == {"type": "integer", "description": "Weight", "minimum": 5, "maximum": 50}


def test_a_part_of_an_allof_that_cannot_be_sent_leaves_the_others(read):
    """Ids that servers give out stand in a part of their own, which is read-only as a whole."""
    resource = {"type": "object", "properties": {"id": {**TEXT, "readOnly": True}}}
    data = {"allOf": [resource, {"type": "object", "properties": {"address": TEXT}}]}
    api = read(document(body({"type": "object", "properties": {"data": data}})))
    assert set(api.properties["data"]["properties"]) == {"address"}
    alone = {"type": "object", "properties": {"data": {"allOf": [resource]}, "address": TEXT}}
    assert set(read(document(body(alone))).properties) == {"address"}


def test_what_stands_beside_properties_is_read_too(read):
    """Objects with named values and others besides: no reference is left behind."""
    schemas = {"Label": {"type": "string", "description": "A label", "nullable": True}}
    label = {"$ref": "#/components/schemas/Label"}
    labels = {"type": "object", "properties": {"own": TEXT}, "additionalProperties": label, "items": label}
    answer = {"200": {"description": "Done.", "content": {"application/json": {"schema": labels}}}}
    whole = {"type": "object", "properties": {"labels": labels}}
    api = read(document({**body(whole), "responses": answer}, components={"schemas": schemas}))
    for schema in (api.properties["labels"], api.returns):
        assert schema["additionalProperties"]["type"] == ["string", "null"]
        assert "$ref" not in json.dumps(schema)


def test_what_is_needed_and_nowhere_described_is_told(read):
    """`required` names what stands in the path, or what only the server writes; a call can't give what nobody describes."""
    data = {"type": "object", "required": ["project", "id", "name"],
            "properties": {"id": {**TEXT, "readOnly": True}, "name": TEXT}}  # fmt: skip
    parts = {"allOf": [{"type": "object", "required": ["name", "owner"]}, data]}
    for schema in (data, parts):
        api = read(document(body({"type": "object", "required": ["data"], "properties": {"data": schema}})))
        assert api.properties["data"]["required"] == ["name"]
        assert not any("no example" in note for note in api.lineage.notes)
        assert any(note.startswith("needed and not described, left out: ") for note in api.lineage.notes)
        assert any("data.project" in note for note in api.lineage.notes)
    choice = {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    api = read(document(body({"type": "object", "required": ["data"], "properties": {"data": choice}})))
    assert api.properties["data"]["anyOf"] == choice["anyOf"]


def test_values_of_another_type_than_theirs_count(read):
    """Generators write `type: string` beside numbers: nothing would pass."""
    parts = {"mode": {"type": "string", "enum": [0, 1], "description": "0 is off"}, "kind": {**TEXT, "enum": ["a", 1]}}
    api = read(document(body({"type": "object", "required": ["mode", "kind"], "properties": parts})))
    assert errors(api.parameters, {"mode": 1, "kind": "a"}) == []
    assert errors(api.parameters, {"mode": 2, "kind": "a"})
    assert "the values are of another type than its type, they count: mode" in api.lineage.notes


def test_a_property_that_lets_nothing_pass_is_left_out(read):
    parts = {"additionalProperties": False, "address": TEXT}
    answer = {"200": {"description": "Done.", "content": {"application/json": {"schema": {"properties": parts}}}}}
    api = read(document({**body({"type": "object", "properties": parts}), "responses": answer}))
    assert set(api.properties) == set(api.returns["properties"]) == {"address"}
    reason = read(document(body({"properties": {"a": False}, "required": ["a"]})))
    assert "'a' lets no value pass" in reason


def test_an_answer_of_no_content_is_null_whatever_its_schema_says(read):
    empty = {
        "description": "Removed.",
        "content": {"application/json": {"schema": {"type": "object", "properties": {}}}},
    }
    assert read(document({"responses": {"204": empty}}, method="delete")).returns["type"] == "null"


def test_a_wide_body_of_objects_keeps_some_of_them(read):
    """Many lists of wide objects, none of them required: of what fits no bound whole the first ones stay."""
    wide = {"type": "object", "properties": {f"p{i}": TEXT for i in range(60)}}
    lists = {f"list{i}": {"type": "array", "description": "A list", "items": wide} for i in range(40)}
    api = read(document(body({"type": "object", "properties": lists})))
    assert 3 < len(api.properties) < 32
    assert len(api.properties["list0"]["items"]["properties"]) > 3
    assert any(note.startswith("left out, optional: ") for note in api.lineage.notes)


def test_a_discriminator_says_which_value_stands_for_which_kind(read):
    pet = {"type": "object", "required": ["kind"], "discriminator": {"propertyName": "kind"},
           "properties": {"kind": TEXT}, "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}]}  # fmt: skip
    below = {name: {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"properties": {word: TEXT}, "required": [word]}]}
             for name, word in (("Cat", "lives"), ("Dog", "tricks"))}  # fmt: skip
    wanted = {
        "oneOf": pet["oneOf"],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat"}},
    }
    for schema in (wanted, {"$ref": "#/components/schemas/Pet"}):
        api = read(document(body(schema), components={"schemas": {"Pet": pet, **below}}))
        cat = {"kind": "cat" if schema is wanted else "Cat", "lives": "9"}
        assert errors(api.parameters, {"body": cat}) == []
        assert errors(api.parameters, {"body": {"kind": "cow", "lives": "9"}})


def test_what_an_optional_body_needs_is_needed_once_a_part_of_it_is_given(read):
    """`required: false` is said of the body: a call without it is right, and one with a part of it needs the rest."""
    room = {"name": "room", "in": "query", "required": True, "schema": TEXT}
    api = read(document({**body(PARCEL, required=False), "parameters": [room]}))
    assert api.required == ("room",)
    assert errors(api.parameters, {"room": "a"}) == []
    assert errors(api.parameters, {"room": "a", "address": "b"}) == []
    assert errors(api.parameters, {"room": "a", "grams": 3})
    assert "the body may be left out; given a part of it, a call needs: address" in api.lineage.notes
    for said in ({}, {"required": True}):  # hardly anybody writes `required: true`, so silence is no permission
        assert read(document(body(PARCEL, **said))).required == ("address",)


def test_what_an_optional_body_needs_is_not_trimmed(read):
    queries = [{"name": f"q{i}", "in": "query", "schema": TEXT} for i in range(31)]
    needed = {**PARCEL, "required": ["address", "grams"]}
    api = read(document({**body(needed, required=False), "parameters": queries}))
    assert len(api.properties) == 32
    assert errors(api.parameters, {"address": "b", "grams": 3}) == []


def test_a_choice_within_an_optional_body_is_told_and_not_carried(read):
    choice = {**PARCEL, "required": [], "anyOf": [{"required": ["address"]}, {"required": ["grams"]}]}
    api = read(document(body(choice, required=False)))
    assert errors(api.parameters, {}) == []
    assert "what may be chosen in a body that may be left out is not carried" in api.lineage.notes


def test_a_choice_of_what_is_required_stays(read):
    choice = {**PARCEL, "required": [], "anyOf": [{"required": ["address"]}, {"required": ["grams"]}]}
    api = read(document(body(choice)))
    assert errors(api.parameters, {"grams": 3}) == []
    assert errors(api.parameters, {})


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        # Closed alternatives that require nothing, one that requires less than the other, and two that exclude each other.
        ([{"card": TEXT}, []], [{"iban": TEXT}, []], [{"card": "x"}, {"iban": "x"}, {}]),
        ([{"card": TEXT}, ["card"]], [{"card": TEXT, "iban": TEXT}, ["card", "iban"]], [{"card": "x", "iban": "y"}]),
        ([{"card": TEXT}, ["card"]], [{"iban": TEXT}, ["iban"]], [{"card": "x"}, {"iban": "y"}]),
    ],
)
def test_what_alternatives_let_pass_passes(read, first, second, calls):
    closed = [
        {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        for properties, required in (first, second)
    ]
    api = read(document(body({"oneOf": closed})))
    for call in calls:
        assert errors(api.parameters, call) == []


def test_a_part_of_the_path_is_required_whatever_the_document_says(read):
    parameters = [
        {"name": "parcel", "in": "path", "schema": TEXT},
        *({"name": f"q{i}", "in": "query", "schema": TEXT} for i in range(40)),
    ]
    api = read(document({"parameters": parameters}, path="/parcels/{parcel}"))
    assert api.required == ("parcel",)


def test_a_text_of_absurd_length_is_not_written_out(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document(body({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "string", "description": "A text.", "minLength": 10**12}}}))))  # fmt: skip
    (api,) = specs.import_openapi(str(path))
    assert "unwieldy" in {verdict.rule for verdict in gate.check(api)}
    assert any("no example of its call can be drawn" in note for note in api.lineage.notes)


def test_the_gate_says_the_same_in_whatever_order_it_is_asked(read):
    api = read(document(body({**PARCEL, "required": ["address"], "properties": {
        "address": {"type": "string", "description": "Where to.", "pattern": "^(?:a{7}b|c{900}d)$"}}})))  # fmt: skip
    bare = api.model_copy(update={"example_arguments": None, "example_return": None, "returns": {
        "type": "object", "properties": {"a": {"type": "string", "minLength": 9, "maxLength": 3}}, "required": ["a"]}})  # fmt: skip
    ours = bare.model_copy(update={"lineage": Lineage()})
    assert gate.check(bare) == []
    assert gate.check(ours) != []


def test_names_in_other_scripts_stay_apart(tmp_path):
    tree = document({"operationId": "查询"})
    tree["paths"]["/other"] = {"post": {**tree["paths"]["/parcels"]["post"], "operationId": "删除"}}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tree))
    names = [api.name for api in specs.import_openapi(str(path))]
    assert len(set(names)) == 2
    assert all(gate.NAME.fullmatch(name) for name in names)


def test_one_name_in_two_places_stays_two(read):
    parameters = [
        {"name": "id", "in": place, "required": place == "path", "description": place, "schema": TEXT}
        for place in ("path", "query")
    ]
    api = read(
        document(
            {**body({"properties": {"id": {"type": "integer", "description": "Id"}}}), "parameters": parameters},
            path="/a/{id}",
        )
    )
    assert set(api.properties) == {"id", "query_id", "body_id"}
    assert api.required == ("id",)


def test_a_description_that_repeats_the_name_is_derived(read):
    api = read(document({"operationId": "sendParcelByRoom", "description": None, "summary": "sendParcelByRoom()"}))
    assert api.description == "Send parcel by room (Desk)."
    assert "description derived" in api.lineage.notes


def test_names_stay_apart(tmp_path):
    long = "x" * 64
    names = ["a.b", "a:b", "A_b", f"{long}1", f"{long}2"]
    paths = {f"/p{index}": document({"operationId": name})["paths"]["/parcels"] for index, name in enumerate(names)}
    path = write(tmp_path, {"openapi": "3.0.0", "paths": paths})
    found = [api.name for api in specs.import_openapi(str(path))]
    assert found[0] == "a_b"
    assert len({name.lower().replace("_", "") for name in found}) == 5
    assert all(gate.NAME.fullmatch(name) for name in found)


def test_the_hundredth_of_one_name_takes_no_more_than_the_first(monkeypatch):
    hashed = []
    monkeypatch.setattr(specs, "digest", lambda *parts, length: hashed.append(parts) or digest(*parts, length=length))
    names = specs._Names()
    assert len({names.unique("find") for _ in range(100)}) == 100
    assert len(hashed) == 99


def test_what_cannot_be_sent_is_left_out_and_told(read):
    wanted = {
        "type": "object",
        "required": ["id", "address"],
        "properties": {"id": {**TEXT, "readOnly": True}, "address": TEXT},
    }
    header = {"name": "X-Trace", "in": "header", "schema": TEXT}
    api = read(document({**body(wanted), "parameters": [header]}))
    assert (set(api.properties), api.required) == ({"address"}, ("address",))
    assert {"left out, readOnly: id", "left out, header: X-Trace"} <= set(api.lineage.notes)


@pytest.mark.parametrize(
    ("name", "schema", "carried"),
    [
        *((name, TEXT, True) for name in ("X-Marketplace-Id", "start_date", "X-Author", "X-Donkey", "Date-From", "Origin-City",
                                          "Hostel-Id", "X-Item-Version", "X-Game-Session", "Content-Owner", "If-Empty",
                                          "x-amz-copy-source", "X-Partition-Key", "X-Page-Token", "X-Display-Username",
                                          "X-Pull-Request-Id", "Trace-Route", "Connection-Id", "Monkey", "Authority")),
        *((name, TEXT, False) for name in ("Content-Type", "If-Match", "X-API-Key", "ClientSecret", "APIIntegrationCode",
                                           "Api-Version", "X-Correlation-ID", "app_id", "token", "apikey", "XApiKey",
                                           "x-access-token", "Authorization", "X-Amz-Date", "Ocp-Apim-Subscription-Key",
                                           "X-Forwarded-For", "Idempotency-Key", "Session-Id", "X-Auth-Session",
                                           "sessionid", "User-Agent", "Host", "traceparent", "X-SDK-Language",
                                           "X-Client-Version", "x-username", "Accept-Language", "X-HTTP-Method-Override",
                                           "requestId", "OAuth2-Client", "CLIENT_SECRET", "accesstoken", "X-Nonce")),
        ("Metadata", {"type": "string", "enum": ["true"]}, False),
        ("X-Desk", TEXT, False),
    ],
)  # fmt: skip
def test_a_header_that_a_call_needs_is_a_parameter_unless_it_is_the_clients(read, name, schema, carried):
    header = {"name": name, "in": "header", "required": True, "description": "What it says.", "schema": schema}
    schemes = {"securitySchemes": {"desk": {"type": "apiKey", "in": "header", "name": "x-desk"}}}
    api = read(document({"parameters": [header]}, method="get", components=schemes))
    assert (api.required == (name,)) == carried
    assert (f"sent as a header: {name}" in api.lineage.notes) == carried
    assert any(note.startswith("left out") for note in api.lineage.notes) != carried


@pytest.mark.parametrize(
    ("name", "text", "carried"),
    [
        *((name, "What it says.", True) for name in ("cart", "X-Marketplace-Id", "X-Game", "country")),
        *((name, "What it says.", False) for name in ("JSESSIONID", "sid", "connect.sid", "PHPSESSID", "user_session",
                                                      "auth_token", "csrftoken", "ASP.NET_SessionId", "X-API-Key")),
        ("Item-Version", "The version of the item.", True),
    ],
)  # fmt: skip
def test_a_cookie_that_a_call_needs_is_a_parameter_unless_it_is_a_session_or_a_credential(read, name, text, carried):
    cookie = {"name": name, "in": "cookie", "required": True, "description": text, "schema": TEXT}
    api = read(document({"parameters": [cookie]}, method="get"))
    assert api.required == ((name,) if carried else ())
    assert (f"sent as a cookie: {name}" if carried else f"left out, cookie: {name}") in api.lineage.notes
    assert read(document({"parameters": [{**cookie, "required": False}]}, method="get")).properties == {}


def test_a_version_that_its_description_says_is_the_apis_is_the_clients(read):
    """Vendors put their own name before it, which nothing tells from the name of a thing."""
    header = {"name": "Notion-Version", "in": "header", "required": True, "schema": TEXT}
    for text, required in (("The API version to use.", ()), ("The version of the API.", ()), ("", ("Notion-Version",))):
        assert read(document({"parameters": [{**header, "description": text}]}, method="get")).required == required


def test_credentials_and_the_apis_version_are_no_parameters(read):
    """Nobody gives an assistant an API key in a request: the client sends it, wherever it stands."""
    parameters = [
        {"name": "desk", "in": "query", "required": True, "schema": TEXT},
        {"name": "token", "in": "query", "required": True, "description": "Authentication token.", "schema": TEXT},
        {"name": "api-version", "in": "query", "required": True, "description": "Version.", "schema": TEXT},
        {"name": "Action", "in": "query", "required": True, "schema": {"type": "string", "enum": ["Send"]}},
        {"name": "page_token", "in": "query", "description": "Where to go on.", "schema": TEXT},
        {"name": "key", "in": "query", "description": "The key of the room.", "schema": TEXT},
    ]
    schemes = {"securitySchemes": {"desk": {"type": "apiKey", "in": "query", "name": "desk"}}}
    api = read(document({"parameters": parameters}, method="get", components=schemes))
    assert set(api.properties) == {"page_token", "key"}
    assert {"left out, a credential: desk, token", "left out, the API's version: api-version",
            "left out, always the same: Action"} <= set(api.lineage.notes)  # fmt: skip
    old = {**parameters[0], "type": "string"}
    tree = {**document({"parameters": [old]}, method="get"), "swagger": "2.0",
            "securityDefinitions": {"desk": {"type": "apiKey", "in": "query", "name": "desk"}}}  # fmt: skip
    assert read(tree).properties == {}


def test_a_pattern_no_example_can_be_drawn_for_keeps_the_api(read):
    parts = {
        "a": {**TEXT, "pattern": r"^\d+$"},
        "b": {**TEXT, "pattern": r"^(?!x)[a-z]+$"},
        "c": {**TEXT, "pattern": r"^a\b.b$", "maxLength": 2},
    }
    api = read(document(body({"type": "object", "properties": parts, "required": ["a", "b", "c"]})))
    assert api.properties["a"]["pattern"] == r"^\d+$"
    assert "pattern" not in api.properties["b"]
    notes = " ".join(api.lineage.notes)
    assert "is not carried: b" in notes
    assert "no example of its call can be drawn (c: " in notes


def test_a_documents_example_that_does_not_fit_is_left_out(read):
    api = read(
        document(
            body(
                {
                    "type": "object",
                    "properties": {"n": {"type": "integer", "description": "N", "example": "three"}},
                    "required": ["n"],
                }
            )
        )
    )
    assert api.example_arguments is None
    assert any("does not fit" in note for note in api.lineage.notes)


YAML = """
openapi: 3.0.3
info: {title: Desk, version: 1.0}
x-parts: &errors {'404': {description: None such.}}
paths:
  /switch:
    post:
      operationId: switch
      description: Switches a lamp on or off.
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [on]
              properties:
                on: {type: string, enum: [on, off, yes, 12:30, 2024-01-01, 017, true, 1e3], description: State}
                no: &text {type: string, description: No}
                y: *text
                1.10: *text
      responses: {<<: *errors, 200: {description: Done.}}
"""


def test_yaml_has_the_types_of_json(read):
    api = read(YAML, "a.yaml")
    assert list(api.properties) == ["on", "no", "y", "1.10"]
    assert api.properties["on"]["enum"] == ["on", "off", "yes", "12:30", "2024-01-01", "017", True, 1000.0]
    assert [error.code for error in api.errors] == ["404"]
    assert read("\ufeff" + YAML, "b.yaml") == api


def test_what_yaml_tags_as_more_than_jsons_types_is_read_as_it_is_written(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "set: !!set {b, a}\nwhen: !!timestamp 2024-01-01\nraw: !!binary aGk=\n"
        "omap: !!omap [b: 1, a: 2]\npairs: !!pairs [b: 1, b: 2]\nodd: !!timestamp soon"
    )
    assert read_spec(str(tmp_path / "a.yaml")) == {
        "set": {"b": None, "a": None},
        "when": "2024-01-01",
        "raw": "aGk=",
        "omap": [{"b": 1}, {"a": 2}],
        "pairs": [{"b": 1}, {"b": 2}],
        "odd": "soon",
    }


@pytest.mark.parametrize(
    "value",
    [
        "1e999",
        "!!float .nan",
        "!!bool maybe",
        "!!int ''",
        "!!float ''",
        "!!int x",
        "!!map x",
        "!!python/name:os.system",
    ],
)
def test_a_yaml_value_that_is_not_of_its_tag_is_the_files_error(tmp_path, value):
    (tmp_path / "a.yaml").write_text(f"x: {value}")
    with pytest.raises(UserError, match="not a readable JSON or YAML document"):
        read_spec(str(tmp_path / "a.yaml"))


def test_merges_of_merges_are_read_whatever_their_order(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "deep: {er: {base: &b {x: 1, y: 1}, own: &o {<<: *b, x: 2}}}\ntop: {<<: *o, y: 3}\nall: {<<: [*o, *b]}"
    )
    tree = read_spec(str(tmp_path / "a.yaml"))
    assert tree["deep"]["er"]["own"] == {"x": 2, "y": 1}
    assert tree["top"] == {"x": 2, "y": 3}
    assert tree["all"] == {"x": 2, "y": 1}


def test_a_byte_order_mark_is_no_matter_and_utf_16_is_named(read):
    assert isinstance(read(b"\xef\xbb\xbf" + json.dumps(document({})).encode()), Api)
    with pytest.raises(UserError, match="UTF-16; save it as UTF-8"):
        read(json.dumps(document({})).encode("utf-16"))


def test_operations_of_one_document_on_different_things_are_different_functions(tmp_path):
    operation = document({})["paths"]["/parcels"]["post"]
    routes = ["/orgs/{org}/parcels", "/repos/{repo}/parcels", "/v2/repos/{name}/parcels", "/repos/{repo}/parcels/{id}"]
    paths = {}
    for number, route in enumerate(routes):
        paths[route] = {"post": {**operation, "operationId": f"send_parcel_{number}"}}
    tree = {"openapi": "3.0.0", "info": {"title": "Desk"}, "paths": paths}
    first, second, version, one = specs.import_openapi(str(write(tmp_path, tree)))
    index = NearDuplicates(0.5)
    assert index.repeats(api_key(first), "first") is None
    assert index.repeats(api_key(second), "second") is None
    assert index.copy().repeats(api_key(one), "one of the second") is None
    assert "% the same as second" in index.copy().repeats(api_key(version), "a version of the second")
    # The same operations in a document of its own, and written by a model, are what they repeat.
    other = write(tmp_path, {**tree, "info": {"title": "Desk of others"}})
    assert index.repeats(api_key(next(specs.import_openapi(str(other)))), "other") == "the same as first"
    made = first.model_copy(update={"name": "send_a_parcel_0", "lineage": Lineage()})
    assert "% the same as first" in index.repeats(api_key(made), "made")
    assert nearest([api_key(first), api_key(second), api_key(made)], [0, 1])[0] < 0.5


SHARED = Path(__file__).parents[3] / "shared" / "specs" / "stripe.openapi.json.xz"


@pytest.mark.skipif(not SHARED.exists(), reason=f"the large public document is absent: {SHARED}")
def test_most_of_a_large_document_is_imported(tmp_path):
    path = tmp_path / "stripe.json"
    path.write_bytes(lzma.decompress(SHARED.read_bytes()))
    items = list(specs.import_openapi(str(path)))
    passed = [item for item in items if isinstance(item, Api) and not gate.check(item)]
    assert len(items) == 355
    assert len(passed) >= 0.85 * len(items)
    assert sum(len(item.properties) for item in passed) > 5 * len(passed)


# What a document says in ways of its own is told ----------------------------------------------------------------------


def texts(api):
    return " | ".join(api.lineage.notes)


def items(folder, tree):
    return list(specs.import_openapi(str(write(folder, tree))))


def test_a_part_of_the_path_that_nobody_declares_is_a_parameter(read):
    api = read(document({}, path="/users/{id}/parcels/{parcel-no}", method="get"))
    assert api.required == ("id", "parcel-no")
    assert api.properties["id"] == {"type": "string", "description": "Id"}
    assert "in the path and not declared, read as string: id, parcel-no" in api.lineage.notes
    query = {"name": "id", "in": "query", "schema": {"type": "integer", "description": "Id"}}
    api = read(document({"parameters": [query]}, path="/users/{id}", method="get"))
    assert api.required == ("id",)
    assert set(api.properties) == {"id", "query_id"}


def test_a_part_of_the_path_that_is_declared_under_another_name_is_one_parameter(read):
    declared = {"name": "user_id", "in": "path", "required": True, "schema": TEXT}
    api = read(document({"parameters": [declared]}, path="/users/{userId}", method="get"))
    assert api.required == ("user_id",)
    assert "named otherwise in the path: user_id" in api.lineage.notes
    assert "not declared" not in texts(api)
    api = read(document({"parameters": [declared]}, path="/users/{user_id}/of/{user_id}", method="get"))
    assert (api.required, api.lineage.notes) == (("user_id",), ())
    whole = {**declared, "name": "proxy"}
    assert "path" not in texts(read(document({"parameters": [whole]}, path="/files/{proxy+}", method="get")))


def test_path_items_that_hold_no_operation_we_carry_say_so(tmp_path):
    good = document({})["paths"]["/parcels"]
    tree = {
        "/a": {"head": {"responses": {}}, "options": {"responses": {}}, "get": "oops", **good},
        "/b": ["get"],
        "/c": {"GET": good["post"]},
        "/d": {"summary": "Nothing yet", "parameters": [], "servers": [], "x-more": {}},
        "/e": "post",
    }
    told = [item for item in items(tmp_path, {"openapi": "3.0.0", "paths": tree}) if not isinstance(item, Api)]
    assert told == [
        "GET /a: it is a text in place of an operation",
        "HEAD /a: `head` operations are not read",
        "OPTIONS /a: `options` operations are not read",
        "/b: it is a list in place of a path item",
        "GET /c: `GET` is no method of OpenAPI's, which are written in small letters",
        "/e: it is a text in place of a path item",
    ]


def test_another_form_of_a_body_or_an_answer_is_told_where_it_differs(read):
    other = {"type": "object", "properties": {"x": TEXT}}
    content = {
        "application/json": {"schema": PARCEL},
        "application/xml": {"schema": PARCEL},
        "text/csv": {"schema": other},
    }
    answers = {"200": {"description": "Done.", "content": content}, "201": ANSWER["200"],
               "202": {"description": "Later.", "content": {"application/json": {"schema": other}}}, "204": {"description": "None."}}  # fmt: skip
    api = read(document({"requestBody": {"required": True, "content": content}, "responses": answers}))
    assert "another form of the body is not carried: text/csv" in api.lineage.notes
    assert "in the answer, another form of it is not carried: text/csv" in api.lineage.notes
    assert "in the answer, that of another status is not carried: 202, 204" in api.lineage.notes
    broken = {"200": ANSWER["200"], "201": {"content": {"application/json": {"$ref": "#/gone"}}}}
    api = read(document({"responses": broken}))
    assert set(api.returns["properties"]) == {"address", "grams"}
    assert "in the answer, that of another status is not carried: 201" in api.lineage.notes
    same = {**content, "text/csv": {"schema": PARCEL}}
    api = read(document({"requestBody": {"required": True, "content": same}}))
    assert "another" not in texts(api)


@pytest.mark.parametrize(
    ("schema", "carried", "notes"),
    [
        ({"$dynamicRef": "#node"}, {}, ["`$dynamicRef` is not carried: a"]),
        ({"type": "string", "contentEncoding": "base64"}, {"type": "string"}, ["`contentEncoding` is not carried: a"]),
        ({"type": "integer", "divisibleBy": 2}, {"type": "integer", "multipleOf": 2}, ["`divisibleBy` read as multipleOf: a"]),
        ({"type": "string", "disallow": "null", "requird": 1}, {"type": "string"},
         ["`disallow` is not carried: a", "`requird` is not carried: a"]),
        ({"type": "string", "enum": []}, {"type": "string"}, ["`enum` without values is left out: a"]),
        ({"type": "string", "enum": None}, {"type": "string"}, ["`enum` without values is left out: a"]),
        ({"type": "integer", "maximum": 2e15}, {"type": "integer"}, ["bounds beyond 1e+15 are left out: a"]),
        ({"type": "string", "deprecated": True}, {"type": "string"}, ["`deprecated` is not carried: a"]),
        ({"type": "string", "title": "A", "x-more": 1, "example": "b", "xml": {}, "$comment": "c", "externalDocs": {}, "deprecated": False},
         {"type": "string", "examples": ["b"]}, []),
    ],
)  # fmt: skip
def test_keywords_that_are_not_carried_are_told(read, schema, carried, notes):
    api = read(document(body({"type": "object", "properties": {"a": {**schema, "description": "What it is"}}})))
    assert api.properties["a"] == {**carried, "description": "What it is"}
    assert [note for note in api.lineage.notes if note.endswith(": a")] == notes


def test_required_beside_a_property_counts(read):
    parts = {"a": {**TEXT, "required": True}, "b": {**TEXT, "required": False},
             "c": {"type": "object", "description": "C", "properties": {"d": {**TEXT, "required": True}}}}  # fmt: skip
    api = read(document(body({"type": "object", "properties": parts}, required=True)))
    assert api.required == ("a",)
    assert api.properties["c"]["required"] == ["d"]
    assert "`required` beside a property, as in draft 3, counts: a, c.d" in api.lineage.notes
    parameter = {"name": "q", "in": "query", "schema": {**TEXT, "required": True}}
    api = read(document({"parameters": [parameter]}, method="get"))
    assert api.required == ()
    assert "`required` as a truth value is not carried: q" in api.lineage.notes


def test_a_body_that_is_one_parameter_has_its_description_derived_or_none(tmp_path):
    tree = document(body({"type": "array", "items": TEXT}, required=True))
    (api,) = items(tmp_path, tree)
    assert api.properties["body"]["description"] == "The request body"
    assert "descriptions derived: body" in api.lineage.notes
    assert api.lineage.undescribed == ("body",)
    (api,) = specs.import_openapi(str(write(tmp_path, tree)), undescribed="refuse")
    assert "parameter_description" in {verdict.rule for verdict in gate.check(api)}
    tree["paths"]["/parcels"]["post"]["requestBody"]["description"] = "All that is sent"
    (api,) = specs.import_openapi(str(write(tmp_path, tree)), undescribed="refuse")
    assert api.properties["body"]["description"] == "All that is sent"
    assert gate.check(api) == []


def test_a_body_of_which_nobody_says_whether_it_is_needed_is_told_as_needed(read):
    note = "nothing says whether the body is needed, it is read as needed"
    assert f"{note}: address" in read(document(body(PARCEL))).lineage.notes
    assert f"{note}: body" in read(document(body({"type": "array", "items": {"type": "string"}}))).lineage.notes
    for api in (
        read(document(body(PARCEL, required=True))),
        read(document(body(PARCEL, required=False))),
        read(document(body({**PARCEL, "required": []}))),
    ):
        assert note not in texts(api)


def test_values_of_an_open_object_that_are_not_carried_are_told(read):
    deep = {"type": "object", "properties": {f"p{i}": {"type": "object", "properties": {f"q{j}": TEXT for j in range(30)}}
                                             for i in range(30)}}  # fmt: skip
    labels = {"type": "object", "properties": {"own": TEXT}, "additionalProperties": deep}
    api = read(
        document(body({"type": "object", "properties": {"labels": labels, "list": {"type": "array", "items": deep}}}))
    )
    assert api.properties["labels"]["additionalProperties"] is True
    assert any(note.startswith("left out, optional: ") and "labels.*" in note for note in api.lineage.notes)
