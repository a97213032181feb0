"""Calibration as a job: what the target makes of a prior set, and the band that generation then aims at.

python -m jobs.calibrate --config configs/local.yaml --set run.path=runs/prior

The prior set is the run's own dialogs, made without a band. The target is measured on it, tuned on it for a short while,
and measured again; the band goes to calibration/band.yaml in the run's folder. A phase whose figures are there is not
done again; the figures after a tuning count for that tuning alone, of those dialogs.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray
import yaml

from actors.pools import PoolHandles, Pools, clients
from jobs.generate import generate
from jobs.session import Session
from toolace_ray.config.tree import Config, PoolConfig
from toolace_ray.engines.protocol import BadRequest
from toolace_ray.engines.roles import Engines, in_flight
from toolace_ray.engines.template import ChatTemplate, Pass
from toolace_ray.errors import UserError
from toolace_ray.models import resolve
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import canonical_json, digest
from toolace_ray.sdg.difficulty import calibrate as calibration
from toolace_ray.sdg.difficulty.measure import evaluator, solved
from toolace_ray.sdg.difficulty.probe import Tuning, tune
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore

FOLDER = "calibration"
MEASURED = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("loss", pa.float64()),
        ("solved", pa.list_(pa.float64())),
    ]
)
"""What the target makes of a dialog of the prior set: `loss` is null for one that it refuses, since it is longer than its
context; `solved` has the share of right answers of each trained assistant turn."""


def calibrate(current: Session) -> dict[str, Any]:
    """Write the band of roles.target. Returns what is in the file.

    Raises:
        UserError: no target that can be calibrated on, a band in the configuration, or a prior set that is too small.
    """
    config, store = current.config, current.store
    name, pool = _target(config, store)
    generate(current)
    dialogs = _prior_set(current)
    if pool.engine == "openai":
        band = calibration.pass_band(config.complexity.samples)
    else:
        store.make(FOLDER)
        before = _measurements(current, "prior", dialogs, config, None)
        current.release()
        measured = [dialog for dialog in dialogs if before[dialog.id]["loss"] is not None]
        calibration.check_size(len(measured))  # before the tuning, which takes longest
        after = _measurements_after_tuning(current, measured, name, pool)
        pairs = [(before[dialog.id], after[dialog.id]) for dialog in measured]
        band = calibration.band([_scored_dialog(*pair) for pair in pairs if pair[1]["loss"] is not None])
    band |= {"target": pool.model, "run": store.uri}
    store.make(FOLDER)
    store.write_bytes(FOLDER, "band.yaml", yaml.safe_dump(band, sort_keys=False).encode())
    return band


def _target(config: Config, store: RunStore) -> tuple[str, PoolConfig]:
    """The pool of roles.target, and its name. Raises UserError where calibration would fail in the end."""
    if "target" not in config.roles:
        raise UserError("roles.target is missing: calibration measures the model that is to be tuned")
    if config.complexity.band:
        raise UserError("complexity.band: a prior set is made without a band; take the key out for calibration")
    (name,) = config.mix("target")
    pool = config.pools[name]
    if pool.engine == "simulated":
        raise UserError("roles.target is a simulated engine: its losses are drawn at random and calibrate nothing")
    if pool.engine == "openai":
        calibration.pass_band(config.complexity.samples)
    elif not store.local:
        raise UserError(
            f"run.path: {config.run.path}: the tuned probe must lie where the engines can load it; calibrate on a folder "
            "that all nodes share"
        )
    return name, pool


def _prior_set(current: Session) -> list[Dialog]:
    """The prior set: the run's accepted dialogs, or a sample of them."""
    dialogs = [row_dialog(row) for row in current.store.rows("dialogs")]
    dialogs.sort(key=lambda dialog: dialog.id)
    most = current.config.calibrate.dialogs
    rng = random.Random(f"prior/{current.config.run.seed}")
    return dialogs if len(dialogs) <= most else rng.sample(dialogs, most)


def _scored_dialog(before: dict[str, Any], after: dict[str, Any]) -> calibration.ScoredDialog:
    return calibration.ScoredDialog(
        before["id"],
        before["kind"],
        before["loss"],
        min(before["solved"]) == 1,
        after["loss"],
        min(after["solved"]) == 1,
    )


