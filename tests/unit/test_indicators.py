"""Each indicator: an honest change is found, a lie is not believed, whoever tells it: the model or the code."""

import asyncio
import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.material import ScriptedEngine, schema
from toolace_ray.config.tree import Config
from toolace_ray.engines.roles import Engines
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.schemas.draw import instance
from toolace_ray.tss.adaptation import Design, Subtree
from toolace_ray.tss.evolution import Writing, evolve
from toolace_ray.tss.indicators import INDICATORS, post_condition, target_of
from toolace_ray.tss.speciation import Node

BASE = Api(
    name="send_parcel",
    description="Send a parcel to a city by courier.",
    parameters=schema(
        ("city", "weight"),
        city={"type": "string", "description": "City to send to", "examples": ["Porto"]},
        weight={"type": "number", "description": "Weight in kilograms", "examples": [2.5]},
        pickup_date={"type": "string", "description": "Day of the pickup", "examples": ["May 2"]},
        customer_id={"type": "string", "description": "Number of the customer", "examples": ["CU-1203"]},
        stops={"type": "array", "description": "Stops", "items": {"type": "string"}, "examples": [["Lyon"]]},
    ),
    returns=schema(("parcel_id",), parcel_id={"type": "string", "description": "Its number", "examples": ["PX-1"]}),
    domain=("Logistics", "Parcels"),
    functionalities=("f1",),
    example_arguments={"city": "Porto", "weight": 2.5},
    example_return={"parcel_id": "PX-1"},
)
FIELD = {"name": "insured", "description": "True to insure it", "type": "boolean", "required": False, "example": True}
ITEMS = [
    {"name": "street", "description": "Street and number", "type": "string", "example": "Rua Nova 4"},
    {"name": "floor", "description": "Floor of the door", "type": "integer", "example": 2},
]
HONEST = {
    "parameter_added": ("", FIELD),
    "functionality_added": ("", {
        "description": "Send a parcel to a city by courier and insure it.", "parameter": FIELD,
        "result": {"name": "fee", "description": "Price of the insurance", "type": "number", "example": 3.5}}),
    "enum_added": ("city", {"options": ["Porto", "Lyon"]}),
    "range_added": ("weight", {"minimum": 1, "maximum": 30}),
    "pattern_added": ("customer_id", {"example": "CU-1203", "pattern": "^[A-Z]{2}-[0-9]{4}$"}),
    "format_added": ("pickup_date", {"format": "date", "example": "2026-05-02"}),
    "length_added": ("city", {"min_length": 2, "max_length": 40}),
    "dependent_added": ("", {"given": "pickup_date", "needed": "customer_id"}),
    "type_to_array": ("city", {"name": "cities", "description": "Cities to send to", "examples": ["Porto", "Lyon"]}),
    "type_to_rows": ("stops", {"name": "routes", "description": "Routes, each a list of stops", "examples": [["a", "b"], ["c", "d"]]}),
    "type_to_objects": ("city", {"name": "addresses", "description": "Addresses to send to", "fields": ITEMS}),
    "type_to_object": ("city", {"name": "address", "description": "Address to send to", "fields": ITEMS}),
    "return_field_added": ("", {"name": "days", "description": "Days until it arrives", "type": "integer", "example": 2}),
    "return_list_added": ("", {"name": "offices", "description": "Offices it passes", "fields": ITEMS}),
}  # fmt: skip


def honest(name):
    target, answer = HONEST[name]
    made = INDICATORS[name].apply(BASE, target, answer)
    return made.model_copy(update={"functionalities": ("f1", "f2")}) if name == "functionality_added" else made


def broken(**parameters):
    """BASE with some parameters replaced, None removes one."""
    properties = {**copy.deepcopy(BASE.properties), **parameters}
    properties = {name: below for name, below in properties.items() if below is not None}
    return BASE.model_copy(update={"parameters": {**BASE.parameters, "properties": properties}})


