"""One drawing of values for schemas, and what is asked of it: holes for a model, made-up values, examples."""

import datetime
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import WEATHER
from toolace_ray.schemas import gate
from toolace_ray.schemas.draw import MAX_VALUES, draw, example_object, fill, hole_schema, instance
from toolace_ray.schemas.leaf import FORMATS
from toolace_ray.schemas.validate import errors

TODAY = datetime.date(2026, 5, 1)
SEEDS = st.integers(0, 2**20)
NAMES = st.sampled_from(["city", "flight_id", "code", "a", "a_b", "b", "items"])


def schema(kind, **more):
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=more)


def ordered(kind, low, high, numbers):
    """A number's schema whose bounds hold one number at least."""
    return st.tuples(numbers, st.integers(2, 400)).map(lambda x: {"type": kind, low: x[0], high: x[0] + x[1]})


NUMBERS = st.one_of(
    schema("integer", minimum=st.integers(-50, 7), examples=st.just([7])),
    schema("integer", maximum=st.integers(-5000, 50)),
    schema("number", maximum=st.integers(-50, 50)),
    ordered("integer", "minimum", "maximum", st.integers(-300, 300) | st.just(0.5)),
    ordered("integer", "exclusiveMinimum", "exclusiveMaximum", st.integers(-300, 300)),
    ordered("integer", "minimum", "exclusiveMaximum", st.integers(-300, 300)).map(lambda x: {**x, "multipleOf": 2}),
    ordered("number", "minimum", "maximum", st.floats(-9, 9)),
    ordered("number", "exclusiveMinimum", "maximum", st.integers(-9, 9)),
    st.floats(-2, 2).map(lambda x: {"type": "number", "minimum": x, "maximum": x + 0.001}),
    st.floats(-2, 2).map(lambda x: {"type": "number", "exclusiveMinimum": x, "exclusiveMaximum": x + 0.01}),
)
TEXTS = st.one_of(
    schema("string", description=st.sampled_from(["City", "YYYY-MM-DD", "HH:MM"]), maxLength=st.integers(1, 30)),
    schema("string", minLength=st.integers(0, 40)),
    schema("string", minLength=st.integers(0, 7), examples=st.just(["FL-2041"])),
    schema("string", format=st.sampled_from(["date", "time", "date-time", *FORMATS]), default=st.just("x")).map(
        lambda x: {key: value for key, value in x.items() if key != "default" or "format" not in x}
    ),
    st.just({"type": "string", "pattern": r"^[A-Z]{2}-\d{4}$", "examples": ["FL-2041"]}),
)
LEAVES = st.one_of(
    NUMBERS,
    TEXTS,
    schema("boolean"),
    st.just({"type": "null"}),
    st.just({}),
    st.lists(st.integers(0, 9) | st.sampled_from("abc"), min_size=1, unique=True).map(lambda x: {"enum": x}),
    st.just({"const": {"title": 1}}),
    st.sampled_from(["string", "integer"]).map(lambda kind: {"type": ["null", kind]}),
)


