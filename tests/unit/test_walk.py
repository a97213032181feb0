"""One walk over JSON Schemas, and one that rewrites them."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import WEATHER
from toolace_ray.dlv.rules.definition import _unknown
from toolace_ray.schemas import gate
from toolace_ray.schemas.dialects import standard_schema
from toolace_ray.schemas.walk import (
    FIELDS,
    KEYWORDS,
    MAX_NODES,
    alongside,
    keywords,
    leaves,
    rebuild,
    schema_at,
    shape,
    walk,
)
from toolace_ray.text.dedup import api_key

NAMES = st.sampled_from(["a", "b", "items", "properties", "title", "anyOf", "x.y", "z[]"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["a", "description"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6,
)


def held(below):
    """A keyword with its sub-schemas, or, as strangers write them, with something else."""
    forms = {dict: st.dictionaries(NAMES, below, max_size=3), list: st.lists(below, max_size=3), object: below}
    return st.dictionaries(st.sampled_from(sorted(KEYWORDS)), st.none(), max_size=3).flatmap(
        lambda words: st.fixed_dictionaries(
            {word: forms[KEYWORDS[word]] | JSON for word in words},
            optional={"enum": st.lists(JSON, max_size=2), "const": JSON, "type": st.sampled_from(["string", "object"])},
        )
    )


SCHEMAS = st.recursive(st.booleans() | st.just({}) | st.just({"type": "string"}) | JSON, held, max_leaves=12)


def at(schema, path):
    for word, step in path:
        schema = schema[word] if step is None else schema[word][step]
    return schema


def expected(schema, within):
    """The paths of all sub-schemas, the plain way."""
    found = [()]
    for word in schema if isinstance(schema, dict) else ():
        value = schema[word]
        if word not in within:
            continue
        if KEYWORDS[word] is object:
            found += [((word, None), *path) for path in expected(value, within)]
        elif isinstance(value, KEYWORDS[word]):
            for step in value if isinstance(value, dict) else range(len(value)):
                found += [((word, step), *path) for path in expected(value[step], within)]
    return found


@given(SCHEMAS, st.sampled_from([KEYWORDS, FIELDS, keywords("anyOf", "items")]))
def test_every_sub_schema_is_met_once_in_document_order(schema, within):
    found = list(walk(schema, within))
    assert [sub.path for sub in found] == expected(schema, within)
    assert all(at(schema, sub.path) is sub.schema and sub.depth == len(sub.path) for sub in found)


@given(SCHEMAS, st.sampled_from([KEYWORDS, FIELDS]))
def test_rebuilding_without_change_gives_an_equal_schema_of_its_own(schema, within):
    before = json.dumps(schema)
    met = []
    made = rebuild(schema, lambda item, depth: met.append((item, depth)) or item, within)
    assert json.dumps(made) == before
    assert [depth for _, depth in met] == [sub.depth for sub in walk(schema, within)]
    for sub in walk(made, within):  # nothing that is written to the new one is seen in the old one
        if isinstance(sub.schema, dict):
            sub.schema["written"] = True
            for word in within.keys() & sub.schema.keys():
                if isinstance(sub.schema[word], within[word]) and within[word] is list:
                    sub.schema[word].append({})
                elif isinstance(sub.schema[word], dict) and within[word] is dict:
                    sub.schema[word]["written"] = True
    assert json.dumps(schema) == before


@given(SCHEMAS)
def test_what_comes_out_of_a_change_is_gone_into(schema):
    """Each schema is wrapped once; the wrapping's own sub-schema is the old one, whose sub-schemas are yet to come."""
    seen = set()

    def wrap(item, depth):
        if id(item) in seen or not isinstance(item, dict):
            return item
        inner = dict(item)
        seen.add(id(inner))
        kept.append(inner)
        return {"not": inner}

    kept = []
    made = rebuild(schema, wrap)
    objects = [sub for sub in walk(schema) if isinstance(sub.schema, dict)]
    assert len(kept) == len(objects)
    assert sum(isinstance(sub.schema, dict) for sub in walk(made)) == 2 * len(objects)


