"""Settling and the worker's loop, without Ray."""

import asyncio
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError, RayTaskError

from actors import worker as workers
from actors.planner import Planner, PlannerActor
from actors.players import Played
from jobs import flow as flows
from jobs.flow import Stall, survey
from jobs.progress import Progress
from jobs.session import Session
from jobs.summary import _reasons
from tests.material import Clock, draft_row, good_dialogs
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import (
    BadRequest,
    EngineDead,
    EngineError,
    EngineRefused,
    EngineTimeout,
    GenerateRequest,
    Generation,
    Sample,
)
from toolace_ray.errors import RunStopped, UserError
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import folder, ledger, rows
from toolace_ray.store.folder import task_row, type_of
from toolace_ray.store.rows import DIALOG, DRAFT, LEDGER, dialog_row, ledger_row, usage_columns
from toolace_ray.store.settle import Flow, settle
from toolace_ray.store.storage import RunStore
from toolace_ray.tss.generations import name_of

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


def test_settling_reads_records_only_where_rows_move(store, monkeypatch):
    for part in range(3):
        store.write("dialogs", f"e-dialogs-{part}.parquet", [accepted(10 * part + i) for i in range(10)], DIALOG)
    before = list(store.rows("dialogs"))
    whole = []

    def table(self, folder, name, columns=None, read=RunStore.table):
        whole.extend([] if columns else [name])
        return read(self, folder, name, columns)

    monkeypatch.setattr(RunStore, "table", table)
    assert not settle(flow(30), store, DIALOG, "e1")
    assert whole == []
    assert settle(flow(25), store, DIALOG, "e2")
    assert whole == ["e-dialogs-2.parquet"]
    assert list(store.rows("dialogs")) == before[:25]


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
    base = {"id": "single.plain-1", "type": "single", "kind": "single.plain", "attempt": 1, "key": None}
    store.write("rejected", "e-dialogs-a.parquet", [ledger_row(base, [verdict], None, SPENT)], LEDGER)
    drafts = [draft_row("single.plain", i) for i in (1, 3)]
    store.write("drafts/dialogs", "e-dialogs-a.parquet", drafts, DRAFT)
    planner = survey(flow(8), store)
    assert planner.shards == [("e-dialogs-a.parquet", ["single.plain-3"])]
    assert planner.lease("w", 2) == [("single.plain", 4), ("single.plain", 5)]


class Handle:
    """Stands for a Ray handle of the planner: the same calls, on this loop."""

    def __init__(self, actor):
        self._actor = actor

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self._actor, name))


class Scripted:
    """An engine that answers, or fails, as `outcome(attempt, times asked for it)` says; `probe(times)` for the one token that
    tells whether it answers at all. It counts what its answers cost."""

    def __init__(self, outcome, probe):
        self._outcome, self._probe = outcome, probe
        self.asked = {}
        self.tokens = 0

    async def generate(self, request):
        await asyncio.sleep(0)
        text = request.messages[-1]["content"]
        self.asked[text] = self.asked.get(text, 0) + 1
        result = self._outcome(int(text), self.asked[text]) if text.isdigit() else self._probe(self.asked[text])
        if isinstance(result, Exception):
            raise result
        self.tokens += 7
        return Generation((Sample("yes", "stop", 7),), prompt_tokens=3)


class Player:
    """Asks once that all is well, then for the attempt's own answer."""

    def __init__(self, config, *_):
        self._config = config

    async def play(self, kind, attempt, engines):
        for text in ("greeting", str(attempt)):
            await engines.generate("user", GenerateRequest([{"role": "user", "content": text}], max_tokens=9))
        base = task_row(self._config, kind, attempt, "")
        return Played(kind, attempt, True, {**base, "record": "{}", **usage_columns(engines.usage, 0.0)})


class Mute(Player):
    """Asks for the attempt's own answer alone."""

    async def play(self, kind, attempt, engines):
        await engines.generate("user", GenerateRequest([{"role": "user", "content": str(attempt)}], max_tokens=9))
        base = task_row(self._config, kind, attempt, "")
        return Played(kind, attempt, True, {**base, "record": "{}", **usage_columns(engines.usage, 0.0)})


