"""People's decisions on a run in an object store, and the cluster's lock on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.review import bring_in
from tests.material import good_dialogs
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.errors import UserError
from toolace_ray.store.rows import DIALOG, dialog_row
from toolace_ray.store.storage import RunStore

ROOT = Path(__file__).parents[2]
WORKING = """
import sys
import ray
from jobs.cluster import NAMESPACE, lock_on_cluster
from toolace_ray.store.storage import RunStore

ray.init(address="local", namespace=NAMESPACE, num_cpus=1, include_dashboard=False, object_store_memory=80 << 20)
lock = lock_on_cluster(RunStore("mock:///busy/"))
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.readline()
"""


def run_at(uri):
    """A run of one dialog in an object store, which is in this process's memory."""
    store = RunStore(uri)
    assert not store.local
    store.make("dialogs", "rejected")
    store.write_bytes("", "run.yaml", b"config: {}")
    dialog = good_dialogs()["single"]
    store.write("dialogs", "e-dialogs-1.parquet", [dialog_row(dialog, {"key": dialog_key(dialog)})], DIALOG)
    return store, dialog.id


def test_decisions_wait_for_the_driver_that_works_on_the_run(isolated_home, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    command = [sys.executable, "-c", WORKING]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        try:
            monkeypatch.setenv("RAY_ADDRESS", driver.stdout.readline().strip())
            busy, identifier = run_at("mock:///busy")
            told = tmp_path / "told.jsonl"
            told.write_text(json.dumps({"id": identifier, "human": "reject", "note": "no"}))
            with pytest.raises(UserError, match="another job on this cluster works on this run"):
                bring_in(busy, str(told))
            assert [row["id"] for row in busy.rows("dialogs")] == [identifier]
            free, identifier = run_at("mock:///free")
            assert "now rejected by a person: 1" in bring_in(free, str(told))
            assert [row["id"] for row in free.rows("rejected")] == [identifier]
            assert list(free.rows("dialogs")) == []
        finally:
            driver.communicate("\n", timeout=60)
