import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import WEATHER, ScriptedEngine
from toolace_ray.config.tree import Config
from toolace_ray.engines.roles import Engines
from toolace_ray.schemas import gate
from toolace_ray.tss.adaptation import Design, Subtree
from toolace_ray.tss.evolution import Writing, build, define, evolve, excerpt, outline
from toolace_ray.tss.readers import Document
from toolace_ray.tss.speciation import (
    MAX_GLOSS,
    Division,
    Extraction,
    Functionality,
    Node,
    Parts,
    canonical,
    divide,
    grow,
    paths,
    speciate,
    to_divide,
)

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
    extraction("d2", "Travels", "Train ticket", "find trains", "cancel seats"),
    extraction("d3", "Food", "Recipes", "find recipe"),
    extraction("d4", "Poems", "Roses"),
]


def names(nodes):
    return sorted(" > ".join(path) for path in paths(nodes).values())


def tree(*more):
    return grow([], [*EXTRACTIONS, *more], [], [])


def test_the_tree_merges_near_duplicates():
    nodes = grow([], EXTRACTIONS, [], [WEATHER])
    assert names(nodes) == [
        "Food", "Food > Recipes", "Food > Recipes > find recipe", "Travel", "Travel > Train tickets",
        "Travel > Train tickets > book seats", "Travel > Train tickets > cancel seats",
        "Travel > Train tickets > find train", "Weather", "Weather > get forecast",
    ]  # fmt: skip
    assert next(node.documents for node in nodes if node.name == "find train") == ("d1", "d2")
    assert next(node.documents for node in nodes if node.name == "Travel") == ("d1", "d2")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Cinema bookings", "the cinema booking service", True), ("Finance", "Finances", True), ("Gas", "Gases", False),
     ("News", "New", True), ("Management", "management", True), ("Film", "Firm", False)],
)  # fmt: skip
def test_names_are_compared_without_what_says_nothing(one, other, same):
    assert (canonical(one) == canonical(other)) is same


@given(st.integers(0, 4), st.permutations(range(4)))
def test_a_tree_that_grows_keeps_every_node(cut, order):
    shuffled = [EXTRACTIONS[i] for i in order]
    before = grow([], shuffled[:cut], [], [WEATHER])
    after = grow(before, shuffled, [], [WEATHER])
    known = {node.id: node for node in after}
    for node in before:
        assert (known[node.id].name, known[node.id].parent) == (node.name, node.parent)
        assert set(node.documents) <= set(known[node.id].documents)
    assert grow(after, shuffled, [], [WEATHER]) == after
    functionalities = {path[-1] for path in paths(after).values()}
    assert {"find recipe", "book seats", "cancel seats"} <= functionalities


def test_functionalities_are_divided_until_the_depth_or_the_leaves_are_reached():
    nodes = grow([], EXTRACTIONS, [], [WEATHER])
    todo = to_divide(nodes, set(), 4, 100)
    assert [item.path[-1] for item in todo] == ["find train", "book seats", "cancel seats", "find recipe"]
    assert todo[1].siblings == ("find train", "cancel seats")
    assert to_divide(nodes, set(), 3, 100) == []
    assert len(to_divide(nodes, set(), 4, 11)) == 2  # five leaves are there: each division adds three at most
    parts = Parts(
        node=todo[0].node,
        parts=(
            Functionality(name="find night train", gloss="by night"),
            Functionality(name="find fast train", gloss="fast"),
        ),
    )
    grown = grow(nodes, EXTRACTIONS, [parts], [WEATHER])
    assert {"Travel > Train tickets > find train > find night train", "Travel > Train tickets > find train"} <= set(
        names(grown)
    )
    asked = {item.node for item in todo}
    assert to_divide(grown, asked, 4, 100) == []
    assert [item.path[-1] for item in to_divide(grown, asked, 5, 100)] == ["find night train", "find fast train"]
    assert next(node.documents for node in grown if node.name == "find night train") == ("d1", "d2")