def work(store, monkeypatch, outcome, wanted=3, attempts=30, player=Mute, probe=lambda _: None, kind="x", **execution):
    """Run one worker over attempts whose engine does as `outcome` says. Returns the planner and the engine."""
    engine = Scripted(outcome, probe)
    monkeypatch.setitem(workers.PLAYERS, "scripted", player)
    monkeypatch.setattr(workers, "clients", lambda *_: {"small": engine})
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(workers.asyncio, "sleep", lambda _, real=asyncio.sleep: real(0))
    planner = Planner({kind: (wanted, attempts)}, verify=False)
    config = parse({"execution": {"in_flight": 4, **execution}})
    worker = workers.Worker("e-w1", "scripted", "dialogs", config, store.uri, {}, Handle(PlannerActor(planner)))
    asyncio.run(asyncio.wait_for(worker.run(), 30))
    return planner, engine


def test_one_bad_attempt_goes_to_the_ledger_and_the_rest_goes_on(store, monkeypatch):
    planner, _ = work(
        store, monkeypatch, lambda attempt, _: {1: ZeroDivisionError("x"), 2: BadRequest("too long")}.get(attempt)
    )
    assert planner.quotas["x"].cut == 4
    reasons = {row["attempt"]: row["rule"] for row in store.rows("rejected", ["attempt", "rule"])}
    assert reasons == {1: "internal", 2: "request_refused"}


def test_an_attempt_at_an_api_is_told_as_one_however_it_ends(store, monkeypatch):
    refuse = lambda attempt, _: BadRequest("too long") if attempt == 1 else None  # noqa: E731
    work(store, monkeypatch, refuse, kind=name_of(3))
    assert _reasons(store) == {("api", "generate", "request_refused"): 1}
    assert [row["type"] for row in store.rows("rejected", ["type"])] == ["api"]  # the report counts by it


@given(st.integers(0, 20000))
def test_a_generation_is_a_kind_of_apis(number):
    assert type_of(name_of(number)) == "api"
    assert [type_of(kind) for kind in ("document", "node", "single.plain")] == ["document", "node", "single"]


def reasons(store):
    return {row["attempt"]: row["rule"] for row in store.rows("rejected", ["attempt", "rule"])}


def test_an_engine_that_hiccups_costs_no_attempt(store, monkeypatch):
    down = lambda times: EngineDead("gone") if times <= 2 else None  # noqa: E731
    planner, engine = work(store, monkeypatch, lambda _, times: down(times), probe=lambda times: EngineDead("gone") if times <= 8 else None)  # fmt: skip
    assert planner.quotas["x"].cut == 2
    assert reasons(store) == {}
    assert engine.asked["0"] == 3


def test_an_engine_that_stays_away_ends_the_worker(store, monkeypatch):
    with pytest.raises(EngineDead, match="gone"):
        work(store, monkeypatch, lambda *_: EngineDead("gone"), probe=lambda _: EngineDead("gone"))
    assert reasons(store) == {}


def test_an_engine_that_refuses_us_ends_the_worker_at_once(store, monkeypatch):
    with pytest.raises(EngineRefused, match="no credit"):
        work(store, monkeypatch, lambda attempt, _: EngineRefused("no credit") if attempt == 2 else None)
    assert reasons(store) == {}


@pytest.mark.parametrize("player", [Player, Mute])
@pytest.mark.parametrize("attempts", [30, 1])
def test_an_attempt_that_always_fails_goes_to_the_ledger(store, monkeypatch, player, attempts):
    """Among others, and where it is the only one that is left."""
    poison = lambda attempt, _: EngineError("the answer is larger than 16777216 bytes") if attempt == 0 else None  # noqa: E731
    planner, engine = work(store, monkeypatch, poison, wanted=min(8, attempts), attempts=attempts, player=player)
    assert planner.done
    assert reasons(store) == {0: "engine_failure"}
    assert engine.asked["0"] == 3
    assert held(store)[:8] == list(range(1, 9))[: attempts - 1]


def test_an_engine_that_refuses_the_question_whether_it_answers_does_answer(store, monkeypatch):
    poison = lambda attempt, _: EngineError("no JSON") if attempt == 0 else None  # noqa: E731
    work(store, monkeypatch, poison, wanted=1, attempts=1, probe=lambda _: BadRequest("max_tokens must be 16 or more"))
    assert reasons(store) == {0: "engine_failure"}


