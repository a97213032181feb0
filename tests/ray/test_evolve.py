"""Pools from the command line on the simulated engine: reproduced, killed, resumed, grown; sources of all kinds, live ones too."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolace_ray.store import ledger
from toolace_ray.store.storage import RunStore
from toolace_ray.tss import saved

ROOT = Path(__file__).parents[2]
SMALL = ("evolve.apis=40", "evolve.generation_size=15", "evolve.depth=5")


def command(path, *settings):
    given = [item for setting in (f"run.path={path}", *settings) for item in ("--set", setting)]
    return [sys.executable, "-m", "jobs.cli", "evolve", "--config", "configs/simulated.yaml", *given]


def evolve(path, environment, *settings, code=0):
    done = subprocess.run(
        command(path, *settings), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def pool(path):
    """Id -> API of the synthesised ones, and all rows."""
    rows = list(RunStore(str(path)).rows("apis"))
    return {row["id"]: row["record"] for row in rows if row["type"] == "api"}, rows


def tree(path):
    return {node.id: (node.parent, node.name, node.documents) for node in saved.load_nodes(RunStore(str(path)))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    path = tmp_path_factory.mktemp("pools") / "finished"
    text = evolve(path, environment, *SMALL)
    assert "55 APIs (15 imported, 40 synthesised)" in text
    return path


def test_a_pool_has_three_generations_with_lineage(finished):
    made, rows = pool(finished)
    records = [json.loads(record) for record in made.values()]
    sizes = [sum(record["lineage"]["generation"] == number for record in records) for number in range(3)]
    assert sizes == [15, 15, 10]
    assert len({row["key"] for row in rows}) == len(rows)
    known = set(tree(finished))
    assert all(set(record["functionalities"]) <= known for record in records)
    assert len({tuple(sorted(record["functionalities"])) for record in records}) == 40
    assert any(record["lineage"]["indicators"] for record in records)
    assert all(record["lineage"]["parent"] for record in records)
    assert {record["id"] for record in rows} >= set(made)


def test_a_killed_pool_goes_on_and_ends_like_one_that_was_not(finished, tmp_path, environment):
    path = tmp_path / "killed"
    slow = ("execution.shard_rows=2", "execution.shard_seconds=0.2", "execution.in_flight=4")
    for marker in ("tree/extractions", "tree/divisions", "evolution/g0001-designs.parquet"):
        driver = subprocess.Popen(
            command(path, *SMALL, *slow), cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while not ((path / marker).is_file() or ((path / marker).is_dir() and list((path / marker).glob("*.parquet")))):
            assert time.monotonic() < deadline, f"no {marker}"
            assert driver.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    evolve(path, environment, *SMALL)
    assert tree(path) == tree(finished)
    assert pool(path)[0] == pool(finished)[0]


def test_a_pool_grows_to_what_it_would_have_been(finished, tmp_path, environment):
    path = tmp_path / "grown"
    evolve(path, environment, "evolve.apis=20", *SMALL[1:])
    first = pool(path)[0]
    evolve(path, environment, *SMALL)
    assert pool(path)[0] == pool(finished)[0]
    assert first.items() <= pool(path)[0].items()


def test_a_pool_whose_budget_was_spent_goes_on_when_it_is_raised(finished, tmp_path, environment):
    path = tmp_path / "poor"
    whole = ledger.spending(RunStore(str(finished)))[0]
    for share in (0.02, 0.5):  # in the tree, then among the APIs
        budget = f"generate.max_tokens={round(share * whole)}"
        prompt = ("execution.in_flight=2", "execution.shard_rows=1", "execution.speculate=false")  # told at once
        text = evolve(path, environment, budget, *prompt, *SMALL, code=3)
        assert f"since generate.max_tokens ({round(share * whole)}) is spent" in text
        assert share * whole <= ledger.spending(RunStore(str(path)))[0] < (share + 0.4) * whole
    evolve(path, environment, *SMALL)
    assert tree(path) == tree(finished)
    assert pool(path)[0] == pool(finished)[0]


def test_a_finished_pool_does_nothing(finished, environment):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")}
    evolve(finished, environment, *SMALL)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")} == before


def test_other_seeds_make_other_pools(finished, tmp_path, environment):
    evolve(tmp_path / "other", environment, "run.seed=8", *SMALL)
    assert not set(pool(tmp_path / "other")[0].values()) & set(pool(finished)[0].values())


def test_documents_of_every_format_are_read_once_and_the_tree_grows(tmp_path, environment):
    folder, path = tmp_path / "documents", tmp_path / "run"
    folder.mkdir()
    (folder / "a.md").write_text("# Parcels\n\nTrack a parcel by its number.")
    (folder / "b.html").write_text("<main><h1>Lamps</h1><p>Switch a lamp on or off.</p></main>")
    (folder / "c.jsonl").write_text('{"text": "Book a court."}\n{"text": "Cancel a court."}\n{broken\n')
    pq.write_table(pa.table({"text": ["Translate a word."]}), folder / "d.parquet")
    (folder / "e.pdf").write_bytes(b"%PDF-1.4 nothing")
    settings = (f"sources.documents=[{folder}]", "sources.openapi=[]", "sources.mcp=[]", "evolve.generation_size=1000",
                "evolve.apis=3")  # fmt: skip
    text = evolve(path, environment, *settings)
    assert "2 sources could not be read" in text
    reasons = [row["evidence"] for row in RunStore(str(path)).rows("rejected") if row["type"] == "source"]
    assert sorted(reason.split(": ")[0].rpartition("/")[2] for reason in reasons) == ["c.jsonl", "e.pdf"]
    before, asked = tree(path), len(saved.load_extractions(RunStore(str(path))))
    assert asked == 5
    read = {file: file.stat().st_mtime_ns for file in (path / "tree/extractions").glob("*.parquet")}
    (folder / "f.txt").write_text("Find a recipe with beans.")
    evolve(path, environment, *settings[:-1], "evolve.apis=6")
    assert len(saved.load_extractions(RunStore(str(path)))) == 6
    after = tree(path)
    assert len(after) > len(before)
    assert all(after[node][:2] == found[:2] for node, found in before.items())
    assert (
        read.items()
        <= {file: file.stat().st_mtime_ns for file in (path / "tree/extractions").glob("*.parquet")}.items()
    )
    assert len([row for row in RunStore(str(path)).rows("rejected") if row["type"] == "source"]) == 2
    made = [json.loads(record) for record in pool(path)[0].values()]
    assert [api["lineage"]["generation"] for api in made].count(
        0
    ) == 3  # a generation ends where the tree has outgrown it
    assert len(made) == 6
    fresh = {document for _, _, documents in after.values() for document in documents}
    fresh -= {document for _, _, documents in before.values() for document in documents}
    assert any(fresh & set(api["lineage"]["documents"]) for api in made)


SERVER = """
import sys
from mcp.server import MCPServer

