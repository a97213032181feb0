"""Calls on real MCP servers in place of the tool agent's model (`generate.execution: mcp`).

Invariants: a tool is called only if the configuration allows it, or, where that names none, if the server calls it
read-only; a call gets the time of its server's configuration; every dialog has a connection of its own; answers to
read-only calls are kept by call and state, where the state is all that the dialog has changed on the server so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from toolace_ray.config.tree import Config, McpServerConfig
from toolace_ray.records.api import Api, is_error
from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.json import digest, load_json
from toolace_ray.sdg.invented import Unfit
from toolace_ray.tss.mcp_client import innermost, transport

MOST_KEPT = 4096  # answers
CLOSING = 10.0  # seconds in which a server must end
MAX_RESULT = 1 << 16  # characters of one


def playable(apis: Iterable[Api], config: Config) -> list[Api]:
    """The APIs that dialogs may use: of a live server only those that may be called there, since what it knows and what a
    model makes up would not fit together."""
    servers = config.sources.mcp_servers if config.generate.execution == "mcp" else {}

    def fits(api: Api) -> bool:
        server = servers.get(api.lineage.server)
        if server is None:
            return True
        return api.lineage.tool in server.allow if server.allow else not api.side_effects

    return [api for api in apis if fits(api)]


class Servers:
    """The MCP servers of a configuration as a worker's dialogs call them."""

    def __init__(self, config: Config) -> None:
        self._servers = config.sources.mcp_servers
        self._answers: OrderedDict[str, Any] = OrderedDict()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """The connections of one dialog; a server is connected to at its first call."""
        session = Session(self._servers, self._answers)
        try:
            yield session
        finally:
            await session.close()


class _Connection:
    """A client in a task of its own: its task groups must be left where they were entered, and fail by themselves."""

    def __init__(self, server: McpServerConfig) -> None:
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(server))

    async def _run(self, server: McpServerConfig) -> None:
        from mcp import Client

        try:
            async with transport(server) as endpoint, Client(endpoint) as client:
                self._ready.set_result(client)
                await self._stop.wait()
        except Exception as error:  # whatever a server or its transport does wrong; a call waits for it or is over
            if not self._ready.done():
                self._ready.set_exception(ConnectionError(innermost(error)))

    async def client(self) -> Any:
        """The client, when the server has answered. Raises ConnectionError."""
        return await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Leave the server; the client of one that does not end within CLOSING seconds is cancelled."""
        self._stop.set()
        await asyncio.wait({self._task}, timeout=CLOSING)
        if not self._task.done():
            self._task.cancel()
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # seen: nobody may have waited for it


class Session:
    """One dialog's connections."""

    def __init__(self, servers: dict[str, McpServerConfig], answers: OrderedDict[str, Any]) -> None:
        self._servers, self._answers = servers, answers
        self._connections: dict[str, _Connection] = {}
        self._state: dict[str, str] = {}

    async def close(self) -> None:
        """Leave all servers."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def runs(self, api: Api) -> bool:
        """True for an API that a configured server has."""
        return api.lineage.server in self._servers

    async def call(self, api: Api, call: ToolCall) -> Any:
        """The result of a call, {"error": ...} where the tool says that it failed.

        Raises:
            Unfit: the server can't be reached, doesn't answer in time, or gives more than MAX_RESULT characters.
        """
        name = api.lineage.server
        call_key = ToolCall(name=api.lineage.tool, arguments=call.arguments).key()
        key = digest(name, self._state.get(name, ""), call_key, length=32)
        if key in self._answers:
            self._answers.move_to_end(key)
            return self._answers[key]
        server = self._servers[name]
        try:
            async with asyncio.timeout(server.call_timeout):
                if name not in self._connections:
                    self._connections[name] = _Connection(server)
                client = await self._connections[name].client()
                answer = await client.call_tool(api.lineage.tool, call.arguments)
        except TimeoutError as error:
            raise Unfit("execution", f"{name}: no answer of {api.name} within {server.call_timeout:g} s") from error
        except Exception as error:  # whatever a server or its transport does wrong costs this dialog alone
            raise Unfit("execution", f"{name}: {innermost(error)}") from None
        result = _result(api, answer)
        if api.side_effects:
            self._state[name] = digest(self._state.get(name, ""), call_key, json.dumps(result, sort_keys=True))
        elif not is_error(result):  # what failed may work the next time
            self._answers[key] = result
            if len(self._answers) > MOST_KEPT:
                self._answers.popitem(last=False)
        return result


def _result(api: Api, answer: Any) -> Any:
    text = "\n".join(str(part.text) for part in answer.content if getattr(part, "type", "") == "text")
    size = len(text)
    if answer.structured_content is not None and size <= MAX_RESULT:
        size = len(json.dumps(answer.structured_content, ensure_ascii=False))
    if size > MAX_RESULT:
        raise Unfit("execution", f"{api.name} answers with {size} characters, the limit is {MAX_RESULT}")
    if answer.is_error:
        return {"error": {"code": "tool_error", "message": " ".join(text.split())[:300] or "The tool failed."}}
    if answer.structured_content is not None:
        return answer.structured_content
    if api.returns.get("type") == "string":
        return text
    try:
        return load_json(text)
    except ValueError as error:
        raise Unfit("execution", f"{api.name} answers with no JSON: {text[:80]!r}") from error
