"""People's word on a run's dialogs."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli import main
from jobs.review import import_decisions
from tests.material import good_dialogs, say
from toolace_ray.corpus import review
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.errors import UserError
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import DIALOG, LEDGER, dialog_row, ledger_row
from toolace_ray.store.storage import RunStore

GOOD = good_dialogs()


def named(dialog, number):
    return dialog.model_copy(update={"id": f"{dialog.kind}-{number:06d}", "attempt": number})


@pytest.fixture
def store(tmp_path):
    """A run of 12 accepted dialogs, 4 rejected by an expert, and one surplus."""
    store = RunStore(str(tmp_path / "run"))
    store.make("dialogs", "rejected", "review", "corpus")
    store.write_bytes("", "run.yaml", b"config: {}")
    accepted = [named(GOOD[kind], number) for kind in ("single", "parallel") for number in range(6)]
    store.write(
        "dialogs", "e-dialogs-1.parquet", [dialog_row(item, {"key": dialog_key(item)}) for item in accepted], DIALOG
    )
    rejected = [named(GOOD["single"], number) for number in range(10, 14)]
    verdict = Verdict(stage="experts", rule="grounding", turn=4, evidence="2 of 2 votes: contradicts")
    rows = [ledger_row(_task(item), [verdict], item.model_dump_json(), {}) for item in rejected]
    surplus = Verdict(stage="surplus", rule="surplus", evidence="passed beyond the quota")
    rows.append(ledger_row(_task(named(GOOD["single"], 20)), [surplus], GOOD["single"].model_dump_json(), {}))
    store.write("rejected", "e-dialogs-1.parquet", rows, LEDGER)
    return store


def _task(dialog):
    return {
        "id": dialog.id,
        "type": dialog.type,
        "kind": dialog.kind,
        "attempt": dialog.attempt,
        "key": dialog_key(dialog),
    }


def ids(store, folder):
    return [row["id"] for row in store.rows(folder)]


def run(*arguments):
    return CliRunner().invoke(main, ["review", *arguments])


def test_the_sample_has_every_stratum_and_is_the_same_again(store):
    found = review.sample(store, 8, 1)
    assert found == review.sample(store, 8, 1)
    assert len(found) == 8
    strata = {(item["judge"], item["type"]) for item in found}
    assert strata == {("accepted", "single"), ("accepted", "parallel"), ("rejected", "single")}
    assert {item["id"] for item in review.sample(store, 100, 1)} == {
        *ids(store, "dialogs"),
        *ids(store, "rejected")[:4],
    }
    assert [item["id"] for item in review.sample(store, 8, 2)] != [item["id"] for item in found]


def test_what_people_decide_counts(store, tmp_path):
    done = run("export", store.uri, "--count", "100")
    assert done.exit_code == 0, done.output
    assert "16 dialogs (12 accepted, 4 rejected by the judges)" in done.output
    rows = [json.loads(line) for line in store.read_bytes("review", "review.jsonl").decode().splitlines()]
    bad, fine = "single.plain-000003", "single.plain-000011"
    for row in rows:
        row["human"] = "accept" if row["judge"] == "accepted" else "reject"
        if row["id"] == bad:
            row |= {"human": "reject", "note": "says it twice"}
        if row["id"] == fine:
            row["human"] = "accept"
    (tmp_path / "told.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = run("import", store.uri, str(tmp_path / "told.jsonl"))
    assert done.exit_code == 0, done.output
    assert "16 dialogs decided by people; they agree with the judges on 14, Cohen's kappa 0.67" in done.output
    assert bad not in ids(store, "dialogs")
    assert fine in ids(store, "dialogs")
    ledger = {row["id"]: row for row in store.rows("rejected")}
    assert (ledger[bad]["stage"], ledger[bad]["evidence"]) == ("human", "says it twice")
    assert fine not in ledger
    assert len(ids(store, "dialogs")) == len(set(ids(store, "dialogs"))) == 12
    exported = store.read_bytes("corpus", "openai.jsonl").decode()
    assert fine in exported
    assert bad not in exported
    again = run("import", store.uri, str(tmp_path / "told.jsonl"))
    assert "agree with the judges on 14, Cohen's kappa 0.67" in again.output  # the judges' word is remembered
    assert "now" not in again.output
    (tmp_path / "back.jsonl").write_text(json.dumps({"id": bad, "human": "accept"}))
    done = run("import", store.uri, str(tmp_path / "back.jsonl"))
    assert "agree with the judges on 15" in done.output
    assert bad in ids(store, "dialogs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{no json", "line 1: no JSON"),
        ('{"human": "accept"}', "needs the id"),
        ('{"id": "x", "human": "maybe"}', "it is accept, reject or null"),
        ('{"id": "x", "human": null}', "there is no decision in it"),
        ('{"id": "x", "human": "accept"}', "is it another run's?"),
    ],
)
def test_decisions_that_cannot_be_used_are_said(store, tmp_path, text, said):
    path = tmp_path / "told.jsonl"
    path.write_text(text)
    done = run("import", store.uri, str(path))
    assert done.exit_code == 2
    assert said in done.output


def test_the_page_holds_hostile_text_as_data(store):
    evil = named(GOOD["single"], 99)
    evil = evil.model_copy(
        update={"messages": (*evil.messages[:-1], say("</script><script>alert(1)</script> & <b>24</b>."))}
    )
    page = review.page("t", "r", [review._review_item(dialog_row(evil, {"key": ""}))])
    assert "</script><script>" not in page.replace("</script>\n<script>", "")
    assert "<b>24" not in page
    start = page.index('type="application/json">') + len('type="application/json">')
    (item,) = json.loads(page[start : page.index("</script>", start)])
    assert "</script><script>alert(1)" in item["messages"][-1]["text"]


def test_a_row_that_no_judge_decided_on_is_not_shown_to_people(store, tmp_path):
    rows = []
    for number, rule in enumerate(("timeout", "engine_failure", "request_refused", "internal", "record"), 30):
        verdict = Verdict(stage="experts", rule=rule, evidence="x")
        rows.append(ledger_row(_task(named(GOOD["single"], number)), [verdict], '{"no": "dialog"}', {}))
    store.write("rejected", "e-dialogs-2.parquet", rows, LEDGER)
    shown = {item["id"] for item in review.sample(store, 100, 1)}
    assert len(shown) == 16
    assert shown.isdisjoint(row["id"] for row in rows)
    decisions = [{"id": rows[-1]["id"], "human": "accept"}, {"id": rows[-2]["id"], "human": "accept"}]
    decisions.append({"id": min(shown), "human": "accept"})
    (tmp_path / "told.jsonl").write_text("\n".join(map(json.dumps, decisions)))
    done = run("import", store.uri, str(tmp_path / "told.jsonl"))
    assert "not in this run: 2" in done.output, done.output


@pytest.mark.parametrize("address", [None, "", "http://127.0.0.1:8265"])
def test_without_the_clusters_lock_a_run_in_an_object_store_is_left_alone(store, tmp_path, monkeypatch, address):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    store.local = False  # the same files, as if they were in an object store
    before = {folder: store.files(folder) for folder in ("dialogs", "rejected")}
    (tmp_path / "told.jsonl").write_text(json.dumps({"id": ids(store, "dialogs")[0], "human": "reject"}))
    with pytest.raises(UserError, match=r"lock on a run is on the Ray cluster .* set RAY_ADDRESS"):
        import_decisions(store, str(tmp_path / "told.jsonl"))
    assert {folder: store.files(folder) for folder in before} == before


def test_an_empty_run_has_nothing_to_review(tmp_path):
    with pytest.raises(UserError, match="no dialogs to review"):
        review.sample(RunStore(str(tmp_path)), 5, 0)


def test_kappa_against_known_figures():
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert review.kappa(pairs) == pytest.approx(0.4)  # the example of Cohen (1960) as it is mostly given
    assert review.kappa([(True, True)] * 5) is None
    assert review.kappa([]) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_kappa_is_one_for_full_agreement_and_never_more(pairs):
    found = review.kappa(pairs)
    assert found is None or found <= 1
    same = review.kappa([(judge, judge) for judge, _ in pairs])
    assert same is None or same == pytest.approx(1)