CITY, WEIGHT = BASE.properties["city"], BASE.properties["weight"]
TOLD = BASE.model_copy(update={"description": BASE.description + " It is richer now, with options, lists and limits."})
WIDE = {"type": "array", "items": {"type": "string"}, "description": "Cities", "examples": [["Porto"]]}
LIES = {
    "parameter_added": [
        TOLD,
        broken(city={**CITY, "description": "City, and whether to insure it"}),
        broken(insured={"type": "boolean", "description": "x"}, weight=None),
    ],
    "functionality_added": [
        TOLD,
        TOLD.model_copy(update={"functionalities": ("f1", "f2")}),
        honest("functionality_added").model_copy(update={"description": BASE.description, "functionalities": ("f1", "f2")}),
        honest("functionality_added").model_copy(update={"functionalities": ("f1",)}),
        honest("parameter_added").model_copy(update={"functionalities": ("f1", "f2"), "description": "Another one here."}),
    ],
    "enum_added": [TOLD, broken(city={**CITY, "description": "One of Porto, Lyon"}), broken(city={**CITY, "enum": ["Porto"]}),
                   broken(city={**CITY, "enum": [str(i) for i in range(50)]}), broken(weight={**WEIGHT, "minimum": 1})],
    "range_added": [TOLD, broken(weight={**WEIGHT, "description": "1 to 30"}), broken(weight={**WEIGHT, "minimum": 5, "maximum": 5}),
                    broken(city={**CITY, "maxLength": 3})],
    "pattern_added": [TOLD, broken(city={**CITY, "pattern": ".*"}), broken(city={**CITY, "pattern": "^[\\s\\S]*$"}),
                      broken(city={**CITY, "pattern": "(("})],
    "format_added": [TOLD, broken(city={**CITY, "format": "city"}), broken(city={**CITY, "pattern": "^x$"})],
    "length_added": [TOLD, broken(city={**CITY, "minLength": 0}), broken(city={**CITY, "minLength": 9, "maxLength": 3}),
                     broken(city={**CITY, "maxLength": 1_000_000})],
    "dependent_added": [
        TOLD,
        BASE.model_copy(update={"parameters": {**BASE.parameters, "dependentRequired": {}}}),
        BASE.model_copy(update={"parameters": {**BASE.parameters, "dependentRequired": {"city": ["city"]}}}),
        BASE.model_copy(update={"parameters": {**BASE.parameters, "dependentRequired": {"stops": ["nothing"]}}}),
        BASE.model_copy(update={"parameters": {**BASE.parameters, "dependentRequired": {"stops": ["weight"]}}}),
    ],
    "type_to_array": [TOLD, broken(city={**CITY, "description": "List of cities"}), broken(city={**CITY, "type": "integer"}),
                      broken(cities=WIDE), broken(city=WIDE, weight={"type": "array", "items": {}, "description": "x"})],
    "type_to_rows": [TOLD, broken(city=WIDE), broken(stops={**BASE.properties["stops"], "description": "Rows of stops"})],
    "type_to_objects": [TOLD, broken(city=WIDE), broken(city=None, address={"type": "object", "description": "x"}),
                        broken(city={"type": "array", "description": "x", "items": {"type": "object"}})],
    "type_to_object": [TOLD, broken(city=WIDE), broken(city={"type": "object", "description": "Address"})],
    "return_field_added": [TOLD, honest("parameter_added"),
                           BASE.model_copy(update={"returns": schema((), parcel_id={"type": "string", "description": "other words"})}),
                           BASE.model_copy(update={"returns": schema(("days",), days={"type": "integer", "description": "x"})}),
                           honest("return_field_added").model_copy(update={"example_return": {"parcel_id": "PX-1"}})],
    "return_list_added": [TOLD, honest("type_to_objects")],
}  # fmt: skip


LIES["pattern_added"] += [
    broken(city={**CITY, "pattern": found}) for found in ("^.+$", "^(.|\\s)+$", "^.{1,100}$", "^[^0-9]*$")
]
LIES["length_added"] += [broken(city={**CITY, "minLength": 1, "maxLength": 500})]
LIES["enum_added"] += [broken(city={**CITY, "enum": found}) for found in (["a", "A"], ["value 1", "value 2"])]


@pytest.mark.parametrize("pattern", ["^[A-Z]|.*[0-9]$", "^CU-1203|\\$", "[A-Z]+", "^(a|b"])
def test_patterns_are_anchored_on_both_sides(pattern):
    with pytest.raises(ValueError, match=r"anchored|fit|regex|pattern"):
        INDICATORS["pattern_added"].apply(BASE, "customer_id", {"example": "CU-1203", "pattern": pattern})


def test_a_second_thing_that_is_not_the_planned_one_is_no_functionality():
    other = {"description": "Send a parcel and paint clouds.", "parameter": {**FIELD, "name": "cloud_colour", "description": "Colour of the clouds"},
             "result": {"name": "rain_level", "description": "Level of the rain", "type": "number", "example": 1.5}}  # fmt: skip
    wrong = [
        node.model_copy(update={"name": "refund tickets", "gloss": "refunds them"}) if node.id == "f2" else node
        for node in NODES
    ]
    made = played("functionality_added", [json.dumps(other)] * 2, wrong)
    assert made.api.lineage.dropped == ("functionality_added: nothing of what is new tells of refund tickets",)


def test_names_that_stand_in_descriptions_are_not_changed_any_more():
    api = INDICATORS["dependent_added"].apply(BASE, "", {"given": "pickup_date", "needed": "customer_id"})
    touched = {"pickup_date", *api.parameters["dependentRequired"]["pickup_date"]}
    assert target_of(INDICATORS["pattern_added"], api, random.Random(1), touched) is None


def test_every_indicator_is_tried_both_ways():
    assert set(HONEST) == set(LIES) == set(INDICATORS)
    assert gate.check(BASE) == []


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_change_is_found_and_passes_the_gate(name):
    assert HONEST[name][0] in INDICATORS[name].targets(BASE)
    changed = honest(name)
    assert post_condition(name, BASE, changed) is None
    assert gate.check(changed) == []


