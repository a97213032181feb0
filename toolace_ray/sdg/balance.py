"""Balance: how many accepted dialogs of each kind make up the quotas (method.md section 2)."""

from __future__ import annotations

import heapq
from collections.abc import Container, Mapping

from toolace_ray.config.tree import GenerateConfig
from toolace_ray.records.kinds import DIALOG_TYPES, PLANNED


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Share `total` out by the weights, as whole numbers (Sainte-Lague: with a larger total no share is smaller).

    Returns:
        Name -> share, for every name of a weight above 0; {} where there is none.
    """
    shares = {name: 0 for name, weight in weights.items() if weight > 0}
    claims = [(1 / weights[name], name) for name in shares]
    heapq.heapify(claims)
    for _ in range(total if shares else 0):
        _, name = claims[0]
        shares[name] += 1
        heapq.heapreplace(claims, ((2 * shares[name] + 1) / weights[name], name))
    return shares


def quotas(config: GenerateConfig, feasible: Container[str] = PLANNED) -> tuple[dict[str, int], dict[str, int]]:
    """Kind -> accepted dialogs wanted; and kind -> dialogs that other kinds got since the pool carries none of this one.

    What a kind that is not feasible would have had goes to the other features of its type; where there is none, it is
    wanted still, and the run will say why it comes short.
    """
    wanted = dict.fromkeys(PLANNED, 0)
    moved: dict[str, int] = {}
    for kind in DIALOG_TYPES:
        total = config.quotas.of(kind)
        weights = {f"{kind}.{name}": weight for name, weight in config.weights(kind).items()}
        intended = apportion(total, weights)
        possible = {name: weight for name, weight in weights.items() if name in feasible}
        shares = apportion(total, possible) if any(possible.values()) else intended
        wanted |= shares
        moved |= {name: number for name, number in intended.items() if number and name not in shares}
    return wanted, moved
