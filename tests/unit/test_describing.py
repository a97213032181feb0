"""Descriptions that a specification lacks, written by a scripted writer: what is asked, what is taken, what stays derived."""

import asyncio
import contextlib
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.planner import Planner
from actors.players import PLAYERS
from jobs import evolve
from jobs.check import check
from jobs.flow import survey
from jobs.session import new_epoch
from tests.material import ScriptedEngine, ingested
from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import EngineDead, EngineError
from toolace_ray.engines.roles import Engines
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas import gate
from toolace_ray.store import folder, ledger
from toolace_ray.store.rows import DRAFT, LEDGER, ledger_row, usage_columns
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.tss import intake, saved, sources, specs
from toolace_ray.tss.describing import MOST_ASKED, TRIES, describe_api, with_descriptions
from toolace_ray.tss.evolution import Writing
from toolace_ray.tss.generations import Evolution

ROOMS = {
    "openapi": "3.1.0",
    "info": {"title": "Hotel desk"},
    "paths": {
        "/rooms/{floor}": {
            "get": {
                "operationId": "findRooms",
                "parameters": [
                    {"name": "floor", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["price", "size"]}},
                    {"name": "sea_view", "in": "query", "schema": {"type": "boolean", "title": "Ocean Only"}},
                    {"name": "guests", "in": "query", "description": "Guests that are to sleep there",
                     "schema": {"type": "integer", "minimum": 1, "maximum": 4}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "array", "items": {
                    "type": "object", "properties": {"number": {"type": "string", "description": "Number on the door"}}}}}}}},
            }
        }
    },
}  # fmt: skip
GOOD = {
    "findRooms()": "List the rooms of a floor that are free.",
    "floor": "Storey on which the rooms lie, counted from the street",
    "order": "What the rooms are sorted by, price or size",
    "sea_view": "True to see only rooms that look at the sea",
}
SETTINGS = Writing(samples=2, temperature=0.8)


def imported(tmp_path, tree=ROOMS):
    path = tmp_path / "hotel.openapi.json"
    path.write_text(json.dumps(tree))
    (api,) = specs.import_openapi(str(path), "write")
    return api


def asked(api, answers, seed=7):
    """What comes of an API and the requests that were made for it."""
    engine = ScriptedEngine(answers)
    found = asyncio.run(describe_api(api, seed, SETTINGS, Engines(Config(), {"small": engine}).for_task("x")))
    return found, engine.requests


