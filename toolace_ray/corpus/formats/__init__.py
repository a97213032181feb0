"""Dialogs in trainers' formats, one file a format, reading and writing side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from toolace_ray.corpus.formats import hermes, openai, sharegpt, toolace, xlam
from toolace_ray.corpus.formats.reading import Reading, Unreadable
from toolace_ray.records.dialog import Dialog

READERS: dict[str, Callable[[Mapping[str, Any]], Reading]] = {
    "toolace": toolace.read,
    "openai": openai.read,
    "sharegpt": sharegpt.read,
    "hermes": hermes.read,
    "xlam": xlam.read,
}
"""Format -> the reader of one row."""
WRITERS: dict[str, Callable[[Dialog], dict[str, Any]]] = {"openai": openai.write, "toolace": toolace.write}
"""Format -> the writer of one row. Every format keeps the row's id and type; schemas stay JSON Schema, untouched."""


def read(row: Any, format: str) -> Reading:
    """What a row of a format holds.

    Raises:
        Unreadable: the row is no dialog of the format.
    """
    if not isinstance(row, dict):
        raise Unreadable(f"{type(row).__name__}, not an object")
    try:
        return READERS[format](row)
    except Unreadable:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        raise Unreadable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise Unreadable(f"{type(error).__name__}: {str(error)[:200]}") from error
