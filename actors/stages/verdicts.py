"""The rows between the stages: drafts with their verdicts and what the experts spent on them."""

from __future__ import annotations

import logging
from typing import Literal

import pyarrow as pa

from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import DRAFT

logger = logging.getLogger(__name__)
JUDGE_USAGE = ("judge_tokens", "judge_prompt_tokens", "judge_cost")  # what the experts spent, for the budget
DRAFT_WITH_VERDICTS = pa.schema(
    [
        *DRAFT,
        ("verdicts", pa.string()),
        ("judge_tokens", pa.int64()),
        ("judge_prompt_tokens", pa.int64()),
        ("judge_cost", pa.float64()),
    ]
)


def fault_verdict(stage: Literal["rules", "experts", "gate"], error: Exception, rule: str = "internal") -> Verdict:
    """The verdict on a row that a stage can't bear: it is the row's alone, and the others go on."""
    logger.warning("a row goes to the ledger", exc_info=error)
    return Verdict(stage=stage, rule=rule, evidence=f"{type(error).__name__}: {error}"[:300])
