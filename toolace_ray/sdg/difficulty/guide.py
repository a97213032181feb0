"""Self-guided complication (paper section 2.2): a dialog outside the target's band is played again, harder or simpler.

Invariants: a dialog's kind stays what it was, so that quotas by feature hold; of all rounds that gave a dialog the one
nearest to the band is kept; every round is recorded, with its operator, its loss and what it cost.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import yaml

from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import BadRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import DialogType
from toolace_ray.sdg.difficulty.measure import Complexity, Evaluator
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Difficulty, NoPlan

MOST_STEPS = 3  # of one knob away from where it was
MOST_TOOLS = 9  # candidates more or fewer than drawn


@dataclass(frozen=True)
class Band:
    """The complexities that the target learns from: `measure` is what `lower` and `upper` are of."""

    measure: Literal["loss", "failure"]
    lower: float
    upper: float

    @staticmethod
    def load(path: str) -> Band:
        """Read the file that `toolace calibrate` writes. Raises UserError."""
        try:
            with open(path, encoding="utf-8") as file:
                fields = yaml.safe_load(file)
            band = Band(fields["measure"], float(fields["lower"]), float(fields["upper"]))
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"complexity.band: {path}: no band there ({type(error).__name__}: {error}); "
                "`toolace calibrate` writes one, with the keys measure, lower and upper"
            ) from error
        if band.measure not in ("loss", "failure") or not band.lower < band.upper:
            raise UserError(f"complexity.band: {path}: measure must be loss or failure, and lower below upper")
        return band

    def beyond(self, value: float) -> float:
        """How far a value lies above the band (below 0: below it); 0 within."""
        return max(0.0, value - self.upper) - max(0.0, self.lower - value)


def check_band(config: Config) -> None:
    """Raise UserError where complexity.band names no band, or one of another measure than roles.target gives."""
    if config.complexity.band:
        band = Band.load(config.complexity.band)
        (name,) = config.mix("target")
        measure = "failure" if config.pools[name].engine == "openai" else "loss"
        if band.measure != measure:
            raise UserError(
                f"complexity.band: {config.complexity.band} is a band of {band.measure}, but the pool of roles.target "
                f"({name}) gives {measure}; calibrate with this target"
            )


_CALLED: tuple[DialogType, ...] = ("single", "parallel", "dependent", "clarification", "recovery", "multi_turn")


@dataclass(frozen=True)
class Operator:
    """One step of one knob of a plan's difficulty.

    Attributes:
        types: those of the dialogs in which it changes something.
        knob: the field of Difficulty that it changes.
        step: by how much.
        most: how far from 0 the knob may be.
        words: it changes how things are said, and not the plan.
        blueprint: only blueprints know it.
    """

    name: str
    types: tuple[DialogType, ...]
    knob: str
    step: int
    most: int = MOST_STEPS
    words: bool = False
    blueprint: bool = False

    @property
    def up(self) -> bool:
        """True for what makes a dialog harder."""
        return self.step > 0

    def turn(self, difficulty: Difficulty) -> Difficulty | None:
        """The difficulty after this step; None where the knob is at its end."""
        before = getattr(difficulty, self.knob)
        after = before + self.step
        return dataclasses.replace(difficulty, **{self.knob: type(before)(after)}) if abs(after) <= self.most else None


OPERATORS: tuple[Operator, ...] = (
    Operator("more distractors", (*_CALLED, "non_tool"), "tools", 3, MOST_TOOLS),
    Operator("further from the descriptions' words", (*_CALLED, "non_tool"), "distance", 1, words=True),
    Operator("implicit values", _CALLED, "implicit", 1, 1, words=True),
    Operator("a constraint in the system prompt", _CALLED, "constraint", 1, 1, words=True, blueprint=True),
    Operator("more APIs", ("parallel",), "calls", 1),
    Operator("more dependencies", ("multi_turn",), "depend", 1, 1),
    Operator("information spread over turns", ("multi_turn",), "spread", 1, 1),
    Operator("fewer distractors", (*_CALLED, "non_tool"), "tools", -3, MOST_TOOLS),
    Operator("nearer to the descriptions' words", (*_CALLED, "non_tool"), "distance", -1, words=True),
    Operator("fewer APIs", ("parallel",), "calls", -1),
    Operator("fewer dependencies", ("multi_turn",), "depend", -1, 1),
    Operator("values said at once", ("multi_turn",), "spread", -1, 1),
)


@dataclass(frozen=True)
class Target:
    """The model that is to be tuned, as rollouts measure dialogs for it; without a band it only measures.

    `rounds` is how often a dialog outside the band is played again at most.
    """

    evaluator: Evaluator
    band: Band | None = None
    rounds: int = 0


class Replay(Protocol):
    """Playing one dialog again with another difficulty."""

    async def play(self, difficulty: Difficulty, best: Dialog, operator: Operator) -> Dialog:
        """The dialog with that difficulty, given the best one so far. Raises Unfit or NoPlan where that gives none."""

    def changes(self, operator: Operator, before: Difficulty, after: Difficulty) -> bool:
        """True where an operator, which leads from one difficulty to the other, makes another dialog."""


async def guided(
    first: Dialog,
    measured: Complexity,
    band: Band,
    target: Target,
    replay: Replay,
    engines: TaskEngines,
    rng: random.Random,
) -> tuple[Dialog, Complexity, list[dict[str, Any]]]:
    """Play a dialog again until it is in the band, at most `target.rounds` times.

    Returns:
        The dialog nearest to the band, what the target makes of it, and a record of each round.

    Raises:
        EngineError: an engine could not be asked.
    """
    best, best_complexity, difficulty = first, measured, Difficulty()
    rounds: list[dict[str, Any]] = []
    tried: set[str] = set()
    for number in range(1, target.rounds + 1):
        distance = band.beyond(best_complexity.value)
        if not distance:
            break
        options = [
            operator
            for operator in OPERATORS
            if operator.up == (distance < 0) and best.type in operator.types and operator.name not in tried
            if (after := operator.turn(difficulty)) is not None and replay.changes(operator, difficulty, after)
        ]
        if not options:
            break
        operator = rng.choice(options)
        turned = operator.turn(difficulty)
        assert turned is not None
        usage_before = (engines.usage.requests, engines.usage.tokens)
        record: dict[str, Any] = {"round": number, "operator": operator.name}
        try:
            dialog = await replay.play(turned, best, operator)
            complexity = await target.evaluator.measure(dialog, engines)
        except (Unfit, NoPlan, BadRequest) as error:  # the last where the target's context is too short
            record["failed"] = str(error)[:200]
            tried.add(operator.name)
        else:
            nearer = abs(band.beyond(complexity.value)) < abs(distance)
            record |= {"value": round(complexity.value, 4), "kept": nearer}
            if nearer:
                best, best_complexity, difficulty, tried = dialog, complexity, turned, set()
            else:
                tried.add(operator.name)
        record |= {
            "requests": engines.usage.requests - usage_before[0],
            "tokens": engines.usage.tokens - usage_before[1],
        }
        rounds.append(record)
    return best, best_complexity, rounds
