"""The Ray Data stream: committed drafts in, accepted rows and ledger rows out, while the workers go on.

How it is fed was chosen by measurement (docs/architecture.md): a pull-based Datasource whose read task number i waits
in the planner for the next shards. Blocks leave a read at its task's end, so one task is one portion; an execution has
a bounded number of read tasks and is followed by the next one until the flow is done.

Invariants: a draft is judged once in a start (a task that Ray runs again gets the same shards; rows with a verdict on
disk keep it, and no file is written over); a row is in `accepted` or in the ledger, never in both, never in neither; a
row that a stage can't bear is a row of the ledger, and only judges that answer nobody end the run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa
import ray
from ray.data import DataContext, Datasink, Datasource, TaskPoolStrategy
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from actors.pools import PoolHandles, clients
from toolace_ray.config.tree import Config, Role
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.dlv.experts.panel import judge
from toolace_ray.dlv.layer import masked, rejects, run_rules
from toolace_ray.dlv.repair import repaired
from toolace_ray.engines.protocol import (
    BadRequest,
    EngineError,
    EngineRefused,
    EngineTimeout,
    GenerateRequest,
    Unsupported,
)
from toolace_ray.engines.roles import Engines, TaskEngines
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest, load_json
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas import gate
from toolace_ray.store.rows import (
    API,
    DIALOG,
    DRAFT,
    LEDGER,
    USAGE_COLUMNS,
    api_row,
    dialog_row,
    ledger_row,
    verdicts_from,
    verdicts_json,
)
from toolace_ray.store.storage import RunStore
from toolace_ray.text.privacy import masked_values

FIRST_TASKS, MOST_TASKS = 64, 2048  # read tasks of the first execution, and of any
SHARDS_A_TASK = 4
SPENT = ("judge_tokens", "judge_prompt_tokens", "judge_cost")  # what the experts spent, for the budget
JUDGED = pa.schema(
    [
        *DRAFT,
        ("verdicts", pa.string()),
        ("judge_tokens", pa.int64()),
        ("judge_prompt_tokens", pa.int64()),
        ("judge_cost", pa.float64()),
    ]
)
WAITING_CPUS, RULE_CPUS, EXPERT_CPUS, SINK_CPUS = 0.01, 0.1, 0.05, 0.02


logger = logging.getLogger(__name__)
PAUSES = (1.0, 10.0, 60.0)  # seconds before an expert is asked again
TRIES = 3  # failures of a dialog whose judges answer others
PATIENCE = 20  # dialogs given up in a process that judged none: then it is not the dialogs
PROBE = GenerateRequest(
    messages=[{"role": "user", "content": "Say yes."}], max_tokens=4, temperature=0.0, timeout=120.0
)
RULES: dict[type[Exception], str] = {
    EngineTimeout: "timeout",
    BadRequest: "request_refused",
    Unsupported: "request_refused",
    EngineError: "engine",
}
"""An engine's failure -> the rule that the ledger tells."""


class _Away(EngineError):
    """The judges answer nobody: the run ends, and the drafts wait for the next start."""


class DraftSource(Datasource):
    """Shards of drafts as the planner hands them out. `first` is the index of the first read task."""

    def __init__(self, uri: str, folder: str, planner: Any, first: int, count: int) -> None:
        self._uri, self._folder, self._planner = uri, folder, planner
        self._first, self._count = first, count

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """One task an index."""
        uri, folder, planner = self._uri, self._folder, self._planner

        def read(index: int) -> Iterator[pa.Table]:
            store = RunStore(uri)
            tables = []
            for name, keep in ray.get(planner.next_shards.remote(index, SHARDS_A_TASK)):
                table = store.table(folder, name)
                if keep is not None:
                    table = table.filter(pa.compute.is_in(table["id"], pa.array(keep, pa.string())))
                tables.append(table.cast(DRAFT))
            yield pa.concat_tables(tables) if tables else DRAFT.empty_table()

        metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)
        return [
            ReadTask(lambda index=index: read(index), metadata, schema=DRAFT)
            for index in range(self._first, self._first + self._count)
        ]


