"""Self-guided complication (paper section 2.2): a dialog outside the target's band is played again, harder or simpler.

Invariants: a dialog's kind stays what it was, so that quotas by feature hold; of all rounds that gave a dialog the one
nearest to the band is kept; every round is recorded, with its operator, its loss and what it cost.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import BadRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import DialogType
from toolace_ray.sdg.difficulty.measure import Complexity, Evaluator
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Dials, NoPlan

MOST_TURNED = 3  # steps of one dial away from where it was


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
                found = yaml.safe_load(file)
            band = Band(found["measure"], float(found["lower"]), float(found["upper"]))
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


Turn = Callable[[Dials], Dials | None]
_CALLED: tuple[DialogType, ...] = ("single", "parallel", "dependent", "clarification", "recovery", "multi_turn")


@dataclass(frozen=True)
class Operator:
    """Turns one dial; None from `turn` says that the dial is at its end.

    Attributes:
        types: those of the dialogs in which it changes something.
        words: it changes how things are said, and not the plan.
        blueprint: only blueprints know it.
    """

    name: str
    up: bool
    types: tuple[DialogType, ...]
    turn: Turn
    words: bool = False
    blueprint: bool = False


def _steps(field: str, by: int) -> Turn:
    def turn(dials: Dials) -> Dials | None:
        value = getattr(dials, field) + by
        return dataclasses.replace(dials, **{field: value}) if abs(value) <= MOST_TURNED else None

    return turn


def _tools(by: int) -> Turn:
    def turn(dials: Dials) -> Dials | None:
        value = dials.tools + by
        return dataclasses.replace(dials, tools=value) if abs(value) <= 9 else None

    return turn


def _sign(field: str, by: int) -> Turn:
    def turn(dials: Dials) -> Dials | None:
        value = getattr(dials, field) + by
        return dataclasses.replace(dials, **{field: value}) if abs(value) <= 1 else None

    return turn


def _switch(field: str, on: bool) -> Turn:
    def turn(dials: Dials) -> Dials | None:
        return dataclasses.replace(dials, **{field: on}) if getattr(dials, field) != on else None

    return turn


OPERATORS: tuple[Operator, ...] = (
    Operator("more distractors", True, (*_CALLED, "non_tool"), _tools(3)),
    Operator("further from the descriptions' words", True, (*_CALLED, "non_tool"), _steps("apart", 1), words=True),
    Operator("implicit values", True, _CALLED, _switch("implicit", True), words=True),
    Operator(
        "a constraint in the system prompt", True, _CALLED, _switch("constraint", True), words=True, blueprint=True
    ),
    Operator("more APIs", True, ("parallel",), _steps("calls", 1)),
    Operator("more dependencies", True, ("multi_turn",), _sign("depend", 1)),
    Operator("information spread over turns", True, ("multi_turn",), _sign("spread", 1)),
    Operator("fewer distractors", False, (*_CALLED, "non_tool"), _tools(-3)),
    Operator("nearer to the descriptions' words", False, (*_CALLED, "non_tool"), _steps("apart", -1), words=True),
    Operator("fewer APIs", False, ("parallel",), _steps("calls", -1)),
    Operator("fewer dependencies", False, ("multi_turn",), _sign("depend", -1)),
    Operator("values said at once", False, ("multi_turn",), _sign("spread", -1)),
)


async def guided(
    first: Dialog,
    measured: Complexity,
    band: Band,
    rounds: int,
    evaluator: Evaluator,
    play: Callable[[Dials, Dialog, str], Awaitable[Dialog]],
    changes: Callable[[Operator, Dials, Dials], bool],
    engines: TaskEngines,
    rng: random.Random,
) -> tuple[Dialog, Complexity, list[dict[str, Any]]]:
    """Play a dialog again until it is in the band, at most `rounds` times.

    Args:
        play: plays the dialog with its dials turned, given the best one so far and the operator's name; raises Unfit or
            NoPlan where that gives none.
        changes: True where an operator makes another dialog of these dials.

    Returns:
        The dialog nearest to the band, what the target makes of it, and a record of each round.

    Raises:
        EngineError: an engine could not be asked.
    """
    best, value, dials = first, measured, Dials()
    told: list[dict[str, Any]] = []
    tried: set[str] = set()
    for number in range(1, rounds + 1):
        away = band.beyond(value.value)
        if not away:
            break
        choice = _choose(best, dials, away < 0, tried, changes, rng)
        if choice is None:
            break
        operator, turned = choice
        spent = (engines.usage.requests, engines.usage.tokens)
        record: dict[str, Any] = {"round": number, "operator": operator.name}
        try:
            dialog = await play(turned, best, operator.name)
            found = await evaluator.measure(dialog, engines)
        except (Unfit, NoPlan, BadRequest) as error:  # the last where the target's context is too short
            record["failed"] = str(error)[:200]
            tried.add(operator.name)
        else:
            kept = abs(band.beyond(found.value)) < abs(away)
            record |= {"value": round(found.value, 4), "kept": kept}
            if kept:
                best, value, dials, tried = dialog, found, turned, set()
            else:
                tried.add(operator.name)
        record |= {"requests": engines.usage.requests - spent[0], "tokens": engines.usage.tokens - spent[1]}
        told.append(record)
    return best, value, told


def _choose(
    dialog: Dialog,
    dials: Dials,
    up: bool,
    tried: set[str],
    changes: Callable[[Operator, Dials, Dials], bool],
    rng: random.Random,
) -> tuple[Operator, Dials] | None:
    options = [
        (operator, turned)
        for operator in OPERATORS
        if operator.up == up
        and dialog.type in operator.types
        and operator.name not in tried
        and (turned := operator.turn(dials)) is not None
        and changes(operator, dials, turned)
    ]
    return rng.choice(options) if options else None