server = MCPServer("desk")


@server.tool()
def book_desk(day: str, window: bool = False) -> str:
    '''Book a desk in the office for one day.'''
    return "ok"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
"""


def test_live_mcp_servers_are_asked_once(tmp_path, environment):
    """A reference server of the MCP project over stdio, and one of our own over HTTP."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    (tmp_path / "server.py").write_text(SERVER)
    http = subprocess.Popen(
        [sys.executable, str(tmp_path / "server.py"), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    servers = {
        "time": {"command": [sys.executable, "-m", "mcp_server_time"]},
        "desk": {"url": f"http://127.0.0.1:{port}/mcp"},
    }
    settings = ("sources.documents=[]", "sources.openapi=[]", "sources.mcp=[]", "evolve.apis=0",
                f"sources.mcp_servers={json.dumps(servers)}")  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert http.poll() is None
                time.sleep(0.05)
        evolve(tmp_path / "run", environment, *settings)
    finally:
        http.terminate()
        http.wait(20)
    apis = {row["name"]: json.loads(row["record"]) for row in pool(tmp_path / "run")[1]}
    assert {"get_current_time", "convert_time", "book_desk"} <= set(apis)
    # FastMCP-like servers describe tools but not parameters: these are derived from their names, and that is told.
    assert all(item["description"] for item in apis["book_desk"]["parameters"]["properties"].values())
    assert apis["book_desk"]["lineage"]["notes"]
    # The server is gone now; what it said is in the run.
    evolve(tmp_path / "run", environment, *settings)


def test_lists_of_tools_and_python_files_alone_make_a_pool(tmp_path, environment):
    (tmp_path / "broken.py").write_text("def f(:")
    settings = ("sources.documents=[]", "sources.openapi=[]", "sources.mcp=[]", "evolve.apis=0",
                "sources.tools=[examples/specs/*.tools.json]", f"sources.python=[examples/specs/garden.py, '{tmp_path}/*.py']")  # fmt: skip
    text = evolve(tmp_path / "run", environment, *settings)
    assert "5 APIs (5 imported, 0 synthesised)" in text
    assert "broken.py: line 1: no Python" in text
    rows = pool(tmp_path / "run")[1]
    assert sorted(json.loads(row["record"])["lineage"]["source"] for row in rows) == ["python"] * 2 + ["tools"] * 3
    evolve(tmp_path / "run", environment, *settings)
    assert pool(tmp_path / "run")[1] == rows


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"command": ["/nonexistent/server"]}, "can't list its tools"),
        (
            {"command": [sys.executable, "-c", "import time; time.sleep(60)"], "timeout": 1},
            "no list of tools within 1 s",
        ),
        ({"url": "http://127.0.0.1:9/mcp"}, "can't list its tools"),
        ({"url": "http://127.0.0.1:9/mcp", "token_env": "NO_SUCH_TOKEN"}, "NO_SUCH_TOKEN is not set"),
        ({}, "give either command or url"),
    ],
)
def test_a_server_that_is_not_there_is_the_users_error(tmp_path, environment, server, says):
    text = evolve(tmp_path / "run", environment, f"sources.mcp_servers.x={json.dumps(server)}", code=2)
    assert says in text.strip().splitlines()[-1]
    assert "sources.mcp_servers.x" in text
    assert "Traceback" not in text
    assert not (tmp_path / "run" / "run.yaml").exists()