def _measurements(
    current: Session, phase: str, dialogs: Sequence[Dialog], config: Config, handles: dict[str, PoolHandles] | None
) -> dict[str, dict[str, Any]]:
    """What the target makes of each dialog; those that are in the phase's file are not measured again."""
    store = current.store
    rows = {row["id"]: row for row in store.rows(FOLDER, part=f"{phase}-")}
    missing = [dialog for dialog in dialogs if dialog.id not in rows]
    if missing:
        pool_handles = handles or current.pools().handles
        current.progress.say(f"calibrate: measuring {len(missing)} dialogs ({phase})")
        new_rows = asyncio.run(_measure(missing, config, pool_handles))
        if refused := sum(row["loss"] is None for row in new_rows):
            current.progress.say(f"calibrate: {refused} dialogs are longer than the target's context, and left out")
        store.write(FOLDER, f"{phase}-{current.epoch}.parquet", new_rows, MEASURED)
        rows |= {row["id"]: row for row in new_rows}
    return rows


async def _measure(dialogs: Sequence[Dialog], config: Config, handles: dict[str, PoolHandles]) -> list[dict[str, Any]]:
    engines = Engines(config, clients(handles, config.execution.affinity_margin))
    target = evaluator(config)
    template = target.template
    room = asyncio.Semaphore(in_flight(config, {name: pool.capabilities for name, pool in handles.items()}))

    async def measure(dialog: Dialog) -> dict[str, Any]:
        async with room:
            task_engines = engines.for_task(dialog.id)
            try:
                loss = (await target.measure(dialog, task_engines)).loss
                rates = await solved(dialog, template, task_engines)
            except BadRequest:
                loss, rates = None, []
        return {"id": dialog.id, "kind": dialog.kind, "loss": loss, "solved": rates}

    return list(await asyncio.gather(*(measure(dialog) for dialog in dialogs)))


def _measurements_after_tuning(
    current: Session, dialogs: Sequence[Dialog], name: str, pool: PoolConfig
) -> dict[str, dict[str, Any]]:
    """What the target makes of dialogs that it can read after a short tuning on them."""
    config, store = current.config, current.store
    settings = config.calibrate
    tuning = Tuning(
        settings.epochs, settings.learning_rate, settings.batch, settings.rank, settings.max_tokens, config.run.seed
    )
    ids = sorted(dialog.id for dialog in dialogs)
    phase = f"tuned-{digest(canonical_json(asdict(tuning)), *ids, length=8)}"
    measured = {row["id"]: row for row in store.rows(FOLDER, part=f"{phase}-")}
    if measured.keys() >= set(ids):
        return measured
    output = store.path(FOLDER, "probe")
    current.ray()  # all dialogs may have been measured in an earlier start
    _tune(current, dialogs, pool, tuning, output)
    probe_config = config.model_copy(
        update={
            "pools": {**config.pools, name: pool.model_copy(update={"model": output})},
            "roles": {**dict.fromkeys(config.roles, name)},
        }
    )
    with Pools(probe_config, current.progress.say) as pools:
        return _measurements(current, phase, dialogs, probe_config, pools.handles)


def _tune(current: Session, dialogs: Sequence[Dialog], pool: PoolConfig, tuning: Tuning, output: str) -> None:
    """Tune the target on the dialogs, as a task of Ray, and write it to a folder."""
    settings = current.config.calibrate
    source = resolve(pool.model)
    template = ChatTemplate.of(source)
    passes = [
        Pass(dialog_pass.ids, tuple(turn for turn in dialog_pass.turns if dialog.messages[turn.message].train))
        for dialog in dialogs
        for dialog_pass in template.passes(dialog)
    ]
    current.progress.say(f"calibrate: tuning {pool.model} on {len(passes)} dialogs, {tuning.epochs} epochs")
    remote = ray.remote(_tune_task).options(num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=0)
    losses = ray.get(remote.remote(source, passes, tuning, output))
    current.progress.say(f"calibrate: loss by epoch {', '.join(f'{loss:.3f}' for loss in losses)}")


def _tune_task(source: str, passes: Any, settings: Tuning, output: str) -> list[float]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # Ray gives a task's libraries as many threads as it reserves CPUs
    return tune(source, passes, settings, output)


if __name__ == "__main__":
    from jobs.command import as_program
    from jobs.summary import describe_band

    as_program(calibrate, describe_band)
