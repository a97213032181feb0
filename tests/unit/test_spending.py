"""What a run spent, from an engine's answer to the lines that a person reads."""

import asyncio
import json

import pyarrow as pa

from actors.stages.experts import Experts
from actors.stages.verdicts import DRAFT_WITH_VERDICTS, JUDGE_USAGE
from jobs import summary
from tests.material import good_dialogs
from tests.mock_server import MockServer
from toolace_ray.config.load import parse
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.engines.build import build
from toolace_ray.engines.cores import Share
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import Engines
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import ledger
from toolace_ray.store.rows import DRAFT, LEDGER, completed, ledger_row, usage_columns, verdicts_json

DIALOG = good_dialogs()["single"]
TASK = {"id": DIALOG.id, "type": DIALOG.type, "kind": DIALOG.kind, "attempt": 0, "key": dialog_key(DIALOG)}
REQUEST = GenerateRequest([{"role": "user", "content": "Which city?"}], n=2)


def configured(counting, mute, **more):
    """A writer whose server counts tokens, and everybody else on one that does not."""
    pools = {name: {"engine": "openai", "url": url} for name, url in (("counting", counting), ("mute", mute))}
    roles = {**dict.fromkeys(("user", "assistant", "tool", "judge"), "mute"), "writer": "counting"}
    return parse({"pools": pools, "roles": roles, **more})


def spent_by(config, roles):
    """What a task spends that asks the engines of these roles in turn."""

    async def run():
        pools = {name: build(pool, Share(), name) for name, pool in config.pools.items()}
        engines = Engines(config, pools).for_task("task")
        for role in roles:
            await engines.generate(role, REQUEST)
        for pool in pools.values():
            await pool.close()
        return engines.usage

    return asyncio.run(run())


def test_tokens_that_no_server_counted_are_told_as_estimated(store):
    with MockServer() as counting, MockServer(ignores=("usage",)) as mute:
        config = configured(counting.url, mute.url)
        counted, mixed = spent_by(config, ["writer"]), spent_by(config, ["writer", "user"])
    assert counted.estimated_tokens == 0
    assert mixed.estimated_tokens == mixed.tokens + mixed.prompt_tokens - counted.tokens - counted.prompt_tokens > 0
    draft = {**TASK, "record": "{}", **usage_columns(counted, 0.0)}
    store.write("drafts/dialogs", "e-dialogs-a.parquet", [draft], DRAFT)
    assert "estimated" not in summary.status(store)
    row = ledger_row({**TASK, "id": "other"}, [Verdict(stage="generate", rule="x")], None, usage_columns(mixed, 0.0))
    store.write("rejected", "e-dialogs-a.parquet", [row], LEDGER)
    tokens = counted.tokens + mixed.tokens
    for text in (summary.status(store), summary.describe_pool(store, None, 0.0)):
        assert f"about {tokens:,} generated tokens" in text
        assert f"{mixed.estimated_tokens:,} of these tokens are estimated, since a server sends no usage" in text


def test_what_a_judge_spends_is_as_estimated_as_it_was(store):
    vote = json.dumps({"evidence": "because", "function": DIALOG.tools[0].name})
    with MockServer() as counting, MockServer(ignores=("usage",), says=[vote]) as mute:
        verify = {"experts": {"consistency": {"votes": 1, "against": 1}}, "repair": 0}
        config = configured(counting.url, mute.url, verify=verify)
        engine = build(config.pools["mute"], Share(), "mute")
        stage = Experts(config, Engines(config, {"counting": engine, "mute": engine}))
        played = {**TASK, "record": DIALOG.model_dump_json(), **usage_columns(Usage(tokens=50), 0.0)}
        waiting = {**played, "verdicts": verdicts_json(()), **dict.fromkeys(JUDGE_USAGE, 0)}
        for before in (20, None):  # None: an earlier version played it
            rows = [{**waiting, "estimated_tokens": before}]
            (row,) = stage(pa.Table.from_pylist(rows, schema=DRAFT_WITH_VERDICTS)).to_pylist()
            judged = row["judge_tokens"] + row["judge_prompt_tokens"]
            assert row["estimated_tokens"] == (before or 0) + judged > (before or 0)
        stage._loop.run_until_complete(engine.close())


def test_a_run_that_an_earlier_version_began_goes_on(store):
    """Its files have no column of estimated tokens."""
    columns = [name for name in DRAFT.names if name != "estimated_tokens"]
    draft = {**TASK, "record": "{}", **usage_columns(Usage(requests=2, tokens=50, prompt_tokens=7), 0.0)}
    old = pa.Table.from_pylist([draft], schema=DRAFT).select(columns)
    store.write("drafts/dialogs", "e-dialogs-a.parquet", old, old.schema)
    assert ledger.total(store) == Usage(requests=2, tokens=50, prompt_tokens=7)
    assert ledger.spending(store) == (50, 7, 0.0)
    table = completed(store.table("drafts/dialogs", "e-dialogs-a.parquet"), DRAFT)
    assert table.schema == DRAFT
    assert table.to_pylist() == [{**draft, "estimated_tokens": None}]


def test_a_run_that_asked_no_model_spent_nothing(store):
    assert "spent: nothing, no model was asked" in summary.status(store)
