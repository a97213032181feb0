"""The rule layer: what it catches of the seeded defects, what it rejects of good dialogs, and how fast it is.

    PYTHONPATH=. python benchmarks/rules.py --dialogs 1000

Dialogs of all kinds but the longest are played with the ideal engine of the tests. Speed is CPU time of one core from a record's
JSON to its verdicts, beside the time that json.loads takes for the same texts, since machines differ. --markdown prints the table
of kinds. The last line is one JSON object.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import time
from collections import Counter

from tests.defects import KINDS, ROWS, base, spoilt, spoilt_rows
from tests.samples import IDEAL_APIS, IdealEngine
from toolace_ray.config.load import parse
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.corpus.verification import judge
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.engines.roles import Engines
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import PLANNED
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

CONFIG = VerifyConfig()


def played(count: int) -> list[Dialog]:
    """Good dialogs of all kinds of up to three requests."""
    config = parse({})
    engines = Engines(config, {"small": IdealEngine()})
    pool = Pool.of(IDEAL_APIS)
    kinds = sorted(kind for kind in PLANNED if not kind.startswith("multi_turn") or kind[-2:] in ("_2", "_3"))

    async def play() -> list[Dialog]:
        found: list[Dialog] = []
        for number in range(3 * count):
            kind = kinds[number % len(kinds)]
            task = Task(f"{kind}-{number}", kind, number, number)
            outcome = await rollout(task, pool, config, engines.for_task(task.id))
            found += [outcome.dialog] if outcome.dialog else []
            if len(found) == count:
                break
        return found

    return asyncio.run(play())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dialogs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    good = base()
    table: dict[str, tuple[int, int, int, str]] = {}
    for kind in KINDS:
        made = [item for dialog in good.values() for item in spoilt(kind, dialog)]
        told = [rejects(run_rules(item, CONFIG)) for item in made]
        strangers = [not judge(json.dumps(WRITERS["openai"](item)), "openai", CONFIG).accepted for item in made]
        rules = Counter(verdicts[0].rule for verdicts in told if verdicts)
        table[kind] = (sum(map(bool, told)), sum(strangers), len(made), rules.most_common(1)[0][0])
    for kind in ROWS:
        rows = [item for dialog in good.values() for item in spoilt_rows(kind, dialog)]
        caught = sum(not judge(json.dumps(row), form, CONFIG).accepted for form, row in rows)
        table[kind] = (caught, caught, len(rows), "call_syntax")
    if options.markdown:
        print(
            "| kind | caught in our dialogs | in a stranger's row (OpenAI) | of | mostly by |\n| --- | --- | --- | --- | --- |"
        )
        for kind, (ours, theirs, number, rule) in sorted(table.items()):
            print(f"| {kind} | {ours} | {theirs} | {number} | {rule} |")
    dialogs = played(options.dialogs)
    wrong = sum(bool(rejects(run_rules(dialog, CONFIG))) for dialog in dialogs)
    rows = [(form, json.dumps(convert(dialog))) for dialog in dialogs for form, convert in WRITERS.items()]
    wrong_rows = sum(not judge(row, form, CONFIG).accepted for form, row in rows)
    records = [dialog.model_dump_json() for dialog in dialogs]
    seconds, plain = [], []
    for _ in range(options.rounds):
        started = time.process_time()
        for record in records:
            run_rules(Dialog.of(record), CONFIG)
        seconds.append((time.process_time() - started) / len(records))
        started = time.process_time()
        for record in records:
            json.loads(record)
        plain.append((time.process_time() - started) / len(records))
    profile = cProfile.Profile()
    profile.enable()
    for record in records:
        run_rules(Dialog.of(record), CONFIG)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)
    result = {
        "kinds": len(table),
        "caught in ours": f"{sum(a for a, *_ in table.values())} of {sum(n for _, _, n, _ in table.values())}",
        "caught in strangers'": f"{sum(b for _, b, *_ in table.values())} of {sum(n for _, _, n, _ in table.values())}",
        "good dialogs": len(dialogs),
        "good dialogs rejected": wrong,
        "good rows rejected": f"{wrong_rows} of {len(rows)}",
        "messages a dialog": round(sum(len(dialog.messages) for dialog in dialogs) / len(dialogs), 1),
        "bytes a record": round(sum(map(len, records)) / len(records)),
        "us a dialog": round(1e6 * min(seconds)),
        "dialogs a second": round(1 / min(seconds)),
        "times json.loads": round(min(seconds) / min(plain), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
