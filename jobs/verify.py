"""`toolace verify`: the rule layer over a data set that somebody else made."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from jobs.progress import EVERY, clock
from toolace_ray.config.tree import Config
from toolace_ray.corpus import datasets
from toolace_ray.corpus.formats.guess import ROWS, guess
from toolace_ray.dlv.layer import layer
from toolace_ray.errors import UserError
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.rows import verdicts_json
from toolace_ray.store.storage import REFUSED
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.text.tidy import printable

ACCEPTED, REJECTED = "accepted.jsonl", "rejected.jsonl"
DUPLICATE = "near_duplicate"
TRANSLATED = "schema_dialect"  # the rule that tells what was read in another dialect


@dataclass
class Outcome:
    """What was found in a set. `examples` keeps, for each rule, the first row that it speaks of."""

    input: str
    format: str
    accepted: int = 0
    rejected: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)  # rows that the rule rejects
    warned: Counter[str] = field(
        default_factory=Counter
    )  # accepted or not, rows of which a rule that does not reject speaks
    by_type: Counter[str] = field(default_factory=Counter)
    translated: Counter[str] = field(default_factory=Counter)  # what was read in another way than it is written -> rows
    notes: list[str] = field(default_factory=list)  # what the files were taken for
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    output: str = ""

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return self.accepted + self.rejected

    def add(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Count a verified row, which has its `file` and its `row` in it; returns its verdicts."""
        verdicts: list[dict[str, Any]] = json.loads(row["verdicts"]) if row["verdicts"] else []
        if row["accepted"]:
            self.accepted += 1
            self.by_type[row["type"]] += 1
        else:
            self.rejected += 1
        first_verdicts = {verdict["rule"]: verdict for verdict in reversed(verdicts)}
        told = (verdict["evidence"] for verdict in verdicts if verdict["rule"] == TRANSLATED)
        self.translated.update({text.partition(": ")[2] or text for text in told})
        rejecting = {verdict["rule"] for verdict in verdicts if verdict["severity"] == "reject"}
        for rule, verdict in first_verdicts.items():
            (self.by_rule if rule in rejecting else self.warned)[rule] += 1
            if rule not in self.examples:
                self.examples[rule] = {
                    "file": row["file"],
                    "row": row["row"],
                    "id": row["id"],
                    "turn": verdict["turn"],
                    "evidence": verdict["evidence"],
                }
        return verdicts

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "input": self.input,
            "format": self.format,
            "rows": self.rows,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "share": round(self.accepted / self.rows, 4) if self.rows else None,
            "notes": self.notes,
            "translated": dict(self.translated.most_common()),
            "by_rule": dict(self.by_rule.most_common()),
            "warnings": dict(self.warned.most_common()),
            "by_type": dict(self.by_type.most_common()),
            "examples": self.examples,
            "seconds": round(self.seconds, 2),
            "output": self.output,
        }


def verify(config: Config, pattern: str, format: str, output: str, quiet: bool) -> Outcome:
    """Stream a set through the rules; writes `output`/accepted.jsonl and rejected.jsonl, each in the order of the set.

    Raises:
        UserError: no such input, an output that can't be written, a wrong rule setting.
    """
    layer(config.verify)
    paths = datasets.files(pattern)
    parts = [portion for path in paths for portion in datasets.portions(path)]
    names = datasets.names(paths)
    notes = [
        f"{names[part.path]} is one object; its rows are taken from {part.key!r}"
        for part in parts
        if part.key is not None
    ]
    if format == "auto":
        format = _guessed(pattern, parts, names)
        notes.insert(0, f"taken for {format}, going by the first rows; --format sets it")
    outcome = Outcome(pattern, format, output=os.path.abspath(output), notes=notes)
    started = time.monotonic()
    printed = started
    near_duplicates = NearDuplicates(config.verify.duplicates) if config.verify.duplicates else None
    with _files(output) as (accepted, rejected):
        for row in _verified_rows(config, parts, format):
            row["file"] = names[row["path"]]
            if (
                near_duplicates is not None
                and row["key"]
                and (other := near_duplicates.repeats(row["key"], _place(row)))
            ):
                verdict = Verdict(stage="rules", rule=DUPLICATE, evidence=other)
                row = {**row, "accepted": False, "verdicts": verdicts_json([verdict])}
            verdicts = outcome.add(row)
            if row["accepted"]:
                accepted.write(row["line"] + "\n")
            else:
                rejected.write(json.dumps(_ledger_row(row, verdicts), ensure_ascii=False) + "\n")
            now = time.monotonic()
            if not quiet and now - printed > EVERY:
                printed = now
                print(
                    f"[{clock(now - started)}] {outcome.rows} rows, {outcome.rejected} rejected",
                    file=sys.stderr,
                    flush=True,
                )
    outcome.seconds = time.monotonic() - started
    return outcome


