"""What people say of a run's dialogs: a stratified sample to look at, and how far they agree with the judges."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2

from toolace_ray.calls import pythonic
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest, load_json
from toolace_ray.records.kinds import KINDS
from toolace_ray.sdg.balance import apportion
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore

ACCEPT, REJECT = "accept", "reject"
JUDGE_STAGES = ("rules", "experts")  # stages whose rejections a person may look at
NO_DIALOG = ("record", "internal")  # rules of rows that may hold no dialog
NOT_JUDGED = (
    "duplicate",
    "timeout",
    "engine_failure",
    "request_refused",
    *NO_DIALOG,
)  # rules that say nothing of the dialog
MAX_DECISIONS = 1 << 20  # bytes of a line of decisions


def sample(store: RunStore, count: int, seed: int) -> list[dict[str, Any]]:
    """At most `count` dialogs, shared out over types and the judges' verdicts; the same for the same seed.

    Strata have their share by their size, and one dialog at least where `count` allows.
    """
    sizes: Counter[str] = Counter()
    for stratum, _ in _judged_rows(store, whole=False):
        sizes[stratum] += 1
    if not sizes:
        raise UserError(f"{store.uri}: there are no dialogs to review; `toolace generate` makes some")
    wanted = dict.fromkeys(list(sizes)[:count], 1)
    left = min(count, sizes.total()) - sum(wanted.values())
    room = {name: float(size - wanted.get(name, 0)) for name, size in sizes.items()}
    while left > 0 and (open_ones := {name: size for name, size in room.items() if size > 0}):
        for name, more in apportion(left, open_ones).items():
            taken = min(more, int(room[name]))
            wanted[name] = wanted.get(name, 0) + taken
            room[name] -= taken
            left -= taken
    heaps: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for stratum, row in _judged_rows(store, whole=True):
        heap = heaps.setdefault(stratum, [])
        place = -int(digest(str(seed), row["id"]), 16)  # the largest of the kept is the first to go
        if wanted.get(stratum, 0) > len(heap):
            heapq.heappush(heap, (place, row["id"], row))
        elif heap and place > heap[0][0]:
            heapq.heapreplace(heap, (place, row["id"], row))
    chosen = [item for heap in heaps.values() for item in heap]
    return [_review_item(row) for _, _, row in sorted(chosen, key=lambda item: digest(str(seed), "order", item[1]))]


def _judged_rows(store: RunStore, *, whole: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stratum, row) of what was judged; dialogs that nobody judged are not shown."""
    seen: set[str] = set()
    for row in store.rows("dialogs", None if whole else ["id", "type"]):
        if row["id"] not in seen:
            seen.add(row["id"])
            yield f"accepted {row['type']}", row
    for row in store.rows("rejected", None if whole else ["id", "type", "kind", "stage", "rule"]):
        judged = row["stage"] in JUDGE_STAGES and row["rule"] not in NOT_JUDGED and row["kind"] in KINDS
        if judged and row["id"] not in seen and (not whole or row["record"]):
            seen.add(row["id"])
            yield f"rejected {row['type']}", row


def _review_item(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a person sees it."""
    accepted = "messages" in row
    dialog = row_dialog(row) if accepted else Dialog.of(row["record"])
    messages = []
    for message in dialog.messages:
        text = message.content or pythonic.render(message.tool_calls)
        item: dict[str, Any] = {"role": message.role, "text": text}
        if message.tool_calls:
            item["call"] = True
        if not message.train:
            item["masked"] = True
        messages.append(item)
    return {
        "id": dialog.id,
        "type": dialog.type,
        "kind": dialog.kind,
        "judge": "accepted" if accepted else "rejected",
        "rule": None if accepted else row["rule"],
        "evidence": None if accepted else row["evidence"],
        "tools": [api.tool() for api in dialog.tools],
        "messages": messages,
        "human": None,
        "note": "",
    }


def page(title: str, run: str, samples: list[dict[str, Any]]) -> str:
    """One self-contained HTML page; what models wrote reaches it as data, never as markup."""
    template = jinja2.Environment(autoescape=True).from_string(
        Path(__file__).with_name("review.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(title=title, run=_script_json(run), samples=_script_json(samples))


def _script_json(value: Any) -> str:
    """JSON that can stand in a script element."""
    text = json.dumps(value, ensure_ascii=False)
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def decisions(path: str) -> dict[str, dict[str, str]]:
    """Dialog id -> {"human": accept or reject, "note"}, from the page's file or the exported one, filled in by hand.

    Raises:
        UserError: no such file, a line that is no decision; the message names it.
    """
    decided: dict[str, dict[str, str]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the decisions ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = load_json(line, max_chars=MAX_DECISIONS)
        except ValueError as error:
            raise UserError(f"{path}: line {number}: no JSON ({str(error)[:80]})") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise UserError(f"{path}: line {number}: a decision needs the id of a dialog")
        if row.get("human") is None:
            continue  # not decided yet
        if row["human"] not in (ACCEPT, REJECT):
            raise UserError(f"{path}: line {number}: human is {row['human']!r}; it is accept, reject or null")
        decided[row["id"]] = {"human": row["human"], "note": str(row.get("note") or "")}
    if not decided:
        raise UserError(
            f"{path}: there is no decision in it; decide in review.html and save, or set human in review.jsonl"
        )
    return decided


def kappa(pairs: Iterable[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of (judge accepts, human accepts) pairs: 1 full agreement, 0 no more than chance; None where one of them
    never differs and chance alone would agree fully."""
    table = Counter(pairs)
    total = table.total()
    if not total:
        return None
    agreed = (table[True, True] + table[False, False]) / total
    judge_accepts = (table[True, True] + table[True, False]) / total
    human_accepts = (table[True, True] + table[False, True]) / total
    chance = judge_accepts * human_accepts + (1 - judge_accepts) * (1 - human_accepts)
    return None if chance == 1 else (agreed - chance) / (1 - chance)
