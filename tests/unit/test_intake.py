"""What came of each source: the reasons as one counts them, and the tables that people read."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import summary
from jobs.report import report
from tests.material import WEATHER
from toolace_ray.corpus.report import render
from toolace_ray.records.api import Lineage
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import API, DOCUMENT, DRAFT, FILE, LEDGER, api_row, ledger_row, usage_columns
from toolace_ray.tss import intake
from toolace_ray.tss.intake import IMPORT, UNREADABLE, Intake, reason
from toolace_ray.tss.statistics import PoolStatistics

NOTHING = usage_columns(Usage(), 0.0)
HOSTILE = "<script>alert('x')</script>\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("rule", "text", "told"),
    [
        (IMPORT, "POST /photos: 'photo' is an uploaded file", "… is an uploaded file"),
        (IMPORT, "tool 3 ('a: b'): it has no inputSchema, so what it takes is not known", "it has no inputSchema, so what it takes is not known"),
        (IMPORT, "GET /a/{id}: the reference '#/x' leads nowhere (there is no such file)", "the reference … leads nowhere (there is no such file)"),
        (IMPORT, "GET /a: its schema is too large: more than 20000 characters", "its schema is too large"),
        (IMPORT, "PUT /a: nothing of what it takes can be carried: a.b, c", "nothing of what it takes can be carried"),
        (IMPORT, "/a: the parameter 'x' is in 'matrix', which can't be carried", "the parameter … is in …, which can't be carried"),
        (IMPORT, "send: TypeError: 'int' object is not iterable", "TypeError"),
        (UNREADABLE, "line 7: not JSON (Expecting value: line 1)", "not JSON (Expecting value: line …)"),
        (UNREADABLE, "not readable as pdf (ValueError: a: b)", "not readable as pdf (ValueError: a: b)"),
        (UNREADABLE, "not an OpenAPI 3.x document (no `openapi: 3...` key)", "not an OpenAPI 3.x document (no `openapi: 3...` key)"),
        ("duplicate", "a.json: find_lamp is 90 % the same as dim_lamp", "duplicate"),
    ],
)  # fmt: skip
def test_a_reason_is_told_without_label_names_and_numbers(rule, text, told):
    assert reason(rule, text) == told


@given(st.text("abc_[].-1", min_size=1), st.integers(0), st.sampled_from("'\""))
def test_what_is_refused_for_one_reason_counts_together(name, number, quote):
    text = f"GET /{name}: {quote}{name}{quote} refers to {number} others"
    assert reason(IMPORT, text) == "… refers to … others"


@given(st.text(), st.sampled_from([IMPORT, UNREADABLE]))
def test_any_text_gives_a_reason(text, rule):
    assert reason(rule, text) in intake._parts(intake._unnamed(text))


def imported(number, source, *notes, kind="openapi"):
    lineage = Lineage(source=kind, notes=notes)
    api = WEATHER.model_copy(update={"name": f"api_{number}", "lineage": lineage})
    return api_row(api, {"id": f"imported-{number}", "type": "imported", "kind": "imported", "attempt": number,
                         "key": str(number), "source": source, **NOTHING})  # fmt: skip


def refused(number, source, rule, text, kind="imported", **more):
    base = {"id": f"{kind}-r{number}", "type": kind, "kind": kind, "attempt": number, "source": source, **more}
    return ledger_row(base, [Verdict(stage="source", rule=rule, evidence=f"{source}: {text}")], None, NOTHING)


def filled(store):
    """Two documents of operations, a live server, a text of two pieces, and a file that nobody can read."""
    rows = [
        imported(0, "/s/desk.json"),
        imported(1, "/s/desk.json", "left out, optional: a", "descriptions derived: b, c"),
        imported(2, "/s/desk.json", "descriptions derived: d"),
        imported(3, "/s/b/hotel.json", "in the answer, alternatives left out: x"),
        imported(4, "sources.mcp_servers.home", kind="mcp"),
    ]
    lineage = Lineage(documents=("one", "two", "gone"))
    made = WEATHER.model_copy(update={"lineage": lineage})
    rows.append(api_row(made, {"id": "g0000-0", "type": "api", "kind": "g0000", "attempt": 0, "key": "k", **NOTHING}))
    store.write("apis", "e-imported-apis.parquet", rows, API)
    store.write("apis", "e-again.parquet", rows[:1], API)  # settling may leave a row twice for a while
    ledger = [
        refused(0, "/s/desk.json", IMPORT, "POST /photo: 'photo' is an uploaded file"),
        refused(1, "/s/desk.json", IMPORT, "POST /film: 'film' is an uploaded file"),
        refused(2, "/s/desk.json", "duplicate", "a is b"),
        refused(3, "/s/scan.pdf", UNREADABLE, "the PDF is encrypted", kind="source"),
        refused(1, None, "speciation", "bad answer", kind="document"),
        refused(4, None, "no_plan", "another flow's", kind="single.plain"),
    ]
    store.write("rejected", "e-imported-apis.parquet", ledger, LEDGER)
    stamps = [("/s/desk.json", "openapi", 1.5), ("/s/b/hotel.json", "openapi", 0.25), ("/s/guide.md", "document", 0.0)]
    for epoch, read in (("a", True), ("b", False)):  # the second start read none of them again
        files = [
            {"path": path, "size": 1, "modified": 1, "kind": kind, "seconds": seconds if read else None}
            for path, kind, seconds in stamps
        ]
        store.write("sources/files", f"{epoch}.parquet", files, FILE)
    texts = [{"attempt": i, "id": name, "path": "/s/guide.md", "part": i, "text": "x"} for i, name in enumerate(("one", "two"))]  # fmt: skip
    store.write("sources/documents", "00000000.parquet", texts, DOCUMENT)
    extraction = {
        "document": "one",
        "path": "/s/guide.md",
        "domain": "d",
        "topic": "t",
        "functionalities": [{}, {}, {}],
    }
    row = {"id": "document-0", "type": "document", "kind": "document", "attempt": 0, "key": "", **NOTHING}
    store.write("tree/extractions", "e.parquet", [{**row, "record": json.dumps(extraction)}], DRAFT)


def test_each_source_is_told_by_the_name_in_its_rows(store):
    filled(store)
    found = {item.source: item for item in intake.of_run(store)}
    # Those first of which most was refused, texts after others.
    assert list(found) == ["/s/desk.json", "/s/scan.pdf", "/s/guide.md", "sources.mcp_servers.home", "/s/b/hotel.json"]
    desk = found["/s/desk.json"]
    assert (desk.kind, desk.met, desk.apis, desk.pruned, desk.noted, desk.seconds) == ("openapi", 6, 3, 1, 2, 1.5)
    assert desk.notes == Counter({"descriptions derived": 2, "left out, optional": 1})
    assert desk.refused == Counter({"… is an uploaded file": 2, "duplicate": 1})
    assert desk.examples["… is an uploaded file"] == "POST /photo: 'photo' is an uploaded file"
    assert (found["/s/b/hotel.json"].pruned, found["/s/b/hotel.json"].refused.total()) == (1, 0)
    live = found["sources.mcp_servers.home"]
    assert (live.kind, live.met, live.apis, live.seconds) == ("mcp", 1, 1, None)
    text = found["/s/guide.md"]
    assert (text.kind, text.met, text.apis, text.refused) == ("document", 3, 1, Counter({"speciation": 1}))
    assert (found["/s/scan.pdf"].met, found["/s/scan.pdf"].refused) == (0, Counter({"the PDF is encrypted": 1}))


def test_what_was_imported_before_rows_named_their_source_is_counted(store):
    row = imported(0, None)
    store.write("apis", "e-imported-apis.parquet", [{k: v for k, v in row.items() if k != "source"}],
                API.remove(API.get_field_index("source")))  # fmt: skip
    (item,) = intake.of_run(store)
    assert (item.source, item.kind, item.apis) == (intake.UNNAMED, "openapi", 1)


def test_the_terminal_tells_what_came_of_each_source(store):
    filled(store)
    for text in (summary.status(store), summary.describe_pool(store, None, 0.0), summary.show_sources(store)):
        lines = [line.split() for line in text.splitlines()]
        assert ["desk.json", "openapi", "6", "3", "1", "2", "3", "1.5"] in lines
        assert ["guide.md", "document", "3", "1", "0", "0", "1", "0.0"] in lines
        assert ["scan.pdf", "-", "0", "0", "0", "0", "1", "-"] in lines
        assert "2 x … is an uploaded file; such as POST /photo: 'photo' is an uploaded file" in text
        assert "1 x the PDF is encrypted" in text


def many(store, count):
    rows = [refused(i, f"/s/{i:03d}.json", IMPORT, f"GET /x{j}: reason number {'abcdefgh'[j]}")
            for i in range(count) for j in range(1 + 4 * (i == 7))]  # fmt: skip
    rows = [{**row, "id": f"imported-{number}"} for number, row in enumerate(rows)]
    store.write("rejected", "e-imported-apis.parquet", rows, LEDGER)


def test_a_long_table_is_cut_and_says_where_the_rest_is(store):
    many(store, 200)
    text = summary.status(store)
    table = [line for line in text.splitlines() if re.match(r" +\d{3}\.json", line)]
    assert len(table) == summary.MOST_SOURCES
    assert table[0].split()[0] == "007.json"
    assert "and 2 more reasons" in text
    assert f"and {200 - summary.MOST_SOURCES} more, with {200 - summary.MOST_SOURCES} refused: toolace show" in text
    whole = summary.show_sources(store)
    assert len(re.findall(r"(?m)^ +\d{3}\.json", whole)) == 200
    assert "more reasons" not in whole


def test_strangers_words_are_shown_as_text(store):
    store.write("apis", "e-imported-apis.parquet", [imported(0, f"/s/{HOSTILE}", f"{HOSTILE} is left out: a")], API)
    store.write(
        "rejected", "e-imported-apis.parquet", [refused(0, f"/s/{HOSTILE}", IMPORT, f"GET /: {HOSTILE}")], LEDGER
    )
    for text in (summary.status(store), summary.show_sources(store)):
        assert "owned" in text
        assert not re.search(r"[\x1b\x07]", text)
    report(store)
    page = store.read_bytes("report", "index.html").decode()
    assert "<script" not in page
    assert "owned" in page


def source_table(page):
    """(rows that are seen at once, rows that are folded) of the page's table of sources."""
    section = page.partition("<h2>Sources</h2>")[2].partition("<h2>")[0]
    seen, _, folded = section.partition('<details class="more">')
    return seen.count("<tr><td"), folded.partition("</table>")[0].count("<tr><td title")


