"""Settling and the worker's loop, without Ray."""

import asyncio
from types import SimpleNamespace

import pytest

from actors import worker as workers
from actors.planner import Planner, PlannerActor
from actors.players import Played
from jobs.flow import survey
from tests.samples import good_dialogs
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import BadRequest, EngineDead
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import folder
from toolace_ray.store.rows import DIALOG, DRAFT, LEDGER, dialog_row, ledger_row, usage_columns
from toolace_ray.store.settle import Flow, settle
from toolace_ray.store.storage import RunStore

SPENT = usage_columns(Usage(), 0.0)


def accepted(attempt, kind="single.plain"):
    dialog = good_dialogs()["single"].model_copy(update={"id": f"{kind}-{attempt}", "attempt": attempt})
    return dialog_row(dialog, {"key": f"{attempt}", **SPENT})


def flow(wanted):
    return Flow("dialogs", "dialogs", "drafts/dialogs", "dialogs", {"single.plain": (wanted, 1000)})


def held(store, folder="dialogs"):
    return sorted(row["attempt"] for row in store.rows(folder, ["attempt"]))


@pytest.fixture
def store(tmp_path):
    made = RunStore(str(tmp_path))
    made.make(*folder.FOLDERS)
    return made


def test_quotas_may_shrink_and_grow_any_number_of_times(store):
    for part in range(3):
        store.write("dialogs", f"e-dialogs-{part}.parquet", [accepted(10 * part + i) for i in range(10)], DIALOG)
    for epoch, wanted in enumerate([*range(29, 5, -1), 30, 0, 17, 30]):
        settle(flow(wanted), store, DIALOG, f"e{epoch}")
        assert held(store) == list(range(wanted))
        assert survey(flow(wanted), store).done
    assert held(store, "rejected") == []


def test_settling_that_was_cut_off_is_mended(store):
    store.write("dialogs", "e-dialogs-a.parquet", [accepted(i) for i in range(5)], DIALOG)
    settle(flow(3), store, DIALOG, "e1")
    # Killed after the new place was written and before the old one was left: rows stand twice.
    store.write("dialogs", "e-dialogs-again.parquet", [accepted(i) for i in (0, 1, 3, 4)], DIALOG)
    settle(flow(3), store, DIALOG, "e2")
    assert held(store) == [0, 1, 2]
    settle(flow(5), store, DIALOG, "e3")
    assert held(store) == [0, 1, 2, 3, 4]


def test_what_is_on_disk_is_not_played_again(store):
    store.write("dialogs", "e-dialogs-a.parquet", [accepted(i) for i in (0, 2)], DIALOG)
    verdict = Verdict(stage="rules", rule="x")
    base = {"id": "single-1", "type": "single", "kind": "single.plain", "attempt": 1, "key": None}
    store.write("rejected", "e-dialogs-a.parquet", [ledger_row(base, [verdict], None, SPENT)], LEDGER)
    drafts = [
        {
            "id": f"single-{i}",
            "type": "single",
            "kind": "single.plain",
            "attempt": i,
            "key": "",
            "record": "{}",
            **SPENT,
        }
        for i in (1, 3)
    ]
    store.write("drafts/dialogs", "e-dialogs-a.parquet", drafts, DRAFT)
    planner = survey(flow(8), store)
    assert planner.shards == [("e-dialogs-a.parquet", ["single-3"])]
    assert planner.lease("w", 2) == [("single.plain", 4), ("single.plain", 5)]


class Handle:
    """Stands for a Ray handle of the planner: the same calls, on this loop."""

    def __init__(self, actor):
        self._actor = actor

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self._actor, name))


def work(store, monkeypatch, outcome, wanted=3, attempts=30, **execution):
    """Run one worker over a player whose attempts end as `outcome(attempt, times played)` says."""
    played = {}

    class Scripted:
        def __init__(self, *_):
            pass

        async def play(self, kind, attempt):
            played[attempt] = played.get(attempt, 0) + 1
            await asyncio.sleep(0)
            result = outcome(attempt, played[attempt])
            if isinstance(result, Exception):
                raise result
            row = {
                "id": f"x-{attempt}",
                "type": kind,
                "kind": kind,
                "attempt": attempt,
                "key": "",
                "record": "{}",
                **SPENT,
            }
            return Played(kind, attempt, True, row, Usage())

    monkeypatch.setitem(workers.PLAYERS, "scripted", Scripted)
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(workers.asyncio, "sleep", lambda _, real=asyncio.sleep: real(0))
    planner = Planner({"x": (wanted, attempts)}, verify=False)
    config = parse({"execution": {"in_flight": 4, **execution}})
    worker = workers.Worker("e-w1", "scripted", "dialogs", config, store.uri, {}, Handle(PlannerActor(planner)))
    asyncio.run(asyncio.wait_for(worker.run(), 30))
    return planner, played


def test_one_bad_attempt_goes_to_the_ledger_and_the_rest_goes_on(store, monkeypatch):
    planner, _ = work(
        store, monkeypatch, lambda attempt, _: {1: ZeroDivisionError("x"), 2: BadRequest("too long")}.get(attempt)
    )
    assert planner.quotas["x"].cut == 4
    reasons = {row["attempt"]: row["rule"] for row in store.rows("rejected", ["attempt", "rule"])}
    assert reasons == {1: "internal", 2: "request_refused"}


def test_an_engine_that_hiccups_costs_no_attempt(store, monkeypatch):
    planner, played = work(store, monkeypatch, lambda attempt, times: EngineDead("gone") if times <= 2 else None)
    assert planner.quotas["x"].cut == 2
    assert list(store.rows("rejected")) == []
    assert max(played.values()) >= 3


def test_an_engine_that_stays_away_ends_the_worker(store, monkeypatch):
    with pytest.raises(EngineDead, match="gone"):
        work(store, monkeypatch, lambda *_: EngineDead("gone"))


def test_shards_are_small_and_complete(store, monkeypatch):
    work(store, monkeypatch, lambda *_: None, wanted=20, shard_rows=3)
    assert held(store)[:20] == list(range(20))
    assert len(store.files("dialogs")) >= 5