def test_what_lacks_is_asked_for_in_one_request_and_written(tmp_path):
    api = imported(tmp_path)
    assert api.lineage.undescribed == ("", "floor", "order", "sea_view")
    found, requests = asked(api, [json.dumps(GOOD)])
    assert len(requests) == 1
    schema = requests[0].json_schema
    assert list(schema["properties"]) == schema["required"] == list(GOOD)
    assert schema["additionalProperties"] is False
    prompt = requests[0].messages[-1]["content"]
    for part in ("findRooms, GET /rooms/{floor} (Hotel desk)", "guests (integer): Guests that are to sleep there; from 1 to 4",
                 'order (string): one of "price", "size"', "sea_view (boolean): titled Ocean Only", "floor (integer, required)",
                 "[].number (string): Number on the door"):  # fmt: skip
        assert part in prompt
    assert "Find rooms (Hotel desk)" not in prompt  # a derived description would be copied
    written = with_descriptions(api, found)
    assert gate.check(written) == []
    assert written.description == GOOD["findRooms()"]
    assert {name: schema["description"] for name, schema in written.properties.items()} == {
        **{name: text for name, text in GOOD.items() if name != "findRooms()"}, "guests": "Guests that are to sleep there",
    }  # fmt: skip
    assert written.lineage.written == ("", "floor", "order", "sea_view")
    assert "descriptions written by a model in place of derived ones: floor, order, sea_view" in written.lineage.notes
    assert written.returns == api.returns
    assert written.id != api.id


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("floor", "The floor value.", "says no more than the name"),
        ("findRooms()", "Finds the rooms of the hotel desk.", "says no more than the name"),
        ("order", "Sorted by price, size or rating of the room", "names 'rating'"),
        ("order", "Order of the rooms, one of price, size and stars", "names 'stars'"),
        ("order", 'What the rooms are sorted by, such as "distance"', "names 'distance'"),
        ("order", "Currency of the price, in EUR for every room", "names 'EUR'"),
        ("order", "What the rooms are sorted by. Defaults to cheapest.", "names 'cheapest'"),
        ("floor", "Storey of the rooms, from 1 to 12", "names '1'"),
        ("floor", "Storey of the rooms, twelve at most", "names '12'"),
        ("floor", "Storey of the **rooms**", "holds markup or a placeholder"),
        ("floor", "TODO: storey of the rooms", "holds markup or a placeholder"),
        ("floor", "Storey of the rooms. It is a number. It counts from the street.", "is not one or two statements"),
        ("floor", "On which storey are the rooms?", "is not one or two statements"),
        ("floor", "guests that are to sleep there.", "repeats another one"),
        ("floor", "Этаж, на котором находятся rooms", "is partly written in CYRILLIC"),
        ("floor", "Melody played during lunch", "has nothing to do with the operation"),
        ("floor", "Telephone under which whoever gets the parcel is called", "repeats the prompt's example"),
        ("floor", "How many stairs lead to the rooms, in %s.", "holds markup or a placeholder"),
        ("floor", "Integer that tells the storey of the rooms", "tells its type"),
        ("floor", "Storey of the rooms, such as", "breaks off"),
        ("order", "Sorts by the findRooms query, SEA for example", "names 'SEA'"),
        ("sea_view", "True for the rooms that the sea_view parameter lists", "repeats its identifier"),
        ("findRooms()", "Expands fields that are to be returned.", "has nothing to do with the operation"),
        ("floor", "Storey of the rooms that is taken, for", "breaks off"),
        ("floor", ": storey on which the rooms lie", "breaks off"),
        ("order", "price or size", "says no more than the name"),
        ("order", "The order: one of size and price", "says no more than the name"),
        ("floor", "Storey for guests that are to sleep there", "repeats another one"),
        ("floor", "", "is not in the form that was asked for"),
        ("floor", "Storey " * 40 + ".", "has more than"),
        ("floor", None, "is not in the form that was asked for"),
    ],
)
def test_what_is_no_description_stays_derived_and_is_told(tmp_path, key, text, why):
    api = imported(tmp_path)
    place = "" if key == "findRooms()" else key
    found, requests = asked(api, lambda request: json.dumps({**GOOD, key: text}))
    assert len(requests) == TRIES
    assert [list(request.json_schema["properties"]) for request in requests[1:]] == [[key]] * (TRIES - 1)
    assert len({request.seed for request in requests}) == TRIES
    assert list(found.refused) == [place]
    assert why in found.refused[place]
    written = with_descriptions(api, found)
    derived = api.description if not place else api.properties[key]["description"]
    assert (written.description if not place else written.properties[key]["description"]) == derived
    assert set(written.lineage.written) == {"", "floor", "order", "sea_view"} - {place}
    told = f"derived description kept, what was written {found.refused[place]}: {place or 'findRooms'}"
    assert told in written.lineage.notes


@pytest.mark.parametrize(
    "text", [*GOOD.values(), "Storey. Its rooms lie next to each other.", "楼层,房间在哪一层", "Sorted by size"]
)
def test_what_is_a_description_passes(tmp_path, text):
    tree = json.loads(json.dumps(ROOMS))
    tree["info"]["title"] = "Hotel desk 酒店" if not text.isascii() else "Hotel desk"
    found, _ = asked(
        imported(tmp_path, tree),
        lambda request: json.dumps({**GOOD, "order": text} if text not in GOOD.values() else GOOD),
    )
    assert found.refused == {}


def test_one_sentence_for_two_is_right_for_neither(tmp_path):
    same = "What tells which rooms are listed"
    found, _ = asked(imported(tmp_path), lambda request: json.dumps({**GOOD, "floor": same, "sea_view": same}))
    assert set(found.refused.values()) == {"is the same for two of them"}
    assert set(found.texts) == {"", "order"}


@pytest.mark.parametrize(
    "answer", ["no json", "[1]", '{"floor": {"a": 1}}', "[" * 9000, '{"floor": "\\ud800 a b"}', ""]
)
def test_without_an_answer_all_stays_derived(tmp_path, answer):
    api = imported(tmp_path)
    found, requests = asked(api, lambda request: answer)
    assert len(requests) == TRIES
    assert found.texts == {}
    kept = with_descriptions(api, found)
    assert kept.id == api.id
    assert kept.lineage.written == ()
    assert (
        "derived description kept, what was written is not in the form that was asked for: findRooms, floor, order, sea_view"
        in (kept.lineage.notes)
    )


