"""A run's folder through a pyarrow filesystem: local disk, S3, GCS.

Invariants: a file under its final name is complete and never changes; names carry the epoch of the start that wrote
them; on a local disk a file appears by rename, in an object store by one PUT. A write that fails for a passing reason (a
broken connection, an input/output error) is tried again a few times.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from toolace_ray.errors import UserError

logger = logging.getLogger(__name__)
BATCH_ROWS = 512
PAUSES = (0.2, 1.0, 5.0)  # seconds before a write that failed for a passing reason is tried again
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class RunStore:
    """The files of one run.

    Args:
        uri: a local path or a filesystem URI.

    Raises:
        UserError: the path is no usable URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            if "://" in uri:
                self._fs, self.root = pafs.FileSystem.from_uri(uri)
            else:
                self._fs, self.root = pafs.LocalFileSystem(), os.path.abspath(uri)
        except (ValueError, OSError) as error:
            raise UserError(
                f"run.path: {uri} can't be opened ({error}); give a folder or an s3:// or gs:// URI"
            ) from error
        self.local = isinstance(self._fs, pafs.LocalFileSystem)
        if self.local:
            self.uri = self.root  # other processes have another working directory

    def path(self, *parts: str) -> str:
        """The full path of a file of the run."""
        return "/".join([self.root.rstrip("/"), *parts])

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL or "No space left" in str(error):
                raise UserError(
                    f"{path}: no room on the disk; free some space and run the same command again"
                ) from error
            if error.errno in REFUSED:
                raise UserError(
                    f"{path}: cannot write here ({error.strerror}); set run.path to another folder"
                ) from error
            raise

    def make(self, *folders: str) -> None:
        """Create folders of the run."""
        for folder in folders:
            with self._explained(self.path(folder)):
                self._fs.create_dir(self.path(folder), recursive=True)

    def files(self, folder: str, part: str = "") -> list[str]:
        """Names of the finished Parquet files directly in a folder, with `part` in their names, sorted."""
        selector = pafs.FileSelector(self.path(folder), allow_not_found=True)
        return sorted(
            info.base_name
            for info in self._fs.get_file_info(selector)
            if info.type == pafs.FileType.File
            and info.base_name.endswith(".parquet")
            and part in info.base_name
            and not info.base_name.startswith(".")
        )

    def sweep(self) -> None:
        """Remove the temporary files of writers that were killed; only for who holds the run's lock."""
        if self.local:
            for folder, _, names in os.walk(self.root):
                for name in names:
                    if name.startswith(".") and name.endswith(".tmp"):
                        os.unlink(os.path.join(folder, name))

    def exists(self, *parts: str) -> bool:
        """True when the file is there."""
        return bool(self._fs.get_file_info(self.path(*parts)).type == pafs.FileType.File)

    def delete(self, *parts: str) -> None:
        """Remove a file."""
        self._fs.delete_file(self.path(*parts))

    def write(self, folder: str, name: str, rows: Sequence[dict[str, Any]] | pa.Table, schema: pa.Schema) -> None:
        """Write rows as one Parquet file; it appears whole or not at all. Raises UserError on a full disk."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
        self._commit(folder, name, lambda sink: pq.write_table(table, sink, compression="zstd"), repeatable=True)

    def write_tables(self, folder: str, name: str, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
        """Write tables as they come as one Parquet file; it appears whole or not at all. Raises UserError on a full disk."""

        def put(sink: Any) -> None:
            with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)

        self._commit(folder, name, put)

    def write_bytes(self, folder: str, name: str, data: bytes) -> None:
        """Write a file; it appears whole or not at all. Raises UserError on a full disk."""
        self._commit(folder, name, lambda sink: sink.write(data), repeatable=True)

    def write_lines(self, folder: str, name: str, lines: Iterator[str]) -> None:
        """Write lines of text as they come; the file appears whole or not at all."""

        def put(sink: Any) -> None:
            for line in lines:
                sink.write(line.encode() + b"\n")

        self._commit(folder, name, put)

    def _commit(self, folder: str, name: str, put: Callable[[Any], Any], *, repeatable: bool = False) -> None:
        """Write a file. `repeatable`: `put` may be called again; what comes from an iterator comes once."""
        final = self.path(folder, name) if folder else self.path(name)
        with self._explained(final):
            if self.local:
                _patiently(lambda: _to_disk(final, put), PAUSES if repeatable else ())
                return
            # First whole, then sent: closing a stream publishes the object, after an error too.
            with tempfile.TemporaryFile() as whole:
                put(whole)

                def send() -> None:
                    whole.seek(0)
                    with self._fs.open_output_stream(final) as sink:
                        shutil.copyfileobj(whole, sink, 1 << 20)

                _patiently(send, PAUSES)

    def read_bytes(self, *parts: str) -> bytes:
        """The content of a file."""
        with self._fs.open_input_stream(self.path(*parts)) as stream:
            return bytes(stream.read())

    def table(self, folder: str, name: str, columns: list[str] | None = None) -> pa.Table:
        """One Parquet file."""
        return pq.read_table(self.path(folder, name), columns=columns, filesystem=self._fs, partitioning=None)

    def rows(self, folder: str, columns: list[str] | None = None, part: str = "") -> Iterator[dict[str, Any]]:
        """The rows of a folder's files, or of those with `part` in their names; memory does not grow with their number."""
        for name in self.files(folder, part):
            with self._fs.open_input_file(self.path(folder, name)) as file:
                for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=columns):
                    yield from batch.to_pylist()


def _to_disk(final: str, put: Callable[[Any], Any]) -> None:
    temporary = os.path.join(os.path.dirname(final), f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            put(file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, final)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _patiently(write: Callable[[], None], pauses: Sequence[float]) -> None:
    """Write, and again after each pause (in seconds) while it fails with an OSError that may pass."""
    for pause in pauses:
        try:
            write()
            return
        except OSError as error:
            if error.errno in (*FULL, *REFUSED, errno.ENOENT) or "No space left" in str(error):
                raise
            logger.warning("a write failed and is tried again in %s s: %s", pause, error)
            time.sleep(pause)
    write()
