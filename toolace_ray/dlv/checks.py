"""All rules of the package: importing this module registers them, in the order of the paper's Table 4."""

from __future__ import annotations

from toolace_ray.dlv import answers, definition, origins, structure, texts  # noqa: F401  (the order is the table's)
from toolace_ray.dlv.rules import RULES, Rule


def registered() -> list[Rule]:
    """All rules, in the order they were registered."""
    return list(RULES.values())
