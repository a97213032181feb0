"""All rules of the package: importing this module registers them."""

from __future__ import annotations

from typing import get_args

from toolace_ray.dlv import answers, corrections, definition, origins, structure, swaps, texts, trust  # noqa: F401
from toolace_ray.dlv.rules import RULES, Aspect, Rule


def registered() -> list[Rule]:
    """All rules by aspect, in the order of the paper's Table 4."""
    order = get_args(Aspect)
    return sorted(RULES.values(), key=lambda rule: order.index(rule.aspect))