WORK = Division(node="n", path=("Travel", "Trains", "find train"), gloss="finds a train", siblings=("book seats",))


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        (["find night train", "find fast train"], ["find night train", "find fast train"]),
        (["find night train"], []),
        (["find trains", "book seat", "Travel", "find night train"], []),
        (["find night train", "find night trains", "find fast train"], ["find night train", "find fast train"]),
        ([], []),
    ],
)
def test_what_repeats_its_parent_or_a_sibling_is_no_part(parts, kept):
    answer = json.dumps({"parts": [{"name": name, "gloss": "does it"} for name in parts]})
    made = asyncio.run(divide(WORK, 1, engines([answer])))
    assert [part.name for part in made.parts] == kept


def design(*nodes, **more):
    return Design(
        Subtree(("Travel", "Train tickets"), tuple(node.id for node in nodes)), **{"indicators": (), "steps": 0, **more}
    )


def functionality(name):
    return next(node for node in tree() if node.name == name)


def test_the_excerpt_is_about_the_functionality():
    text = "# Trains\n\nFind a train by city.\n\nCancel your seats with the booking code.\n\n" + "Other matters. " * 100
    assert excerpt(text, [functionality("cancel seats")]) == "Cancel your seats with the booking code."


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
    node = functionality("cancel seats")
    api = build(GOOD, design(node), [node], ("d1",))
    assert gate.check(api) == []
    assert api.required == ("booking", "seats")
    assert api.properties["reason"]["enum"] == ["ill", "late"]
    assert api.example_arguments == {"booking": "BK-1", "reason": "ill", "seats": 2}
    assert (api.properties["seats"]["minimum"], api.properties["seats"]["maximum"]) == (1, 9)
    assert api.lineage.documents == ("d1",)
    assert api.functionalities == (node.id,)
    assert '- booking (string, required): Booking code. Example: "BK-1"' in outline(api)


def test_the_first_candidate_that_passes_is_kept_else_the_last_with_its_reason():
    node = functionality("cancel seats")
    bad = {**GOOD, "description": "x"}

    def defined(*answers):
        asked = engines([list(answers)])
        return asyncio.run(define(design(node), [node], {"d1": "T"}.get, None, 1, Writing(2, 0.5), asked))

    assert defined(json.dumps(bad), json.dumps(GOOD)).api.name == "cancel_seats"
    failed = defined("no json", json.dumps(bad))
    assert (failed.api, failed.verdict.rule, failed.failed.name) == (None, "description", "cancel_seats")
    assert defined("no json", "{}").failed is None


def test_lineage_tells_the_example_and_what_was_applied():
    node = functionality("cancel seats")
    more = {"name": "fee", "description": "Fee that is kept", "type": "number", "example": 3.5}
    asked = engines([json.dumps(GOOD), json.dumps(more), "{}", "{}"])
    plan = design(node, indicators=("return_field_added", "type_to_object"), steps=2)
    example = build(GOOD, design(node), [node], ()).model_copy(update={"domain": ("Weather",)})
    api = asyncio.run(evolve(plan, [node], lambda _: "", example, 1, Writing(1, 0.5), asked)).api
    assert api.lineage.parent == example.id
    assert api.lineage.indicators[0] == "return_field_added"
    assert api.lineage.dropped[0].startswith("type_to_object: ")
    assert "fee" in api.returns["properties"]
    shown = asked.chosen["writer"][1].requests[0].messages
    assert "Domain: Weather" in shown[-3]["content"]  # one more example of the writer's form, before the question
    assert json.loads(shown[-2]["content"]) == {
        **GOOD,
        "parameters": [GOOD["parameters"][0], {**GOOD["parameters"][1], "example": "ill"}, GOOD["parameters"][2]],
    }


def test_nodes_are_strict():
    with pytest.raises(ValueError, match="kind"):
        Node(id="a", parent=None, kind="leaf", name="x")
