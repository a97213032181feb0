"""The band of complexities that a target learns from, out of what it makes of a prior set (paper section 2.2).

The paper: the losses of samples that the model answers correctly give the lower bound, losses that stay high after
fine-tuning the upper one. Here (method.md section 2): lower is the third quartile over what the target solves, upper the
first quartile over what a briefly tuned target still fails. The two may cross, then the median of the solved to the ninth
decile of all is taken, and `crossed` is true in the file.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.errors import UserError

FEWEST = 8  # dialogs on either side from which a quartile is taken


@dataclass(frozen=True)
class ScoredDialog:
    """One dialog of the prior set: its complexity for the target, and whether it was solved, before and after tuning."""

    id: str
    kind: str
    loss: float
    solved: bool
    tuned_loss: float
    tuned_solved: bool


def auc(dialogs: Sequence[ScoredDialog]) -> float | None:
    """The probability that a failed dialog has a higher loss than a solved one (ties count half); None without both."""
    ranked = sorted(dialogs, key=lambda dialog: dialog.loss)
    failed = sum(not dialog.solved for dialog in dialogs)
    solved = len(dialogs) - failed
    if not failed or not solved:
        return None
    # The sum of the failed ones' ranks, equal losses sharing theirs (Mann-Whitney).
    total, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end].loss == ranked[at].loss:
            end += 1
        total += sum(not dialog.solved for dialog in ranked[at:end]) * (at + 1 + end) / 2
        at = end
    return (total - failed * (failed + 1) / 2) / (failed * solved)


def check_size(dialogs: int) -> None:
    """Raise UserError where a prior set of so many dialogs is too small for a band."""
    if dialogs < FEWEST:
        raise UserError(f"the prior set has {dialogs} dialogs, a band needs {FEWEST} at least; raise generate.quotas")


def band(dialogs: Sequence[ScoredDialog]) -> dict[str, Any]:
    """The band with the figures it comes from, as it is written to the file.

    Raises:
        UserError: the prior set is too small.
    """
    check_size(len(dialogs))
    solved = [dialog.loss for dialog in dialogs if dialog.solved]
    unsolved = [dialog.loss for dialog in dialogs if not dialog.tuned_solved]
    losses = [dialog.loss for dialog in dialogs]
    lower = _quantile(solved, 75) if len(solved) >= FEWEST else None
    upper = _quantile(unsolved, 25) if len(unsolved) >= FEWEST else None
    crossed = lower is None or upper is None or lower >= upper
    if crossed:
        lower = _quantile(solved, 50) if len(solved) >= FEWEST else min(losses)
        upper = _quantile(losses, 90)
        if lower >= upper:
            lower, upper = min(losses), max(losses)
    if lower >= upper:  # type: ignore[operator]
        raise UserError(f"every dialog of the prior set has a loss of {lower:.3f}: no band can be told from that")
    area = auc(dialogs)
    return {
        "measure": "loss",
        "lower": round(float(lower), 4),  # type: ignore[arg-type]
        "upper": round(float(upper), 4),  # type: ignore[arg-type]
        "crossed": crossed,
        "samples": len(dialogs),
        "solved": len(solved),
        "failed_after_tuning": len(unsolved),
        "auc": None if area is None else round(area, 4),
        "in_band": sum(lower <= loss <= upper for loss in losses),  # type: ignore[operator]
        "median_loss": {
            "all": round(statistics.median(losses), 4),
            "solved": round(statistics.median(solved), 4) if solved else None,
            "after_tuning": round(statistics.median(dialog.tuned_loss for dialog in dialogs), 4),
        },
    }


def pass_band(samples: int) -> dict[str, Any]:
    """The band of targets that return no log-probabilities: solved at least once in k samples, and failed at least once."""
    if samples < 2:
        raise UserError(
            "complexity.samples must be 2 or more: one answer a turn tells nothing between never and always"
        )
    return {"measure": "failure", "lower": round(0.5 / samples, 4), "upper": round(1 - 0.5 / samples, 4)}


def _quantile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
