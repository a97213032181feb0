"""Players: what a worker does with a lease in each flow. A player is made once a process, from the run's folder.

Invariant: what a player makes for an attempt depends on the run's content keys, the attempt and the engines alone.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from toolace_ray.config.tree import Config
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.json import digest
from toolace_ray.records.verdict import Verdict
from toolace_ray.sdg.contrasts import Contrasts, play_contrast
from toolace_ray.sdg.difficulty.guide import Band, Target
from toolace_ray.sdg.difficulty.measure import evaluator
from toolace_ray.sdg.execution import Servers, playable
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import Outcome, rollout
from toolace_ray.store.folder import attempt_id, load_pool, task_row
from toolace_ray.store.rows import ledger_row, usage_columns
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import api_key
from toolace_ray.tss.describing import describe_api
from toolace_ray.tss.evolution import Writing, evolve
from toolace_ray.tss.generations import Generation
from toolace_ray.tss.saved import Documents, Undescribed, load_frontier, load_nodes
from toolace_ray.tss.speciation import Extraction, Parts, divide, speciate


@dataclass(frozen=True)
class Played:
    """One attempt's row: a draft, or a row of the ledger when `passed` is False."""

    type: str
    attempt: int
    passed: bool
    row: dict[str, Any]


class Player(Protocol):
    """Plays the attempts of one flow."""

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """Play one attempt with the engines of its own, whose usage tells what it spent however it ends.

        Raises:
            EngineError: an engine could not be asked.
        """
        ...


def seed_of(config: Config, kind: str, attempt: int) -> int:
    """An attempt's seed, below 2**31."""
    return int(digest(str(config.run.seed), kind, str(attempt), length=8), 16) % 2**31


class DialogPlayer:
    """Plays dialogs over the run's API pool."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._pool = Pool.of(playable(load_pool(store), config))
        self._servers = Servers(config) if config.generate.execution == "mcp" else None
        band = Band.load(config.complexity.band) if config.complexity.band else None
        self._target = Target(evaluator(config), band, config.complexity.rounds) if config.complexity.active else None

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        task = Task(attempt_id(self._config, kind, attempt), kind, attempt, seed_of(self._config, kind, attempt))
        outcome = await rollout(task, self._pool, self._config, engines, self._target, self._servers)
        return _played_dialog(self._config, outcome)


class ContrastPlayer:
    """Plays contrasts of accepted dialogs; attempt i of a kind is the i-th that was designed."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._contrasts = Contrasts(store)
        self._evaluator = evaluator(config) if config.complexity.active else None

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        task = Task(attempt_id(self._config, kind, attempt), kind, attempt, seed_of(self._config, kind, attempt))
        outcome = Outcome(task, usage=engines.usage)
        try:
            dialog = await play_contrast(self._contrasts.at(kind, attempt), task, self._config, engines)
            if self._evaluator is not None:  # a contrast is what its dialog makes it: it is measured and not guided
                complexity = await self._evaluator.measure(dialog, engines)
                dialog = dialog.model_copy(update={"meta": {**dialog.meta, "complexity": complexity.record()}})
            outcome.dialog = dialog
        except Unfit as error:
            outcome.verdicts = (Verdict(stage="generate", rule=error.step, evidence=str(error)[:300]),)
        return _played_dialog(self._config, outcome)


def _played_dialog(config: Config, outcome: Outcome) -> Played:
    """What became of a dialog, as a row."""
    task = outcome.task
    spent = usage_columns(outcome.usage, outcome.seconds)
    if outcome.dialog is None:
        base = task_row(config, task.kind, task.attempt)
        return Played(task.kind, task.attempt, False, ledger_row(base, outcome.verdicts, None, spent))
    base = task_row(config, task.kind, task.attempt, dialog_key(outcome.dialog))
    row = {**base, "record": outcome.dialog.model_dump_json(), **spent}
    return Played(task.kind, task.attempt, True, row)


