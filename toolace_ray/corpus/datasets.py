"""A data set's files as rows of text: JSONL piece by piece, JSON arrays and Parquet; limits are checked before anything is parsed.

Invariants: what a row holds never stops the reading; a row that can't be had as text is a Refused with its reason. A file that is
not what its name says is refused as a whole, before a row of it is read. Rows of JSON stay as they were written, on one line.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from toolace_ray.corpus.formats.reading import MAX_CHARS
from toolace_ray.errors import UserError
from toolace_ray.records.json import LimitExceeded, check_text

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
CODECS = {".gz": "gzip", ".zst": "zstd"}  # suffix after .jsonl, .ndjson or .json -> Arrow's name of the compression
WRAPPERS = ("data", "rows", "train", "examples", "samples")  # keys under which an object holds the rows of a set
PORTION = 1 << 20  # bytes of a JSONL file that are read at once
MAX_ARRAY = 256 << 20  # bytes of a file that is one JSON value, and is read whole
_ROWS = 512  # rows of a Parquet file that are read at once
_HEAD = 1 << 16  # bytes at a file's beginning that tell what it is
_MAGIC = {
    b"\x1f\x8b": "a gzip file; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "a zstd file; add .zst to its name",
    b"PAR1": "a Parquet file; name it .parquet",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
}
# Finds where a JSON value ends; its numbers are not looked at, so that none can be too large.
_ENDS = json.JSONDecoder(parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_LAID_OUT = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\n\r]+', re.DOTALL)


@dataclass(frozen=True)
class Portion:
    """A part of a file: bytes of a JSONL file, row groups of a Parquet file, or a JSON or compressed file whole.

    `key` is where a JSON file that is one object holds its rows; None for rows that stand free.
    """

    path: str
    start: int
    end: int
    key: str | None = None


class Refused(str):
    """Why a row can't be read."""


def _layout(path: str | Path) -> tuple[str, str | None]:
    """A file's suffix without that of its compression, and the compression."""
    name = Path(path)
    codec = CODECS.get(name.suffix.lower())
    suffix = (name.with_suffix("") if codec else name).suffix.lower()
    return suffix, codec


def _supported(path: str | Path) -> bool:
    suffix, codec = _layout(path)
    return suffix in SUFFIXES and not (codec and suffix == ".parquet")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """A file's bytes, decompressed. Raises OSError, also for a damaged compressed file, while it is read."""
    codec = _layout(path)[1]
    if codec is None:
        with Path(path).open("rb") as file:
            yield file
        return
    import pyarrow as pa

    with pa.input_stream(path, compression=codec) as stream, io.BufferedReader(stream, _HEAD) as file:
        yield cast("BinaryIO", file)


def files(pattern: str) -> list[str]:
    """The files of a path, folder or glob, in the order of their names. Raises UserError."""
    path = Path(pattern)
    if path.is_dir():
        paths = sorted(str(item) for item in path.rglob("*") if _supported(item) and item.is_file())
        if not paths:
            raise UserError(f"--input {pattern}: no {', '.join(SUFFIXES)} file is in this folder")
        return paths
    paths = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise UserError(f"--input {pattern}: there is no such file; give a file, a folder or a glob")
    unsupported = next((item for item in paths if not _supported(item)), None)
    if unsupported:
        raise UserError(
            f"--input {unsupported}: not one of {', '.join(SUFFIXES)} (JSON also as .gz or .zst); convert it to JSON lines first"
        )
    return paths


def names(paths: Sequence[str]) -> dict[str, str]:
    """File -> what it is called: its path below the folder that all of them are in."""
    absolute = {path: os.path.abspath(path) for path in paths}
    folder = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    return {path: os.path.relpath(full, folder) for path, full in absolute.items()}


def portions(path: str) -> Iterator[Portion]:
    """A file in parts that can be read one by one. Raises UserError for one that can't be read at all, or is not what its name says."""
    suffix, codec = _layout(path)
    try:
        size = Path(path).stat().st_size
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            with Path(path).open("rb") as file:
                file.read(1)
            groups = pq.ParquetFile(path).num_row_groups
            yield from (Portion(path, group, group + 1) for group in range(groups))
            return
        with _opened(path) as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"--input {path}: cannot read it ({error.strerror or error})") from error
    except Exception as error:  # what pyarrow says of a broken file
        raise UserError(f"--input {path}: no Parquet file ({str(error)[:120]})") from error
    if fault := _misnamed(head, suffix):
        raise UserError(f"--input {path}: {fault}")
    if suffix == ".json" or codec:
        yield Portion(path, 0, size, _wrapper(path, _whole(path)) if suffix == ".json" else None)
        return
    yield from (Portion(path, start, min(start + PORTION, size)) for start in range(0, size, PORTION))


def _misnamed(head: bytes, suffix: str) -> str | None:
    """What is wrong with a file of JSON as a whole, and the remedy, going by its first bytes."""
    if what := next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None):
        return f"it is {what}"
    if b"\0" in head:
        return "it holds NUL bytes and is no UTF-8 text (perhaps UTF-16; convert it with iconv)"
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return None
    if b"\r" in head.rstrip(b"\r") and b"\n" not in head and not (suffix == ".json" and text[0] == "["):
        return "its lines end in CR alone; convert it (tr '\\r' '\\n')"
    if suffix == ".json":
        return None
    first, _, more = text.partition("\n")
    if text[0] == "[" and (not first[1:].strip() or first[1:].lstrip()[:1] == "{"):
        return "it is one JSON array, not JSON lines; name it .json"
    if more and not first[1:].strip():
        return "its JSON is spread over several lines; write a row a line (jq -c .)"
    return None


