"""A process of a run is killed in its middle (SIGKILL, real Ray): the run ends with exactly the dialogs asked for."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from actors.halting import Halted
from jobs.evolve import evolve
from jobs.generate import generate
from jobs.progress import Progress
from jobs.session import Session
from toolace_ray.config.load import load
from toolace_ray.engines.protocol import EngineError
from toolace_ray.errors import RunStopped
from toolace_ray.store.storage import RunStore

ROOT = Path(__file__).parents[2]
QUOTAS = {"single": 8, "parallel": 5, "non_tool": 5}
SETTINGS = (
    "sources.documents=[]",
    f"sources.openapi=[{ROOT}/examples/specs/*.openapi.json]",
    f"sources.mcp=[{ROOT}/examples/specs/*.mcp.json]",
    "evolve.apis=0",
    "pools.simulated.replicas=2",
    "pools.simulated.simulated.latency_ms=60",
    "generate.quotas={single: 8, parallel: 5, dependent: 0, non_tool: 5}",
    "generate.contrastive=0",
    "verify.experts={}",
    "execution.workers=2",
    "execution.in_flight=4",
    "execution.shard_rows=2",
    "execution.shard_seconds=0.3",
)


def processes(name):
    """The processes of this test's Ray that run an actor of a class."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(f"ray::{name}"):
                found.append(process.pid)
        except psutil.Error:  # it ended meanwhile
            continue
    return sorted(found)


class Killer(Progress):
    """Kills a process of a class once the flow of dialogs has committed something and more is in flight."""

    def __init__(self, victim=None):
        super().__init__()
        self.victim = victim
        self.killed = 0
        self.said = []

    def say(self, text):
        self.said.append(text)

    def show(self, what, status, seconds):
        flying = any(item["leased"] for item in status["types"].values())
        if (
            self.victim
            and not self.killed
            and what == "dialogs"
            and status["commits"]
            and flying
            and not status["done"]
        ):
            self.killed = processes(self.victim)[0]
            os.kill(self.killed, signal.SIGKILL)


def play(path, progress, *more):
    """What `toolace run` does, on the Ray that is there."""
    config = load(ROOT / "configs" / "simulated.yaml", (*SETTINGS, f"run.path={path}", *more))
    current = Session(config, RunStore(str(path)), progress, _ray=True)
    with current._stack:
        if not current.store.files("apis"):
            evolve(current)
        return generate(current)


def content(path):
    rows = list(RunStore(str(path)).rows("dialogs"))
    assert Counter(row["type"] for row in rows) == QUOTAS
    assert len({row["id"] for row in rows}) == len(rows)
    rejected = {row["id"] for row in RunStore(str(path)).rows("rejected", ["id", "stage"]) if row["stage"] != "surplus"}
    assert not rejected & {row["id"] for row in rows}
    assert len((path / "corpus" / "openai.jsonl").read_text().splitlines()) == len(rows)
    return {row["id"]: row["messages"] for row in rows}


@pytest.fixture(scope="module")
def whole(ray_local, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    play(path, Killer())
    return content(path)


@pytest.mark.parametrize("victim", ["Worker", "Replica"])
def test_a_killed_process_costs_no_dialog(ray_local, whole, tmp_path, victim):
    killer = Killer(victim)
    status = play(tmp_path / "run", killer)
    assert killer.killed
    assert all(item["reached"] for item in status["types"].values())
    assert content(tmp_path / "run") == whole


def test_a_killed_planner_ends_the_run_and_the_same_command_goes_on(ray_local, whole, tmp_path):
    killer = Killer("PlannerActor")
    with pytest.raises(RunStopped, match="same command goes on") as error:
        play(tmp_path / "run", killer)
    assert "\n" not in str(error.value)
    assert killer.killed
    assert list(RunStore(str(tmp_path / "run")).rows("drafts/dialogs", ["id"]))
    play(tmp_path / "run", Killer())
    assert content(tmp_path / "run") == whole


def test_workers_that_only_die_end_the_run_with_one_sentence(ray_local, tmp_path, monkeypatch):
    class Dying:
        def __init__(self, *_):
            pass

        async def run(self):
            os._exit(137)  # as the kernel ends a process that takes too much memory

    monkeypatch.setattr("actors.worker.Worker", Dying)
    monkeypatch.setattr("jobs.flow.RESTARTS", 1)
    with pytest.raises(RunStopped, match=r"2 worker processes died.*memory.*execution\.in_flight") as error:
        play(tmp_path / "run", Killer(), "execution.workers=1", "pools.simulated.replicas=1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("hangs", [False, True])
def test_a_stream_that_fails_when_all_quotas_are_met_changes_nothing(ray_local, whole, tmp_path, monkeypatch, hangs):
    from actors.stages import stream

    real, ended = stream.stream, []

    def afterwards(*arguments):
        """What is still in the stream then is surplus; its judge does not answer, or never will."""
        try:
            real(*arguments)
            if hangs:
                ray_local.data.range(1).map(lambda row: time.sleep(3600) or row).materialize()
            else:
                raise EngineError("pool simulated: no replica served for 600 s")
        except BaseException as error:
            ended.append(error)
            raise

    monkeypatch.setattr(stream, "stream", afterwards)
    monkeypatch.setattr("jobs.flow.GRACE", 5.0 if hangs else 60.0)
    status = play(tmp_path / "run", Killer())
    assert all(item["reached"] for item in status["types"].values())
    assert content(tmp_path / "run") == whole
    (error,) = ended
    assert isinstance(error, Halted if hangs else EngineError)