def grown(below):
    properties = st.dictionaries(NAMES, below, max_size=3)
    objects = st.tuples(properties, st.booleans(), st.booleans()).map(
        lambda x: {
            "type": "object",
            "properties": x[0],
            "additionalProperties": False,
            **({"required": sorted(x[0])[:1]} if x[1] else {}),
            **({"dependentRequired": {sorted(x[0])[0]: [sorted(x[0])[-1]]}} if x[2] and x[0] else {}),
        }
    )
    lists = st.tuples(below, st.integers(0, 3), st.none() | st.integers(0, 3)).map(
        lambda x: (
            {"type": "array", "items": x[0], "minItems": x[1]} | ({} if x[2] is None else {"maxItems": x[1] + x[2]})
        )
    )
    choices = st.just({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": True})
    unions = st.lists(below, min_size=1, max_size=3).map(lambda x: {"anyOf": x})
    both = st.tuples(properties, properties).map(
        lambda x: {
            "allOf": [
                {"properties": x[0], "required": sorted(x[0])},
                {"type": "object", "properties": {**x[1], **x[0]}},
            ]
        }
    )
    return st.one_of(objects, objects, lists, choices, unions, both)


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=10)


@given(SCHEMAS, SEEDS)
def test_a_made_up_value_is_valid(schema, seed):
    value = instance(schema, random.Random(seed))
    assert errors(schema, value) == []
    assert json.dumps(value) == json.dumps(instance(schema, random.Random(seed)))


@given(SCHEMAS, SEEDS, st.floats(0, 1))
def test_a_drawn_value_is_valid_but_for_its_holes(schema, seed, optional):
    rng = random.Random(seed)
    value, holes = draw(schema, rng, TODAY, optional)
    assert len({hole.name for hole in holes}) == len({hole.path for hole in holes}) == len(holes)
    for hole in holes:
        node = value
        for part in hole.path:
            node = node[part]
        assert node is None
    found = instance(hole_schema(holes), rng)
    if not holes:
        assert errors(schema, value) == []
    elif all(hole.schema["type"] != "number" for hole in holes):  # a decoder is not held to their bounds
        assert errors(schema, fill(value, holes, found)) == []


@given(SCHEMAS)
def test_an_example_is_valid_or_none(schema):
    shown = example_object(schema)
    assert shown is None or errors(schema, shown) == []


def test_examples_are_what_the_schema_shows():
    city = {"type": "string", "examples": ["Lima"]}
    unit = {"enum": ["celsius", "fahrenheit"]}
    both = {"type": "object", "properties": {"city": city, "unit": unit, "note": {"type": "string"}}}
    assert example_object(both) == {"city": "Lima", "unit": "celsius"}
    assert example_object({**both, "required": ["note"]}) is None
    assert example_object({**both, "examples": [{"city": "Oslo"}]}) == {"city": "Oslo"}
    assert example_object({**both, "dependentRequired": {"city": ["note"]}}) == {"unit": "celsius"}
    assert example_object({"type": "object", "properties": {"of": both}}) == {"of": {"city": "Lima", "unit": "celsius"}}
    assert example_object({"type": ["object", "null"], "properties": {"city": city}}) == {"city": "Lima"}
    assert example_object({"type": "object", "properties": {}}) == {}
    # Nothing is made up: no date, no bounded number, no list, no object of which nothing is known.
    free = [{"type": "string", "format": "date"}, {"type": "integer", "minimum": 1, "maximum": 2}, {"type": "boolean"}]
    free += [{"type": "array", "items": city}, {"type": "object"}, {"type": "null"}]
    assert example_object({"type": "object", "properties": dict(zip("abcdef", free, strict=True))}) == {}


@pytest.mark.parametrize(
    "leaf",
    [
        {"format": "date-time", "description": "When, as yyyy-MM-dd'T'HH:mm:ss'Z'"},
        {"format": "date", "description": "The day of the hh:mm above"},
        {"format": "uuid", "pattern": "^[{(]?[0-9A-F]{8}[-]?([0-9A-F]{4}[-]?){3}[0-9A-F]{12}[)}]?$"},
    ],
)
def test_a_text_of_a_format_is_of_it_whatever_else_is_said(leaf):
    leaf = {"type": "string", **leaf}
    assert errors(leaf, instance(leaf, random.Random(1))) == []


def test_a_value_that_may_be_of_several_kinds_is_drawn():
    """It was a hole for a text, whatever the kinds were, and what a model wrote there was never valid."""
    union = {"anyOf": [{"type": "null", "description": "None"}, {"type": "integer", "minimum": 1, "maximum": 9}]}
    needs = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "oneOf": [{"required": ["a"]}]}
    whole = {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["b"]}]}
    for seed in range(20):
        value, holes = draw(union, random.Random(seed), TODAY, 0)
        assert value in range(1, 10)
        assert not holes
        assert draw(needs, random.Random(seed), TODAY, 0) == ({"a": 1}, [])
        assert draw({**whole, "properties": {"b": {"const": 2}}}, random.Random(seed), TODAY, 0)[0] == {"a": 1, "b": 2}


