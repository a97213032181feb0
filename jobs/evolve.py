"""TSS as a job: documents become a context tree and an API pool.

python -m jobs.evolve --config configs/local.yaml
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from actors.pools import Pools
from jobs import flow as flows
from jobs.cluster import lock_on_cluster, locked, ray_session
from jobs.flow import Flow
from jobs.progress import Progress
from toolace_ray import run
from toolace_ray.config import Config
from toolace_ray.dlv.checks import check_disabled
from toolace_ray.engines.roles import Usage
from toolace_ray.errors import UserError
from toolace_ray.models import resolve
from toolace_ray.rows import API, DOCUMENT, LEDGER, NODE, api_key, api_row, ledger_row, usage_columns
from toolace_ray.schema import Api, Verdict, digest
from toolace_ray.storage import RunStore
from toolace_ray.tss import gate, sources, speciation

IMPORTED = "imported"


def new_epoch() -> str:
    """Names one start of a job: its time (sortable) and a random part."""
    return f"{int(time.time()):09x}{secrets.token_hex(2)}"


@dataclass
class Session:
    """What the flows of one command share: Ray and the pools are started when the first flow needs them."""

    config: Config
    store: RunStore
    progress: Progress
    epoch: str = field(default_factory=new_epoch)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _pools: Pools | None = None
    _ray: bool = False

    def ray(self) -> None:
        """Meet Ray, once."""
        if not self._ray:
            # Before Ray: what is missing is fetched by child processes, and said before anything starts.
            check_models(self.config, self.progress)
            self._stack.enter_context(ray_session(self.config, self.progress.say))
            self._ray = True
            self._lock = lock_on_cluster(self.store)

    def pools(self) -> Pools:
        """The pools, started once."""
        if self._pools is None:
            self.ray()
            self._pools = self._stack.enter_context(Pools(self.config, self.progress.say))
        return self._pools

    def play(self, flow: Flow, what: str) -> dict[str, Any]:
        """Bring a flow to its end; a flow that is done starts nothing. Returns its last status."""
        planner = flows.survey(flow, self.store)
        if planner.done:
            return planner.status()
        pools = self.pools()
        self.progress.begin()
        status = flows.play(
            flow,
            planner,
            self.config,
            self.store,
            pools.handles,
            self.epoch,
            lambda status, seconds: self.progress.show(what, status, seconds),
        )
        self.progress.end()
        return status


@contextlib.contextmanager
def session(config: Config, progress: Progress) -> Iterator[Session]:
    """A session that holds the run's lock and stops everything at its end. Raises UserError."""
    check_disabled(config.verify)
    store = RunStore(config.run.path)
    try:
        with locked(store):
            current = Session(config, store, progress)
            store.sweep()
            with current._stack:
                if not store.local:
                    current.ray()  # there is no file to lock there: the cluster's lock comes first
                yield current
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(f"run.path: {config.run.path}: cannot write there ({error.strerror})") from error


def check_models(config: Config, progress: Progress) -> None:
    """Make sure before anything starts that the models of all vLLM pools can be had. Raises UserError."""
    for name in sorted({pool for role in config.roles for pool in config.mix(role)}):
        pool = config.pools[name]
        if pool.engine == "vllm":
            resolve(pool.model, progress=progress.say)
        elif pool.engine == "openai" and pool.api_key_env and not os.environ.get(pool.api_key_env):
            raise UserError(f"pools.{name}.api_key_env: the environment variable {pool.api_key_env} is not set")


def evolve(current: Session) -> None:
    """Grow the tree and the pool of a run; what is there already is left alone. Raises UserError."""
    config, store = current.config, current.store
    found = sources.files(config.sources)
    specs = _read_specs(found)  # before anything is written: a wrong spec must leave no half run
    run.begin(store, config, "evolve")
    _freeze_documents(current, found["documents"])
    documents = run.load_documents(store)
    imported = _import(current, specs)
    if documents:
        flow = Flow("documents", "tree/extractions", "tree/extractions", {"document": (len(documents), len(documents))})
        current.play(flow, "documents read")
    if not store.exists("tree", "nodes.parquet"):
        nodes = speciation.grow(run.load_extractions(store), imported)
        rows = [
            {"id": n.id, "parent": n.parent, "kind": n.kind, "name": n.name, "record": n.model_dump_json()}
            for n in nodes
        ]
        store.write("tree", "nodes.parquet", rows, NODE)
    nodes = run.load_nodes(store)
    if config.evolve.apis and any(node.kind == "functionality" and not node.apis for node in nodes):
        limit = config.evolve.max_attempts or 3 * config.evolve.apis
        flow = Flow("apis", "drafts/apis", "apis", {"api": (config.evolve.apis, limit)})
        status = current.play(flow, "APIs")
        flows.settle(flow, store, API, current.epoch)
        kind = status["types"]["api"]
        if not kind["reached"]:
            current.progress.say(
                f"APIs: {kind['passing']} of {kind['wanted']} after {limit} attempts (evolve.max_attempts); going on with them"
            )
    if not store.files("apis"):
        raise UserError(
            f"{store.uri}: the pool is empty: no API passed the gate; see the ledger with `toolace show {store.uri} --rejected`"
        )