def test_a_good_candidate_of_a_later_try_is_taken(tmp_path):
    bad = {**GOOD, "floor": "The floor", "order": "Any of 7 orders"}
    answers = [
        [json.dumps(bad), json.dumps({**bad, "order": GOOD["order"]})],
        ["no json", json.dumps({"floor": GOOD["floor"]})],
    ]
    found, requests = asked(imported(tmp_path), answers)
    assert len(requests) == 2
    assert f"- order (string): {GOOD['order']}" in requests[1].messages[-1]["content"]  # what was written is shown
    assert found.refused == {}
    assert found.texts == {key.replace("findRooms()", ""): text for key, text in GOOD.items()}


def test_an_engine_that_fails_is_the_workers_affair(tmp_path):
    def fail(request):
        raise EngineDead("gone")

    with pytest.raises(EngineError):
        asked(imported(tmp_path), fail)


def test_nested_parameters_and_more_than_one_request_takes(tmp_path):
    inner = {f"field{number}": {"type": "string"} for number in range(MOST_ASKED + 6)}
    tool = {"name": "store", "description": "Store a form of a guest.", "inputSchema": {"type": "object", "properties": {
        "form": {"type": "object", "properties": inner}, "night": {"type": "string", "description": "Night of the stay"}}}}  # fmt: skip
    (api,) = specs.import_tools({"tools": [tool]}, "desk", undescribed="write")
    found, requests = asked(api, ["no json"] * TRIES)
    keys = list(requests[0].json_schema["properties"])
    assert keys == ["form", *(f"form.field{number}" for number in range(MOST_ASKED - 1))]
    notes = with_descriptions(api, found).lineage.notes
    assert any(note.startswith(f"derived description kept, beyond the {MOST_ASKED} of an API") for note in notes)
    found, _ = asked(
        api,
        [json.dumps({"form": "What the guest filled in", "form.field3": "Third line that the guest filled in"})]
        * TRIES,
    )
    written = with_descriptions(api, found)
    properties = written.properties["form"]["properties"]
    assert written.properties["form"]["description"] == "What the guest filled in"
    assert properties["field4"]["description"] == "Field4"
    assert written.properties["night"] == api.properties["night"]


def test_what_is_shown_is_never_cut_within_a_word(tmp_path):
    tool = {"name": "paint", "description": "Paint a wall.", "inputSchema": {"type": "object", "properties": {
        "color": {"type": "string", "description": "sunshine " * 40}, "wall": {"type": "string"}}}}  # fmt: skip
    (api,) = specs.import_tools({"tools": [tool]}, "walls", undescribed="write")
    _, requests = asked(api, ["no json"] * TRIES)
    shown = requests[0].messages[-1]["content"].partition("color (string): ")[2].partition("\n")[0]
    assert set(shown.split()) == {"sunshine"}


def test_a_place_that_two_parameters_are_written_as_is_not_asked_about_and_told():
    inner = {"type": "object", "description": "Address", "properties": {"city": {"type": "string"}}}
    properties = {"to": inner, "to.city": {"type": "string"}, "by": {"type": "string"}}
    tool = {
        "name": "send",
        "description": "Send a parcel.",
        "inputSchema": {"type": "object", "properties": properties},
    }
    (api,) = specs.import_tools({"tools": [tool]}, "desk", undescribed="write")
    found, requests = asked(api, [json.dumps({"by": "Person that sends the parcel"})])
    assert list(requests[0].json_schema["properties"]) == ["by"]
    written = with_descriptions(api, found)
    assert written.properties["by"]["description"] == "Person that sends the parcel"
    assert "derived description kept, two parameters are written so: to.city" in written.lineage.notes


def test_only_what_the_document_leaves_undescribed_is_asked_for(tmp_path):
    tool = {"name": "paint", "description": "Paint a wall of a room.", "inputSchema": {
        "type": "object",
        "properties": {"color": {"allOf": [{"$ref": "#/$defs/Color"}], "description": "Paint that is taken"}},
        "$defs": {"Color": {"title": "Color", "type": "string"}},
    }}  # fmt: skip
    (api,) = specs.import_tools({"tools": [tool]}, "walls", undescribed="write")
    assert api.properties["color"]["description"] == "Paint that is taken"
    assert api.lineage.undescribed == ()


@given(st.text(max_size=300), st.text(max_size=60))
def test_nothing_that_is_written_breaks_the_checks(text, other):
    (api,) = specs.import_tools({"tools": [{"name": "findLamp", "inputSchema": {"type": "object", "properties": {
        "room": {"type": "string", "enum": ["attic", "hall"]}, "lit": {"type": "boolean"}}}}]}, "home", undescribed="write")  # fmt: skip
    found, _ = asked(api, lambda request: json.dumps({"findLamp()": text, "room": other, "lit": text + other}))
    written = with_descriptions(api, found)
    assert gate.check(written) == []
    assert set(written.lineage.written) <= set(api.lineage.undescribed)