def undescribed_tools(path, count=12):
    """A list of tools of which neither the tool nor its parameters are described."""
    names = (
        "lamp",
        "parcel",
        "court",
        "recipe",
        "train",
        "room",
        "invoice",
        "ticket",
        "meeting",
        "song",
        "garden",
        "boat",
    )
    tools = [
        {"name": f"find_{name}", "inputSchema": {"type": "object", "required": [f"{name}_number"], "properties": {
            f"{name}_number": {"type": "integer"}, "sort_order": {"type": "string", "enum": ["newest", "oldest"]}}}}
        for name in names[:count]
    ]  # fmt: skip
    path.write_text(json.dumps({"tools": tools}))
    return (f"sources.mcp=[{path}]", "sources.openapi=[]", "sources.documents=[]", "sources.undescribed=write", "evolve.apis=0")  # fmt: skip


def test_descriptions_are_written_and_a_killed_run_does_not_pay_twice(tmp_path, environment):
    settings = (*undescribed_tools(tmp_path / "tools.mcp.json"), "pools.simulated.simulated.latency_ms=300")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    text = evolve(whole, environment, *settings)
    assert "12 imported with" in text
    assert "descriptions written for 12 of them" in text
    slow = ("execution.shard_rows=1", "execution.in_flight=1")
    driver = subprocess.Popen(
        command(killed, *settings, *slow), cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list((killed / "sources" / "descriptions").glob("*.parquet"))) < 3:
        assert time.monotonic() < deadline, "no description"
        assert driver.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before = {row["id"]: row["tokens"] for row in RunStore(str(killed)).rows("sources/descriptions")}
    assert 3 <= len(before) < 12
    assert pool(killed)[1] == []
    evolve(killed, environment, *settings)
    after = [(row["id"], row["tokens"]) for row in RunStore(str(killed)).rows("sources/descriptions")]
    assert len(after) == len(dict(after)) == 12
    assert before.items() <= dict(after).items()
    apis = {row["id"]: row["record"] for row in pool(whole)[1]}
    assert {row["id"]: row["record"] for row in pool(killed)[1]} == apis
    lineages = [json.loads(record)["lineage"] for record in apis.values()]
    assert all(len(lineage["undescribed"]) == 3 for lineage in lineages)
    assert any(lineage["written"] for lineage in lineages)
    assert ledger.spending(RunStore(str(whole)))[0] >= sum(row["tokens"] for row in RunStore(str(whole)).rows("sources/descriptions")) > 0  # fmt: skip


def test_the_report_shows_the_pool(finished, environment):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "report", str(finished)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (finished / "report" / "index.html").read_text()
    figures = json.loads((finished / "report" / "statistics.json").read_text())
    assert figures["apis"] == 55
    assert figures["sources"] == {"synthesised": 40, "openapi": 8, "mcp": 7}
    assert len(figures["nearest"]) == 55
    assert page.count("<svg") >= 10
    assert "a rehearsal, no data" in page
    assert not any(word in page for word in ("<script", 'http-equiv="refresh"', "<img", "<link"))
