"""The stage of the model experts.

Invariant: a dialog that no judge can bear is rejected with its reason; only judges that answer nobody end the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from actors.pools import PoolHandles, clients
from actors.stages.verdicts import DRAFT_WITH_VERDICTS, fault_verdict
from toolace_ray.config.tree import Config
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.dlv.experts.panel import judge
from toolace_ray.dlv.layer import rejects
from toolace_ray.dlv.repair import repaired
from toolace_ray.engines.protocol import (
    BadRequest,
    EngineError,
    EngineRefused,
    EngineTimeout,
    Unsupported,
)
from toolace_ray.engines.roles import Engines, TaskEngines
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import verdicts_from, verdicts_json

PAUSES = (1.0, 10.0, 60.0)  # seconds before an expert is asked again
TRIES = 3  # failures of a dialog whose judges answer others
PATIENCE = 20  # dialogs given up in a process that judged none: then it is not the dialogs
FAILURE_RULES: dict[type[Exception], str] = {
    EngineTimeout: "timeout",
    BadRequest: "request_refused",
    Unsupported: "request_refused",
    EngineError: "engine_failure",
}
"""An engine's failure -> the rule that the ledger tells."""


class _JudgesAway(EngineError):
    """The judges answer nobody: the run ends, and the drafts wait for the next start."""


class Experts:
    """The model stage: asks the experts about the dialogs that the rules let pass, all of a block at once.

    One a process, kept between tasks: its clients know the replicas' load, and starting an actor for each execution
    costs seconds.
    """

    _by_epoch: dict[str, Experts] = {}  # noqa: RUF012  (one per process and flow is the point)

    def __init__(self, config: Config, engines: Engines, pauses: Sequence[float] = PAUSES) -> None:
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._engines = engines
        self._pauses = pauses
        self._judged_count = self._given_up_count = 0

    @classmethod
    def judge(cls, table: pa.Table, config: Config, pools: dict[str, PoolHandles], epoch: str) -> pa.Table:
        """Add the experts' verdicts and what they spent. Raises EngineError where the judges answer nobody."""
        if epoch not in cls._by_epoch:
            cls._by_epoch = {epoch: cls(config, Engines(config, clients(pools, config.execution.affinity_margin)))}
        return cls._by_epoch[epoch](table)

    def __call__(self, table: pa.Table) -> pa.Table:
        """See judge."""
        rows = table.to_pylist()
        self._loop.run_until_complete(self._judge_rows(rows))
        return pa.Table.from_pylist(rows, schema=DRAFT_WITH_VERDICTS)

    async def _judge_rows(self, rows: list[dict[str, Any]]) -> None:
        tasks = [asyncio.ensure_future(self._judge_row(row)) for row in rows]
        try:
            await asyncio.gather(*tasks)
        finally:  # where one ends the run, the others must not go on asking
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge_and_repair(self, dialog: Dialog, engines: TaskEngines) -> tuple[Dialog, list[Verdict]]:
        """The experts' verdicts; what one rejects may come back mended, and is judged again. Raises EngineError."""
        first_verdicts = verdicts = await judge(dialog, self._config.verify, engines)
        latest = dialog
        for _ in range(self._config.verify.repair):
            if not verdicts or (repaired_dialog := await repaired(latest, verdicts[0], self._config, engines)) is None:
                break
            latest, verdicts = repaired_dialog, await judge(repaired_dialog, self._config.verify, engines)
        return (dialog, first_verdicts) if verdicts else (latest, [])

    async def _judge_with_retries(self, dialog: Dialog, engines: TaskEngines) -> tuple[Dialog, list[Verdict]]:
        """What _judge_and_repair gives, asked again after an engine's failure.

        Raises:
            _JudgesAway: the judges answer nobody; that is no verdict.
            EngineError: they answer others; the fault is this dialog's.
        """
        own_failures = pool_failures = 0
        while True:
            try:
                return await self._judge_and_repair(dialog, engines)
            except (BadRequest, Unsupported, EngineRefused):
                raise  # asking again is of no use
            except EngineError as error:
                if await engines.pool_answers():
                    own_failures += 1
                    # One that took all of its time takes it again, and holds up the verdicts of its block.
                    if own_failures >= TRIES or isinstance(error, EngineTimeout):
                        raise
                    pause = self._pauses[min(own_failures, len(self._pauses)) - 1]
                elif pool_failures < len(self._pauses):
                    pause = self._pauses[pool_failures]
                    pool_failures += 1
                else:
                    raise _JudgesAway(str(error)) from error
            await asyncio.sleep(pause)

    async def _judge_row(self, row: dict[str, Any]) -> None:
        verdicts = verdicts_from(row["verdicts"])
        if rejects(verdicts):
            return
        engines = self._engines.for_task(row["id"])
        try:
            dialog = Dialog.of(row["record"])
            judged_dialog, new_verdicts = await self._judge_with_retries(dialog, engines)
            if judged_dialog is not dialog:
                row.update(record=judged_dialog.model_dump_json(), key=dialog_key(judged_dialog))
            self._judged_count += 1
        except (UserError, EngineRefused, _JudgesAway):
            raise
        except Exception as error:
            self._given_up_count += 1
            if self._given_up_count >= PATIENCE and not self._judged_count:
                raise
            rule = next((rule for kind, rule in FAILURE_RULES.items() if isinstance(error, kind)), "internal")
            new_verdicts = [fault_verdict("experts", error, rule)]
        row["verdicts"] = verdicts_json([*verdicts, *new_verdicts])
        spent = engines.usage
        row["requests"] += spent.requests
        row["prompt_tokens"] += spent.prompt_tokens
        row["cached_tokens"] += spent.cached_tokens
        row["tokens"] += spent.tokens
        row["estimated_tokens"] = (row["estimated_tokens"] or 0) + spent.estimated_tokens
        row["cost"] += spent.cost
        row.update(judge_tokens=spent.tokens, judge_prompt_tokens=spent.prompt_tokens, judge_cost=spent.cost)