def _guessed(pattern: str, parts: list[datasets.Portion], names: dict[str, str]) -> str:
    """The format of all files. Raises UserError where none can be told, or where they differ."""
    found: dict[str, str] = {}
    for path, of_file in itertools.groupby(parts, lambda part: part.path):
        texts = (text for part in of_file for text in datasets.rows(part))
        first = itertools.islice((text for text in texts if text and not isinstance(text, datasets.Refused)), ROWS)
        if form := guess(first):
            found.setdefault(form, names[path])
    if not found:
        raise UserError(f"--input {pattern}: the format can't be told from the first rows; give --format")
    if len(found) > 1:
        told = ", ".join(f"{name} is {form}" for form, name in found.items())
        raise UserError(
            f"--input {pattern}: files of several formats ({told}); give --format, or verify them one by one"
        )
    return next(iter(found))


def _verified_rows(config: Config, parts: list[datasets.Portion], format: str) -> Iterator[dict[str, Any]]:
    if not parts:
        return
    from actors.datasets import verified_rows
    from jobs.cluster import ray_session

    with ray_session(config, check=False):
        yield from verified_rows(parts, format, config.verify)


def _place(row: dict[str, Any]) -> str:
    """Where a row stands, as grep and compilers write it: the line of JSON lines, else the number of the row."""
    return f"{row['file']}:{row['row']}"


def _ledger_row(row: dict[str, Any], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """A rejected row with its reasons; the row itself as it was given."""
    first = next(verdict for verdict in verdicts if verdict["severity"] != "warn")
    reasons = [{key: verdict[key] for key in ("rule", "severity", "turn", "evidence")} for verdict in verdicts]
    return {
        "file": row["file"],
        "row": row["row"],
        "id": row["id"] or None,
        "rule": first["rule"],
        "turn": first["turn"],
        "evidence": first["evidence"],
        "verdicts": reasons,
        "sample": row["line"],
    }


@contextlib.contextmanager
def _files(output: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """The two files under other names until they are whole. Raises UserError."""
    folder = Path(output)
    with _explained(output):
        folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f".{name}.{os.getpid()}" for name in (ACCEPTED, REJECTED)]
    try:
        with contextlib.ExitStack() as stack:
            with _explained(output):
                files = [stack.enter_context(name.open("w", encoding="utf-8", errors="replace")) for name in names]
            yield files[0], files[1]
        with _explained(output):
            for name, final in zip(names, (ACCEPTED, REJECTED), strict=True):
                name.replace(folder / final)
    except BaseException:
        for name in names:
            name.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _explained(output: str) -> Iterator[None]:
    """Say that the output can't be written where that is what fails. Raises UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*REFUSED, errno.EISDIR):
            raise
        raise UserError(f"--output {output}: cannot write there ({error.strerror})") from error


def table(outcome: Outcome, columns: int) -> str:
    """What a person reads: how much can be trained on, what was translated, what was refused and why, with an example each."""
    share = f"{outcome.accepted / outcome.rows:.1%}" if outcome.rows else "nothing"
    lines = [f"{share} can be trained on: {outcome.accepted:,} of {outcome.rows:,} rows of {outcome.input} as {outcome.format}, "
             f"{outcome.rejected:,} rejected, {outcome.seconds:.1f} s", *outcome.notes]  # fmt: skip
    if outcome.by_type:
        lines.append("accepted: " + ", ".join(f"{kind} {number:,}" for kind, number in outcome.by_type.most_common()))
    if outcome.translated:
        lines += [
            "",
            f"{'translated':>10}  what is read in another way than it is written (accepted rows stay as they are)",
        ]
        lines += [
            f"{number:>10,}  {what[: max(columns - 12, 40)]}" for what, number in outcome.translated.most_common(8)
        ]
        if (more := len(outcome.translated) - 8) > 0:
            lines.append(f"{'':>10}  and {more:,} more, in --json")
    noticed = Counter({rule: number for rule, number in outcome.warned.items() if rule != TRANSLATED})
    for title, counts in (("rejected because of", outcome.by_rule), ("also noticed", noticed)):
        if not counts:
            continue
        width = max(map(len, counts))
        lines += ["", f"{title:{width}}  {'rows':>7}  example"]
        for rule, number in counts.most_common():
            example = outcome.examples[rule]
            where = _place(example) + (f", turn {example['turn']}" if example["turn"] is not None else "")
            room = max(columns - width - 13, 40)
            text = f"{where}: {' '.join(str(example['evidence']).split())}"
            lines.append(f"{rule:{width}}  {number:>7,}  {text if len(text) <= room else text[: room - 1] + '…'}")
    lines += [
        "",
        f"cleaned copy  {os.path.join(outcome.output, ACCEPTED)}",
        f"ledger        {os.path.join(outcome.output, REJECTED)}",
    ]
    if outcome.by_rule:
        lines.append(
            "what each rule holds: toolace check --rules    switch one off or soften it: --set verify.rules.NAME=off (or warn, mask)"
        )
    return printable("\n".join(lines))