def _whole(path: str) -> str:
    """A .json file's text, in which bytes that are no UTF-8 stand as lone surrogates. Raises UserError."""
    try:
        with _opened(path) as file:
            raw = file.read(MAX_ARRAY + 1)
    except OSError as error:
        raise UserError(f"--input {path}: cannot read it ({error.strerror or error})") from error
    if len(raw) > MAX_ARRAY:
        raise UserError(f"--input {path}: more than {MAX_ARRAY >> 20} MiB in one JSON value; use JSON lines")
    return raw.decode("utf-8-sig", "surrogateescape")


def _wrapper(path: str, text: str) -> str | None:
    """The key under which the rows of a .json file are where it is one object. Raises UserError for one that holds no rows."""
    start = _space(text, 0)
    if text[start : start + 1] != "{":
        return None
    try:
        value, end = _ENDS.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if text[start + 1 :].partition("\n")[0].strip():
            return None  # JSON lines, of which the first is broken
        raise UserError(
            f"--input {path}: neither rows nor one JSON value ({str(error)[:120]}); write a row a line (jq -c .)"
        ) from error
    if text[end:].strip(" \t\n\r"):
        if "\n" in text[start:end]:
            raise UserError(f"--input {path}: its JSON is spread over several lines; write a row a line (jq -c .)")
        return None
    lists = [key for key in WRAPPERS if isinstance(value.get(key), list)]
    if len(lists) == 1 and all(isinstance(item, dict) for item in value[lists[0]]):
        return lists[0]
    keys = ", ".join(list(value)[:6]) or "nothing"
    if "openapi" in value or "swagger" in value:
        raise UserError(
            f"--input {path}: an API's specification, not rows of dialogs; give the data files alone (a glob)"
        )
    if "\n" in text[start:end]:
        raise UserError(
            f"--input {path}: one JSON object ({keys}), not rows; give a list of rows, or one row a line (jq -c .)"
        )
    return None


def rows(portion: Portion) -> Iterator[str | None]:
    """The rows of a portion as JSON texts, None for an empty line, Refused for one that is too long, too deep or no text."""
    suffix, codec = _layout(portion.path)
    if suffix == ".parquet":
        yield from _parquet_rows(portion)
    elif suffix == ".json":
        yield from _array_rows(portion)
    else:
        try:
            yield from _jsonl_rows(portion, whole=codec is not None)
        except OSError as error:
            yield Refused(f"the file can't be read on from here ({error.strerror or str(error)[:120]})")


def _jsonl_rows(portion: Portion, whole: bool) -> Iterator[str | None]:
    """The lines that begin in the portion, or all of them."""
    with _opened(portion.path) as file:
        if portion.start:
            file.seek(portion.start - 1)
            _skip(file)  # the line that began before is the portion's before
        while whole or file.tell() < portion.end:
            raw = file.readline(MAX_CHARS + 1)
            if not raw:
                return
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
    text = _whole(portion.path)
    at = _space(text, 0)
    if portion.key is not None:
        at = _place_of(text, at, portion.key)
    elif text[at : at + 1] != "[":  # JSON lines under another name, as BFCL's files are
        yield from (_within_limits(line.encode("utf-8", "surrogateescape")) for line in text.split("\n"))
        return
    at = _space(text, at + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        end, fault = _end_of(text, at)
        if fault:
            yield Refused(f"the array can't be read on from here: {fault}")
            return
        row = text[at:end]
        if "\n" in row or "\r" in row:  # only between values: a string of JSON holds no line break
            row = _LAID_OUT.sub(lambda match: match[1] or "", row)
        yield _within_limits(row.encode("utf-8", "surrogateescape"))
        at = _space(text, end)
        if text[at : at + 1] == "]":
            return
        if text[at : at + 1] != ",":
            yield Refused(f"the array can't be read on from here: no comma or ] at character {at}")
            return
        at = _space(text, at + 1)


def _space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it always matches


def _end_of(text: str, at: int) -> tuple[int, str]:
    """Where the JSON value at a place ends, or what is wrong with it; one that is nested too deep for the parser ends too."""
    try:
        return _ENDS.raw_decode(text, at)[1], ""
    except ValueError as error:
        return at, str(error)[:120]
    except RecursionError:
        depth = 0
        for token in _TOKEN.finditer(text, at):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if depth == 0:
                return token.end(), ""
        return at, "a bracket is not closed"


def _place_of(text: str, at: int, key: str) -> int:
    """Where the value of a key of the object at a place begins; the object is known to be valid and to have the key."""
    found = at
    while True:
        at = _space(text, at + 1)
        name, at = _ENDS.raw_decode(text, at)
        at = _space(text, _space(text, at) + 1)
        if name == key:
            found = at  # of a repeated key the last counts, as in the parsed object
        at = _space(text, _ENDS.raw_decode(text, at)[1])
        if text[at] == "}":
            return found


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
    return _within_limits(text.encode("utf-8", "surrogatepass"))


def _without_nulls(value: object) -> object:
    """A row without the nulls that Arrow puts into structs which other rows' fields were merged into."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