def test_a_request_that_times_out_while_others_are_answered_is_not_sent_thrice(store, monkeypatch):
    slow = lambda attempt, _: EngineTimeout("no answer within 600 s") if attempt == 1 else None  # noqa: E731
    _, engine = work(store, monkeypatch, slow)
    assert reasons(store) == {1: "timeout"}
    assert engine.asked["1"] == 1


def test_requests_that_time_out_at_an_engine_that_hangs_cost_no_attempt(store, monkeypatch):
    hangs = lambda _, times: EngineTimeout("no answer") if times == 1 else None  # noqa: E731
    planner, _ = work(store, monkeypatch, hangs, probe=lambda _: EngineTimeout("no answer"))
    assert planner.quotas["x"].cut == 2
    assert reasons(store) == {}


def test_what_is_spent_is_counted_however_an_attempt_ends(store, monkeypatch):
    ends = {0: EngineError("x"), 1: BadRequest("x"), 2: ZeroDivisionError("x"), 3: EngineTimeout("x")}
    planner, engine = work(store, monkeypatch, lambda attempt, _: ends.get(attempt), wanted=9, player=Player)
    assert engine.tokens > 7 * 2 * 9  # more than the accepted ones cost
    assert ledger.spending(store)[0] == planner.tokens == engine.tokens
    assert ledger.spending(store)[1] == planner.prompt_tokens
    assert len(list(store.rows("spent"))) >= 2  # attempt 0 was given back twice


def test_what_was_in_flight_when_the_flow_was_done_is_counted(store, monkeypatch):
    """The attempts that are left to play, once the quota is met, have spent something too."""

    class Slow(Player):
        async def play(self, kind, attempt, engines):
            if attempt == 0:
                return await super().play(kind, attempt, engines)
            await engines.generate("user", GenerateRequest([{"role": "user", "content": "greeting"}], max_tokens=9))
            return await asyncio.Event().wait()

    _, engine = work(store, monkeypatch, lambda *_: None, wanted=1, player=Slow, shard_rows=1)
    assert engine.asked["greeting"] > 1
    assert ledger.spending(store)[0] == engine.tokens


def test_shards_are_small_and_complete(store, monkeypatch):
    work(store, monkeypatch, lambda *_: None, wanted=20, shard_rows=3)
    assert held(store)[:20] == list(range(20))
    assert len(store.files("dialogs")) >= 5


def entry(attempt, stage="generate", rule="no_plan"):
    base = {"id": f"single.plain-{attempt}", "type": "single", "kind": "single.plain", "attempt": attempt, "key": None}
    return ledger_row(base, [Verdict(stage=stage, rule=rule)], None, {**SPENT, "tokens": 5})


def test_the_budget_is_the_runs_and_counts_all_that_is_on_disk(store):
    store.write("dialogs", "e-dialogs-a.parquet", [{**accepted(0), "tokens": 1}], DIALOG)
    store.write("dialogs", "e-contrasts-a.parquet", [{**accepted(0, "non_tool.contrast_tool"), "tokens": 2}], DIALOG)
    store.write("rejected", "e-apis-g0000-a.parquet", [{**entry(7), "id": "api", "tokens": 4}], LEDGER)
    drafts = [draft_row("single.plain", i, tokens=8) for i in (0, 1)]  # 0 has its verdict
    store.write("drafts/dialogs", "e-dialogs-a.parquet", drafts, DRAFT)
    back = [draft_row("single.plain", 3, tokens=16)] * 2
    store.write("spent", "e-dialogs-w001-000001.parquet", back, rows.SPENT)
    assert ledger.total(store).tokens == 1 + 2 + 4 + 8 + 2 * 16  # and the user is told the same
    for name in ("dialogs", "contrasts"):
        planner = survey(replace(flow(5), name=name, max_tokens=47), store, ledger.spending(store))
        assert planner.tokens == 1 + 2 + 4 + 8 + 2 * 16
        assert planner.over_budget


