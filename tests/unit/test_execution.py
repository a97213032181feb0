"""Calls on a real MCP server over stdio."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.material import WEATHER
from toolace_ray.config.load import parse
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import ToolCall
from toolace_ray.schemas import gate
from toolace_ray.sdg.execution import Servers, playable
from toolace_ray.sdg.invented import Unfit
from toolace_ray.tss import mcp_client, specs

SERVER = Path(__file__).parents[1] / "mcp_server.py"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("mcp") / "log"


def configuration(log, **more):
    server = {"command": [sys.executable, str(SERVER), str(log)], **more}
    return parse({"sources": {"mcp_servers": {"bank": server}}, "generate": {"execution": "mcp"}})


@pytest.fixture(scope="module")
def apis(log):
    config = configuration(log)
    listed = json.loads(mcp_client.list_tools("bank", config.sources.mcp_servers["bank"]))
    found = {item.name: item for item in specs.import_tools(listed, "bank", live=True) if isinstance(item, Api)}
    assert gate.check(found["get_balance"]) == []
    return found


def call(api, **arguments):
    return ToolCall(id="c", name=api.name, arguments=arguments)


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def test_what_may_be_called(log, apis):
    def allowed(**more):
        return {api.name for api in playable([*apis.values(), WEATHER], configuration(log, **more))}

    assert allowed() == {"get_balance", "fail", "hang", "flood", "get_forecast"}  # those that it calls read-only
    assert allowed(allow=["deposit"]) == {"deposit", "get_forecast"}
    assert len(playable(apis.values(), parse({}))) == 5  # a model answers for all of them
    saved = apis["get_balance"].model_copy(
        update={"lineage": apis["get_balance"].lineage.model_copy(update={"server": ""})}
    )

    async def unknown():
        async with Servers(configuration(log)).session() as session:
            return session.runs(saved)

    assert not asyncio.run(unknown())


def test_answers_are_kept_by_call_and_state_and_dialogs_do_not_meet(log, apis):
    get, deposit = apis["get_balance"], apis["deposit"]
    servers = Servers(configuration(log, allow=["get_balance", "deposit"]))
    log.write_text("")

    async def dialog():
        async with servers.session() as session:
            first = await session.call(get, call(get, account="Ada fund"))
            again = await session.call(get, call(get, account="Ada fund"))
            paid = await session.call(deposit, call(deposit, account="Ada fund", amount=50))
            after = await session.call(get, call(get, account="Ada fund"))
            return first, again, paid, after

    expected = ({"balance": 100}, {"balance": 100}, {"balance": 150}, {"balance": 150})
    assert asyncio.run(dialog()) == expected
    assert lines(log) == ["get Ada fund", "deposit Ada fund 50", "get Ada fund"]
    # Another dialog has a server of its own; what it only reads is known already, in each of the two states.
    assert asyncio.run(dialog()) == expected
    assert lines(log)[3:] == ["deposit Ada fund 50"]


def test_what_goes_wrong_costs_the_dialog_alone(log, apis):
    async def one(name, **more):
        async with Servers(configuration(log, **more)).session() as session:
            return await session.call(apis[name], call(apis[name], account="Ada fund"))

    assert asyncio.run(one("fail"))["error"]["code"] == "tool_error"
    assert "vault is shut" in asyncio.run(one("fail"))["error"]["message"]
    with pytest.raises(Unfit, match="no answer of hang within 5 s"):
        asyncio.run(one("hang", call_timeout=5))
    with pytest.raises(Unfit, match="100000 characters"):
        asyncio.run(one("flood"))

    async def gone():
        config = parse({"sources": {"mcp_servers": {"bank": {"command": ["/no/such/program"]}}}})
        async with Servers(config).session() as session:
            return await session.call(apis["fail"], call(apis["fail"], account="x"))

    with pytest.raises(Unfit, match="bank: "):
        asyncio.run(gone())
