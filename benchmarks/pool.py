"""What a large API pool costs: generated documents to a pool on the simulated engine, at several sizes, each a run of its own.

    python -m benchmarks.pool --documents 2000 --sizes 3000 10000 30000

Measures the whole command as a user starts it: wall time, CPU time of all its processes (Ray's own included), and the
largest sum of their private memory (USS). The tree is grown once, in a run that makes no API, and is copied: the cost
of an API at a size is what the run adds to that, divided by the number of APIs. The simulated engine's answers are no
data; what is measured is everything else. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jobs.report import statistics
from toolace_ray.schemas.leaf import WORDS
from toolace_ray.store.storage import RunStore

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.5


def write_documents(folder: Path, count: int, seed: int) -> None:
    """Short manuals, each of another service: a title and a few sentences about what can be asked of it."""
    rng = random.Random(seed)
    folder.mkdir()
    for number in range(count):
        title = " ".join(rng.choices(WORDS, k=3))
        lines = [f"# The {title} service {number}", ""]
        for _ in range(rng.randint(3, 8)):
            verb = rng.choice(("find", "book", "cancel", "compare", "read", "send", "plan", "check"))
            lines.append(f"You can {verb} a {rng.choice(WORDS)} {rng.choice(WORDS)} by its {rng.choice(WORDS)}.")
        (folder / f"{number:06d}.md").write_text("\n".join(lines))


def measure(arguments: list[str]) -> dict[str, float]:
    """Run the CLI and watch all processes below it; they are told apart by their ids and start times."""
    started = time.monotonic()
    command = psutil.Popen([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    spent: dict[tuple[int, float], float] = {}
    peak, driver = 0.0, 0.0
    while command.poll() is None:
        total = 0.0
        for process in [command, *command.children(recursive=True)]:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    spent[process.pid, process.create_time()] = times.user + times.system
                memory = process.memory_full_info().uss / 2**20
                total += memory
                if process.pid == command.pid:
                    driver = max(driver, memory)
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(SAMPLE_SECONDS)
    if command.returncode:
        raise SystemExit(f"toolace {' '.join(arguments)} ended with {command.returncode}")
    return {
        "wall_s": round(time.monotonic() - started, 1),
        "cpu_s": round(sum(spent.values()), 1),
        "peak_mib": round(peak),
        "driver_mib": round(driver),
    }


def counted(path: Path) -> dict[str, float]:
    """What the pool of a run holds."""
    pool, keys = statistics(RunStore(str(path)))
    return {
        "made": pool.sources["synthesised"],
        "unique": len(set(keys)),
        "duplicate_rate": round(pool.duplicate_rate, 3),
        "nested": round(pool.nested / pool.apis, 3),
    }


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 10000, 30000])
    parser.add_argument("--generation", type=int, default=2000, help="evolve.generation_size")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        documents = Path(folder) / "documents"
        write_documents(documents, options.documents, options.seed)

        def evolve(path: Path, apis: int) -> dict[str, float]:
            settings = [
                f"run.path={path}", f"run.seed={options.seed}", f"sources.documents=[{documents}]", f"evolve.apis={apis}",
                f"evolve.generation_size={options.generation}", "execution.in_flight=128", "pools.simulated.simulated.latency_ms=1",
            ]  # fmt: skip
            given = [item for setting in settings for item in ("--set", setting)]
            return measure(["evolve", "--config", "configs/simulated.yaml", *given])

        tree = Path(folder) / "tree"
        result: dict[str, object] = {"documents": options.documents, "tree": evolve(tree, 0)}
        idle = evolve(tree, 0)  # a start that finds everything done: what every run below pays as well
        sizes = []
        for size in options.sizes:
            path = Path(folder) / f"pool-{size}"
            shutil.copytree(tree, path)
            cost = evolve(path, size)
            again = evolve(path, size)
            per_api = {
                "wall_ms_per_api": round(1000 * (cost["wall_s"] - idle["wall_s"]) / size, 2),
                "cpu_ms_per_api": round(1000 * (cost["cpu_s"] - idle["cpu_s"]) / size, 2),
            }
            sizes.append({"apis": size, **cost, **per_api, "again_wall_s": again["wall_s"], **counted(path)})
            print(json.dumps(sizes[-1]), file=sys.stderr, flush=True)
            shutil.rmtree(path)
        print(json.dumps({**result, "sizes": sizes}))


if __name__ == "__main__":
    main()
