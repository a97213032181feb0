"""The verifying stream's stages without Ray: rows that are poison, judges that stay away, tasks that are run again."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import stages
from tests.samples import good_dialogs
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import DIALOG, usage_columns, verdicts_json
from toolace_ray.store.storage import RunStore

GOOD = good_dialogs()["single"]
NO = Verdict(stage="experts", rule="grounding", turn=4, evidence="2 of 2 votes")


def draft(number, **more):
    """A committed draft of a good dialog."""
    dialog = GOOD.model_copy(update={"id": f"single-{number}", "attempt": number})
    task = {"id": dialog.id, "type": dialog.type, "kind": dialog.kind, "attempt": number, "key": dialog_key(dialog)}
    return {**task, "record": dialog.model_dump_json(), **usage_columns(Usage(), 0.0), **more}


def judged(number, *verdicts, **more):
    """A draft with its verdicts, as the sink gets it."""
    return {**draft(number), "verdicts": verdicts_json(verdicts), **dict.fromkeys(stages.SPENT, 0), **more}


class Planner:
    """Stands for the planner's handle: remembers what it is told."""

    def __init__(self):
        self.told = {}
        self.verdicts = SimpleNamespace(remote=self._verdicts)

    def _verdicts(self, rows, spent):
        self.told.update({attempt: key for _, attempt, key in rows})


class Killed(BaseException):
    """The process of a task ends here."""


@pytest.fixture(scope="module")
def answered_at_once():
    """What the planner answers is there at once: nothing here is a reference of Ray's."""
    before = stages.ray.get
    stages.ray.get = lambda value: value
    yield
    stages.ray.get = before


def sink(store, planner):
    return stages.VerdictSink(store.uri, "dialogs", stages.encode_dialog, DIALOG, planner, "e-dialogs")


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
