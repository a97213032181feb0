"""Records as rows of the run's Parquet files. Schemas, arguments and messages are JSON strings: Arrow would merge structs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.text.dedup import api_key

_USAGE = [
    ("requests", pa.int32()),
    ("prompt_tokens", pa.int64()),
    ("cached_tokens", pa.int64()),
    ("tokens", pa.int64()),
    ("estimated_tokens", pa.int64()),
    ("cost", pa.float64()),
    ("seconds", pa.float64()),
]
_TASK = [
    ("id", pa.string()),
    ("type", pa.string()),
    ("kind", pa.string()),
    ("attempt", pa.int64()),
    ("key", pa.string()),
]
USAGE_COLUMNS = [name for name, _ in _USAGE]

DRAFT = pa.schema([*_TASK, ("record", pa.string()), *_USAGE])
"""What a worker played (`kind` is what quotas count, `type` the dialog's type): `record` is the Dialog, Api or Extraction as JSON; `key` is equal for duplicates."""

LEDGER = pa.schema(
    [
        *_TASK,
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("turn", pa.int32()),
        ("evidence", pa.string()),
        ("verdicts", pa.string()),
        ("record", pa.string()),
        ("source", pa.string()),
        *_USAGE,
    ]
)
"""What was not accepted, and why: the first rejecting verdict in columns, all of them in `verdicts`; `source` is the file, or
the key of the live server, of what was read or imported."""

SPENT = pa.schema([*_TASK, *_USAGE])
"""What was spent on an attempt that has no row for it: it was given back to be played again, or dropped when the flow was
done."""

DIALOG = pa.schema(
    [
        *_TASK,
        ("domain", pa.string()),
        ("today", pa.string()),
        ("seed", pa.int64()),
        ("schema_version", pa.int32()),
        ("tools", pa.string()),
        ("messages", pa.string()),
        ("provenance", pa.string()),
        ("verdicts", pa.string()),
        ("meta", pa.string()),
        *_USAGE,
    ]
)
"""An accepted dialog."""

API = pa.schema(
    [
        *_TASK,
        ("name", pa.string()),
        ("domain", pa.string()),
        ("record", pa.string()),
        ("source", pa.string()),
        *_USAGE,
    ]
)
"""An API of the pool; `id` is the task's; `key` tells what it repeats (toolace_ray/text/dedup.py); `source` is the file, or the
key of the live server, that an imported one comes from."""

NODE = pa.schema(
    [
        ("id", pa.string()),
        ("parent", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("gloss", pa.string()),
        ("documents", pa.list_(pa.string())),
        ("apis", pa.list_(pa.string())),
    ]
)
"""A node of the context tree."""

DOCUMENT = pa.schema(
    [("attempt", pa.int64()), ("id", pa.string()), ("path", pa.string()), ("part", pa.int32()), ("text", pa.string())]
)
"""A document as the model reads it; `attempt` numbers the documents of a run in the order in which they were met."""

UNDESCRIBED = pa.schema(
    [
        ("attempt", pa.int64()),
        ("id", pa.string()),
        ("key", pa.string()),
        ("source", pa.string()),
        ("record", pa.string()),
    ]
)
"""An imported API that waits for its descriptions; `attempt` numbers those of a run in the order in which they were met, `id`,
`key` and `source` are what it has in the pool afterwards."""

FILE = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("kind", pa.string()),
        ("seconds", pa.float64()),
    ]
)
"""A source file that was read: its size in bytes, its modification time in nanoseconds, its kind of source, and the seconds of
CPU time that reading it took."""

FRONTIER = pa.schema([("attempt", pa.int64()), ("node", pa.string()), ("record", pa.string())])
"""A functionality that the model was asked to divide."""

DESIGN = pa.schema(
    [
        ("attempt", pa.int64()),
        ("domain", pa.list_(pa.string())),
        ("nodes", pa.list_(pa.string())),
        ("added", pa.string()),
        ("indicators", pa.list_(pa.string())),
        ("steps", pa.int32()),
        ("example", pa.int32()),
        ("taken", pa.list_(pa.string())),
    ]
)
"""An attempt at an API; `example` is a row of the generation's snapshot."""

