import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace_ray.errors import UserError
from toolace_ray.sdg.difficulty.calibrate import ScoredDialog, auc, band, pass_band


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