@pytest.mark.parametrize(("name", "after"), [(name, lie) for name, lies in LIES.items() for lie in lies])
def test_a_lie_is_not_believed(name, after):
    assert post_condition(name, BASE, BASE) is not None
    assert post_condition(name, BASE, after) is not None


@pytest.mark.parametrize("name", HONEST)
def test_no_indicator_takes_another_ones_change_for_its_own(name):
    related = {("return_field_added", "functionality_added"), ("return_list_added", "functionality_added"),
               ("return_field_added", "return_list_added"), ("return_list_added", "return_field_added"),
               ("parameter_added", "functionality_added")}  # fmt: skip
    for other in HONEST:
        if other != name and (name, other) not in related:
            assert post_condition(name, BASE, honest(other)) is not None, other


ANSWERED_LIES = {
    "parameter_added": {**FIELD, "name": "city"},
    "functionality_added": {"description": "Send a parcel to a city by courier.", "parameter": {**FIELD, "name": "weight"},
                            "result": {"name": "fee", "description": "Price", "type": "number", "example": 1.5}},
    "enum_added": {"options": ["Porto", " Porto", "Porto "]},
    "range_added": {"minimum": 10, "maximum": 30},
    "pattern_added": {"example": "?", "pattern": "^[A-Z]{2}$"},
    "format_added": {"format": "date", "example": "next week"},
    "length_added": {"min_length": 30, "max_length": 3},
    "dependent_added": {"given": "stops", "needed": "stops"},
    "type_to_array": {"name": "weight", "description": "Cities", "examples": ["a", "b"]},
    "type_to_rows": {"name": "stops", "description": "Rows", "examples": ["a", "b"]},
    "type_to_objects": {"name": "addresses", "description": "Addresses", "fields": [ITEMS[0], ITEMS[0]]},
    "type_to_object": {"name": "address", "description": "Address", "fields": [{**ITEMS[0], "example": " "}, ITEMS[1]]},
    "return_field_added": {"name": "parcel_id", "description": "Again", "type": "string", "example": "x"},
    "return_list_added": {"name": "parcel_id", "description": "Again", "fields": ITEMS},
}  # fmt: skip
DEFINITION = json.dumps({
    "name": BASE.name, "description": BASE.description, "changes_state": True,
    "parameters": [{"name": name, "description": below["description"], "type": below["type"], "required": name in BASE.required,
                    "example": below["examples"][0]} for name, below in BASE.properties.items() if name != "stops"],
    "returns": [{"name": "parcel_id", "description": "Its number", "type": "string", "example": "PX-1"}],
})  # fmt: skip
NODES = [Node(id=i, parent="t", kind="functionality", name=f"send parcel {i}", gloss="sends it") for i in ("f1", "f2")]


def played(name, answers, nodes=None):
    added = "f2" if name == "functionality_added" else None
    nodes = nodes or (NODES if added else NODES[:1])
    design = Design(Subtree(("Logistics",), tuple(node.id for node in nodes), added), (name,), 1)
    engines = Engines(Config(), {"small": ScriptedEngine([DEFINITION, *answers])}).for_task("x")
    return asyncio.run(evolve(design, nodes, lambda _: "", None, 3, Writing(1, 0.5), engines))


@pytest.mark.parametrize("name", ANSWERED_LIES)
def test_a_writer_that_lies_is_asked_again_and_then_the_indicator_is_dropped(name, monkeypatch):
    target = HONEST[name][0]
    monkeypatch.setattr(
        "toolace_ray.tss.evolution.target_of",
        lambda indicator, api, rng, touched=(): target if target in api.properties else target_of(indicator, api, rng),
    )
    lie = json.dumps(ANSWERED_LIES[name])
    made = played(name, [lie, lie])
    assert made.api is not None
    assert made.api.lineage.indicators == ()
    assert [reason.partition(":")[0] for reason in made.api.lineage.dropped] == [name]
    assert made.api.functionalities == ("f1",)
    assert gate.check(made.api) == []
    if name != "type_to_rows":  # its target is not in what the writer defined; the others recover
        repaired = played(name, [lie, json.dumps(HONEST[name][1])])
        assert repaired.api.lineage.indicators == (name,)


@settings(max_examples=60)
@given(st.sampled_from(sorted(INDICATORS)), st.integers(0, 2**20))
def test_whatever_a_decoder_may_answer_gives_a_sound_api_or_a_reason(name, seed):
    rng = random.Random(seed)
    target = target_of(INDICATORS[name], BASE, rng)
    answer = instance(INDICATORS[name].ask(BASE, target), rng)
    try:
        changed = INDICATORS[name].apply(BASE, target, answer)
    except (ValueError, KeyError, TypeError):
        return
    if post_condition(name, BASE, changed) is None and not gate.check(changed):
        assert changed.example_arguments is None or set(changed.example_arguments) <= set(changed.properties)
    assert BASE.properties["city"] == CITY
