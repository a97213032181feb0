"""The verifying stream's stages without Ray: rows that are poison, judges that stay away, tasks that are run again."""

import asyncio
import json
from types import SimpleNamespace

import pyarrow as pa
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from actors.stages import rules
from actors.stages.experts import PATIENCE, Experts
from actors.stages.rules import apply_gate, apply_rules
from actors.stages.sink import VerdictSink
from actors.stages.verdicts import DRAFT_WITH_VERDICTS, JUDGE_USAGE
from tests.material import WEATHER, ScriptedEngine, draft_row, good_dialogs, result, say
from toolace_ray.config.load import parse
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.engines.protocol import BadRequest, EngineDead, EngineError, EngineRefused, EngineTimeout, Unsupported
from toolace_ray.engines.roles import Engines
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import DRAFT, verdicts_json
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore

GOOD = good_dialogs()["single"]
NO = Verdict(stage="experts", rule="grounding", turn=4, evidence="2 of 2 votes")


def draft(number, **more):
    """A committed draft of a good dialog."""
    dialog = GOOD.model_copy(update={"id": f"single-{number}", "attempt": number})
    own = {"id": dialog.id, "key": dialog_key(dialog), "record": dialog.model_dump_json()}
    return draft_row(dialog.kind, number, **(own | more))


def judged(number, *verdicts, **more):
    """A draft with its verdicts, as the sink gets it."""
    return {**draft(number), "verdicts": verdicts_json(verdicts), **dict.fromkeys(JUDGE_USAGE, 0), **more}


class Planner:
    """Stands for the planner's handle: remembers what it is told."""

    def __init__(self):
        self.told = {}
        self.verified = SimpleNamespace(remote=self._verified)

    def _verified(self, rows, spent):
        self.told.update({attempt: key for _, attempt, key in rows})


class Killed(BaseException):
    """The process of a task ends here."""


@pytest.fixture(scope="module")
def answered_at_once():
    """What the planner answers is there at once: nothing here is a reference of Ray's."""
    before = ray.get
    ray.get = lambda value: value
    yield
    ray.get = before


def sink(store, planner):
    return VerdictSink(store.uri, Flow("dialogs", "dialogs", "drafts/dialogs", "dialogs", {}), planner, "e")


def on_disk(store):
    """Attempt -> what its rows say, in the order of the files."""
    found = {}
    for folder in ("dialogs", "rejected"):
        for row in store.rows(folder, ["attempt"]):
            found.setdefault(row["attempt"], []).append(folder)
    return found


def content(store):
    return {
        (folder, name): store.read_bytes(folder, name)
        for folder in ("dialogs", "rejected")
        for name in store.files(folder)
    }


RUNS = st.lists(st.tuples(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 4)), min_size=1, max_size=5)


@given(RUNS)
def test_a_task_that_is_run_again_keeps_every_first_verdict(tmp_path_factory, answered_at_once, runs):
    """Each run has verdicts of its own, and is killed before or after one of its two writes, or not at all."""
    store = RunStore(str(tmp_path_factory.mktemp("run")))
    store.make("dialogs", "rejected")
    write, first, files = RunStore.write, {}, {}
    for verdicts, dies in [*runs, ([True] * 3, 4)]:  # the last run is a whole one
        moment = iter(range(4))

        def dying(self, *given, dies=dies, moment=moment):
            if next(moment) == dies:
                raise Killed
            write(self, *given)
            if next(moment) == dies:
                raise Killed

        rows = [judged(number, *([] if passes else [NO])) for number, passes in enumerate(verdicts)]
        planner = Planner()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(RunStore, "write", dying)
            try:
                sink(store, planner)._write(rows)
            except Killed:
                assert dies < 4
        for attempt, folders in on_disk(store).items():
            assert folders == first.setdefault(attempt, folders)  # one row, and always the same
        now = content(store)
        assert files.items() <= now.items()  # a file never changes
        files = now
    assert sorted(first) == [0, 1, 2]
    assert {attempt: key is not None for attempt, key in planner.told.items()} == {
        attempt: folders == ["dialogs"] for attempt, folders in first.items()
    }


