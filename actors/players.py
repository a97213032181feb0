"""Players: what a worker does with a lease in each flow. A player is made once a process, from the run's folder.

Invariant: what a player makes for an attempt depends on the run's content keys, the attempt and the engines alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from toolace_ray.config import Config
from toolace_ray.engines.roles import Engines, Usage
from toolace_ray.rows import api_key, dialog_key, ledger_row, usage_columns
from toolace_ray.run import attempt_id, load_documents, load_nodes, load_pool
from toolace_ray.schema import KINDS, Verdict, digest
from toolace_ray.sdg.plans import Pool, Task
from toolace_ray.sdg.rollout import rollout
from toolace_ray.storage import RunStore
from toolace_ray.tss.evolution import Subtree, define, plan
from toolace_ray.tss.speciation import speciate


@dataclass(frozen=True)
class Played:
    """One attempt's row: a draft, or a row of the ledger when `passed` is False."""

    type: str
    attempt: int
    passed: bool
    row: dict[str, Any]
    usage: Usage


class Player(Protocol):
    """Plays the attempts of one flow."""

    async def play(self, kind: str, attempt: int) -> Played:
        """Play one attempt. Raises EngineError when an engine could not be asked."""
        ...


def seed_of(config: Config, kind: str, attempt: int) -> int:
    """An attempt's seed, below 2**31."""
    return int(digest(str(config.run.seed), kind, str(attempt), length=8), 16) % 2**31


class DialogPlayer:
    """Plays dialogs over the run's API pool."""

    def __init__(self, config: Config, store: RunStore, engines: Engines) -> None:
        self._config = config
        self._engines = engines
        self._pool = Pool.of(load_pool(store))

    async def play(self, kind: str, attempt: int) -> Played:
        """See Player.play."""
        assert kind in KINDS
        task = Task(attempt_id(self._config, kind, attempt), kind, attempt, seed_of(self._config, kind, attempt))
        outcome = await rollout(task, self._pool, self._config, self._engines.for_task(task.id))
        spent = usage_columns(outcome.usage, outcome.seconds)
        base = {"id": task.id, "type": task.type, "kind": kind, "attempt": attempt, "key": None}
        if outcome.dialog is None:
            return Played(kind, attempt, False, ledger_row(base, outcome.verdicts, None, spent), outcome.usage)
        key = dialog_key(outcome.dialog)
        row = {**base, "key": key, "record": outcome.dialog.model_dump_json(), **spent}
        return Played(kind, attempt, True, row, outcome.usage)


class DocumentPlayer:
    """Reads domain and functionalities out of documents; attempt i is the i-th document of the run."""

    def __init__(self, config: Config, store: RunStore, engines: Engines) -> None:
        self._config = config
        self._engines = engines
        self._documents = load_documents(store)

    async def play(self, kind: str, attempt: int) -> Played:
        """See Player.play."""
        document = self._documents[attempt]
        engines = self._engines.for_task(document.id)
        base = {
            "id": attempt_id(self._config, kind, attempt),
            "type": kind,
            "kind": kind,
            "attempt": attempt,
            "key": "",
        }
        try:
            extraction = await speciate(document, seed_of(self._config, kind, attempt), engines)
            record = extraction.model_dump_json()
        except (ValueError, KeyError, TypeError) as error:
            verdict = Verdict(stage="source", rule="speciation", evidence=f"{document.path}: {error}"[:300])
            row = ledger_row(base, [verdict], None, usage_columns(engines.usage, 0.0))
            return Played(kind, attempt, False, row, engines.usage)
        row = {**base, "record": record, **usage_columns(engines.usage, 0.0)}
        return Played(kind, attempt, True, row, engines.usage)


class ApiPlayer:
    """Writes APIs; attempt i is the i-th subtree of the plan."""

    def __init__(self, config: Config, store: RunStore, engines: Engines) -> None:
        self._config = config
        self._engines = engines
        self._documents = {document.id: document.text for document in load_documents(store)}
        self._plan = plan(load_nodes(store), config.run.seed)
        self._subtrees: list[Subtree] = []

    async def play(self, kind: str, attempt: int) -> Played:
        """See Player.play."""
        while len(self._subtrees) <= attempt and (following := next(self._plan, None)) is not None:
            self._subtrees.append(following)
        task_id = attempt_id(self._config, kind, attempt)
        engines = self._engines.for_task(task_id)
        base = {"id": task_id, "type": kind, "kind": kind, "attempt": attempt, "key": None}
        if attempt >= len(self._subtrees):
            made: Any = Verdict(
                stage="generate", rule="no_subtree", evidence="the tree has no further set of functionalities"
            )
        else:
            settings = self._config.evolve
            made = await define(
                self._subtrees[attempt],
                self._documents,
                seed_of(self._config, kind, attempt),
                settings.samples,
                settings.temperature,
                engines,
            )
        spent = usage_columns(engines.usage, 0.0)
        if isinstance(made, Verdict):
            return Played(kind, attempt, False, ledger_row(base, [made], None, spent), engines.usage)
        row = {**base, "key": api_key(made), "record": made.model_dump_json(), **spent}
        return Played(kind, attempt, True, row, engines.usage)


PLAYERS: dict[str, type[Any]] = {"dialogs": DialogPlayer, "documents": DocumentPlayer, "apis": ApiPlayer}
