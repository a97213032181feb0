"""What a check found."""

from __future__ import annotations

from typing import Literal

from toolace_ray.records.base import Record


class Verdict(Record):
    """One finding of the rule layer or of an expert. `turn` is a message index, None for the dialog as a whole."""

    stage: Literal["generate", "rules", "experts", "surplus", "gate", "source", "human"]
    rule: str
    severity: Literal["reject", "mask", "warn"] = "reject"
    turn: int | None = None
    evidence: str = ""
