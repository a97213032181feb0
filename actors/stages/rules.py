"""The stages without a model: the rules on dialogs, the gate on APIs.

Invariant: a row that a stage can't bear is rejected with its reason, and the others go on.
"""

from __future__ import annotations

import json

import pyarrow as pa

from actors.stages.verdicts import DRAFT_WITH_VERDICTS, JUDGE_USAGE, fault_verdict
from toolace_ray.config.tree import Config
from toolace_ray.dlv.layer import run_rules
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import load_json
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas import gate
from toolace_ray.store.rows import verdicts_json
from toolace_ray.text.privacy import masked_values


def apply_rules(table: pa.Table, config: Config) -> pa.Table:
    """The rule stage on dialogs: a column of verdicts; with verify.private, stand-ins for what is private first."""
    verdicts = []
    records = table["record"].to_pylist()
    if config.verify.private == "mask":
        records = list(map(_without_private, records))
        place = table.schema.get_field_index("record")
        table = table.set_column(place, table.schema.field(place), pa.array(records, pa.string()))
    for record in records:
        try:
            findings = run_rules(Dialog.of(record), config.verify)
        except ValueError as error:  # what pydantic raises
            findings = [Verdict(stage="rules", rule="record", evidence=f"no dialog: {error}"[:300])]
        except UserError:
            raise
        except Exception as error:
            findings = [fault_verdict("rules", error)]
        verdicts.append(verdicts_json(findings))
    return _with_verdicts(table, verdicts)


def _without_private(record: str) -> str:
    """A record with stand-ins for what is private; one that is no JSON is left as it is, for the rules to tell."""
    try:
        replaced, count = masked_values(load_json(record, max_chars=len(record)))
    except ValueError:
        return record
    return json.dumps(replaced, ensure_ascii=False) if count else record


def _with_verdicts(table: pa.Table, verdicts: list[str]) -> pa.Table:
    unspent = [pa.array([0] * len(verdicts), DRAFT_WITH_VERDICTS.field(name).type) for name in JUDGE_USAGE]
    return pa.table([*table.columns, pa.array(verdicts, pa.string()), *unspent], schema=DRAFT_WITH_VERDICTS)


def apply_gate(table: pa.Table) -> pa.Table:
    """The gate on APIs: a column of verdicts."""
    verdicts = []
    for record in table["record"].to_pylist():
        try:
            findings = gate.check(Api.model_validate_json(record))
        except Exception as error:
            findings = [fault_verdict("gate", error)]
        verdicts.append(verdicts_json(findings))
    return _with_verdicts(table, verdicts)