@pytest.mark.parametrize(("count", "seen", "folded"), [(1, 1, 0), (20, 20, 0), (200, 20, 180)])
def test_the_page_folds_what_is_many(store, count, seen, folded):
    many(store, count)
    report(store)
    page = store.read_bytes("report", "index.html").decode()
    assert source_table(page) == (seen, folded)
    figures = json.loads(store.read_bytes("report", "statistics.json"))["read"]
    assert len(figures) == count
    assert figures[0]["refused"]["reason number a"] == {"count": 1, "example": "GET /x0: reason number a"}


def test_a_report_without_sources_has_no_table_of_them():
    assert "<h2>Sources</h2>" not in render("t", "r", False, PoolStatistics(), [], [], [])


def test_names_are_told_without_the_folder_of_all():
    def short(*sources):
        return intake.short_names([Intake(source) for source in sources])

    assert short("/a/b/c.json", "/a/b/d/e.json", "sources.mcp_servers.x") == [
        "c.json",
        "d/e.json",
        "sources.mcp_servers.x",
    ]
    assert short("/a/b/c.json") == ["c.json"]
    assert short("a/c.json", "/b/c.json") == ["a/c.json", "/b/c.json"]
    assert short("c.json", "b/c.json") == ["c.json", "b/c.json"]
    assert short() == []
