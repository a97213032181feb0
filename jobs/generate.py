"""SDG and DLV as a job: the API pool becomes verified dialogs.

python -m jobs.generate --config configs/cluster.yaml
"""

from __future__ import annotations

from typing import Any

from jobs import flow as flows
from jobs.evolve import evolve
from jobs.flow import Flow
from jobs.session import Session
from toolace_ray import run
from toolace_ray.corpus.export import export
from toolace_ray.rows import DIALOG
from toolace_ray.sdg import balance
from toolace_ray.sdg.complication import check_band
from toolace_ray.sdg.plans import feasible
from toolace_ray.sdg.pool import Pool


def generate(current: Session) -> dict[str, Any]:
    """Bring the run's dialogs to their quotas; grow the pool first where there is none.

    Returns:
        The planner's last status, with `new` telling whether anything was played.

    Raises:
        UserError: see evolve and run.begin.
    """
    config, store = current.config, current.store
    if not store.files("apis"):
        evolve(current)
    run.begin(store, config, "generate")
    check_band(config)
    settings = config.generate
    pool = Pool.of(run.load_pool(store))
    asked, _ = balance.quotas(settings)
    wanted, shifted = balance.quotas(settings, feasible([kind for kind, number in asked.items() if number], pool))
    del pool  # the workers index it again for themselves
    for kind, number in shifted.items():
        current.progress.say(f"{kind}: the pool carries none; its {number} dialogs go to the type's other features")
    quotas = {kind: (number, number * settings.max_attempts) for kind, number in wanted.items()}
    flow = Flow(
        "dialogs",
        "dialogs",
        "drafts/dialogs",
        "dialogs",
        quotas,
        max_tokens=settings.max_tokens,
        max_cost=settings.max_cost,
    )
    finished = flows.survey(flow, store).done
    status = current.play(flow, "dialogs")
    moved = flows.settle(flow, store, DIALOG, current.epoch)
    export(store)
    for kind, item in status["types"].items():
        if not item["reached"]:
            reason = status["budget"] or f"its {quotas[kind][1]} attempts are used up (generate.max_attempts)"
            current.progress.say(
                f"{kind}: {item['passing']} of {item['wanted']} dialogs, since {reason}; what there is is kept"
            )
    return {**status, "new": moved or not finished}


if __name__ == "__main__":
    from jobs.cli import job

    job("generate")
