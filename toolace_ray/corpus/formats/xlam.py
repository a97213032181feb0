"""xLAM's format: a query, its tools and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace_ray.corpus.formats.reading import Reading, RowReader, Unreadable, first_list


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `query`, `tools` and `answers`. Raises Unreadable."""
    reader = RowReader("xlam")
    query = row.get("query", row.get("question"))
    if not isinstance(query, str):
        raise Unreadable(f"no text 'query' (there is: {', '.join(list(map(str, row))[:8]) or 'nothing'})")
    reader.add_message("user", query)
    calls = [reader.tool_call(item) for item in first_list(row, "answers", "answer")[1]]
    if valid := [call for call in calls if call]:
        reader.add_calls(valid)
    return reader.reading(row, row.get("tools"))
