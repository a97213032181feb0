"""The rule layer against the seeded defects, and against dialogs that are right."""

import asyncio
import json
from collections import Counter

import pytest

from tests.defects import KINDS, ROWS, base, spoilt, spoilt_rows
from tests.samples import IDEAL_APIS, IdealEngine
from toolace_ray.config.load import parse
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.corpus.verification import judge
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.engines.roles import Engines
from toolace_ray.records.kinds import PLANNED
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

CONFIG = VerifyConfig()
BASE = base()
EXPERTS = {  # what no rule can tell of a stranger's dialog, whose plan nobody knows
    "D refusal though a function fits",
    "D asks for what was given",
    "D thinking contradicts the action",  # no format of the five has thoughts
}


def as_row(dialog, form):
    row = WRITERS[form](dialog)
    if form == "openai":  # which has room for what a tool returns
        for tool, api in zip(row["tools"], dialog.tools, strict=True):
            tool["function"]["returns"] = api.returns
    return json.dumps(row)


@pytest.mark.parametrize("name", BASE)
def test_what_is_spoilt_was_good(name):
    assert run_rules(BASE[name], CONFIG) == []
    for form in WRITERS:
        told = judge(as_row(BASE[name], form), form, CONFIG)
        assert told.accepted
        assert not told.verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_every_seeded_defect_is_caught_by_a_rule(kind):
    made = [item for dialog in BASE.values() for item in spoilt(kind, dialog)]
    assert made
    missed = [item for item in made if not rejects(run_rules(item, CONFIG))]
    assert not missed, missed[0]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("kind", sorted(set(KINDS) - EXPERTS))
def test_every_seeded_defect_is_caught_in_a_strangers_dialog(kind, form):
    rows = [as_row(item, form) for dialog in BASE.values() for item in spoilt(kind, dialog)]
    missed = [row for row in rows if judge(row, form, CONFIG).accepted]
    assert rows
    assert not missed, missed[0]


@pytest.mark.parametrize("kind", ROWS)
def test_every_way_of_bad_writing_is_caught(kind):
    rows = [item for dialog in BASE.values() for item in spoilt_rows(kind, dialog)]
    assert rows
    missed = [row for form, row in rows if judge(json.dumps(row), form, CONFIG).accepted]
    assert not missed, missed[0]


def test_of_a_thousand_clean_dialogs_less_than_five_are_rejected():
    config = parse({})
    engines = Engines(config, {"small": IdealEngine()})
    pool = Pool.of(IDEAL_APIS)
    kinds = sorted(
        kind
        for kind in PLANNED
        if not kind.startswith("multi_turn") or kind in ("multi_turn.turns_2", "multi_turn.turns_3")
    )

    async def play():
        tasks = [Task(f"{kind}-{number}", kind, number, number) for number in range(54) for kind in kinds]
        return [(await rollout(task, pool, config, engines.for_task(task.id))).dialog for task in tasks]

    dialogs = [dialog for dialog in asyncio.run(play()) if dialog]
    assert len(dialogs) >= 1000
    wrong = Counter()
    for dialog in dialogs:
        found = [rejects(run_rules(dialog, CONFIG))]
        found += [
            [v for v in judge(as_row(dialog, form), form, CONFIG).verdicts if v.severity == "reject"]
            for form in WRITERS
        ]
        wrong.update(verdict.rule for verdicts in found for verdict in verdicts[:1])
    assert sum(wrong.values()) < 0.005 * 3 * len(dialogs), wrong
