"""A data set's files as rows of text: JSONL piece by piece, JSON arrays and Parquet; limits are checked before anything is parsed.

Invariant: what a row holds never stops the reading; a row that can't be had as text is a Refused with its reason.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolace_ray.corpus.formats.reading import MAX_CHARS
from toolace_ray.errors import UserError
from toolace_ray.records.json import LimitExceeded, check_text

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
PORTION = 1 << 20  # bytes of a JSONL file that are read at once
MAX_ARRAY = 256 << 20  # bytes of a file that is one JSON array, and is read whole
_ROWS = 512  # rows of a Parquet file that are read at once


@dataclass(frozen=True)
class Portion:
    """A part of a file: bytes of a JSONL file, row groups of a Parquet file, or a JSON file whole."""

    path: str
    start: int
    end: int


class Refused(str):
    """Why a row can't be read."""


def files(pattern: str) -> list[str]:
    """The files of a path, folder or glob, in the order of their names. Raises UserError."""
    path = Path(pattern)
    if path.is_dir():
        paths = sorted(str(item) for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)
        if not paths:
            raise UserError(f"--input {pattern}: no {', '.join(SUFFIXES)} file is in this folder")
        return paths
    paths = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise UserError(f"--input {pattern}: there is no such file; give a file, a folder or a glob")
    unsupported = next((item for item in paths if Path(item).suffix.lower() not in SUFFIXES), None)
    if unsupported:
        raise UserError(f"--input {unsupported}: not one of {', '.join(SUFFIXES)}; convert it to JSON lines first")
    return paths


def names(paths: Sequence[str]) -> dict[str, str]:
    """File -> what it is called: its path below the folder that all of them are in."""
    absolute = {path: os.path.abspath(path) for path in paths}
    folder = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    return {path: os.path.relpath(full, folder) for path, full in absolute.items()}


def portions(path: str) -> Iterator[Portion]:
    """A file in parts that can be read one by one. Raises UserError for one that can't be read at all."""
    suffix = Path(path).suffix.lower()
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            file.read(1)
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            groups = pq.ParquetFile(path).num_row_groups
            yield from (Portion(path, group, group + 1) for group in range(groups))
            return
    except OSError as error:
        raise UserError(f"--input {path}: cannot read it ({error.strerror or error})") from error
    except Exception as error:  # what pyarrow says of a broken file
        raise UserError(f"--input {path}: no Parquet file ({str(error)[:120]})") from error
    if suffix == ".json":
        if size > MAX_ARRAY:
            raise UserError(
                f"--input {path}: {size >> 20} MiB in one JSON value, the limit is {MAX_ARRAY >> 20}; use JSON lines"
            )
        yield Portion(path, 0, size)
        return
    yield from (Portion(path, start, min(start + PORTION, size)) for start in range(0, size, PORTION))


def rows(portion: Portion) -> Iterator[str | None]:
    """The rows of a portion as JSON texts, None for an empty line, Refused for one that is too long, too deep or no text."""
    suffix = Path(portion.path).suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(portion)
    elif suffix == ".json":
        yield from _array_rows(portion)
    else:
        yield from _jsonl_rows(portion)


def _jsonl_rows(portion: Portion) -> Iterator[str | None]:
    """The lines that begin in the portion."""
    with Path(portion.path).open("rb") as file:
        if portion.start:
            file.seek(portion.start - 1)
            _skip(file)  # the line that began before is the portion's before
        while file.tell() < portion.end:
            raw = file.readline(MAX_CHARS + 1)
            if len(raw) > MAX_CHARS:
                size = len(raw) + (0 if raw.endswith(b"\n") else _skip(file))
                yield Refused(f"a line of {size} bytes, the limit is {MAX_CHARS}")
                continue
            yield _within_limits(raw)


def _skip(file: object) -> int:
    """Read to the end of the line, piece by piece; how many bytes there were."""
    size = 0
    while raw := file.readline(PORTION):  # type: ignore[attr-defined]
        size += len(raw)
        if raw.endswith(b"\n"):
            break
    return size


def _within_limits(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8-sig").strip()
        if not text:
            return None
        check_text(text, max_chars=MAX_CHARS)
    except UnicodeDecodeError as error:
        return Refused(f"not UTF-8 text (byte {error.start})")
    except LimitExceeded as error:
        return Refused(str(error))
    return text


def _array_rows(portion: Portion) -> Iterator[str | None]:
    text = Path(portion.path).read_bytes().decode("utf-8-sig", "replace")
    if not text.lstrip().startswith("["):  # JSON lines under another name, as BFCL's files are
        yield from (_within_limits(line.encode()) for line in text.split("\n"))
        return
    try:
        array = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Refused(f"not one JSON array: {str(error)[:120]}")
        return
    for item in array:
        yield _as_json(item)


def _parquet_rows(portion: Portion) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(portion.path) as file:
        for group in range(portion.start, portion.end):
            unread = file.metadata.row_group(group).num_rows
            try:
                for batch in file.iter_batches(_ROWS, row_groups=[group]):
                    for index in range(batch.num_rows):
                        unread -= 1
                        try:
                            (row,) = batch.slice(index, 1).to_pylist()
                        except (ValueError, OverflowError) as error:  # text that is none, a day that no calendar has
                            yield Refused(f"a value can't be read: {str(error)[:120]}")
                        else:
                            yield _as_json(_without_nulls(row))
            except (OSError, pa.ArrowException) as error:  # damaged
                yield from [Refused(f"row group {group} can't be read: {str(error)[:120]}")] * unread


def _as_json(row: object) -> str | None:
    try:
        text = json.dumps(row, ensure_ascii=False, default=str)
    except (ValueError, RecursionError) as error:
        return Refused(f"no JSON: {str(error)[:120]}")
    return _within_limits(text.encode("utf-8", "replace"))


def _without_nulls(value: object) -> object:
    """A row without the nulls that Arrow puts into structs which other rows' fields were merged into."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
