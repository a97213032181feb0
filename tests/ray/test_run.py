"""Whole runs from the command line on the simulated engine: finished, killed, resumed, grown, submitted."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from toolace_ray.store.storage import RunStore

ROOT = Path(__file__).parents[2]
CONFIG = "configs/simulated.yaml"
QUOTAS = {
    "single": 8,
    "parallel": 6,
    "dependent": 5,
    "non_tool": 14,
    "clarification": 4,
    "recovery": 4,
    "multi_turn": 6,
}


def command(path, *more):
    # Judged by rules alone: the simulated judge's word must not depend on how drafts meet in a block.
    return [sys.executable, "-m", "jobs.cli", "run", "--config", CONFIG, "--set", f"run.path={path}", *more]


def run(path, environment, *more):
    done = subprocess.run(command(path, *more), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def dialogs(path):
    rows = list(RunStore(str(path)).rows("dialogs"))
    return {row["id"]: (row["type"], row["messages"]) for row in rows}, rows


def check(path, quotas):
    content, rows = dialogs(path)
    assert Counter(row["type"] for row in rows) == quotas
    assert len(content) == len(rows)
    rejected = {row["id"] for row in RunStore(str(path)).rows("rejected", ["id", "stage"]) if row["stage"] != "surplus"}
    assert not rejected & set(content)
    lines = (Path(path) / "corpus" / "openai.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == set(content)
    return content


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    path = tmp_path_factory.mktemp("runs") / "finished"
    text = run(path, environment)
    assert "47 accepted dialogs (single 8, parallel 6, dependent 5, non_tool 14" in text
    return path


def test_a_run_makes_exactly_what_was_asked_for(finished):
    check(finished, QUOTAS)
    kinds = Counter(row["kind"] for row in dialogs(finished)[1])
    assert [kinds[f"non_tool.{name}"] for name in ("no_function", "missing", "small_talk", "knowledge")] == [3, 2, 1, 1]
    assert kinds["recovery.retry"] == kinds["recovery.correct"] == 2
    # A fifth of the 33 with calls has a contrast, which says whose it is.
    assert (kinds["non_tool.contrast_tool"], kinds["non_tool.contrast_value"]) == (4, 3)
    ids = {row["id"] for row in dialogs(finished)[1]}
    contrasts = [json.loads(row["meta"]) for row in dialogs(finished)[1] if "contrast" in row["kind"]]
    assert all(meta["contrast_of"] in ids for meta in contrasts)


def test_a_finished_run_does_nothing_and_says_so(finished, environment):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")}
    text = run(finished, environment)
    assert "nothing to do" in text
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")} == before


def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(finished, tmp_path, environment):
    path = tmp_path / "killed"
    # Slow enough to be caught in the middle, with small shards.
    slow = ("--set", "execution.shard_rows=2", "--set", "execution.shard_seconds=0.2", "--set", "execution.in_flight=4")
    driver = subprocess.Popen(
        command(path, *slow), cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    deadline = time.monotonic() + 120
    drafts = path / "drafts" / "dialogs"
    while not (drafts.is_dir() and len(list(drafts.glob("*.parquet"))) >= 2):
        assert time.monotonic() < deadline, "no draft was committed"
        assert driver.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    run(path, environment)
    killed = check(path, QUOTAS)
    assert killed == dialogs(finished)[0]


def test_a_run_grows_and_keeps_what_it_has(finished, tmp_path, environment):
    path = tmp_path / "grown"
    shutil.copytree(finished, path)
    before = dialogs(path)[0]
    text = run(path, environment, "--set", "generate.quotas.single=12")
    assert "51 accepted dialogs" in text
    grown = check(path, {**QUOTAS, "single": 12})
    assert before.items() <= grown.items()


def test_other_content_keys_are_refused(finished, environment):
    done = subprocess.run(
        command(finished, "--set", "generate.temperature=0.1"), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 2
    assert "generate.temperature: 0.8 -> 0.1" in done.stderr


def test_dialogs_are_measured_and_guided_into_the_band(tmp_path, environment):
    """The simulated target's losses are drawn at random, but they are measured, recorded and acted upon."""
    band = tmp_path / "band.yaml"
    band.write_text("{measure: loss, lower: 0.5, upper: 0.99}")  # a random loss is near 1: rarely in it at first
    path = tmp_path / "guided"
    roles = dict.fromkeys(("writer", "user", "assistant", "tool", "judge", "target"), "simulated")
    run(path, environment, "--set", f"complexity.band={band}", "--set", f"roles={json.dumps(roles)}",
        "--set", "generate.contrastive=0", "--set", "generate.quotas={single: 6, parallel: 4, dependent: 0, non_tool: 0}")  # fmt: skip
    found = [json.loads(row["meta"]) for row in dialogs(path)[1]]
    assert len(found) == 10
    for meta in found:
        told = meta["complexity"]
        assert told["band"] == [0.5, 0.99]
        assert told["in_band"] == (0.5 <= told["value"] <= 0.99)
        assert bool(told["rounds"]) or told["in_band"]
        assert meta["models"]["target"]
        assert meta["features"]["candidates"] >= 1
    assert any(told["rounds"] for told in (meta["complexity"] for meta in found))
    status = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "status", str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert "in band" in status.stdout


def test_calls_are_executed_on_a_live_server(tmp_path, environment):
    log = tmp_path / "log"
    server = {
        "command": [sys.executable, str(ROOT / "tests" / "mcp_server.py"), str(log)],
        "allow": ["get_balance", "deposit"],
    }
    path = tmp_path / "live"
    run(path, environment, "--set", "sources={}", "--set", f"sources.mcp_servers.bank={json.dumps(server)}",
        "--set", "evolve.apis=0", "--set", "generate.execution=mcp", "--set", "generate.contrastive=0",
        "--set", "verify.experts={}", "--set", "generate.features={single: {plain: 1}}",
        "--set", "generate.quotas={single: 4, parallel: 0, dependent: 0, non_tool: 0}", "--set", "execution.in_flight=4")  # fmt: skip
    executed = log.read_text().splitlines()
    seen = 0
    for row in dialogs(path)[1]:
        for message in json.loads(row["messages"]):
            for call in message["tool_calls"]:
                if call["name"] == "get_balance":
                    assert f"get {call['arguments']['account']}" in executed
                    seen += 1
                elif call["name"] == "deposit":
                    assert f"deposit {call['arguments']['account']} {call['arguments']['amount']}" in executed
                    seen += 1
    assert seen


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_ray_job_submit_on_a_real_head(tmp_path, environment):
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray's sockets lie in it
    ray = str(Path(sys.executable).with_name("ray"))
    gcs, dashboard = free_port(), free_port()
    head = subprocess.Popen(
        [ray, "start", "--head", "--block", "--port", str(gcs), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard),
         "--num-cpus", "4", "--object-store-memory", str(256 << 20), "--temp-dir", folder, "--disable-usage-stats"],
        env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    path = tmp_path / "submitted"
    try:
        from urllib.request import urlopen

        deadline = time.monotonic() + 90
        while True:
            try:
                urlopen(f"http://127.0.0.1:{dashboard}/api/version", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the head's job server did not come up"
                assert head.poll() is None
                time.sleep(0.2)
        done = subprocess.run(
            [ray, "job", "submit", "--address", f"http://127.0.0.1:{dashboard}", "--working-dir", ".", "--",
             sys.executable, "-m", "jobs.generate", "--config", CONFIG, "--set", f"run.path={path}"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        assert "47 accepted dialogs" in done.stdout + done.stderr
        check(path, QUOTAS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(60)
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