@pytest.mark.parametrize(("player", "stage"), [("dialogs", "rules"), ("apis", "gate")])
def test_a_row_that_cannot_be_written_down_is_told_as_its_own_stages_fault(tmp_path, answered_at_once, player, stage):
    store = RunStore(str(tmp_path))
    store.make("accepted", "rejected")
    flow = Flow(player, player, f"drafts/{player}", "accepted", {})
    VerdictSink(store.uri, flow, Planner(), "e")._write([{**judged(0), "record": "{}"}])
    (row,) = store.rows("rejected", ["stage", "rule"])
    assert row == {"stage": stage, "rule": "internal"}
    assert store.files("accepted") == []


FITS, OTHER = (json.dumps({"evidence": "because", "function": name}) for name in ("get_forecast", "none"))


def experts(*, fails=lambda identifier, time: None, vote=FITS, expert="consistency", **verify):
    """The model stage with a judge that fails as `fails(id, how often it was asked about it)` says; "" is the short question."""
    asked = {}

    def answer(request):
        asked[request.affinity] = asked.get(request.affinity, 0) + 1
        if error := fails(request.affinity, asked[request.affinity]):
            raise error
        return vote

    config = parse({"verify": {"experts": {expert: {"votes": 1, "against": 1}}, "repair": 0, **verify}})
    engines = Engines(config, dict.fromkeys(config.pools, ScriptedEngine(answer)))
    return Experts(config, engines, pauses=(0.0, 0.0, 0.0)), asked


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=DRAFT_WITH_VERDICTS if "verdicts" in rows[0] else DRAFT)


def told(judged_table):
    """Attempt -> (stage, rule) of its verdict, None where it passes."""
    found = {}
    for row in judged_table.to_pylist():
        verdicts = json.loads(row["verdicts"])
        found[row["attempt"]] = (verdicts[0]["stage"], verdicts[0]["rule"]) if verdicts else None
    return found


@pytest.mark.parametrize("others", [0, 5])
@pytest.mark.parametrize(
    ("error", "rule", "tries"),
    [
        (EngineTimeout("no answer within 600 s"), "timeout", 1),
        (EngineError("no chat completion"), "engine_failure", 3),
        (BadRequest("too long"), "request_refused", 1),
        (Unsupported("no schemas"), "request_refused", 1),
        (ZeroDivisionError("x"), "internal", 1),
    ],
)
def test_a_dialog_that_no_judge_can_bear_is_a_row_of_the_ledger(tmp_path, answered_at_once, others, error, rule, tries):
    """It may be the only one left: then nobody but the judge itself can say whether the fault is the dialog's."""
    stage, asked = experts(fails=lambda identifier, _: error if identifier == "single-0" else None)
    found = stage(table(*(judged(number) for number in range(others + 1))))
    assert told(found) == {0: ("experts", rule), **dict.fromkeys(range(1, others + 1))}
    assert asked["single-0"] == tries
    store, planner = RunStore(str(tmp_path)), Planner()
    store.make("dialogs", "rejected")
    sink(store, planner).write([found], None)
    assert on_disk(store) == {0: ["rejected"], **{number: ["dialogs"] for number in range(1, others + 1)}}
    assert [number for number, key in planner.told.items() if key is None] == [0]
    (row,) = store.rows("rejected")
    assert str(error) in row["evidence"]


def test_a_judge_that_hiccups_costs_no_dialog():
    stage, asked = experts(fails=lambda _, time: EngineDead("gone") if time <= 2 else None)
    assert told(stage(table(judged(0), judged(1)))) == {0: None, 1: None}
    assert asked["single-0"] == asked["single-1"] == 3


def test_a_judge_that_answers_nobody_ends_the_run_after_every_pause():
    stage, asked = experts(fails=lambda *_: EngineTimeout("no answer"))
    with pytest.raises(EngineError, match="no answer"):
        stage(table(judged(0)))
    assert asked["single-0"] == 4
    assert asyncio.all_tasks(stage._loop) == set()


def test_when_one_dialog_ends_the_run_the_others_ask_no_more():
    stage, asked = experts(
        fails=lambda identifier, _: EngineRefused("a wrong key") if identifier == "single-3" else None
    )
    rows = [judged(number) for number in range(5)]
    with pytest.raises(EngineRefused, match="wrong key"):
        stage(table(*rows))
    assert asked["single-3"] == 1
    assert asyncio.all_tasks(stage._loop) == set()


