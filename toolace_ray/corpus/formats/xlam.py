"""xLAM's format: a query, its tools and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace_ray.corpus.formats.reading import Reading, RowReader, Unreadable, listed


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `query`, `tools` and `answers`. Raises Unreadable."""
    reader = RowReader("xlam")
    query = row.get("query", row.get("question"))
    if not isinstance(query, str):
        raise Unreadable(f"no text 'query' (there is: {', '.join(list(map(str, row))[:8]) or 'nothing'})")
    reader.say("user", query)
    calls = [reader.tool_call(item) for item in listed(row, "answers", "answer")[1]]
    if kept := [call for call in calls if call]:
        reader.call(kept)
    return reader.reading(row, row.get("tools"))
