import asyncio
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import WEATHER, ScriptedEngine
from toolace_ray.config import Config
from toolace_ray.engines.roles import Engines
from toolace_ray.schema import Verdict
from toolace_ray.tss import gate
from toolace_ray.tss.evolution import build, define, excerpt, plan
from toolace_ray.tss.sources import Document
from toolace_ray.tss.speciation import MAX_GLOSS, Extraction, Functionality, grow, paths, speciate

DOCUMENT = Document(id="d1", path="a.md", text="A manual.")


def engines(answers):
    return Engines(Config(), {"small": ScriptedEngine(answers)}).for_task("x")


def read(domain, topic, *functionalities):
    answer = {
        "domain": domain,
        "topic": topic,
        "functionalities": [{"name": n, "gloss": g} for n, g in functionalities],
    }
    return asyncio.run(speciate(DOCUMENT, 1, engines([json.dumps(answer)])))


def test_a_document_is_read_and_tidied():
    found = read(
        "none", "parcel_tracking", ("Track parcel.", "tells  where it is"), ("track parcel", "again"), ("domain", "x")
    )
    assert (found.domain, found.topic) == ("Parcel tracking", "Parcel tracking")
    assert found.functionalities == (Functionality(name="Track parcel", gloss="tells where it is"),)


def test_a_gloss_that_was_cut_loses_its_last_word():
    found = read("Home", "Lamps", ("switch lamp", "word " * 19 + "brokn"))
    assert len("word " * 19 + "brokn") == MAX_GLOSS
    assert found.functionalities[0].gloss.endswith("word")


@pytest.mark.parametrize("answer", ["no json", "{}", '{"functionalities": 3}', "[" * 5000])
def test_an_unreadable_answer_is_a_value_error_or_key_error(answer):
    with pytest.raises((ValueError, KeyError, TypeError)):
        asyncio.run(speciate(DOCUMENT, 1, engines([answer])))


def extraction(document, domain, topic, *names):
    return Extraction(
        document=document, path=document, domain=domain, topic=topic,
        functionalities=tuple(Functionality(name=name, gloss=f"{name} it") for name in names),
    )  # fmt: skip


EXTRACTIONS = [
    extraction("d1", "Travel", "Train tickets", "find train", "book seats"),
    extraction("d2", "Travels", "Train ticket", "find train", "cancel seats"),
    extraction("d3", "Food", "Recipes", "find recipe"),
    extraction("d4", "Poems", "Roses"),
]


@given(st.permutations(EXTRACTIONS))
def test_the_tree_merges_near_duplicates_whatever_the_order(order):
    nodes = grow(order, [WEATHER])
    assert nodes == grow(EXTRACTIONS, [WEATHER])
    names = sorted(" > ".join(path) for path in paths(nodes).values())
    assert names == [
        "Food", "Food > Recipes", "Food > Recipes > find recipe", "Travel", "Travel > Train tickets",
        "Travel > Train tickets > book seats", "Travel > Train tickets > cancel seats",
        "Travel > Train tickets > find train", "Weather", "Weather > get forecast",
    ]  # fmt: skip
    assert next(node.documents for node in nodes if node.name == "find train") == ("d1", "d2")


def test_planned_functionality_sets_are_unique_and_seeded():
    nodes = grow(EXTRACTIONS, [WEATHER])
    sets = [frozenset(node.id for node in subtree.nodes) for subtree in plan(nodes, 1)]
    assert len(sets) == len(set(sets)) == 4 + 3 + 1
    assert sets == [frozenset(node.id for node in subtree.nodes) for subtree in plan(nodes, 1)]
    assert all(not node.apis for subtree in plan(nodes, 1) for node in subtree.nodes)


def test_the_excerpt_is_about_the_functionality():
    subtree = next(s for s in plan(grow(EXTRACTIONS, []), 1) if s.nodes[0].name == "cancel seats")
    text = "# Trains\n\nFind a train by city.\n\nCancel your seats with the booking code.\n\n" + "Other matters. " * 100
    assert excerpt(text, subtree) == "Cancel your seats with the booking code."


GOOD = {
    "name": "cancel_seats",
    "description": "Cancel seats on a train.",
    "parameters": [
        {
            "name": "booking",
            "description": "Booking code",
            "type": "string",
            "required": True,
            "options": [],
            "example": "BK-1",
        },
        {
            "name": "reason",
            "description": "Why",
            "type": "string",
            "required": False,
            "options": ["ill", "late"],
            "example": "?",
        },
        {
            "name": "seats",
            "description": "How many",
            "type": "integer",
            "required": True,
            "minimum": 1,
            "maximum": 9,
            "example": 2,
        },
    ],
    "returns": [{"name": "refund", "description": "Money back", "type": "number", "example": 12.5}],
    "changes_state": True,
}


def test_a_definition_becomes_an_api_that_passes_the_gate():
    subtree = next(iter(plan(grow(EXTRACTIONS, []), 1)))
    api = build(GOOD, subtree, ("d1",))
    assert gate.check(api) == []
    assert api.required == ("booking", "seats")
    assert api.properties["reason"]["enum"] == ["ill", "late"]
    assert api.example_arguments == {"booking": "BK-1", "reason": "ill", "seats": 2}
    assert (api.properties["seats"]["minimum"], api.properties["seats"]["maximum"]) == (1, 9)
    assert api.lineage.documents == ("d1",)


def test_the_first_candidate_that_passes_is_kept_else_the_reason():
    subtree = next(iter(plan(grow(EXTRACTIONS, []), 1)))
    bad = {**GOOD, "description": "x"}
    made = asyncio.run(define(subtree, {"d1": "T"}, 1, 2, 0.5, engines([[json.dumps(bad), json.dumps(GOOD)]])))
    assert made.name == "cancel_seats"
    failed = asyncio.run(define(subtree, {}, 1, 2, 0.5, engines([[json.dumps(bad), "no json"]])))
    assert isinstance(failed, Verdict)
    assert list(itertools.islice(plan([], 1), 3)) == []
