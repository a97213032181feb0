"""Documents of every format, as other programs write them, and broken ones."""

import json
import string
from importlib.metadata import distributions

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace_ray.config.tree import SourcesConfig
from toolace_ray.tss import readers, sources
from toolace_ray.tss.readers import Document, Limits, chunks, read

LIMITS = Limits(chunk_chars=1000, file_bytes=1 << 20, text_column="text")


def texts(path, limits=LIMITS):
    return [item.text if isinstance(item, Document) else f"! {item}" for item in read(str(path), limits)]


def test_a_document_is_known_by_its_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "b.md").write_bytes(b"\xef\xbb\xbftext\n")
    (one,), (two,) = read(str(tmp_path / "a.txt"), LIMITS), read(str(tmp_path / "b.md"), LIMITS)
    assert one.id == two.id


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.md", b"  ", "empty"),
        ("a.txt", b"a\x00b", "null bytes"),
        ("a.txt", b"x" * (2 << 20), "the limit is 1 ("),
        ("a.pdf", b"%PDF-1.7 and then nothing", "not readable as pdf"),
        ("a.html", b"<html><script>alert(1)</script><nav>Home</nav></html>", "no text on the page"),
        ("a.parquet", b"PAR1", "not readable as parquet"),
        ("a.jsonl", b'{"a": 1}', "no text in column 'text' (there is: a)"),
        ("a.jsonl", b"[1]", "there is: list"),
        ("a.jsonl", b"{", "line 1: not JSON"),
        ("a.jsonl", b"[" * 5000, "line 1: not JSON"),
        ("a.jsonl", b"\xff", "line 1: not JSON"),
        ("a.jsonl", b'{"text": " "}', "line 1: empty"),
        ("gone.txt", None, "cannot read it (No such file"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, raw, why):
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    (said,) = texts(tmp_path / name)
    assert said.startswith("! ")
    assert why in said


def test_names_and_texts_that_nothing_can_write_are_mended_or_left_out(tmp_path):
    (tmp_path / ".md").write_text("hidden")
    (tmp_path / "a.md").write_text("A")
    config = SourcesConfig(documents=(str(tmp_path),))
    assert sources.files(config)["document"] == [str(tmp_path / "a.md")]
    assert "not readable" in texts(tmp_path / ".md")[0]
    (tmp_path / "b.html").write_text("<p>a \\ud83d b &#xD83D; c</p>")
    assert "".join(texts(tmp_path / "b.html")).encode()
    assert readers.readable("a\ud83db") == "a?b"


def test_a_table_that_is_all_wrong_says_so_a_few_times(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' * 500)
    said = texts(tmp_path / "a.jsonl")
    assert len(said) == readers.MAX_REASONS + 1
    assert said[-1] == "! and 480 more rows that can't be read"


def test_html_keeps_its_structure_and_loses_what_is_around(tmp_path):
    page = """<html><head><title>Parcel API</title><style>p {}</style></head><body><nav>Home | Docs</nav>
    <main><h2>Track</h2><p>Track a <a href="/x">parcel</a> by its number.</p>
    <table><tr><th>name</th><th>what</th></tr><tr><td>track</td><td>where it is</td></tr></table></main>
    <footer>Imprint</footer></body></html>"""
    (tmp_path / "a.html").write_text(page)
    (text,) = texts(tmp_path / "a.html")
    assert text.startswith("## Track")
    assert "Track a parcel by its number." in text
    assert "| track | where it is |" in text
    assert not any(word in text for word in ("Home", "Imprint", "p {}"))


def test_a_pdf_of_another_program_gives_its_text(tmp_path):
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with PdfPages(tmp_path / "a.pdf") as pdf:
        for line in ("Parcel tracking", "Cancel a parcel by its number"):
            figure = Figure()
            figure.text(0.1, 0.5, line)
            pdf.savefig(figure)
    (text,) = texts(tmp_path / "a.pdf")
    assert text == "Parcel tracking\n\nCancel a parcel by its number"


def test_tables_give_a_document_a_row_and_skip_bad_rows(tmp_path):
    rows = [{"text": "one"}, {"other": 1}, {"text": "two"}]
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps(row) for row in rows] + ["{broken", ""]))
    assert [text for text in texts(tmp_path / "a.jsonl") if not text.startswith("!")] == ["one", "two"]
    assert len(texts(tmp_path / "a.jsonl")) == 4
    pq.write_table(pa.table({"body": ["one", None, "two"], "n": [1, 2, 3]}), tmp_path / "a.parquet")
    limits = Limits(1000, 1 << 20, "body")
    assert texts(tmp_path / "a.parquet", limits)[::2] == ["one", "two"]
    assert "no column 'text' (there is: body, n)" in texts(tmp_path / "a.parquet")[0]


def test_tables_may_be_larger_than_other_files_and_their_lines_may_not(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n' * 3 + '{"text": "' + "x" * 300 + '"}\n{"text": "last"}')
    monkeypatch.setattr(readers, "MAX_LINE", 100)
    found = texts(tmp_path / "a.jsonl", Limits(1000, 10, "text"))
    assert found[:3] == ["one"] * 3
    assert "longer than" in found[3]
    assert len(found) == 4


WORDS = st.text(string.ascii_letters + " .\n#|`-", min_size=0, max_size=3000)


@settings(max_examples=60)
@given(WORDS, st.integers(200, 1500))
def test_pieces_keep_to_the_limit_and_lose_no_word(text, limit):
    pieces = chunks("# The title\n\n" + text.strip(), limit)
    assert all(len(piece) <= limit for piece in pieces)
    kept = "".join("".join(pieces).split())
    for word in text.split():
        assert word in kept or len(word) > 100


def test_a_long_manual_is_cut_at_its_headings():
    sections = [f"## Part {i}\n\n" + f"Sentence {i} is here. " * 20 for i in range(8)]
    pieces = chunks("# Manual\n\nWhat it is about.\n\n" + "\n\n".join(sections), 600)
    assert all(piece.startswith("# Manual") for piece in pieces)
    assert sum(f"## Part {i}" in piece for piece in pieces for i in range(8)) == 8
    assert all(len(piece) <= 600 for piece in pieces)


def test_the_descriptions_of_installed_packages_are_read(tmp_path):
    """Real Markdown and reStructuredText, of many hands: the long descriptions of what is installed here."""
    found = 0
    for package in distributions():
        text = (package.metadata.get_payload() or "").strip()
        if len(text) < 200 or found >= 60:
            continue
        path = tmp_path / f"{package.metadata['Name']}.md"
        path.write_text(text)
        documents = list(read(str(path), LIMITS))
        assert all(isinstance(item, Document) and len(item.text) <= 1000 for item in documents), path
        assert [item.part for item in documents] == list(range(len(documents)))
        found += 1
    assert found > 20
