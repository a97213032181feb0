"""`toolace review`: a sample of a run's dialogs goes out to people, what they decide comes back and counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from jobs.cluster import held
from jobs.session import new_epoch
from toolace_ray.corpus import review
from toolace_ray.corpus.export import export as write_corpus
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import CONTRASTS
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import DIALOG, LEDGER, USAGE_COLUMNS, dialog_row, ledger_row, row_dialog, verdicts_from
from toolace_ray.store.settle import rewrite
from toolace_ray.store.storage import RunStore


def export(store: RunStore, count: int, seed: int) -> str:
    """Write review/review.jsonl and review/review.html. Raises UserError where there is nothing to review."""
    samples = review.sample(store, count, seed)
    store.make("review")
    store.write_lines("review", "review.jsonl", (json.dumps(item, ensure_ascii=False) for item in samples))
    store.write_bytes(
        "review", "review.html", review.page(f"Review of {store.uri}", store.uri, samples).encode("utf-8", "replace")
    )
    kinds = Counter(item["judge"] for item in samples)
    return (
        f"{len(samples)} dialogs ({', '.join(f'{number} {kind}' for kind, number in kinds.most_common())} by the judges)\n"
        f"  open {store.path('review', 'review.html')} in a browser: a accepts, r rejects, s saves decisions.jsonl\n"
        f"  then: toolace review import {store.uri} decisions.jsonl"
    )


def import_decisions(store: RunStore, path: str) -> str:
    """Apply people's decisions to the run, and say how far they agree with the judges. Raises UserError.

    An accepted dialog that a person rejects goes to the ledger (stage `human`), and the next `toolace generate` makes another
    in its place; one that the judges rejected and a person accepts joins the dialogs.
    """
    decisions = review.decisions(path)
    store.make("review", "corpus")
    with held(store):
        pairs, moved, unknown = _apply(store, decisions)
        if not pairs:
            raise UserError(f"{path}: none of its {len(decisions)} dialogs is in {store.uri}; is it another run's?")
        earlier = ""
        if store.exists("review", "decisions.jsonl"):
            earlier = store.read_bytes("review", "decisions.jsonl").decode()
        lines = {json.loads(line)["id"]: line for line in earlier.splitlines()}
        for identifier, (judge_accepts, human_accepts) in pairs.items():
            row = {
                "id": identifier,
                "judge": review.ACCEPT if judge_accepts else review.REJECT,
                **decisions[identifier],
            }
            lines[identifier] = json.dumps(
                {**row, "human": review.ACCEPT if human_accepts else review.REJECT}, ensure_ascii=False
            )
        store.write_lines("review", "decisions.jsonl", iter(lines.values()))
        write_corpus(store)
    return _summary(list(map(json.loads, lines.values())), moved, unknown)


def _apply(
    store: RunStore, decisions: dict[str, dict[str, str]]
) -> tuple[dict[str, tuple[bool, bool]], Counter[str], int]:
    """Move rows; returns id -> (judge accepts, human accepts), what was moved, and how many ids are not there."""
    epoch = new_epoch()
    earlier_judgements = _earlier_judgements(store)
    pairs: dict[str, tuple[bool, bool]] = {}
    to_ledger: dict[str, list[dict[str, Any]]] = {}
    to_dialogs: dict[str, list[dict[str, Any]]] = {}
    moved: Counter[str] = Counter()
    for row in store.rows("dialogs"):
        if row["id"] in decisions and row["id"] not in pairs:
            human_accepts = decisions[row["id"]]["human"] == review.ACCEPT
            pairs[row["id"]] = (earlier_judgements.get(row["id"], True), human_accepts)
            if not human_accepts:
                verdict = Verdict(
                    stage="human", rule="review", evidence=decisions[row["id"]]["note"][:300] or "rejected by a person"
                )
                spent = {name: row.get(name) for name in USAGE_COLUMNS}
                to_ledger.setdefault(_part(row), []).append(
                    ledger_row(row, [verdict], row_dialog(row).model_dump_json(), spent)
                )
    for row in store.rows("rejected"):
        readable = (
            row["record"] and row["stage"] in (*review.JUDGE_STAGES, "human") and row["rule"] not in review.NO_DIALOG
        )
        if row["id"] in decisions and row["id"] not in pairs and readable:
            human_accepts = decisions[row["id"]]["human"] == review.ACCEPT
            pairs[row["id"]] = (earlier_judgements.get(row["id"], row["stage"] == "human"), human_accepts)
            if human_accepts:
                dialog = Dialog.of(row["record"])
                verdicts = [item for item in verdicts_from(row["verdicts"]) if item.stage != "human"]
                note = Verdict(
                    stage="human",
                    rule="review",
                    severity="warn",
                    evidence=decisions[row["id"]]["note"][:300] or "accepted by a person",
                )
                softened = [item.model_copy(update={"severity": "warn"}) for item in verdicts]
                dialog = dialog.model_copy(update={"verdicts": (*softened, note)})
                to_dialogs.setdefault(_part(row), []).append(dialog_row(dialog, row))
    # Rows are in their new place before they leave the old one; readers drop doubles by id.
    for part, rows in to_ledger.items():
        store.write("rejected", f"{epoch}{part}review.parquet", rows, LEDGER)
        moved["rejected by a person"] += len(rows)
    for part, rows in to_dialogs.items():
        store.write("dialogs", f"{epoch}{part}review.parquet", rows, DIALOG)
        moved["accepted by a person"] += len(rows)
    rejected_ids = {row["id"] for rows in to_ledger.values() for row in rows}
    accepted_ids = {row["id"] for rows in to_dialogs.values() for row in rows}
    for folder, schema, leaving in (("dialogs", DIALOG, rejected_ids), ("rejected", LEDGER, accepted_ids)):

        def goes(row: dict[str, Any], leaving: set[str] = leaving) -> bool:
            return row["id"] in leaving

        for part in ("-dialogs-", "-contrasts-") if leaving else ():
            rewrite(store, folder, schema, f"{epoch}{part}", goes, part, but=f"{epoch}{part}review")
    return pairs, moved, len(set(decisions) - set(pairs))


def _earlier_judgements(store: RunStore) -> dict[str, bool]:
    """What the judges had said of the dialogs that people decided on before: a moved row does not tell."""
    if not store.exists("review", "decisions.jsonl"):
        return {}
    rows = map(json.loads, store.read_bytes("review", "decisions.jsonl").decode().splitlines())
    return {row["id"]: row["judge"] == review.ACCEPT for row in rows}


def _part(row: dict[str, Any]) -> str:
    return "-contrasts-" if row["kind"] in CONTRASTS else "-dialogs-"


def _summary(rows: list[dict[str, Any]], moved: Counter[str], unknown: int) -> str:
    pairs = [(row["judge"] == review.ACCEPT, row["human"] == review.ACCEPT) for row in rows]
    table = Counter(pairs)
    agreement = review.kappa(pairs)
    agreement_text = "not defined (one side never differs)" if agreement is None else f"{agreement:.2f}"
    lines = [
        f"{len(pairs)} dialogs decided by people; they agree with the judges on {table[True, True] + table[False, False]}, "
        f"Cohen's kappa {agreement_text}",
        f"  judges accept: people accept {table[True, True]}, reject {table[True, False]}",
        f"  judges reject: people accept {table[False, True]}, reject {table[False, False]}",
    ]
    lines += [f"  now {what}: {number}" for what, number in moved.items()]
    if unknown:
        lines.append(f"  not in this run: {unknown}")
    return "\n".join(lines)
