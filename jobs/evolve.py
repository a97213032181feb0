"""TSS as a job: documents become a context tree and an API pool.

python -m jobs.evolve --config configs/local.yaml

Invariant: every step is found done or half done at the next start, and goes on from there; what was made stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from actors.ingest import import_row, ingest
from jobs.flow import budget
from jobs.session import Session
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.records.json import digest
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import folder, ledger
from toolace_ray.store.rows import (
    API,
    DOCUMENT,
    FILE,
    FRONTIER,
    LEDGER,
    UNDESCRIBED,
    api_row,
    ledger_row,
    usage_columns,
    verdicts_from,
)
from toolace_ray.store.settle import Flow, settle
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import NearDuplicates, api_key
from toolace_ray.tss import generations, intake, mcp_client, saved, sources, speciation, specs
from toolace_ray.tss.describing import with_descriptions
from toolace_ray.tss.generations import Evolution
from toolace_ray.tss.readers import Limits
from toolace_ray.tss.speciation import Node

IMPORTED = "imported"
PART = f"-{IMPORTED}-"
SOURCE = "source"
NOTHING = usage_columns(Usage(), 0.0)


def evolve(current: Session, dialogs: bool = False) -> dict[str, Any]:
    """Grow the tree and the pool of a run; what is there already is left alone.

    APIs are synthesised from texts: a run that has none, and is not told evolve.apis, imports and asks no model.

    Args:
        dialogs: they come next, so that the models are needed in any case.

    Returns:
        Whether as many APIs as wanted are there, in the form of a flow's status.

    Raises:
        UserError: wrong sources, or nothing to make APIs from.
    """
    config, store = current.config, current.store
    files = sources.files(config.sources)
    for kind, paths in sources.named(config.sources).items():  # before anything is written: a wrong spec leaves no run
        for path in paths:
            next(specs.IMPORTERS[kind](path, config.sources.undescribed), None)
    tool_lists = _ask_servers(current)
    folder.begin(store, config, "evolve")
    for name, text in tool_lists.items():
        store.write_bytes("sources/mcp", f"{name}.json", text.encode())
    evolution = Evolution(NearDuplicates(config.evolve.near_duplicate))
    evolution.take(store.rows("apis", part=PART))
    number, attempts = _replay(store, evolution)
    has_texts = bool(files["document"] or saved.document_ids(store))
    wanted = config.evolve.apis if has_texts or "apis" in config.evolve.model_fields_set else 0
    # What a writer is to describe is known once it is read; by then Ray runs, and models are fetched before it starts.
    models = dialogs or has_texts or config.sources.undescribed == "write"
    _read_sources(current, files, evolution, models)
    described = _describe(current, evolution)
    nodes, tree_is_whole = _grow_tree(current) if described else ([], False)
    made_count = evolution.count
    if not tree_is_whole:  # designs come from the whole tree: they wait until more may be spent
        made_count += len(_accepted_rows(store, _part(number)))
    elif has_texts or wanted:
        made_count = _grow_pool(current, nodes, evolution, number, attempts)
    if not store.files("apis") and current.budget:
        raise UserError(f"{store.uri}: the pool is empty and {current.budget}; allow more")
    if not store.files("apis"):
        raise UserError(
            f"{store.uri}: the pool is empty: no API passed the gate; see the ledger with `toolace show {store.uri} --rejected`"
        )
    if made_count < wanted:
        why = f", since {current.budget}" if current.budget else ""
        current.progress.say(f"APIs: {made_count} of {wanted} wanted were made{why}; going on with them")
    return {"types": {"api": {"reached": described and made_count >= wanted}}}


# Sources -------------------------------------------------------------------------------------------------------------


def _ask_servers(current: Session) -> dict[str, str]:
    """The lists of the servers that were not asked in an earlier start, by name. Raises UserError."""
    tool_lists = {}
    for name, server in current.config.sources.mcp_servers.items():
        if not current.store.exists("sources/mcp", f"{name}.json"):
            tool_lists[name] = mcp_client.list_tools(name, server)
    return tool_lists


def _read_sources(current: Session, files: dict[str, list[str]], evolution: Evolution, models: bool = True) -> None:
    """Read what is new or changed: documents are numbered on, APIs pass the gate, the rest is in the ledger."""
    store, settings = current.store, current.config.sources
    imports = _Imports(store, evolution, settings.undescribed == "write")
    for name in sorted(settings.mcp_servers):
        key = f"{intake.SERVERS}{name}"
        tools = json.loads(store.read_bytes("sources/mcp", f"{name}.json"))
        for item in specs.import_tools(tools, name, live=True, undescribed=settings.undescribed):
            imports.take(import_row(key, item))
    stamped_files = _stamped_files(files)
    read_before = {(row.get("kind"), row["path"], row["size"], row["modified"]) for row in store.rows("sources/files")}
    new_files = [stamped[:2] for stamped in stamped_files if stamped not in read_before]
    if not new_files:
        imports.write(current)
        return
    current.ray(models)
    documents = saved.document_ids(store)
    met = _Files()
    limits = Limits(
        settings.chunk_chars, settings.max_file_mb << 20, settings.text_column, settings.private, settings.undescribed
    )

    def tables() -> Iterator[pa.Table]:
        number, seen = len(documents), set()
        for table in ingest(new_files, limits):
            rows = []
            for row in table.to_pylist():
                met.take(row)
                if row["kind"] in ("api", "refused"):
                    imports.take(row)
                elif row["kind"] == "document" and row["id"] not in documents and row["id"] not in seen:
                    seen.add(row["id"])
                    rows.append({"attempt": number, **{name: row[name] for name in ("id", "path", "part", "text")}})
                    number += 1
            yield pa.Table.from_pylist(rows, schema=DOCUMENT)

    name = f"{len(documents):08d}.parquet"
    with current.progress.phase("reading the sources"):
        store.write_tables("sources/documents", name, tables(), DOCUMENT)
    if not store.table("sources/documents", name, ["attempt"]).num_rows:
        store.delete("sources/documents", name)
    imports.write(current)
    if unread := met.unread:
        in_ledger = {row["id"] for row in store.rows("rejected", ["id"], f"-{SOURCE}-")}
        rows = [row for row in unread if row["id"] not in in_ledger]
        if rows:
            store.write("rejected", f"{current.epoch}-{SOURCE}-unread.parquet", rows, LEDGER)
        first = unread[0]["evidence"]
        current.progress.say(f"{len(unread)} sources could not be read (in the ledger); first: {first}")
        if not saved.document_ids(store) and not store.files("apis"):
            raise UserError(f"sources: none of {len(new_files)} files could be read; first: {first}")
    # A file that gave nothing but a reason is tried again at the next start: a limit may be raised, a right be given.
    useless = met.useless
    stamps = [
        {"path": path, "size": size, "modified": modified, "kind": kind, "seconds": met.seconds.get(path)}
        for kind, path, size, modified in stamped_files
        if path not in useless
    ]
    store.write("sources/files", f"{current.epoch}.parquet", stamps, FILE)


class _Files:
    """What became of the files that are read, told by the rows of actors.ingest as they come.

    `seconds` is path -> CPU time that reading it took; `useless` are the paths that gave nothing but reasons.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._useful: set[str] = set()
        self._told: list[tuple[bool, dict[str, Any]]] = []  # whether the file gave anything else, and the reason
        self._reasons: list[dict[str, Any]] = []  # of the file at hand
        self._gave = False

    def take(self, row: dict[str, Any]) -> None:
        """Take a file's next row."""
        if row["kind"] == "unread":
            self._reasons.append(_unreadable_row(row["path"], row["text"]))
        elif row["kind"] != "end":
            self._gave = True
        else:
            path = row["path"]
            self.seconds[path] = self.seconds.get(path, 0.0) + row["seconds"]
            if self._gave or not self._reasons:
                self._useful.add(path)
            self._told += [(self._gave, reason) for reason in self._reasons]
            self._reasons, self._gave = [], False

    @property
    def useless(self) -> set[str]:
        """See the class."""
        return self.seconds.keys() - self._useful

    @property
    def unread(self) -> list[dict[str, Any]]:
        """Rows of the ledger; a file that is named as two kinds of sources, and is one of them, is not told to be none of the
        other."""
        return [row for gave, row in self._told if gave or row["source"] not in self._useful]


