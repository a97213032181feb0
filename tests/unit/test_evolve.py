"""Reading sources over several starts, with the reading itself in this process instead of Ray."""

import contextlib
import io
import json
from types import SimpleNamespace

import pytest

from jobs import evolve, session
from jobs.progress import Progress
from jobs.session import new_epoch
from tests.material import ingested
from toolace_ray.config.load import parse
from toolace_ray.errors import UserError
from toolace_ray.records.usage import Usage
from toolace_ray.store import folder
from toolace_ray.store.rows import API, api_row, usage_columns
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.tss import intake, saved, sources, specs
from toolace_ray.tss.generations import Evolution


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that does what a start does with its sources, and says how many documents and what the ledger holds."""

    monkeypatch.setattr(evolve, "ingest", ingested)
    store = RunStore(str(tmp_path / "run"))
    store.make(*folder.FOLDERS)

    def begin(**settings):
        config = parse({"sources": settings})
        progress = Progress(io.StringIO())
        current = SimpleNamespace(
            config=config, store=store, progress=progress, epoch=new_epoch(), ray=lambda models=True: None
        )
        evolution = Evolution(NearDuplicates(0.8))
        evolution.take(store.rows("apis", part=evolve.PART))
        evolve._read_sources(current, sources.files(config.sources), evolution)
        return len(saved.document_ids(store)), [row["evidence"] for row in store.rows("rejected", ["evidence"])]

    begin.store = store
    return begin


def test_what_could_not_be_read_is_tried_again_and_told_once(start, tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("small")
    (folder / "b.txt").write_text("x" * (2 << 20))
    assert start(documents=[str(folder)], max_file_mb=1)[0] == 1
    count, ledger = start(documents=[str(folder)], max_file_mb=1)
    assert (count, len(ledger)) == (1, 1)
    assert start(documents=[str(folder)], max_file_mb=4, chunk_chars=4 << 20)[0] == 2


def test_a_source_without_anything_readable_is_said_every_time(start, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    for _ in range(2):
        with pytest.raises(UserError, match="none of 1 files could be read"):
            start(documents=[str(tmp_path / "a.txt")])


TOOL = {"name": "find_lamp", "description": "Find a lamp by its room.",
        "inputSchema": {"properties": {"room": {"type": "string", "description": "Room"}}}}  # fmt: skip


def write(path, *tools):
    path.write_text(json.dumps({"tools": tools}))
    return str(path)


def test_a_newcomer_gives_way_to_what_was_made(start, tmp_path):
    path = write(tmp_path / "home.mcp.json", TOOL)
    (api,) = specs.import_mcp(path)
    spent = usage_columns(Usage(), 0)
    made = api.model_copy(update={"lineage": api.lineage.model_copy(update={"source": "synthesised"})})
    row = api_row(made, {"id": "g0000-0", "type": "api", "kind": "g0000", "attempt": 0, **spent})
    start.store.write("apis", "e-apis-g0000-a.parquet", [row], API)
    _, ledger = start(mcp=[path])
    assert len(list(start.store.rows("apis"))) == 1
    assert "is the same as g0000-000000" in ledger[0]


def test_an_edited_spec_brings_what_is_new_and_says_nothing_of_the_rest(start, tmp_path):
    path = tmp_path / "home.mcp.json"
    start(mcp=[write(path, TOOL)])
    other = {**TOOL, "name": "dim_lamp", "description": "Make a lamp in a room darker."}
    _, ledger = start(mcp=[write(path, TOOL, other)])
    assert sorted(row["name"] for row in start.store.rows("apis")) == ["dim_lamp", "find_lamp"]
    assert ledger == []


def test_what_came_of_each_source_is_told_whatever_its_kind(start, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    other = {**TOOL, "name": "dim_lamp", "description": "Make a lamp in a room darker."}
    write(folder / "home.mcp.json", TOOL, {"name": "x"}, {"name": "y"}, {**TOOL, "name": "bad", "description": ""})
    (folder / "other.json").write_text("{}")
    (folder / "guide.md").write_text("How to find a lamp.")
    start.store.write_bytes("sources/mcp", "live.json", json.dumps({"tools": [other]}).encode())
    server = {"live": {"command": ["serve"]}}
    for _ in range(2):  # the second start tells the same of what the first one read
        start(documents=[str(folder)], mcp=[str(folder)], mcp_servers=server, undescribed="refuse")
        told = intake.of_run(start.store)
        found = dict(zip(intake.short_names(told), told, strict=True))
        assert list(found) == ["home.mcp.json", "other.json", "sources.mcp_servers.live", "guide.md"]
        home, other_file, live, guide = found.values()
        assert (home.kind, home.met, home.apis) == ("mcp", 4, 1)
        assert home.refused == {"it has no inputSchema, so what it takes is not known": 2, "description": 1}
        assert home.seconds > 0
        assert (other_file.met, other_file.seconds) == (0, None)
        assert "not an MCP tools/list result" in other_file.examples[next(iter(other_file.refused))]
        assert (guide.kind, guide.met, guide.refused.total()) == ("document", 0, 0)
        assert (live.met, live.apis, live.seconds) == (1, 1, None)


@pytest.mark.parametrize(
    ("sections", "more", "met", "reached"),
    [
        ({}, {}, [False], True),  # neither models nor room for them were asked for
        ({"evolve": {"apis": 3}}, {}, [False], False),  # asked for in words, and there is nothing to make them of
        ({"evolve": {"apis": 0}}, {}, [False], True),
        ({}, {"dialogs": True}, ["models", True], True),
    ],
)
def test_a_run_of_specifications_alone_needs_no_model(start, tmp_path, monkeypatch, sections, more, met, reached):
    found = []

    @contextlib.contextmanager
    def no_ray(config, say, check):
        found.append(check)
        yield

    monkeypatch.setattr(session, "check_models", lambda *_: found.append("models"))
    monkeypatch.setattr(session, "ray_session", no_ray)
    monkeypatch.setattr(session, "lock_on_cluster", lambda _: None)
    path = write(tmp_path / "home.mcp.json", TOOL)
    config = parse({"run": {"path": str(tmp_path / "new")}, "sources": {"mcp": [path]}, **sections})
    said = io.StringIO()
    with session.session(config, Progress(said)) as current:
        status = evolve.evolve(current, **more)
        assert [row["name"] for row in current.store.rows("apis")] == ["find_lamp"]
    assert status["types"]["api"]["reached"] is reached
    assert found == met
    assert ("0 of 3 wanted" in said.getvalue()) is not reached


def test_a_folder_that_is_named_as_two_kinds_of_sources_is_read_as_both(start, tmp_path):
    """What is one of the two is not told to be none of the other; what is neither is told to be neither."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "home.json", TOOL)
    operation = {
        "operationId": "find_room",
        "description": "Find a room by its name.",
        "parameters": [{"name": "room", "in": "query", "schema": {"type": "string"}}],
    }
    (folder / "desk.json").write_text(
        json.dumps({"openapi": "3.1.0", "info": {"title": "Desk"}, "paths": {"/rooms": {"get": operation}}})
    )
    (folder / "none.json").write_text("{}")
    _, ledger = start(openapi=[str(folder)], mcp=[str(folder)])
    assert sorted(row["name"] for row in start.store.rows("apis")) == ["find_lamp", "find_room"]
    assert [evidence.partition(": ")[0] for evidence in ledger] == [str(folder / "none.json")] * 2
    told = intake.of_run(start.store)
    found = dict(zip(intake.short_names(told), told, strict=True))
    assert {name: item.kind for name, item in found.items()} == {
        "none.json": "",
        "home.json": "mcp",
        "desk.json": "openapi",
    }


def test_a_file_that_is_moved_to_another_kind_of_source_is_read_as_that(start, tmp_path):
    function = {"name": "find_shop", "description": "Find a shop by its name.", "parameters": {"type": "object"}}
    path = write(tmp_path / "a.json", TOOL, {"type": "function", "function": function})
    start(mcp=[path])
    assert [row["name"] for row in start.store.rows("apis")] == ["find_lamp"]
    start(tools=[path])
    assert sorted(row["name"] for row in start.store.rows("apis")) == ["find_lamp", "find_shop"]