# The run's folder ----------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that does what a start does with its specifications, the flow in this process; and its store and engine."""

    monkeypatch.setattr(evolve, "ingest", ingested)
    store = RunStore(str(tmp_path / "run"))
    store.make(*folder.FOLDERS)

    def begin(answers=lambda request: json.dumps(GOOD), stop_after=None, **settings):
        config = parse({"sources": {"undescribed": "write", **settings}})
        begin.engine = engine = ScriptedEngine(answers)
        said = []

        def run_flow(flow, what):
            planner: Planner = survey(flow, store)
            player = PLAYERS[flow.player](config, store)
            while not planner.done and (leases := planner.lease("w", 1)):
                ((kind, attempt),) = leases
                task = Engines(config, {"small": engine}).for_task(f"{kind}{attempt}")
                if len(engine.requests) == stop_after:
                    current.budget = "generate.max_tokens (9) is spent"
                    return planner.status()
                name = f"{current.epoch}{flow.part}{attempt}.parquet"
                try:
                    played = asyncio.run(player.play(kind, attempt, task))
                except EngineError as error:
                    base = {"id": f"x{attempt}", "type": kind, "kind": kind, "attempt": attempt}
                    verdict = Verdict(stage="generate", rule="engine_failure", evidence=str(error))
                    store.write(
                        "rejected", name, [ledger_row(base, [verdict], None, usage_columns(task.usage, 0.0))], LEDGER
                    )
                    planner.committed("w", name, [], [(kind, attempt)])
                    continue
                store.write(flow.drafts, name, [played.row], DRAFT)
                planner.committed("w", name, [(kind, attempt, "")], [])
            return planner.status()

        current = SimpleNamespace(
            config=config, store=store, epoch=new_epoch(), ray=lambda models=True: None, run_flow=run_flow, budget=None,
            progress=SimpleNamespace(say=said.append, phase=contextlib.nullcontext),
        )  # fmt: skip
        evolution = Evolution(NearDuplicates(0.8))
        evolution.take(store.rows("apis", part=evolve.PART))
        evolve._read_sources(current, sources.files(config.sources), evolution)
        begin.described = evolve._describe(current, evolution)
        return said

    begin.store = store
    return begin


def write(path, *tools):
    path.write_text(json.dumps({"tools": tools}))
    return str(path)


def lamp(name, **more):
    """A tool whose parameter is not described."""
    return {"name": name, "description": f"Find a lamp by what {name} says.",
            "inputSchema": {"properties": {f"{name}_room": {"type": "string"}}}, **more}  # fmt: skip


WHOLE = {
    **lamp("whole"),
    "inputSchema": {"properties": {"room": {"type": "string", "description": "Room of the lamp"}}},
}


def lit(request):
    (key,) = request.json_schema["properties"]
    return json.dumps({key: f"Chamber in which the lamp of {key.partition('_')[0]} hangs"})


def pool(store):
    return {row["name"]: json.loads(row["record"]) for row in store.rows("apis")}


def test_apis_wait_for_their_descriptions_and_join_the_pool_once(start, tmp_path):
    path = write(tmp_path / "home.mcp.json", lamp("red"), WHOLE, lamp("blue"))
    said = start(lit, mcp=[path])
    assert start.described
    assert said == ["2 imported APIs: 2 descriptions written, 0 derived"]
    apis = pool(start.store)
    assert (
        apis["red"]["parameters"]["properties"]["red_room"]["description"] == "Chamber in which the lamp of red hangs"
    )
    assert apis["whole"]["lineage"]["written"] == []
    rows = {row["attempt"]: row["name"] for row in start.store.rows("apis")}
    assert rows == {0: "whole", 1: "red", 2: "blue"}
    (met,) = intake.of_run(start.store)
    assert (met.source, met.kind, met.met, met.apis) == (path, "mcp", 3, 3)
    assert ledger.spending(start.store)[0] == sum(row["tokens"] for row in start.store.rows("sources/descriptions")) > 0
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.parquet")}
    start(mcp=[path])
    assert start.engine.requests == []
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.parquet")} == before
    start(lit, mcp=[write(tmp_path / "home.mcp.json", lamp("red"), lamp("green"))])
    assert len(start.engine.requests) == 1
    assert {row["attempt"]: row["name"] for row in start.store.rows("apis")} == {**rows, 3: "green"}