def test_what_a_run_has_spent_is_read_once_a_session(store, monkeypatch):
    """However many flows a session has: what they spend is in their last status."""
    reads, started_at = [], []
    monkeypatch.setattr(ledger, "spending", lambda _: reads.append(1) or (40, 4, 0.5))

    def play(_, planner, *__):
        started_at.append((planner.tokens, planner.prompt_tokens, planner.cost))
        planner.spend(30, 3, 0.25)
        return planner.status()

    monkeypatch.setattr(flows, "run_flow", play)
    monkeypatch.setattr(Session, "pools", lambda _: SimpleNamespace(handles={}))
    current = Session(parse({}), store, Progress(io.StringIO()))
    told = [current.run_flow(replace(flow(3), max_tokens=100), "dialogs") for _ in range(3)]
    assert started_at == [(40, 4, 0.5), (70, 7, 0.75)]
    assert [status["new"] for status in told] == [True, True, False]
    assert current.budget == "generate.max_tokens (100) is spent"
    assert len(reads) == 1
    unlimited = Session(parse({}), store, Progress(io.StringIO()))
    assert unlimited.run_flow(flow(3), "dialogs")["tokens"] == 30
    assert len(reads) == 1


def test_a_flow_that_fails_leaves_the_live_line(store, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True

    def fail(_, planner, *rest):
        report = rest[4]
        report(planner.status(), 1.0)
        raise RunStopped("x")

    monkeypatch.setattr(flows, "run_flow", fail)
    monkeypatch.setattr(Session, "pools", lambda _: SimpleNamespace(handles={}))
    with pytest.raises(RunStopped):
        Session(parse({}), store, Progress(terminal)).run_flow(flow(3), "dialogs")
    assert "dialogs 0/3" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_what_a_worker_wrote_that_was_given_up_is_sorted_out(store):
    """It was out of reach, its attempts were played by others, and then its own shard appeared."""
    planner = survey(flow(2), store)
    taken = planner.lease("e-dialogs-w001", 2)
    planner.lost("e-dialogs-w001")
    assert planner.lease("e-dialogs-w002", 2) == taken
    kind = "single.plain"
    drafts = [draft_row(kind, 0)]
    store.write("drafts/dialogs", "e-dialogs-w001-000001.parquet", drafts, DRAFT)
    store.write("rejected", "e-dialogs-w001-000001.parquet", [entry(1)], LEDGER)
    planner.committed("e-dialogs-w001", "e-dialogs-w001-000001.parquet", [(kind, 0, "")], [(kind, 1)])
    assert planner.shards == []
    store.write("drafts/dialogs", "e-dialogs-w002-000001.parquet", drafts, DRAFT)
    planner.committed("e-dialogs-w002", "e-dialogs-w002-000001.parquet", [(kind, 0, ""), (kind, 1, "")], [])
    # The run is killed before anything is judged: the next start judges each once.
    again = survey(flow(2), store)
    assert [keep for _, keep in again.shards] == [[f"{kind}-0"]]
    # Or both are judged: the accepted row counts, and the ledger does not contradict it.
    store.write("dialogs", "e-dialogs-x.parquet", [accepted(0), accepted(1)], DIALOG)
    assert survey(flow(2), store).done
    assert settle(flow(2), store, DIALOG, "e2")
    assert held(store) == [0, 1]
    assert held(store, "rejected") == []
    assert not settle(flow(2), store, DIALOG, "e3")


def test_what_a_person_rejected_stays_in_the_ledger_beside_its_double(store):
    """An import of decisions that was killed leaves a row in both places; settling must not decide for the person."""
    store.write("dialogs", "e-dialogs-x.parquet", [accepted(0)], DIALOG)
    store.write("rejected", "e-dialogs-review.parquet", [entry(0, "human", "review")], LEDGER)
    settle(flow(1), store, DIALOG, "e2")
    assert held(store, "rejected") == [0]


def test_a_stream_without_verdicts_is_told_of_seldom():
    clock = Clock()
    stall = Stall(clock)

    def status(unjudged, verdicts):
        return {"types": {"x": {"unjudged": unjudged}}, "verdicts": verdicts}

    def told(minutes, unjudged, verdicts):
        """The minutes at which it is said, looking twice a second."""
        found = []
        for _ in range(minutes * 120):
            clock.now += 0.5
            if stall.is_due(status(unjudged, verdicts)):
                found.append(round(clock.now / 60))
        return found

    assert told(60, 0, 0) == []  # nothing waits
    assert told(64, 12, 0) == [65, 95]  # five minutes, then every thirty
    assert told(4, 12, 1) == []  # a verdict came
    assert told(2, 12, 1) == [129]
    text = stall.sentence(status(12, 1), {"CPU": 0.0}, {"CPU": 4.0})
    assert "6 minutes while 12 drafts wait" in text
    assert "0 of the cluster's 4 are free" in text
    assert "pools.<name>.cpus" in text
    assert "roles.judge" in stall.sentence(status(12, 1), {"CPU": 2.0}, {"CPU": 4.0})


class Crew(flows.Crew):
    """A crew whose workers are names: which of them have ended, and how, the test says."""

    def __init__(self, store, say, ends):
        super().__init__(flow(1), parse({}), store, {}, None, "e", say)
        self._at_work = {name: (name, None) for name in ends}


@pytest.fixture
def ended(monkeypatch):
    ends = {}

    def get(reference):
        if isinstance(ends[reference], Exception):
            raise ends[reference]

    monkeypatch.setattr("ray.wait", lambda references, **_: (list(references), []))
    monkeypatch.setattr("ray.get", get)
    monkeypatch.setattr("ray.kill", lambda _: None)
    return ends


def test_a_last_commit_that_is_lost_is_said(store, ended):
    full = RayTaskError("run", "traceback", UserError("/runs/x: no room on the disk; free some space"))
    ended.update(w1=None, w2=full, w3=ActorDiedError())
    said = []
    Crew(store, said.append, ended).dismiss()
    (text,) = said
    assert "no room on the disk" in text
    assert "\n" not in text


@pytest.mark.parametrize("error", [UserError("no room on the disk"), EngineRefused("no credit"), EngineError("")])
def test_what_another_process_raised_is_said_in_one_line(error):
    raised = RayTaskError("run", f"Traceback (most recent call last):\n  ...\n{error!r}", error).as_instanceof_cause()
    shown = flows._unwrapped(raised)
    assert type(shown) is type(error)
    assert str(shown) == (str(error) or "EngineError")
    assert type(flows._unwrapped(error)) is type(error)  # raised in this process
    assert flows._unwrapped(ZeroDivisionError("x")).args == ("x",)


def test_workers_may_die_for_ever_as_long_as_something_is_committed(store, ended, monkeypatch):
    crew = Crew(store, print, {})
    monkeypatch.setattr(crew, "_recover", lambda _: None)
    monkeypatch.setattr(crew, "hire", lambda: crew._at_work.update(w=("w", None)))
    ended["w"] = ActorDiedError()
    crew.hire()
    for commits in range(50):
        crew.replace_dead(commits)
    for _ in range(9):
        crew.replace_dead(49)
    with pytest.raises(RunStopped, match="nothing was committed in between"):
        crew.replace_dead(49)


def test_what_a_dead_worker_committed_counts_once(store, monkeypatch):
    """It told the planner of its first shard, and died after it wrote the second one, of both kinds."""
    monkeypatch.setattr("ray.get", lambda value: value)
    planner = survey(flow(4), store)
    worker, kind = "e-dialogs-w001", "single.plain"
    taken = planner.lease(worker, 6)
    assert len(taken) == 6

    store.write("drafts/dialogs", f"{worker}-000001.parquet", [draft_row(kind, 0, tokens=8)], DRAFT)
    planner.committed(worker, f"{worker}-000001.parquet", [(kind, 0, "")], [], (8, 0, 0.0))
    store.write("drafts/dialogs", f"{worker}-000002.parquet", [draft_row(kind, 1, tokens=8)], DRAFT)
    store.write("rejected", f"{worker}-000002.parquet", [entry(2)], LEDGER)
    store.write("spent", f"{worker}-000002.parquet", [draft_row(kind, 3, tokens=16)], rows.SPENT)
    crew = Crew(store, print, {})
    crew._planner = SimpleNamespace(
        committed=SimpleNamespace(remote=planner.committed), lost=SimpleNamespace(remote=planner.lost)
    )
    crew._recover(worker)
    quota = planner.quotas[kind]
    assert planner.shards == [(f"{worker}-000001.parquet", None), (f"{worker}-000002.parquet", None)]
    assert quota.drafted == {0, 1}
    assert quota.ahead == {2: None}
    assert sorted(quota.returned) == [3, 4, 5]
    assert planner.tokens == 8 + 8 + 5 + 16 == ledger.spending(store)[0]
