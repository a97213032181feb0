"""People's decisions on a run in an object store, and the cluster's lock on it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The driver that works on the run.
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
# Decisions on two runs of one dialog each, in an object store that is in this process's memory.
DECIDING = """
import json
import sys
from jobs.review import import_decisions
from tests.material import good_dialogs
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.errors import UserError
from toolace_ray.store.rows import DIALOG, dialog_row
from toolace_ray.store.storage import RunStore

dialog = good_dialogs()["single"]
with open(sys.argv[1], "w") as file:
    file.write(json.dumps({"id": dialog.id, "human": "reject", "note": "no"}))
for uri in ("mock:///busy", "mock:///free"):
    store = RunStore(uri)
    assert not store.local
    store.make("dialogs", "rejected")
    store.write("dialogs", "e-dialogs-1.parquet", [dialog_row(dialog, {"key": dialog_key(dialog)})], DIALOG)
    try:
        import_decisions(store, sys.argv[1])
    except UserError as error:
        print(error)
    print(*(f"{folder} {len(list(store.rows(folder)))}" for folder in ("dialogs", "rejected")))
"""


def test_decisions_wait_for_the_driver_that_works_on_the_run(tmp_path, environment):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen([sys.executable, "-c", WORKING], env=environment, **pipes) as driver:
        try:
            there = {**environment, "RAY_ADDRESS": driver.stdout.readline().strip()}
            deciding = [sys.executable, "-c", DECIDING, str(tmp_path / "told.jsonl")]
            done = subprocess.run(
                deciding, cwd=ROOT, env=there, capture_output=True, text=True, timeout=200, check=False
            )
        finally:
            driver.communicate("\n", timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, busy, free = done.stdout.splitlines()
    assert "another job on this cluster works on this run" in refused
    assert (busy, free) == ("dialogs 1 rejected 0", "dialogs 0 rejected 1")