class DocumentPlayer:
    """Reads domain and functionalities out of documents; attempt i is the i-th document of the run."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._documents = Documents(store)

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        document = self._documents.at(attempt)
        work = speciate(document, seed_of(self._config, kind, attempt), engines)
        return await _played_extraction(self._config, kind, attempt, work, engines, "speciation", document.path)


class NodePlayer:
    """Divides functionalities into narrower ones; attempt i is the i-th that the run asks about."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._frontier = load_frontier(store)

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        division = self._frontier[attempt]
        work = divide(division, seed_of(self._config, kind, attempt), engines)
        return await _played_extraction(
            self._config, kind, attempt, work, engines, "division", " > ".join(division.path)
        )


async def _played_extraction(
    config: Config,
    kind: str,
    attempt: int,
    work: Coroutine[Any, Any, Extraction | Parts],
    engines: TaskEngines,
    rule: str,
    source: str,
) -> Played:
    """What a model read, as a row; an answer that can't be read is a row of the ledger."""
    base = task_row(config, kind, attempt, "")
    try:
        record = (await work).model_dump_json()
    except (ValueError, KeyError, TypeError) as error:
        verdict = Verdict(stage="source", rule=rule, evidence=f"{source}: {error}"[:300])
        row = ledger_row(base, [verdict], None, usage_columns(engines.usage, 0.0))
        return Played(kind, attempt, False, row)
    row = {**base, "record": record, **usage_columns(engines.usage, 0.0)}
    return Played(kind, attempt, True, row)


class DescriptionPlayer:
    """Writes the descriptions that imported APIs lack; attempt i is the i-th API of the run that lacks any."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._undescribed = Undescribed(store)

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        settings = self._config.evolve
        found = await describe_api(
            self._undescribed.at(attempt),
            seed_of(self._config, kind, attempt),
            Writing(settings.samples, settings.temperature),
            engines,
        )
        base = {
            "id": attempt_id(self._config, kind, attempt),
            "type": kind,
            "kind": kind,
            "attempt": attempt,
            "key": "",
        }
        return Played(
            kind, attempt, True, {**base, "record": found.model_dump_json(), **usage_columns(engines.usage, 0.0)}
        )


class ApiPlayer:
    """Writes APIs; attempt i of a generation is the i-th of its designs."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._config = config
        self._store = store
        self._documents = Documents(store)
        self._nodes = {node.id: node for node in load_nodes(store)}
        self._generations: dict[str, Generation] = {}

    async def play(self, kind: str, attempt: int, engines: TaskEngines) -> Played:
        """See Player.play."""
        if kind not in self._generations:
            self._generations = {kind: Generation(self._store, kind)}
        generation = self._generations[kind]
        design = generation.design(attempt)
        settings = self._config.evolve
        outcome = await evolve(
            design,
            [self._nodes[node] for node in design.subtree.nodes],
            self._documents.text,
            generation.example(design),
            seed_of(self._config, kind, attempt),
            Writing(settings.samples, settings.temperature),
            engines,
        )
        spent = usage_columns(engines.usage, 0.0)
        if outcome.api is None:
            assert outcome.verdict is not None
            record = outcome.failed.model_dump_json() if outcome.failed else None
            base = task_row(self._config, kind, attempt)
            return Played(kind, attempt, False, ledger_row(base, [outcome.verdict], record, spent))
        lineage = outcome.api.lineage.model_copy(update={"generation": generation.number})
        api = outcome.api.model_copy(update={"lineage": lineage})
        row = {**task_row(self._config, kind, attempt, api_key(api)), "record": api.model_dump_json(), **spent}
        return Played(kind, attempt, True, row)


PLAYERS: dict[str, type[Any]] = {
    "dialogs": DialogPlayer,
    "contrasts": ContrastPlayer,
    "documents": DocumentPlayer,
    "nodes": NodePlayer,
    "descriptions": DescriptionPlayer,
    "apis": ApiPlayer,
}
