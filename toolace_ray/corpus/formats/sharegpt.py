"""ShareGPT's format with roles for calls and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace_ray.corpus.formats.conversations import add_tagged, read_conversation
from toolace_ray.corpus.formats.reading import Reading, RowReader


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `conversations`, whose calls are turns of their own or stand between tags. Raises Unreadable."""
    return read_conversation(RowReader("sharegpt"), row, add_tagged)
