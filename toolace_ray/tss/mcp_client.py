"""The tools of a live MCP server, asked through the official client.

Invariant: a server is given the time of its configuration; of our environment it gets what the configuration names beside
what the client passes to any program (HOME, PATH and the like), and no token is ever shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

from toolace_ray.config.tree import McpServerConfig
from toolace_ray.errors import UserError

MAX_TOOLS, MAX_PAGES = 10_000, 1000


def list_tools(name: str, server: McpServerConfig) -> str:
    """A server's tools/list result as JSON: MAX_PAGES of it and MAX_TOOLS, and a `nextCursor` where it has more.

    Raises:
        UserError: the server can't be started or reached, or doesn't answer in time.
    """
    key = f"sources.mcp_servers.{name}"
    for variable in (*server.env, *filter(None, [server.token_env])):
        if variable not in os.environ:
            raise UserError(f"{key}: the environment variable {variable} is not set")
    token = os.environ[server.token_env].strip() if server.token_env else ""
    if not (token.isascii() and (token.isprintable() or not token)):
        raise UserError(f"{key}: the environment variable {server.token_env} holds no token (odd characters)")
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # a server that prints what is no message would fill the screen
    try:
        listed = asyncio.run(asyncio.wait_for(_list(server), server.timeout))
    except TimeoutError as error:
        raise UserError(f"{key}: no list of tools within {server.timeout:g} s (see its timeout)") from error
    except Exception as error:  # whatever a server or its transport does wrong, the user chose that server
        text = f"can't list its tools ({innermost(error)})"
        raise UserError(f"{key}: {text.replace(token, '***') if token else text}") from None
    return json.dumps(listed, ensure_ascii=False, indent=1)


def innermost(error: BaseException) -> str:
    """The error inside the groups that the client's task groups make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:200]}"


@contextlib.asynccontextmanager
async def transport(server: McpServerConfig) -> AsyncIterator[Any]:
    """What the official client connects to: the parameters of a stdio server, a URL, or a transport of its own."""
    if server.command:
        from mcp.client.stdio import StdioServerParameters

        environment = {variable: os.environ[variable] for variable in server.env}
        yield StdioServerParameters(command=server.command[0], args=list(server.command[1:]), env=environment)
        return
    if not server.token_env:
        yield server.url
        return
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {os.environ[server.token_env].strip()}"}
    async with httpx2.AsyncClient(headers=headers, timeout=server.timeout) as client:
        yield streamable_http_client(server.url, http_client=client)


async def _list(server: McpServerConfig) -> dict[str, Any]:
    from mcp import Client

    tools: list[dict[str, Any]] = []
    cursor: str | None = None
    async with transport(server) as endpoint, Client(endpoint) as client:
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None or len(tools) >= MAX_TOOLS:
                break
    more = {"nextCursor": cursor or ""} if cursor is not None or len(tools) > MAX_TOOLS else {}
    return {"tools": tools[:MAX_TOOLS], **more}
