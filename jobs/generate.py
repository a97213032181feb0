"""SDG and DLV as a job: the API pool becomes verified dialogs.

python -m jobs.generate --config configs/cluster.yaml
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from jobs.evolve import evolve
from jobs.flow import budget
from jobs.session import Session
from toolace_ray.corpus.export import export
from toolace_ray.records.kinds import CONTRASTS
from toolace_ray.sdg import balance, contrasts
from toolace_ray.sdg.balance import apportion
from toolace_ray.sdg.difficulty.guide import check_band
from toolace_ray.sdg.execution import playable
from toolace_ray.sdg.plans import feasible
from toolace_ray.sdg.pool import Pool
from toolace_ray.store import folder
from toolace_ray.store.rows import CONTRAST, DIALOG, row_dialog
from toolace_ray.store.settle import Flow, settle

CONTRAST_ATTEMPTS = (
    4  # at most, as a multiple of the contrasts wanted: each is written down with the dialog it comes from
)


def generate(current: Session) -> dict[str, Any]:
    """Bring the run's dialogs to their quotas; grow the pool first where there is none.

    Returns:
        The planner's last status, with `new` telling whether anything was played or moved.

    Raises:
        UserError: see evolve and folder.begin.
    """
    config, store = current.config, current.store
    if not store.files("apis"):
        evolve(current, dialogs=True)
    folder.begin(store, config, "generate")
    check_band(config)
    settings = config.generate
    pool = Pool.of(playable(folder.load_pool(store), config))
    configured, _ = balance.quotas(settings)
    wanted, shifted = balance.quotas(settings, feasible([kind for kind, number in configured.items() if number], pool))
    del pool  # the workers index it again for themselves
    for kind, number in shifted.items():
        current.progress.say(f"{kind}: the pool carries none; its {number} dialogs go to the type's other features")
    quotas = {kind: (number, number * settings.max_attempts) for kind, number in wanted.items()}
    flow = _dialog_flow(current, "dialogs", quotas)
    status = current.run_flow(flow, "dialogs")
    new = settle(flow, store, DIALOG, current.epoch) or status["new"]
    if (contrast_flow := _contrast_flow(current)) is not None:
        contrast_status = current.run_flow(contrast_flow, "contrasts")
        new = settle(contrast_flow, store, DIALOG, current.epoch) or contrast_status["new"] or new
        status = {**contrast_status, "types": {**status["types"], **contrast_status["types"]}}
        quotas |= contrast_flow.quotas
    export(store)
    for kind, item in status["types"].items():
        if not item["reached"]:
            reason = status["budget"] or f"its {quotas[kind][1]} attempts are used up (generate.max_attempts)"
            current.progress.say(
                f"{kind}: {item['passing']} of {item['wanted']} dialogs, since {reason}; what there is is kept"
            )
    return {**status, "new": new}


def _dialog_flow(current: Session, name: str, quotas: dict[str, tuple[int, int]]) -> Flow:
    near = current.config.verify.duplicates
    return Flow(name, name, "drafts/dialogs", "dialogs", quotas, near=near, **budget(current.config))


def _contrast_flow(current: Session) -> Flow | None:
    """The flow of contrasts; which dialogs they come from is written down first, and never changes afterwards."""
    store, settings = current.store, current.config.generate
    designed = [(row["kind"], row["base"]) for row in store.rows("contrasts", ["kind", "base"])]
    tool_dialogs = sum(row["type"] != "non_tool" for row in store.rows("dialogs", ["type"], "-dialogs-"))
    number = round(settings.contrastive * tool_dialogs)
    if not number and not designed:
        return None
    wanted = apportion(number, dict.fromkeys(CONTRASTS, 1.0))
    limits = {kind: min(settings.max_attempts, CONTRAST_ATTEMPTS) * wanted[kind] for kind in CONTRASTS}
    counts = Counter(kind for kind, _ in designed)
    if any(counts[kind] < limits[kind] for kind in CONTRASTS):
        counts = _design_contrasts(current, Counter(designed), limits, counts)
    if impossible := [kind for kind in CONTRASTS if wanted[kind] and not counts[kind]]:
        current.progress.say(f"{', '.join(impossible)}: no accepted dialog can have one")
    return _dialog_flow(
        current,
        "contrasts",
        {kind: (wanted[kind], min(counts[kind], limits[kind])) for kind in CONTRASTS if counts[kind]},
    )


def _design_contrasts(
    current: Session, designed: Counter[tuple[str, str]], limits: dict[str, int], counts: Counter[str]
) -> Counter[str]:
    """Write down as many more contrasts as `limits` allows, in the order of their hashes; a dialog gets a second one of a
    kind when every other has its first. Returns the counts then."""
    store = current.store
    heaps: dict[str, list[tuple[int, float, str, str | None]]] = {}
    for row in store.rows("dialogs", part="-dialogs-"):
        for contrast in contrasts.possible(row_dialog(row)):
            times = designed[contrast.kind, contrast.base.id]
            heapq.heappush(
                heaps.setdefault(contrast.kind, []),
                (times, contrasts.order(contrast), contrast.base.id, contrast.missing),
            )
    rows: dict[str, list[dict[str, Any]]] = {}
    for kind, heap in heaps.items():
        while counts[kind] < limits[kind]:
            times, place, base, missing = heap[0]
            heapq.heapreplace(heap, (times + 1, place, base, missing))
            row = {"kind": kind, "attempt": counts[kind], "base": base, "missing": missing, "record": ""}
            rows.setdefault(base, []).append(row)
            counts[kind] += 1

    def tables() -> Iterator[pa.Table]:
        for row in store.rows("dialogs", part="-dialogs-"):
            if row["id"] in rows:
                record = row_dialog(row).model_dump_json()
                yield pa.Table.from_pylist([{**item, "record": record} for item in rows[row["id"]]], schema=CONTRAST)

    if rows:
        store.write_tables("contrasts", f"{current.epoch}-contrasts.parquet", tables(), CONTRAST)
    return counts


if __name__ == "__main__":
    from jobs.command import as_program
    from jobs.summary import describe_dialogs

    as_program(generate, describe_dialogs)