CONTRAST = pa.schema(
    [
        ("kind", pa.string()),
        ("attempt", pa.int64()),
        ("base", pa.string()),
        ("missing", pa.string()),
        ("record", pa.string()),
    ]
)
"""An attempt at a contrast: `record` is the dialog it comes from."""

ELITE = pa.schema(
    [
        ("domain", pa.string()),
        ("bin", pa.int32()),
        ("quality", pa.float64()),
        ("id", pa.string()),
        ("record", pa.string()),
    ]
)
"""An example of the buffer, as a generation sees it."""


def usage_columns(usage: Usage, seconds: float) -> dict[str, Any]:
    """What a task spent, as columns."""
    return {
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "tokens": usage.tokens,
        "estimated_tokens": usage.estimated_tokens,
        "cost": usage.cost,
        "seconds": round(seconds, 3),
    }


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of a run that an earlier version began, with all columns of today; those that it lacks are empty."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)


def spent_in(rows: Iterable[dict[str, Any]]) -> tuple[int, int, float]:
    """Generated tokens, prompt tokens and cost of rows, those without any included."""
    tokens, prompt_tokens, cost = 0, 0, 0.0
    for row in rows:
        tokens += row["tokens"] or 0
        prompt_tokens += row["prompt_tokens"] or 0
        cost += row["cost"] or 0.0
    return tokens, prompt_tokens, cost


def ledger_row(
    task: dict[str, Any], verdicts: Sequence[Verdict], record: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    """A row of the ledger; `task` holds id, type, kind and attempt, perhaps key."""
    first = next((verdict for verdict in verdicts if verdict.severity == "reject"), verdicts[0])
    return {
        **{name: task.get(name) for name, _ in _TASK},
        "stage": first.stage,
        "rule": first.rule,
        "turn": first.turn,
        "evidence": first.evidence,
        "verdicts": verdicts_json(verdicts),
        "record": record,
        "source": task.get("source"),
        **{name: usage.get(name) for name in USAGE_COLUMNS},
    }


def verdicts_json(verdicts: Sequence[Verdict]) -> str:
    """Verdicts as a JSON list."""
    return json.dumps([verdict.model_dump() for verdict in verdicts], ensure_ascii=False)


def verdicts_from(text: str) -> list[Verdict]:
    """The inverse of verdicts_json."""
    return [Verdict.model_validate(item) for item in json.loads(text)]


def _dump(items: Sequence[Any]) -> str:
    return json.dumps([item.model_dump(mode="json") for item in items], ensure_ascii=False)


def dialog_row(dialog: Dialog, draft: dict[str, Any]) -> dict[str, Any]:
    """An accepted dialog's row; `draft` gives key and usage."""
    return {
        "id": dialog.id,
        "type": dialog.type,
        "kind": dialog.kind,
        "attempt": dialog.attempt,
        "key": draft["key"],
        "domain": " > ".join(dialog.meta.get("domain") or ()),
        "today": dialog.today,
        "seed": dialog.seed,
        "schema_version": dialog.schema_version,
        "tools": _dump(dialog.tools),
        "messages": _dump(dialog.messages),
        "provenance": _dump(dialog.provenance),
        "verdicts": verdicts_json(dialog.verdicts),
        "meta": json.dumps(dialog.meta, ensure_ascii=False),
        **{name: draft.get(name) for name in USAGE_COLUMNS},
    }


def row_dialog(row: dict[str, Any]) -> Dialog:
    """The dialog of an accepted row."""
    return Dialog(
        id=row["id"],
        type=row["type"],
        kind=row["kind"],
        attempt=row["attempt"],
        seed=row["seed"],
        today=row["today"],
        tools=json.loads(row["tools"]),
        messages=json.loads(row["messages"]),
        provenance=json.loads(row["provenance"]),
        verdicts=json.loads(row["verdicts"]),
        meta=json.loads(row["meta"]),
    )


def api_row(api: Api, draft: dict[str, Any]) -> dict[str, Any]:
    """An API's row; `draft` gives the task and its usage."""
    return {
        **{name: draft.get(name) for name, _ in _TASK},
        "key": draft.get("key") or api_key(api),
        "name": api.name,
        "domain": " > ".join(api.domain),
        "record": api.model_dump_json(),
        "source": draft.get("source"),
        **{name: draft.get(name) for name in USAGE_COLUMNS},
    }