def test_a_stage_that_can_judge_nothing_at_all_ends_the_run():
    stage, _ = experts(fails=lambda identifier, _: EngineTimeout("too slow") if identifier else None)
    with pytest.raises(EngineTimeout, match="too slow"):
        stage(table(*(judged(number) for number in range(PATIENCE))))
    stage, _ = experts(
        fails=lambda identifier, _: EngineTimeout("slow") if identifier not in ("", "single-0") else None
    )
    stage(table(judged(0)))
    found = told(stage(table(*(judged(number) for number in range(1, 2 * PATIENCE)))))
    assert set(found.values()) == {("experts", "timeout")}


def test_what_the_rules_reject_is_not_asked_about_and_what_a_judge_rejects_is_told():
    stage, asked = experts(vote=OTHER)
    rule = Verdict(stage="rules", rule="known_api", evidence="x")
    found = stage(table(judged(0), judged(1, rule)))
    assert told(found) == {0: ("experts", "consistency"), 1: ("rules", "known_api")}
    assert list(asked) == ["single-0"]
    assert found["judge_tokens"].to_pylist()[0] > 0


def test_a_dialog_that_cannot_be_mended_is_a_row_of_the_ledger():
    """What the experts do with a dialog may fail as well as what they ask: this one's result is no JSON."""
    said = say("It will rain in Lima.")
    messages = (*GOOD.messages[:3], result("c1", "get_forecast", {}), said)
    broken = messages[3].model_copy(update={"content": "sunny, but no JSON"})
    odd = GOOD.model_copy(update={"messages": (*messages[:3], broken, said)})
    vote = json.dumps({"verdict": "It will rain in Lima."})
    stage, _ = experts(vote=vote, expert="grounding", repair=1)
    rows = [judged(0, record=odd.model_dump_json()), judged(1)]
    assert told(stage(table(*rows))) == {0: ("experts", "internal"), 1: None}


def test_records_that_are_no_dialogs_are_rows_of_the_ledger(monkeypatch):
    config = parse({})
    records = ["", "{}", "[1]", json.dumps({"tools": [{"name": "x"}]}), '{"tools": "\\ud800"}', "[" * 5000, "null"]
    rows = [draft(number, record=record) for number, record in enumerate(records)]
    found = told(apply_rules(table(*rows, draft(7)), config))
    assert found == {**dict.fromkeys(range(7), ("rules", "record")), 7: None}

    def sick(dialog, _):
        if dialog.id == "single-1":
            raise KeyError("x")
        return []

    monkeypatch.setattr(rules, "run_rules", sick)
    found = told(apply_rules(table(draft(0), draft(1), draft(2)), config))
    assert found == {0: None, 1: ("rules", "internal"), 2: None}


def test_apis_that_are_none_are_rows_of_the_ledger():
    rows = [draft(0, record="{}"), draft(1, record=WEATHER.model_dump_json()), draft(2, record="no JSON")]
    found = told(apply_gate(table(*rows)))
    assert found == {0: ("gate", "internal"), 1: None, 2: ("gate", "internal")}


def test_a_row_that_cannot_be_written_as_accepted_goes_to_the_ledger(tmp_path, answered_at_once):
    store, planner = RunStore(str(tmp_path)), Planner()
    store.make("dialogs", "rejected")
    sink(store, planner).write([table(judged(0), judged(1, record="{}"))], None)
    assert on_disk(store) == {0: ["dialogs"], 1: ["rejected"]}
    assert planner.told[1] is None


def test_what_is_private_is_replaced_before_the_rules_look():
    config = parse({"verify": {"private": "mask"}})
    said = say("It will be sunny in Lima, with a high of 24 degrees; ask lena.vogt@posteo.de.")
    dialog = GOOD.model_copy(update={"messages": (*GOOD.messages[:-1], said), "meta": {"number": 4012888888881881}})
    found = apply_rules(table(draft(0, record=dialog.model_dump_json()), draft(1)), config)
    first, second = found["record"].to_pylist()
    assert "person1@mail.example" in first
    assert json.loads(first)["meta"] == {"number": 4000000000000000}
    assert second == draft(1)["record"]