def judge_dialogs(table: pa.Table, config: Config) -> pa.Table:
    """The rule stage on dialogs: a column of verdicts; with verify.private, stand-ins for what is private first."""
    verdicts = []
    records = table["record"].to_pylist()
    if config.verify.private == "mask":
        records = list(map(_masked, records))
        place = table.schema.get_field_index("record")
        table = table.set_column(place, table.schema.field(place), pa.array(records, pa.string()))
    for record in records:
        try:
            found = run_rules(Dialog.of(record), config.verify)
        except ValueError as error:  # what pydantic raises
            found = [Verdict(stage="rules", rule="record", evidence=f"no dialog: {error}"[:300])]
        except UserError:
            raise
        except Exception as error:
            found = [_fault("rules", error)]
        verdicts.append(verdicts_json(found))
    return _judged(table, verdicts)


def _fault(stage: Literal["rules", "experts", "gate"], error: Exception, rule: str = "internal") -> Verdict:
    """The verdict on a row that a stage can't bear: it is the row's alone, and the others go on."""
    logger.warning("a row goes to the ledger", exc_info=error)
    return Verdict(stage=stage, rule=rule, evidence=f"{type(error).__name__}: {error}"[:300])


def _masked(record: str) -> str:
    """A record with stand-ins for what is private; one that is no JSON is left as it is, for the rules to tell."""
    try:
        changed, places = masked_values(load_json(record, max_chars=len(record)))
    except ValueError:
        return record
    return json.dumps(changed, ensure_ascii=False) if places else record


def _judged(table: pa.Table, verdicts: list[str]) -> pa.Table:
    nothing = [pa.array([0] * len(verdicts), JUDGED.field(name).type) for name in SPENT]
    return pa.table([*table.columns, pa.array(verdicts, pa.string()), *nothing], schema=JUDGED)


def judge_apis(table: pa.Table) -> pa.Table:
    """The gate on APIs: a column of verdicts."""
    verdicts = []
    for record in table["record"].to_pylist():
        try:
            found = gate.check(Api.model_validate_json(record))
        except Exception as error:
            found = [_fault("gate", error)]
        verdicts.append(verdicts_json(found))
    return _judged(table, verdicts)


