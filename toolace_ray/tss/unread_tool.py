"""A tool as a file has it, before it is an API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolace_ray.records.api import ApiError
from toolace_ray.tss.told import Told


@dataclass(frozen=True)
class Tool:
    """A tool in the words of MCP's `tools/list` (name, description, inputSchema, outputSchema ...), and its errors."""

    words: dict[str, Any]
    errors: tuple[ApiError, ...] = ()


@dataclass(frozen=True)
class UnreadTool:
    """A tool that is yet to be read.

    `label` names it in reasons, `operation` is its name in its file (see Lineage), `domain` is that of its API. `read` notes
    what it leaves out or translates, and raises SpecError, or whatever a form that nobody expected leads to.
    """

    label: str
    operation: str
    domain: tuple[str, ...]
    read: Callable[[Told], Tool]