def test_nothing_is_asked_where_nothing_lacks(start, tmp_path):
    start(mcp=[write(tmp_path / "home.mcp.json", WHOLE)])
    assert start.described
    assert start.engine.requests == []
    assert list(pool(start.store)) == ["whole"]
    assert start.store.files("sources/undescribed") == []


def test_what_the_gate_or_the_index_refuses_is_not_paid_for(start, tmp_path):
    broken = lamp("broken", inputSchema={"properties": {"room": {"type": "string", "minLength": 5000}}})
    path = write(tmp_path / "home.mcp.json", lamp("red"), broken)
    (tmp_path / "again").mkdir()
    again = write(tmp_path / "again" / "home.mcp.json", lamp("red"))
    start(lit, mcp=[path, again])
    assert len(start.engine.requests) == 1
    assert list(pool(start.store)) == ["red"]
    assert sorted(row["rule"] for row in start.store.rows("rejected")) == ["duplicate", "unwieldy"]


def test_a_run_that_was_stopped_does_not_pay_twice_and_ends_the_same(start, tmp_path):
    path = write(tmp_path / "home.mcp.json", lamp("red"), WHOLE, lamp("blue"), lamp("green"))
    said = start(lit, stop_after=2, mcp=[path])
    assert not start.described
    assert said == ["3 imported APIs wait for their descriptions, since generate.max_tokens (9) is spent"]
    assert list(pool(start.store)) == ["whole"]
    start(lit, mcp=[path])
    assert len(start.engine.requests) == 1
    assert {row["attempt"]: row["name"] for row in start.store.rows("apis")} == {
        0: "whole",
        1: "red",
        2: "blue",
        3: "green",
    }
    assert all(api["lineage"]["written"] for name, api in pool(start.store).items() if name != "whole")


def test_a_start_that_was_killed_before_its_sources_were_written_down_goes_on(start, tmp_path):
    path = write(tmp_path / "home.mcp.json", lamp("red"), WHOLE, lamp("blue"))
    start(lit, stop_after=0, mcp=[path])
    for name in start.store.files("apis"):  # as if killed after what waits was written, before the rest was
        start.store.delete("apis", name)
    for name in start.store.files("sources/files"):
        start.store.delete("sources/files", name)
    start(lit, mcp=[path])
    assert {row["attempt"]: row["name"] for row in start.store.rows("apis")} == {0: "whole", 1: "red", 2: "blue"}
    assert len(list(start.store.rows("sources/undescribed"))) == 2


def test_where_the_writer_fails_the_derived_descriptions_stay(start, tmp_path):
    def fail_at_red(request):
        if "red" in request.messages[-1]["content"]:
            raise EngineDead("gone")
        return lit(request)

    said = start(fail_at_red, mcp=[write(tmp_path / "home.mcp.json", lamp("red"), lamp("blue"))])
    assert said == ["2 imported APIs: 1 descriptions written, 1 derived"]
    apis = pool(start.store)
    assert apis["red"]["parameters"]["properties"]["red_room"]["description"] == "Red room"
    assert apis["red"]["lineage"]["notes"][-1] == "derived descriptions kept, the writer could not be asked"
    assert apis["blue"]["lineage"]["written"] == ["blue_room"]


def test_a_plan_says_how_many_are_to_be_written(tmp_path):
    sources = {"mcp": [write(tmp_path / "home.mcp.json", lamp("red"), WHOLE, lamp("blue"))]}
    run = {"path": str(tmp_path / "run")}
    assert "; 2 descriptions are to be written" in check(
        parse({"run": run, "sources": {**sources, "undescribed": "write"}})
    )
    assert "to be written" not in check(parse({"run": run, "sources": sources}))


def test_the_same_seed_asks_the_same(start, tmp_path):
    path = write(tmp_path / "home.mcp.json", lamp("red"))
    start(lit, mcp=[path])
    config = parse({"sources": {"undescribed": "write"}})
    player = PLAYERS["descriptions"](config, start.store)
    again = ScriptedEngine(lit)
    asyncio.run(player.play("description", 0, Engines(config, {"small": again}).for_task("description0")))
    first, second = start.engine.requests[0], again.requests[0]
    assert (first.messages, first.seed, first.json_schema) == (second.messages, second.seed, second.json_schema)
    assert saved.load_descriptions(start.store)[0].texts == {"red_room": "Chamber in which the lamp of red hangs"}