def _stamped_files(files: dict[str, list[str]]) -> list[tuple[str, str, int, int]]:
    """(kind, path, size, modification time) of every file."""
    stamped = []
    for kind, paths in files.items():
        for path in paths:
            status = os.stat(path)
            stamped.append((kind, path, status.st_size, status.st_mtime_ns))
    return stamped


def _unreadable_row(path: str, reason: str) -> dict[str, Any]:
    row_id = f"{SOURCE}-{digest(path, reason, length=12)}"
    base = {"id": row_id, "type": SOURCE, "kind": SOURCE, "attempt": 0, "source": path}
    verdict = Verdict(stage="source", rule=intake.UNREADABLE, evidence=f"{path}: {reason}"[:300])
    return ledger_row(base, [verdict], None, NOTHING)


class _Imports:
    """APIs of specs, lists of tools and Python files on their way into the pool: numbered on, none twice. With `write` those that
    lack a description wait beside it, and get their numbers when they come in."""

    def __init__(self, store: RunStore, evolution: Evolution, write: bool) -> None:
        self._evolution = evolution
        self._write = write
        # All of the pool, that of a generation that is still open as well: what was made stays, newcomers give way.
        self._index = evolution.novelty.copy()
        for row in store.rows("apis", ["kind", "attempt", "key"]):
            self._index.repeats(row["key"], f"{row['kind']}-{row['attempt']:06d}")
        # What a start that was killed imported or refused is not taken twice.
        self._taken_ids = _imported_ids(store)
        self._first = len(self._taken_ids)
        waiting = saved.Undescribed(store).places()
        self._first_waiting = len(waiting)
        for row_id, key, _ in waiting:
            if row_id not in self._taken_ids:
                self._taken_ids.add(row_id)
                self._index.repeats(key, row_id)
        self._accepted: list[dict[str, Any]] = []
        self._rejected: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []

    def take(self, row: dict[str, Any]) -> None:
        """Take one row of actors.ingest: an API with the gate's verdicts, or why there is none."""
        if row["kind"] == "refused":
            self._refuse(row["path"], row["text"])
            return
        api = Api.model_validate_json(row["text"])
        row_id = f"{IMPORTED}-{digest(api.id, row['path'], length=12)}"
        if row_id in self._taken_ids:
            return
        self._taken_ids.add(row_id)
        task = {"id": row_id, "type": IMPORTED, "kind": IMPORTED, "attempt": self._next_number()}
        base = {**task, "source": row["path"]}
        verdicts, key = verdicts_from(row["verdicts"]), api_key(api)
        if not verdicts and (twin := self._index.repeats(key, f"{api.name} ({row['path']})")):
            verdicts = [Verdict(stage="gate", rule="duplicate", evidence=f"{row['path']}: {api.name} is {twin}")]
        if verdicts:
            self._rejected.append(ledger_row({**base, "key": key}, verdicts, row["text"], NOTHING))
            return
        if self._write and api.lineage.undescribed:
            attempt = self._first_waiting + len(self._waiting)
            place = {"id": row_id, "key": key, "source": row["path"]}
            self._waiting.append({"attempt": attempt, **place, "record": row["text"]})
            return
        accepted = api_row(api, {**base, "key": key, **NOTHING})
        self._accepted.append(accepted)
        self._evolution.take([accepted])

    def _refuse(self, path: str, reason: str) -> None:
        row_id = f"{IMPORTED}-{digest(path, reason, length=12)}"
        if row_id not in self._taken_ids:
            self._taken_ids.add(row_id)
            task = {"id": row_id, "type": IMPORTED, "kind": IMPORTED, "attempt": self._next_number()}
            base = {**task, "source": path}
            verdict = Verdict(stage="source", rule=intake.IMPORT, evidence=f"{path}: {reason}"[:300])
            self._rejected.append(ledger_row(base, [verdict], None, NOTHING))

    def _next_number(self) -> int:
        return self._first + len(self._accepted) + len(self._rejected)

    def write(self, current: Session) -> None:
        """Commit what was taken."""
        name = f"{current.epoch}{PART}apis.parquet"
        if self._waiting:
            current.store.write("sources/undescribed", f"{self._first_waiting:08d}.parquet", self._waiting, UNDESCRIBED)
        if self._rejected:
            current.store.write("rejected", name, self._rejected, LEDGER)
            first = self._rejected[0]
            current.progress.say(
                f"{len(self._rejected)} operations were not imported (in the ledger); first: {first['rule']}: {first['evidence']}"
            )
        if self._accepted:
            current.store.write("apis", name, self._accepted, API)


