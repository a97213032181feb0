from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import calibrate as job
from tests.material import good_dialogs
from toolace_ray.config.load import parse
from toolace_ray.engines.protocol import BadRequest, Capabilities
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.engines.template import WordTemplate
from toolace_ray.errors import UserError
from toolace_ray.records.usage import Usage
from toolace_ray.sdg.difficulty.calibrate import ScoredDialog, auc, band, pass_band
from toolace_ray.sdg.difficulty.measure import LossEvaluator
from toolace_ray.store.rows import DIALOG, dialog_row, usage_columns
from toolace_ray.store.storage import RunStore

ROLES = dict.fromkeys(("writer", "user", "assistant", "tool", "judge", "target"), "small")


def sample(loss, solved, tuned=True):
    return ScoredDialog("x", "single.plain", loss, solved, loss / 2, tuned)


def test_the_bounds_are_the_quartiles_of_the_papers_two_groups():
    easy = [sample(i / 10, True) for i in range(10)]
    middle = [sample(2 + i / 10, False) for i in range(10)]
    hard = [sample(5 + i / 10, False, False) for i in range(10)]
    found = band([*easy, *middle, *hard])
    assert (found["lower"], found["upper"], found["crossed"]) == (pytest.approx(0.675), pytest.approx(5.225), False)
    assert (found["solved"], found["failed_after_tuning"], found["auc"]) == (10, 10, 1.0)
    assert found["in_band"] == 3 + 10 + 3


def test_bounds_that_cross_are_said_and_replaced():
    mixed = [sample(i, i % 2 == 0, i % 3 > 0) for i in range(30)]
    found = band(mixed)
    assert found["crossed"]
    assert found["lower"] == pytest.approx(14.0)
    assert found["upper"] == pytest.approx(26.1)
    all_solved = band([sample(i, True) for i in range(10)])
    assert all_solved["crossed"]
    assert all_solved["lower"] < all_solved["upper"]
    assert all_solved["auc"] is None


def test_a_small_prior_set_is_refused():
    with pytest.raises(UserError, match="needs 8 at least"):
        band([sample(1.0, True)] * 7)
    with pytest.raises(UserError, match="2 or more"):
        pass_band(1)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_ordered_pairs(items):
    samples = [sample(float(loss), solved) for loss, solved in items]
    failed = [s.loss for s in samples if not s.solved]
    solved = [s.loss for s in samples if s.solved]
    if not failed or not solved:
        assert auc(samples) is None
        return
    pairs = [1.0 if f > s else 0.5 if f == s else 0.0 for f in failed for s in solved]
    assert auc(samples) == pytest.approx(sum(pairs) / len(pairs))


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans(), st.booleans()), min_size=8, max_size=60))
def test_a_band_is_never_upside_down(items):
    samples = [sample(*item) for item in items]
    if len({s.loss for s in samples}) == 1:
        with pytest.raises(UserError, match="no band can be told"):
            band(samples)
        return
    found = band(samples)
    assert found["lower"] <= found["upper"]  # rounded; they differ by less than the rounding at worst
    assert pass_band(4) == {"measure": "failure", "lower": 0.125, "upper": 0.875}


class Target(SimulatedEngine):
    """A target whose context is too short for one dialog; it counts what it measures."""

    def __init__(self, too_long):
        super().__init__(latency_ms=0)
        self._too_long = too_long
        self.measured = 0

    async def score(self, request):
        if request.affinity == self._too_long:
            raise BadRequest("longer than the context")
        self.measured += 1
        return await super().score(request)


@pytest.fixture
def calibrated(tmp_path, monkeypatch):
    """Calibrate a run of twelve dialogs, whose second one is longer than the target's context, as often as it is called."""
    store = RunStore(str(tmp_path / "run"))
    store.make("dialogs")
    single = good_dialogs()["single"]
    dialogs = [single.model_copy(update={"id": f"d{i:02}", "attempt": i}) for i in range(12)]
    spent = usage_columns(Usage(), 0.0)
    store.write(
        "dialogs", "e-dialogs-1.parquet", [dialog_row(dialog, {"key": "", **spent}) for dialog in dialogs], DIALOG
    )
    target = Target("d01")
    done = SimpleNamespace(store=store, measured=[], tuned_on=[], said=[])
    handles = {"small": SimpleNamespace(replicas=(), capabilities=Capabilities("m", 100))}

    class Pools:
        def __init__(self, *_):
            self.handles = handles

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(job, "generate", lambda _: None)
    monkeypatch.setattr(job, "evaluator", lambda _: LossEvaluator(WordTemplate()))
    monkeypatch.setattr(job, "clients", lambda *_: {"small": target})
    monkeypatch.setattr(job, "Pools", Pools)
    monkeypatch.setattr(job, "_tune", lambda _, tuned_on, *__: done.tuned_on.append([item.id for item in tuned_on]))
    monkeypatch.setattr(job.calibration, "band", lambda scored: {"samples": len(scored)})

    def run(**settings):
        current = SimpleNamespace(
            config=parse({"roles": ROLES, "calibrate": settings}), store=store, epoch=f"e{len(done.measured)}",
            progress=SimpleNamespace(say=done.said.append), pools=Pools, release=lambda: None, ray=lambda: None,
        )  # fmt: skip
        before = target.measured
        band = job.calibrate(current)
        done.measured.append(target.measured - before)
        return band

    done.run = run
    return done


def test_a_dialog_that_is_too_long_is_left_out_and_nothing_is_done_twice(calibrated):
    assert calibrated.run()["samples"] == 11
    assert calibrated.run()["samples"] == 11
    assert calibrated.tuned_on == [[f"d{i:02}" for i in range(12) if i != 1]]
    assert calibrated.measured == [11 + 11, 0]
    assert sum("longer than the target's context" in text for text in calibrated.said) == 1


def test_a_probe_that_is_tuned_otherwise_is_tuned_and_measured_again(calibrated):
    for settings in ({}, {"epochs": 3}, {"rank": 4}, {"learning_rate": 1e-3}, {"epochs": 3}):
        calibrated.run(**settings)
    assert len(calibrated.tuned_on) == 4
    assert calibrated.measured == [22, 11, 11, 11, 0]


@pytest.mark.parametrize(
    ("pool", "path", "says"),
    [
        ({"engine": "simulated"}, "run", "calibrate nothing"),
        ({}, "mock:///run", "all nodes share"),
        ({"engine": "openai", "url": "http://127.0.0.1:1/v1"}, "run", "2 or more"),
    ],
)
def test_what_cannot_be_calibrated_is_said_before_anything_is_made(tmp_path, monkeypatch, pool, path, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "generate", lambda _: pytest.fail("the prior set was made"))
    config = parse({"roles": ROLES, "pools": {"small": pool}, "complexity": {"samples": 1}})
    with pytest.raises(UserError, match=says):
        job.calibrate(SimpleNamespace(config=config, store=RunStore(path)))
