"""Files to documents: text, Markdown, HTML, PDF, and tables with a text column; long texts are cut by their structure.

Invariants: a reader yields documents or reasons and never raises for what a file holds; a document has at most
`chunk_chars` characters; the id is the hash of the text, so that a moved or repeated text is one document.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from toolace_ray.records.base import Record
from toolace_ray.records.json import digest, load_json
from toolace_ray.text.privacy import masked, scan

MAX_PAGES = 500
MAX_PDF_SECONDS = 60.0  # for all pages of a file; checked between two pages
MAX_REASONS = 20  # rows of a file of which the ledger tells one by one
MAX_LINE = 16 << 20  # of a JSONL file, in bytes
MIN_SHARE = 0.5  # a piece of a long text that is shorter than this share of the limit may be joined with the next
_DROPPED = ("script", "style", "nav", "header", "footer", "aside", "noscript", "template", "svg", "form")


class Document(Record):
    """A document, or a part of a long one, as the model reads it. `part` counts from 0 within its file."""

    id: str
    path: str
    text: str
    part: int = 0


@dataclass(frozen=True)
class Limits:
    """What is read of a file: pieces of `chunk_chars` characters, files of `file_bytes` at most, this column of tables; and what
    becomes of texts with secrets or personal data. `undescribed` is for specifications, see sources.undescribed."""

    chunk_chars: int
    file_bytes: int
    text_column: str
    private: Literal["mask", "reject", "keep"] = "keep"
    undescribed: Literal["refuse", "derive", "write"] = "derive"


def read(path: str, limits: Limits) -> Iterator[Document | str]:
    """The documents of one file in their order; a string says why the file, or a row of it, can't be read."""
    part, reasons = 0, 0
    try:
        reader = READERS[Path(path).suffix.lower()]
        size = Path(path).stat().st_size
        if size > limits.file_bytes and reader not in (_jsonl, _parquet):  # those are read piece by piece
            yield f"{size >> 20} MiB, the limit is {limits.file_bytes >> 20} (sources.max_file_mb)"
            return
        for text in reader(path, limits):
            if isinstance(text, _Reason):
                reasons += 1
                if reasons <= MAX_REASONS:
                    yield str(text)
                continue
            if limits.private != "keep" and (findings := scan(text)):
                if limits.private == "reject":
                    reasons += 1
                    if reasons <= MAX_REASONS:
                        yield f"it holds {len(findings)} secrets or personal data, first {findings[0].kind} (sources.private)"
                    continue
                text, _ = masked(text)
            for piece in chunks(readable(text), limits.chunk_chars):
                yield Document(id=digest(piece), path=path, text=piece, part=part)
                part += 1
    except OSError as error:
        yield f"cannot read it ({error.strerror or error})"
        return
    except (
        Exception
    ) as error:  # parsers of hostile files raise whatever they like; the file is refused, the run goes on
        yield readable(f"not readable as {Path(path).suffix[1:]} ({type(error).__name__}: {str(error)[:120]})")
        return
    if reasons > MAX_REASONS:
        yield f"and {reasons - MAX_REASONS} more rows that can't be read"


def readable(text: str) -> str:
    """A text that can be written as UTF-8: lone surrogates, which some parsers make, become question marks."""
    return text.encode("utf-8", "replace").decode()


class _Reason(str):
    """Why a row, or a file, gave no text."""


def _text(path: str, limits: Limits) -> Iterator[str]:
    yield _decoded(Path(path).read_bytes())


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        return _Reason(f"not UTF-8 text (byte {error.start})")
    if not text:
        return _Reason("empty")
    if "\x00" in text:
        return _Reason("not a text file (it holds null bytes)")
    return text