def _imported_ids(store: RunStore) -> set[str]:
    """The ids of what was imported or refused."""
    return {row["id"] for folder in ("apis", "rejected") for row in store.rows(folder, ["id"], PART)}


def _describe(current: Session, evolution: Evolution) -> bool:
    """Have the descriptions written that imported APIs lack, then take these APIs into the pool.

    Returns False when what the run may spend was spent before: then all of them wait until more may be spent.
    """
    store = current.store
    undescribed, in_pool = saved.Undescribed(store), _imported_ids(store)
    waiting = [(attempt, *place) for attempt, place in enumerate(undescribed.places()) if place[0] not in in_pool]
    if not waiting:
        return True
    name, total = "sources/descriptions", len(undescribed)
    flow = Flow("descriptions", "descriptions", name, name, {"description": (total, total)}, **budget(current.config))
    current.run_flow(flow, "APIs described")
    if len({attempt for _, attempt, _ in ledger.resolved(store, name, flow.quotas, flow.part)}) < total:
        current.progress.say(f"{len(waiting)} imported APIs wait for their descriptions, since {current.budget}")
        return False
    found = saved.load_descriptions(store)
    rows: list[dict[str, Any]] = []
    lacking = written = 0
    for number, (attempt, row_id, key, source) in enumerate(waiting, len(in_pool)):
        api = with_descriptions(undescribed.at(attempt), found.get(attempt))
        lacking += len(api.lineage.undescribed)
        written += len(api.lineage.written)
        base = {"id": row_id, "type": IMPORTED, "kind": IMPORTED, "attempt": number, "key": key, "source": source}
        rows.append(api_row(api, {**base, **NOTHING}))
    store.write("apis", f"{current.epoch}{PART}described.parquet", rows, API)
    evolution.take(rows)
    current.progress.say(f"{len(rows)} imported APIs: {written} descriptions written, {lacking - written} derived")
    return True