def test_a_schema_of_any_depth_is_walked_and_rebuilt():
    deep = {"type": "string"}
    for level in range(50_000):
        deep = {"items": deep} if level % 2 else {"properties": {"a": deep}}
    assert sum(1 for _ in walk(deep, FIELDS)) == 50_001
    made = rebuild(deep, lambda item, _: {**item, "seen": 1})
    assert all(sub.schema["seen"] for sub in walk(made))


def test_a_schema_without_end_is_an_error():
    ring: dict = {"properties": {}}
    ring["properties"]["again"] = ring
    for way in (lambda: list(walk(ring)), lambda: rebuild(ring, lambda item, _: item)):
        with pytest.raises(ValueError, match=f"more than {MAX_NODES} sub-schemas"):
            way()
    with pytest.raises(ValueError, match=f"more than {MAX_NODES} sub-schemas"):
        rebuild({}, lambda item, _: {"not": {}})


def test_places_are_written_as_people_write_them():
    rooms = {"type": "array", "items": {"properties": {"guest": {"properties": {"name": {"type": "string"}}}}}}
    found = {sub.place: sub.named for sub in walk({"properties": {"rooms": rooms, "z[]": {}}}, FIELDS)}
    assert found == {
        "": False,
        "rooms": True,
        "rooms[]": False,
        "rooms[].guest": True,
        "rooms[].guest.name": True,
        "z[]": True,
    }
    assert shape({"properties": {"z[]": {"type": "string"}}}).types == {"string": 1}


@given(SCHEMAS, JSON)
def test_parts_of_a_value_stand_beside_what_the_schema_says_of_them(schema, value):
    found = list(alongside(schema, value))
    assert [(path, item) for path, _, item in found if not isinstance(item, dict | list)] == list(leaves(value))
    for path, known, _ in found:
        assert known == schema_at(schema, path)


def test_unknown_arguments_are_named_where_they_stand():
    guest = {"type": "object", "properties": {"name": {"type": "string"}}}
    schema = {"properties": {"guests": {"items": guest}, "open": {**guest, "additionalProperties": True}, "free": {}}}
    value = {"guests": [{"name": "A"}, {"nam": "B"}], "open": {"x": 1}, "free": {"y": 2}, "z": 3}
    assert sorted(_unknown(schema, value)) == ["guests.nam", "z"]
    assert list(_unknown({"properties": ["a"]}, {"a": 1})) == []


def test_the_gate_finds_what_is_not_described_in_lists_of_lists():
    grid = {
        "type": "array",
        "description": "Grid",
        "items": {"type": "array", "items": {"properties": {"x": {"type": "string"}}}},
    }
    api = WEATHER.model_copy(
        update={"parameters": {"type": "object", "properties": {"grid": grid}}, "example_arguments": None}
    )
    assert [v.evidence for v in gate.check(api)] == ["get_forecast: parameter grid[][].x has no description"]


def test_dialects_are_read_wherever_a_schema_stands():
    changed = set()
    given = {
        "type": "dict",
        "properties": {
            "a": {"anyOf": [{"type": "str", "required": True}, {"type": "float"}], "enum": [{"type": "str"}]}
        },
    }
    before = copy.deepcopy(given)
    made = standard_schema(given, changed)
    assert made == {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "number"}], "enum": [{"type": "str"}]}},
    }
    assert given == before
    assert len(changed) == 4


def test_apis_differ_by_what_programs_read():
    """Not by descriptions and titles, which are for people; but a constant is a value, whatever its keys are called."""

    def key(**more):
        return api_key(WEATHER.model_copy(update={"parameters": {"type": "object", "properties": {"a": more}}}))[16:32]

    assert key(type="string", title="A", description="B") == key(type="string")
    assert key(const={"title": "A"}) != key(const={"title": "B"})
    assert key(dependentRequired={"title": ["b"]}) != key(dependentRequired={"default": ["b"]})
    assert key(required=["a", "b"]) == key(required=["b", "a"])