class Experts:
    """The model stage: asks the experts about the dialogs that the rules let pass, all of a block at once.

    One a process, kept between tasks: its clients know the replicas' load, and starting an actor for each execution
    costs seconds.
    """

    _kept: dict[str, Experts] = {}  # noqa: RUF012  (one per process and flow is the point)

    def __init__(self, config: Config, engines: Engines, pauses: Sequence[float] = PAUSES) -> None:
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._engines = engines
        self._pauses = pauses
        self._judged = self._given_up = 0
        self._probe: asyncio.Task[bool] | None = None

    @classmethod
    def judge(cls, table: pa.Table, config: Config, pools: dict[str, PoolHandles], epoch: str) -> pa.Table:
        """Add the experts' verdicts and what they spent. Raises EngineError where the judges answer nobody."""
        if epoch not in cls._kept:
            cls._kept = {epoch: cls(config, Engines(config, clients(pools, config.execution.affinity_margin)))}
        return cls._kept[epoch](table)

    def __call__(self, table: pa.Table) -> pa.Table:
        """See judge."""
        rows = table.to_pylist()
        self._loop.run_until_complete(self._judge_all(rows))
        return pa.Table.from_pylist(rows, schema=JUDGED)

    async def _judge_all(self, rows: list[dict[str, Any]]) -> None:
        tasks = [asyncio.ensure_future(self._judge(row)) for row in rows]
        try:
            await asyncio.gather(*tasks)
        finally:  # where one ends the run, the others must not go on asking
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _verdict(self, dialog: Dialog, engines: TaskEngines) -> tuple[Dialog, list[Verdict]]:
        """The experts' verdicts; what one rejects may come back mended, and is judged again. Raises EngineError."""
        first = found = await judge(dialog, self._config.verify, engines)
        now = dialog
        for _ in range(self._config.verify.repair):
            if not found or (mended := await repaired(now, found[0], self._config, engines)) is None:
                break
            now, found = mended, await judge(mended, self._config.verify, engines)
        return (dialog, first) if found else (now, [])

    async def _tried(self, dialog: Dialog, engines: TaskEngines) -> tuple[Dialog, list[Verdict]]:
        """What _verdict gives, asked again after an engine's failure.

        Raises:
            _Away: the judges answer nobody; that is no verdict.
            EngineError: they answer others; the fault is this dialog's.
        """
        own = away = 0
        while True:
            before = self._judged
            try:
                return await self._verdict(dialog, engines)
            except (BadRequest, Unsupported, EngineRefused):
                raise  # asking again is of no use
            except EngineError as error:
                if self._judged > before or await self._answers():
                    own += 1
                    # One that took all of its time takes it again, and holds up the verdicts of its block.
                    if own >= TRIES or isinstance(error, EngineTimeout):
                        raise
                    pause = self._pauses[min(own, len(self._pauses)) - 1]
                elif away < len(self._pauses):
                    pause = self._pauses[away]
                    away += 1
                else:
                    raise _Away(str(error)) from error
            await asyncio.sleep(pause)

    async def _answers(self) -> bool:
        """True when every pool that the experts need answers a short question; dialogs that ask at a time share it."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.ensure_future(self._asked())
        return await self._probe

    async def _asked(self) -> bool:
        engines = self._engines.for_task("")
        roles: tuple[Role, ...] = ("judge", "assistant") if self._config.verify.repair else ("judge",)
        for role in roles:
            try:
                await engines.panel(role, replace(PROBE, n=len(engines.panels[role])), 0)
            except (BadRequest, Unsupported):
                continue  # an answer too
            except EngineRefused:
                raise
            except EngineError:
                return False
        return True

    async def _judge(self, row: dict[str, Any]) -> None:
        verdicts = verdicts_from(row["verdicts"])
        if rejects(verdicts):
            return
        engines = self._engines.for_task(row["id"])
        try:
            dialog = Dialog.of(row["record"])
            kept, found = await self._tried(dialog, engines)
            if kept is not dialog:
                row.update(record=kept.model_dump_json(), key=dialog_key(kept))
            self._judged += 1
        except (UserError, EngineRefused, _Away):
            raise
        except Exception as error:
            self._given_up += 1
            if self._given_up >= PATIENCE and not self._judged:
                raise
            rule = next((rule for kind, rule in RULES.items() if isinstance(error, kind)), "internal")
            found = [_fault("experts", error, rule)]
        row["verdicts"] = verdicts_json([*verdicts, *found])
        spent = engines.usage
        row["requests"] += spent.requests
        row["prompt_tokens"] += spent.prompt_tokens
        row["cached_tokens"] += spent.cached_tokens
        row["tokens"] += spent.tokens
        row["cost"] += spent.cost
        row.update(judge_tokens=spent.tokens, judge_prompt_tokens=spent.prompt_tokens, judge_cost=spent.cost)


class VerdictSink(Datasink[None]):
    """Writes accepted rows and ledger rows, then tells the planner.

    Args:
        accepted: folder of accepted rows.
        encode: a judged row -> an accepted row.
        schema: the accepted rows' columns.
        prefix: of the files' names: this start's epoch and the flow.
    """

    def __init__(
        self,
        uri: str,
        accepted: str,
        encode: Callable[[dict[str, Any]], dict[str, Any]],
        schema: pa.Schema,
        planner: Any,
        prefix: str,
    ) -> None:
        self._uri, self._accepted, self._encode, self._schema = uri, accepted, encode, schema
        self._planner, self._prefix = planner, prefix

    @property
    def min_rows_per_write(self) -> int | None:
        """Each block as it comes: a verdict must not wait for others."""
        return None

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> None:
        """Write one task's blocks."""
        for block in blocks:
            if block.num_rows:
                self._write(block.to_pylist())

    def _write(self, rows: list[dict[str, Any]]) -> None:
        store = RunStore(self._uri)
        # The names come from the rows: a task that Ray runs again meets what its earlier runs wrote, whatever the judge says now.
        stem = f"{self._prefix}-{digest(*sorted(row['id'] for row in rows), length=20)}"
        known: dict[str, str | None] = {}
        free: dict[str, str] = {}
        for folder in (self._accepted, "rejected"):
            for name in _names(stem):
                if not store.exists(folder, name):
                    free[folder] = name
                    break
                for row in store.table(folder, name, ["id", "key"]).to_pylist():
                    known[row["id"]] = (row["key"] or "") if folder == self._accepted else None
        accepted, ledger, told = [], [], []
        spent = Usage()
        for row in rows:
            if row["id"] in known:
                told.append((row["kind"], row["attempt"], known[row["id"]]))
                continue
            verdicts = verdicts_from(row["verdicts"])
            passed = not rejects(verdicts)
            if passed:
                try:
                    accepted.append(self._encode(row))
                except Exception as error:
                    passed = False
                    verdicts = [*verdicts, _fault("rules", error)]
            if not passed:
                ledger.append(
                    ledger_row(row, verdicts, row["record"], {column: row[column] for column in USAGE_COLUMNS})
                )
            told.append((row["kind"], row["attempt"], (row["key"] or "") if passed else None))
            spent.tokens += row["judge_tokens"]
            spent.prompt_tokens += row["judge_prompt_tokens"]
            spent.cost += row["judge_cost"]
        if ledger:
            store.write("rejected", free["rejected"], ledger, LEDGER)
        if accepted:
            store.write(self._accepted, free[self._accepted], accepted, self._schema)
        ray.get(self._planner.verdicts.remote(told, (spent.tokens, spent.prompt_tokens, spent.cost)))