# Tree ----------------------------------------------------------------------------------------------------------------


def _grow_tree(current: Session) -> tuple[list[Node], bool]:
    """Read the documents that were not read, then divide functionalities until all are atomic or evolve.leaves is met.

    Returns the nodes, and whether the tree is whole: False when what the run may spend was spent before.
    """
    config, store = current.config, current.store
    count = len(saved.document_ids(store))
    if count:
        name = "tree/extractions"
        flow = Flow("documents", "documents", name, name, {"document": (count, count)}, **budget(config))
        current.run_flow(flow, "documents read")
    while True:
        before = saved.load_nodes(store)
        nodes = speciation.grow(
            before, saved.load_extractions(store), saved.load_divisions(store), folder.imported(store)
        )
        if nodes != before:
            saved.save_nodes(store, nodes)
        frontier = saved.load_frontier(store)
        resolved = {attempt for _, attempt, _ in ledger.resolved(store, "tree/divisions", ["node"], "-nodes-")}
        if resolved >= set(frontier):
            asked_nodes = {division.node for division in frontier.values()}
            new_divisions = speciation.to_divide(nodes, asked_nodes, config.evolve.depth, config.evolve.leaves)
            if not new_divisions:
                return nodes, True
            first = len(frontier)
            rows = [
                {"attempt": first + index, "node": division.node, "record": division.model_dump_json()}
                for index, division in enumerate(new_divisions)
            ]
            store.write("tree/frontiers", f"{first:08d}.parquet", rows, FRONTIER)
            frontier = saved.load_frontier(store)
        total = len(frontier)
        name = "tree/divisions"
        current.run_flow(
            Flow("nodes", "nodes", name, name, {"node": (total, total)}, **budget(config)),
            "functionalities divided",
        )
        if current.budget:
            return nodes, False


