"""A small MCP server for tests: an account that can be read and changed, and tools that misbehave.

Every call is a line in the file named on the command line.
"""

import sys
import threading
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

server = MCPServer("bank")
log = sys.argv[1]
balance = {"Ada fund": 100}
Account = Annotated[str, Field(description="Name of the account, for example Ada fund", max_length=30)]


class Balance(BaseModel):
    balance: int = Field(description="Money in the account")


def note(text):
    with open(log, "a", encoding="utf-8") as file:
        file.write(text + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def get_balance(account: Account) -> Balance:
    """Tell the balance of an account."""
    note(f"get {account}")
    return Balance(balance=balance.get(account, 0))


@server.tool()
def deposit(account: Account, amount: Annotated[int, Field(description="Amount to pay in", ge=1, le=500)]) -> Balance:
    """Pay money into an account."""
    note(f"deposit {account} {amount}")
    balance[account] = balance.get(account, 0) + amount
    return Balance(balance=balance[account])


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def fail(account: Account) -> str:
    """Fail always."""
    raise ToolError("the vault is shut")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def hang(account: Account) -> str:
    """Never answer."""
    threading.Event().wait()
    return "never"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def flood(account: Account) -> str:
    """Answer with far too much."""
    return "x" * 100_000


if __name__ == "__main__":
    server.run(transport="stdio")
