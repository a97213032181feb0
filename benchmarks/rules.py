"""The rule layer: what it catches of the seeded defects, what it rejects of good dialogs, and how fast it is.

    python -m benchmarks.rules --dialogs 1000

Dialogs of all kinds but the longest are played with the ideal engine of the tests and with every rule switched off, so that what the
rules would stop is among them. Speed is CPU time of one core from a record's JSON to its verdicts, beside the time that json.loads
takes for the same texts, since machines differ. --markdown prints the table of kinds. The last line is one JSON object.
"""

import argparse
import cProfile
import json
import pstats
import time

from tests.defects import (
    BASE,
    CONFIG,
    DIALECT,
    EXPECTED,
    KINDS,
    OF_STRANGERS,
    ROWS,
    as_row,
    spoilt,
    spoilt_rows,
    unfiltered,
)
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.records.dialog import Dialog


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dialogs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    table = {}
    for kind in KINDS:
        made = [item for dialog in BASE.values() for item in spoilt(kind, dialog)]
        ours, theirs = EXPECTED[kind], OF_STRANGERS.get((kind, "openai"), OF_STRANGERS.get(kind, EXPECTED[kind]))
        told = [{verdict.rule for verdict in run_rules(item, CONFIG)} for item in made]
        strangers = [verify_row(as_row(item, "openai"), "openai", CONFIG).verdicts for item in made]
        heard = [{verdict.rule for verdict in verdicts} for verdicts in strangers]
        table[kind] = (
            sum(ours <= rules for rules in told),
            sum(bool(theirs) and theirs <= rules for rules in heard),
            len(made),
            ", ".join(sorted(ours)),
            "the same" if theirs == ours else ", ".join(sorted(theirs)) or "none",
        )
    for kind in (*ROWS, DIALECT):
        rows = [item for dialog in BASE.values() for item in spoilt_rows(kind, dialog)]
        told = [{verdict.rule for verdict in verify_row(json.dumps(row), form, CONFIG).verdicts} for form, row in rows]
        hits = sum(EXPECTED[kind] <= rules for rules in told)
        table[kind] = (hits, hits, len(rows), ", ".join(sorted(EXPECTED[kind])), "the same")
    if options.markdown:
        print("| kind | of | told in our dialogs | by | told in a stranger's row (OpenAI) | by |")
        print("| --- | --- | --- | --- | --- | --- |")
        for kind, (of_ours, of_theirs, number, by, by_theirs) in sorted(table.items()):
            print(f"| {kind} | {number} | {of_ours} | {by} | {of_theirs} | {by_theirs} |")
    config = VerifyConfig()
    dialogs, fallen = unfiltered(options.dialogs)
    wrong = sum(bool(rejects(run_rules(dialog, config))) for dialog in dialogs)
    rows = [(form, json.dumps(convert(dialog))) for dialog in dialogs for form, convert in WRITERS.items()]
    wrong_rows = sum(not verify_row(row, form, config).accepted for form, row in rows)
    records = [dialog.model_dump_json() for dialog in dialogs]
    seconds, plain = [], []
    for _ in range(options.rounds):
        started = time.process_time()
        for record in records:
            run_rules(Dialog.of(record), config)
        seconds.append((time.process_time() - started) / len(records))
        started = time.process_time()
        for record in records:
            json.loads(record)
        plain.append((time.process_time() - started) / len(records))
    profile = cProfile.Profile()
    profile.enable()
    for record in records:
        run_rules(Dialog.of(record), config)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)
    result = {
        "kinds": len(table),
        "told in ours": f"{sum(ours for ours, *_ in table.values())} of {sum(row[2] for row in table.values())}",
        "told in strangers'": f"{sum(row[1] for row in table.values())} of {sum(row[2] for row in table.values())}",
        "good dialogs": len(dialogs),
        "plays that fell": len(fallen),
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