def _read_specs(found: dict[str, list[str]]) -> list[tuple[str, Api | str]]:
    """(path, API or reason) of all specs. Raises UserError for a file that is no spec."""
    read = {"openapi": sources.import_openapi, "mcp": sources.import_mcp}
    return [(path, item) for kind, importer in read.items() for path in found[kind] for item in importer(path)]


def _freeze_documents(current: Session, paths: list[str]) -> None:
    """Read the documents through Ray Data once; their order and text stay the run's."""
    store = current.store
    if store.exists("tree", "documents.parquet") or not paths:
        return
    current.ray()
    import ray

    from actors.stages import quiet

    quiet()
    limit = current.config.sources.max_document_chars

    def read(row: dict[str, Any]) -> dict[str, Any]:
        result = sources.read_document(row["path"], row["bytes"], limit)
        if isinstance(result, str):
            return {"path": row["path"], "id": "", "text": "", "reason": result}
        return {"path": row["path"], "id": result.id, "text": result.text, "reason": ""}

    data = ray.data.read_binary_files(paths, include_paths=True, num_cpus=0.1)
    rows = sorted(data.map(read, num_cpus=0.1).take_all(), key=lambda row: row["path"])
    unread = [row for row in rows if row["reason"]]
    if unread:
        ledger = [
            ledger_row(
                {"id": f"source-{digest(row['path'], length=12)}", "type": "source", "kind": "source", "attempt": 0},
                [Verdict(stage="source", rule="unreadable", evidence=f"{row['path']}: {row['reason']}")],
                None,
                usage_columns(Usage(), 0.0),
            )
            for row in unread
        ]
        store.write("rejected", "sources.parquet", ledger, LEDGER)
        current.progress.say(
            f"{len(unread)} documents could not be read (in the ledger); first: {unread[0]['path']}: {unread[0]['reason']}"
        )
    unique = {row["id"]: row for row in reversed(rows) if row["id"]}
    kept = sorted(unique.values(), key=lambda row: row["path"])
    if not kept and not (current.config.sources.openapi or current.config.sources.mcp):
        raise UserError(
            f"sources.documents: none of {len(rows)} documents could be read; first: {unread[0]['path']}: {unread[0]['reason']}"
        )
    frozen = [{"attempt": i, "id": row["id"], "path": row["path"], "text": row["text"]} for i, row in enumerate(kept)]
    store.write("tree", "documents.parquet", frozen, DOCUMENT)


def _import(current: Session, specs: list[tuple[str, Api | str]]) -> list[Api]:
    """Gate the imported APIs into the pool, once."""
    store = current.store
    accepted: dict[str, Api] = {}
    ledger = []
    spent = usage_columns(Usage(), 0.0)
    for index, (path, item) in enumerate(specs):
        base = {"id": f"{IMPORTED}-{index:06d}", "type": IMPORTED, "kind": IMPORTED, "attempt": index}
        if isinstance(item, str):
            ledger.append(
                ledger_row(
                    base, [Verdict(stage="source", rule="import", evidence=f"{path}: {item}"[:300])], None, spent
                )
            )
            continue
        found = gate.check(item)
        if not found and api_key(item) in accepted:
            found = [Verdict(stage="gate", rule="duplicate", evidence=f"{path}: {item.name} is there already")]
        if found:
            ledger.append(ledger_row(base, found, item.model_dump_json(), spent))
        else:
            accepted[api_key(item)] = item
    if not store.exists("apis", "imported.parquet"):
        if ledger:
            store.write("rejected", "imported.parquet", ledger, LEDGER)
            first = ledger[0]
            current.progress.say(
                f"{len(ledger)} operations were not imported (in the ledger); first: {first['rule']}: {first['evidence']}"
            )
        rows = [
            api_row(api, {"id": f"{IMPORTED}-{i:06d}", "type": IMPORTED, "kind": IMPORTED, "attempt": i, **spent})
            for i, api in enumerate(accepted.values())
        ]
        if rows:
            store.write("apis", "imported.parquet", rows, API)
    return list(accepted.values())


__all__ = ["Session", "check_models", "evolve", "new_epoch", "session"]


if __name__ == "__main__":
    from jobs.cli import job

    job("evolve")