def _html(path: str, limits: Limits) -> Iterator[str]:
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    # The page says its encoding itself; what is around its content is no document.
    # lxml takes time in proportion to the file, whatever is in it.
    page = BeautifulSoup(Path(path).read_bytes(), "lxml")
    for element in page(_DROPPED):
        element.decompose()
    title = page.title.get_text(strip=True) if page.title else ""
    content = page.find("main") or page.find("article") or page.body or page
    text = MarkdownConverter(heading_style="ATX", strip=["a", "img"]).convert_soup(content).strip()
    text = re.sub(r"\n{3,}", "\n\n", text)
    if not text:
        yield _Reason("no text on the page")
    else:
        yield text if text.startswith("#") or not title else f"# {title}\n\n{text}"


def _pdf(path: str, limits: Limits) -> Iterator[str]:
    import pypdf

    started = time.monotonic()
    pages: list[str] = []
    with pypdf.PdfReader(path) as reader:
        if reader.is_encrypted and not reader.decrypt(""):
            yield _Reason("the PDF is encrypted")
            return
        count = len(reader.pages)
        for page in reader.pages[:MAX_PAGES]:
            if time.monotonic() - started > MAX_PDF_SECONDS:
                yield _Reason(f"its text takes more than {MAX_PDF_SECONDS:.0f} s to read")  # a part would be chance
                return
            pages.append(page.extract_text().strip())
    if count > MAX_PAGES:
        yield _Reason(f"only the first {MAX_PAGES} of its {count} pages are read")
    text = "\n\n".join(page for page in pages if page)
    yield text or _Reason("the PDF holds no text (it may be scanned pictures)")


def _jsonl(path: str, limits: Limits) -> Iterator[str]:
    with Path(path).open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                yield _Reason(f"line {number}: longer than {MAX_LINE >> 20} MiB; the rest of the file is left out")
                return
            if not raw.strip():
                continue
            try:
                row = load_json(raw.decode("utf-8-sig"), max_chars=MAX_LINE)
            except (ValueError, RecursionError) as error:
                yield _Reason(f"line {number}: not JSON ({str(error)[:80]})")
                continue
            yield _cell(row, limits.text_column, f"line {number}")


def _cell(row: Any, column: str, where: str) -> str:
    value = row.get(column) if isinstance(row, dict) else None
    if not isinstance(value, str):
        keys = ", ".join(map(str, list(row)[:6])) if isinstance(row, dict) else type(row).__name__
        return _Reason(f"{where}: no text in column {column!r} (there is: {keys}); see sources.text_column")
    return value.strip() or _Reason(f"{where}: empty")


def _parquet(path: str, limits: Limits) -> Iterator[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if limits.text_column not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names[:6])
            yield _Reason(f"no column {limits.text_column!r} (there is: {names}); see sources.text_column")
            return
        number = 0
        for batch in file.iter_batches(256, columns=[limits.text_column]):
            for row in batch.to_pylist():
                number += 1
                yield _cell(row, limits.text_column, f"row {number}")


READERS: dict[str, Callable[[str, Limits], Iterator[str]]] = {
    ".txt": _text, ".text": _text, ".rst": _text, ".md": _text, ".markdown": _text,
    ".html": _html, ".htm": _html, ".pdf": _pdf, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet,
}  # fmt: skip
"""Suffix -> reader. A reader yields texts and `_Reason`s."""


@lru_cache(maxsize=4)
def _splitter(low: int, high: int) -> Any:
    from semantic_text_splitter import MarkdownSplitter

    return MarkdownSplitter((low, high))


def chunks(text: str, limit: int) -> list[str]:
    """A text in pieces of at most `limit` characters, cut at headings, paragraphs and sentences, in that order.

    Pieces after the first begin with the text's title, so that each says what it is about.
    """
    if len(text) <= limit:
        return [text]
    title = next((line for line in text.splitlines()[:20] if line.startswith("# ")), text.splitlines()[0])[:100].strip()
    room = limit - len(title) - 2
    pieces = [piece.strip() for piece in _splitter(int(room * MIN_SHARE), room).chunks(text)]
    return [piece if index == 0 else f"{title}\n\n{piece}" for index, piece in enumerate(filter(None, pieces))]