def _names(stem: str) -> Iterator[str]:
    """The names that the runs of one task give their files, in turn."""
    yield f"{stem}.parquet"
    for number in itertools.count(2):
        yield f"{stem}-{number}.parquet"


def encode_dialog(row: dict[str, Any]) -> dict[str, Any]:
    """A judged draft as an accepted dialog; warnings and masks stay with it."""
    verdicts = tuple(verdicts_from(row["verdicts"]))
    dialog = masked(Dialog.of(row["record"]), verdicts)
    return dialog_row(dialog.model_copy(update={"verdicts": verdicts}), row)


def encode_api(row: dict[str, Any]) -> dict[str, Any]:
    """A judged draft as an API of the pool."""
    return api_row(Api.model_validate_json(row["record"]), row)


def quiet() -> None:
    """Keep Ray Data from drawing its own progress over ours."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def stream(
    flow: str,
    player: str,
    uri: str,
    drafts: str,
    accepted: str,
    config: Config,
    pools: dict[str, PoolHandles],
    planner: Any,
    epoch: str,
) -> None:
    """Judge drafts until the planner says that the flow is done. Blocks; run it in a thread of the driver."""
    quiet()
    first, count = 0, FIRST_TASKS
    compute = TaskPoolStrategy(size=config.execution.verify_concurrency)
    whole: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None, "compute": compute}
    while not ray.get(planner.status.remote())["done"]:
        source = DraftSource(uri, drafts, planner, first, count)
        data = ray.data.read_datasource(source, override_num_blocks=count, num_cpus=WAITING_CPUS, compute=compute)
        # Different reservations keep Ray Data from fusing the stages into the read, which would wait and judge by turns.
        if player in ("dialogs", "contrasts"):
            data = data.map_batches(judge_dialogs, fn_args=(config,), num_cpus=RULE_CPUS, **whole)
            if config.verify.experts:
                data = data.map_batches(Experts.judge, fn_args=(config, pools, epoch), num_cpus=EXPERT_CPUS, **whole)
            sink = VerdictSink(uri, accepted, encode_dialog, DIALOG, planner, f"{epoch}-{flow}")
        else:
            data = data.map_batches(judge_apis, num_cpus=RULE_CPUS, **whole)
            sink = VerdictSink(uri, accepted, encode_api, API, planner, f"{epoch}-{flow}")
        data.write_datasink(sink, ray_remote_args={"num_cpus": SINK_CPUS})
        first, count = first + count, min(2 * count, MOST_TASKS)
