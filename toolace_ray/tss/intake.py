"""What came of each source that a run read: of specifications, tool lists and texts alike.

Invariants: a source is known by the name that the rows of the pool and of the ledger give, whatever kind it is; an operation or
tool that was met came in or was refused; all starts of the run count together.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.store.storage import RunStore

IMPORT, UNREADABLE = "import", "unreadable"
"""The rules of the ledger whose evidence says why in words; of all others the name says it."""
SERVERS = "sources.mcp_servers."  # of the name of a live server, which is its key
UNNAMED = "(not recorded)"  # the source of what was imported before rows named it
_NAMED = re.compile(r"`[^`]*`|(?<!\w)(['\"]).*?\1(?!\w)|\b\d[\d.,]*\b(?!\.?\w)")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^][]*\]|\{[^{}]*\}")
_ROW = re.compile(r"\w+ …")  # `line 7`, once its number is gone
_PRUNED = re.compile("left out, (?:optional|refers to itself)|alternatives left out")


def reason(rule: str, text: str) -> str:
    """Why something was refused, the same for all that were refused for it: without label, names and numbers.

    Args:
        rule: IMPORT, UNREADABLE, or another rule of the ledger.
        text: what the importer or reader said: `GET /rooms: 'photo' is an uploaded file`, `line 7: empty`.
    """
    if rule not in (IMPORT, UNREADABLE):
        return rule
    parts = _parts(_unnamed(text))
    labelled = len(parts) > 1 and (rule == IMPORT or _ROW.fullmatch(parts[0]))
    return parts[1 if labelled else 0]


def _unnamed(text: str) -> str:
    """A text without what is named and counted in it; what stands in backticks is a word of the format and stays."""
    return _NAMED.sub(lambda found: found[0] if found[0][0] == "`" else "…", text)


def _parts(text: str) -> list[str]:
    """A text cut at its colons, those in brackets left alone."""
    outside, before = text, ""
    while outside != before:  # from the innermost brackets outwards; one that is not closed is a letter like others
        before, outside = outside, _BRACKETS.sub(lambda found: "_" * len(found[0]), outside)
    ends = [found.start() for found in re.finditer(": ", outside)]
    begins = [0, *(end + 2 for end in ends)]
    return [text[begin:end] for begin, end in zip(begins, [*ends, len(text)], strict=True)]


@dataclass
class Intake:
    """What came of one source.

    `met` counts its operations or tools, or the functionalities that were read out of a text; `apis` those of the pool that come
    from it, of which `pruned` lack optional parts and `noted` have notes at all: on what was left out, translated or derived.
    `notes` and `refused` count by what is said, `examples` has the whole text of the first that was refused for a reason.
    `seconds` of CPU time were spent on reading it, None where nobody measured.
    """

    source: str
    kind: str = ""
    met: int = 0
    apis: int = 0
    pruned: int = 0
    noted: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def take(self, notes: Sequence[str]) -> None:
        """Count an operation that came in, with the notes of its lineage."""
        self.met += 1
        self.apis += 1
        self.noted += bool(notes)
        self.pruned += any(_PRUNED.search(note) for note in notes)
        self.notes.update({_parts(_unnamed(note))[0] for note in notes})

    def refuse(self, rule: str, text: str) -> None:
        """Count an operation, or a part of a text, that did not come in."""
        why = reason(rule, text)
        self.refused[why] += 1
        self.examples.setdefault(why, text)

    def as_json(self) -> dict[str, Any]:
        """The counts as plain JSON; each reason with its count and its example."""
        refused = {why: {"count": count, "example": self.examples[why]} for why, count in self.refused.most_common()}
        figures = {name: value for name, value in vars(self).items() if name != "examples"}
        figures["seconds"] = None if self.seconds is None else round(self.seconds, 3)
        return {**figures, "notes": dict(self.notes.most_common()), "refused": refused}


def of_run(store: RunStore) -> list[Intake]:
    """The sources of a run, those first of which most was refused, and specifications before texts."""
    found: dict[str, Intake] = {}

    def of(source: str | None) -> Intake:
        return found.setdefault(source or UNNAMED, Intake(source or UNNAMED))

    for row in store.rows("sources/files"):
        item = of(row["path"])
        item.kind = row.get("kind") or item.kind
        item.seconds = (
            item.seconds if row.get("seconds") is None else row["seconds"]
        )  # this start did not read it again
    texts: dict[str, str] = {}
    attempts: dict[int, str] = {}
    for row in store.rows("sources/documents", ["attempt", "id", "path"]):
        texts[row["id"]] = attempts[row["attempt"]] = row["path"]
    for row in store.rows("tree/extractions", ["record"]):
        extraction = json.loads(row["record"])
        of(extraction["path"]).met += len(extraction["functionalities"])
    for row in _once(store.rows("apis", ["id", "type", "source", "record"])):
        lineage = json.loads(row["record"])["lineage"]
        if row["type"] == "imported":
            item = of(row.get("source"))
            item.kind = lineage["source"]  # a file may be named as two kinds of sources
            item.take(lineage.get("notes") or ())
        else:
            for path in {texts[document] for document in lineage["documents"] if document in texts}:
                of(path).apis += 1
    for row in _once(store.rows("rejected", ["id", "type", "attempt", "rule", "evidence", "source"])):
        if row["type"] == "document":
            item = of(attempts.get(row["attempt"]))
        elif row["type"] in ("imported", "source"):
            item = of(row.get("source"))
            item.met += row["type"] == "imported"
        else:
            continue
        item.refuse(row["rule"], str(row["evidence"]).removeprefix(f"{item.source}: "))
    return sorted(
        found.values(), key=lambda item: (-item.refused.total(), item.kind == "document", item.kind, item.source)
    )


def _once(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Rows without those that stand twice while a start moves them."""
    seen: set[str] = set()
    for row in rows:
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row


def short_names(intakes: Sequence[Intake]) -> list[str]:
    """The sources' names without the folders that all files among them lie in."""
    names = [item.source for item in intakes]
    folders = [os.path.dirname(name) for name in names if not name.startswith(SERVERS)]
    try:
        common = os.path.join(os.path.commonpath(folders), "") if folders else ""
    except ValueError:  # some are absolute, some are not
        common = ""
    return [name.removeprefix(common) for name in names]