def test_holes_of_one_request_have_names_of_their_own():
    text = {"type": "string"}
    schema = {"properties": {"a_b": text, "a": {"properties": {"b": {"type": "integer"}}}}}
    value, holes = draw(schema, random.Random(1), TODAY, 1)
    found = {hole.name: 7 if hole.schema["type"] == "integer" else "x" for hole in holes}
    assert fill(value, holes, found) == {"a_b": "x", "a": {"b": 7}}


def nested(levels, items):
    for _ in range(levels):
        items = {"type": "array", "description": "List", "items": items}
    return items


@pytest.mark.parametrize(
    "schema",
    [
        nested(62, {"type": "integer", "minimum": 1, "maximum": 2}),
        nested(5000, {}),
        {"type": "array", "minItems": 10**12, "items": {"type": "boolean"}},
        {"type": "array", "minItems": 10**12, "items": {"enum": [1, 2]}},
        nested(3, {"type": "array", "minItems": 10**4, "maxItems": 10**5, "items": {"enum": [1, 2]}}),
    ],
    ids=["lists in lists", "deep", "long", "long list of choices", "many long lists"],
)
def test_a_drawing_ends(schema):
    def count(value):
        return 1 + sum(map(count, value)) if isinstance(value, list) else 1

    for seed in range(3):
        assert count(instance(schema, random.Random(seed))) <= 2 * MAX_VALUES
        assert count(draw(schema, random.Random(seed), TODAY, 1)[0]) <= 2 * MAX_VALUES
    assert example_object(schema) is None


def test_a_schema_that_refers_to_itself_is_drawn_to_an_end():
    ring = {"type": "object", "properties": {}, "required": ["again"]}
    ring["properties"]["again"] = ring
    assert json.dumps(instance(ring, random.Random(1))).count("again") < 100


EXAMPLES = {"example_call", "example_return"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, EXAMPLES),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, EXAMPLES),
        ({"type": "integer", "minimum": 11, "maximum": 14, "multipleOf": 5}, EXAMPLES),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1}, EXAMPLES),
        ({"type": "integer", "enum": ["a"]}, EXAMPLES),
        ({"type": "string", "const": 1}, EXAMPLES),
        ({"type": "string", "minLength": 9, "maxLength": 3}, EXAMPLES),
        ({"type": "string", "pattern": "^a$", "minLength": 2}, EXAMPLES),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 2}, EXAMPLES),
        ({"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "uniqueItems": True}, EXAMPLES),
        ({"type": "array", "items": False, "minItems": 1}, {"unwieldy"}),
        ({"allOf": [{"type": "string"}, {"type": "integer"}], "type": "string"}, EXAMPLES),
        ({"anyOf": [{"type": "integer", "enum": ["a"]}, False]}, EXAMPLES),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, EXAMPLES),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "enum": ["x"]}}, "required": ["a"]},
            EXAMPLES | {"parameter_description"},
        ),
        ({"type": "object", "properties": {}, "required": ["gone"], "additionalProperties": False}, EXAMPLES),
        ({"type": "string", "not": {}}, EXAMPLES),
        (nested(62, {"type": "integer", "enum": ["a"]}), {"schema"}),
    ],
)
def test_a_schema_that_nothing_fits_does_not_pass_the_gate(schema, expected):
    field = {**schema, "description": "A"}
    parameters = {"type": "object", "properties": {"a": field}, "required": ["a"]}
    for seed in range(8):  # what is drawn hangs on the API's id
        api = WEATHER.model_copy(
            update={"name": f"get_{seed}", "parameters": parameters, "returns": parameters}
            | {"example_arguments": None, "example_return": None}
        )
        assert {verdict.rule for verdict in gate.check(api)} == expected