# Pool ----------------------------------------------------------------------------------------------------------------


def _replay(store: RunStore, evolution: Evolution) -> tuple[int, int]:
    """Take over the closed generations; returns the number of the first open one, and the attempts used so far."""
    number, attempts = 0, 0
    while closed := generations.finished(store, number):
        evolution.take(_accepted_rows(store, _part(number)))
        attempts += closed["attempts"]
        number += 1
    return number, attempts


def _part(number: int) -> str:
    return f"-apis-{generations.name_of(number)}-"


def _grow_pool(current: Session, nodes: list[Node], evolution: Evolution, number: int, attempts: int) -> int:
    """Generation after generation, until there are as many synthesised APIs as wanted; returns how many there are."""
    config, store = current.config, current.store
    settings = config.evolve
    while True:
        kind, part = generations.name_of(number), _part(number)
        accepted_count = len(_accepted_rows(store, part))
        wanted = min(
            settings.generation_size, max(settings.apis - evolution.count, accepted_count)
        )  # a pool never shrinks
        limit = settings.max_attempts * settings.apis - attempts
        if wanted <= 0 or limit <= 0:
            break
        outdated = settings.apis > evolution.count + accepted_count and generations.outgrown(store, number, nodes)
        if outdated:
            # The tree has grown since this generation was planned: it ends with what it has, the next one sees all.
            wanted = accepted_count
        designs = generations.prepare(store, number, evolution, nodes, settings, config.run.seed)
        limit = min(limit, designs, settings.max_attempts * max(wanted, 1))
        if not limit:
            current.progress.say("the tree has no further set of functionalities for an API; add documents")
            break
        quotas = {kind: (wanted, limit)}
        flow = Flow(f"apis-{kind}", "apis", "drafts/apis", "apis", quotas, evolution.novelty, **budget(config))
        status = current.run_flow(flow, f"APIs (generation {number}, {evolution.count} before)")
        settle(flow, store, API, current.epoch)
        rows = _accepted_rows(store, part)
        evolution.take(rows, known=True)
        full = len(rows) >= settings.generation_size
        exhausted = (  # a generation that a budget cut short goes on when more is allowed
            not status["types"][kind]["reached"]
            and not status["budget"]
            and limit == min(designs, settings.max_attempts * settings.generation_size)
        )
        if not (full or exhausted or outdated):
            break
        used_attempts = limit if exhausted else max((row["attempt"] + 1 for row in rows), default=0)
        generations.finish(store, number, len(rows), used_attempts)
        attempts += used_attempts
        number += 1
    return evolution.count


def _accepted_rows(store: RunStore, part: str) -> list[dict[str, Any]]:
    return sorted(store.rows("apis", part=part), key=lambda row: row["attempt"])


if __name__ == "__main__":
    from jobs.command import as_program
    from jobs.summary import describe_pool

    as_program(evolve, describe_pool)
