"""One row of somebody's data set through the rule layer: what was found, and the row as it goes into the cleaned copy."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.datasets import Refused
from toolace_ray.corpus.formats import read
from toolace_ray.corpus.formats.openai import TURNS
from toolace_ray.corpus.formats.reading import MAX_CHARS, Unreadable, first_list
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.dlv.layer import masked, rejects, run_rules
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import load_json
from toolace_ray.records.verdict import Verdict
from toolace_ray.text.privacy import masked_values

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VerifiedRow:
    """A row's verdicts; `id` is its own or empty; `line` is the accepted row as JSON (turns masked where a rule says so), or what was given."""

    id: str
    type: str
    accepted: bool
    verdicts: tuple[Verdict, ...]
    line: str
    key: str = ""


def verify_row(text: str, format: str, config: VerifyConfig) -> VerifiedRow:
    """Read a row and run the rules. Raises UserError for a wrong setting; whatever a row holds is a verdict on that row."""
    try:
        return _verify_row(text, format, config)
    except UserError:
        raise
    except Exception as error:
        logger.warning("a row is rejected", exc_info=error)
        return _rejected(f"{type(error).__name__}: {error}", text, "internal")


def _verify_row(text: str, format: str, config: VerifyConfig) -> VerifiedRow:
    if isinstance(text, Refused):
        return _rejected(str(text), "")
    try:
        row = load_json(text, max_chars=MAX_CHARS, unique=False)
        if config.private == "mask":
            row, count = masked_values(row)
            text = json.dumps(row, ensure_ascii=False) if count else text
        reading = read(row, format)
    except Unreadable as error:
        return _rejected(str(error), text)
    except (ValueError, RecursionError) as error:
        return _rejected(f"no JSON: {str(error)[:200]}", text)
    dialog = reading.dialog
    verdicts = tuple(run_rules(dialog, config, reading.notes))
    accepted = not rejects(verdicts)
    key = dialog_key(dialog) if accepted and config.duplicates else ""
    if accepted:
        masked_dialog = masked(dialog, verdicts)
        if masked_dialog is not dialog:
            text = json.dumps(_with_masked_turns(row, masked_dialog, reading.places, format), ensure_ascii=False)
    return VerifiedRow(dialog.id, dialog.type, accepted, verdicts, text, key)


def _rejected(reason: str, text: str, rule: str = "record") -> VerifiedRow:
    verdict = Verdict(stage="rules", rule=rule, evidence=reason[:300])
    return VerifiedRow("", "", False, (verdict,), text)


def _with_masked_turns(row: dict[str, Any], dialog: Dialog, places: tuple[int, ...], format: str) -> dict[str, Any]:
    """The row with its masked turns marked as our own exports mark them: `weight` 0, or a list `masked` beside the turns."""
    turns = [places[index] for index, message in enumerate(dialog.messages) if not message.train]
    if format != "openai":
        return {**row, "masked": sorted(set(turns))}
    key, messages = first_list(row, *TURNS)
    changed = [{**item, "weight": 0} if index in turns else item for index, item in enumerate(messages)]
    return {**row, key: changed}
