"""What a person reads of a run: what was made, single dialogs, the tree, the pool and the ledger."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import yaml

from jobs.progress import clock
from toolace_ray.calls import pythonic
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import DIALOG_TYPES, KINDS
from toolace_ray.records.usage import Usage
from toolace_ray.store import ledger
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore
from toolace_ray.text.tidy import printable
from toolace_ray.tss import intake, saved

MOST_NAMES = 500
MOST_SOURCES, MOST_REASONS = 12, 3  # that a table tells before it refers to one that tells all
NAMES = {"system": "system", "user": "USER", "assistant": "ASSISTANT", "tool": "  result"}


def open_run(path: str) -> RunStore:
    """The run in a folder. Raises UserError where there is none."""
    store = RunStore(path)
    if not store.exists("run.yaml"):
        raise UserError(f"{path}: no run there (no run.yaml); make one with `toolace run --set run.path={path}`")
    return store


def _counts(store: RunStore) -> Counter[str]:
    return Counter(row["type"] for row in store.rows("dialogs", ["type"]))


def _told(spent: Usage) -> str:
    """What was spent, in words; tokens that nobody counted are marked."""
    if not spent.requests:
        return "nothing, no model was asked"
    told = (
        f"{spent.tokens:,} generated tokens, {spent.prompt_tokens:,} prompt tokens ({spent.cached_tokens:,} from the prefix cache), "
        f"{spent.requests:,} requests"
    )
    cost = f", cost {spent.cost:.4f}" if spent.cost else ""
    if not spent.estimated_tokens:
        return told + cost
    return (
        f"about {told}{cost}; {spent.estimated_tokens:,} of these tokens are estimated, since a server sends no usage"
    )


def _reasons(store: RunStore) -> Counter[tuple[str, str, str]]:
    rows = store.rows("rejected", ["type", "kind", "stage", "rule"])
    return Counter((_label(row), row["stage"], row["rule"]) for row in rows)


def _label(row: dict[str, Any]) -> str:
    """What a row of the ledger counts as: dialogs by kind; APIs together, whatever their generation."""
    return str(row["type"] if row["type"] == "api" else row["kind"])


def describe_pool(store: RunStore, _: Any, seconds: float) -> str:
    """The end of `toolace evolve`."""
    return "\n".join(
        [
            f"done in {clock(seconds)}",
            f"  {_pool_line(store)}",
            *(f"  {line}" for line in _source_lines(store, MOST_SOURCES)),
            f"  spent in this run: {_told(ledger.total(store))}",
            f"  look at them: toolace show {store.uri} --apis    toolace show {store.uri} --tree",
        ]
    )


def _pool_line(store: RunStore) -> str:
    nodes = saved.load_nodes(store)
    kinds = Counter(row["type"] for row in store.rows("apis", ["type"]))
    domains = sum(node.kind == "domain" for node in nodes)
    written = [len(found.texts) for found in saved.load_descriptions(store).values()]
    described = f" with {sum(written)} descriptions written for {len(written)} of them" if written else ""
    return (
        f"{store.path('apis')}: {kinds.total()} APIs ({kinds['imported']} imported{described}, {kinds['api']} synthesised), "
        f"tree of {len(nodes)} nodes in {domains} domains"
    )


def _source_lines(store: RunStore, most: int | None = None) -> list[str]:
    """What came of each source as a table, those first of which most was refused; `most` sources at most."""
    intakes = intake.of_run(store)
    if not intakes:
        return []
    shown, more = intakes[:most], intakes[len(intakes[:most]) :]
    names = [printable(name) for name in intake.short_names(intakes)[: len(shown)]]
    width = min(max(map(len, (*names, "source"))), 48)
    lines = [
        "sources (pruned: APIs without some optional parts; noted: with notes on what was left out, translated or derived):",
        f"  {'source':{width}}  {'kind':8} {'met':>6} {'in pool':>7} {'pruned':>6} {'noted':>6} {'refused':>7} {'CPU s':>6}",
    ]
    for item, name in zip(shown, names, strict=True):
        seconds = "-" if item.seconds is None else f"{item.seconds:,.1f}"
        clipped = name if len(name) <= width else f"...{name[3 - width :]}"
        lines.append(
            f"  {clipped:{width}}  {item.kind or '-':8} {item.met:>6,} {item.apis:>7,} {item.pruned:>6,} {item.noted:>6,} "
            f"{item.refused.total():>7,} {seconds:>6}"
        )
        lines += _reason_lines(item, most and MOST_REASONS)
    if more:
        refused = sum(item.refused.total() for item in more)
        also = f", with {refused:,} refused" if refused else ", nothing of which was refused"
        lines.append(f"  and {len(more):,} more{also}: toolace show {store.uri} --sources")
    return lines


def _reason_lines(item: intake.Intake, most: int | None) -> list[str]:
    """The reasons why something of a source was refused, `most` at most, each with its count and an example."""
    lines = []
    reasons = item.refused.most_common()
    for why, count in reasons[:most]:
        example = item.examples[why]
        told = example if count == 1 else f"{why}; such as {example}"
        lines.append(printable(f"      {count:,} x {' '.join(told.split())}"))
    if len(reasons) > len(lines):
        lines.append(f"      and {len(reasons) - len(lines)} more reasons")
    return lines


def describe_dialogs(store: RunStore, status: dict[str, Any], seconds: float) -> str:
    """The end of `toolace generate` and `toolace run`."""
    counts = _counts(store)
    by_type = ", ".join(f"{kind} {counts[kind]}" for kind in DIALOG_TYPES if counts[kind])
    short = sum(item["wanted"] - item["passing"] for item in status["types"].values())
    if short:
        head = f"{short} dialogs short of the quotas; raise generate.max_attempts or the budget and run it again"
    else:
        head = f"done in {clock(seconds)}" if status["new"] else "nothing to do: every quota of this run is met"
    failed = sum(number for (kind, stage, _), number in _reasons(store).items() if kind in KINDS and stage != "surplus")
    attempts = counts.total() + failed
    lines = [
        head,
        f"  {_pool_line(store)}",
        f"  {store.path('dialogs')}: {counts.total()} accepted dialogs ({by_type})",
        f"  {store.path('rejected')}: {failed} of {attempts} attempts not accepted"
        + (f", {100 * counts.total() / attempts:.0f} % accepted" if attempts else ""),
        f"  {store.path('corpus')}: {', '.join(f'{name}.jsonl' for name in WRITERS)}",
        f"  spent in this run: {_told(ledger.total(store))}",
        f"  look at one dialog: toolace show {store.uri}      why not: toolace show {store.uri} --rejected",
    ]
    return "\n".join(lines)


def describe_band(store: RunStore, band: dict[str, Any], seconds: float) -> str:
    """The end of `toolace calibrate`."""
    path = store.path("calibration", "band.yaml")
    lines = [f"done in {clock(seconds)}", f"  {path}: {band['measure']} from {band['lower']} to {band['upper']}"]
    if band["measure"] == "loss":
        lines.append(
            f"  of {band['samples']} dialogs {band['solved']} are solved as it is, {band['failed_after_tuning']} not even "
            f"after a short tuning, {band['in_band']} are in the band; loss tells failed from solved with an AUC of {band['auc']}"
        )
        if band["crossed"]:
            lines.append("  the two bounds crossed: these are the median of the solved and the ninth decile of all")
    lines.append(f"  aim at it in another run: --set complexity.band={path}")
    return "\n".join(lines)


def status(store: RunStore) -> str:
    """Counts by type, reasons of rejection, what was spent."""
    run = yaml.safe_load(store.read_bytes("run.yaml")) or {}
    quotas = run.get("config", {}).get("generate", {}).get("quotas", {})
    counts = _counts(store)
    drafts = sum(len(rows) for rows in ledger.drafted(store, "drafts/dialogs", KINDS).values())
    lines = [_pool_line(store), *_source_lines(store, MOST_SOURCES), "accepted dialogs:"]
    lines += [f"  {kind:10} {counts[kind]:>7} of {quotas.get(kind, 0)}" for kind in DIALOG_TYPES]
    lines += _consensus_and_complexity(store)
    lines.append(f"played to the end: {drafts}")
    reasons = _reasons(store)
    lines.append("not accepted:" if reasons else "not accepted: none")
    lines += [f"  {count:>7}  {kind:10} {stage}/{rule}" for (kind, stage, rule), count in reasons.most_common()]
    lines.append(f"spent: {_told(ledger.total(store))}")
    return "\n".join(lines)


def _consensus_and_complexity(store: RunStore) -> list[str]:
    """What the dialogs' records tell of consensus and complexity, where they tell anything."""
    actions: Counter[tuple[int, bool]] = Counter()
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    measured: Counter[str] = Counter()
    losses: list[float] = []
    repaired = rounds = 0
    for row in store.rows("dialogs", ["type", "meta"]):
        meta = json.loads(row["meta"])
        repaired += bool(meta.get("repairs"))
        rounds += meta.get("repairs") or 0
        actions.update((drawn, agreed) for _, drawn, agreed in meta.get("consensus") or ())
        if complexity := meta.get("complexity"):
            losses.append(complexity["value"])
            if "band" in complexity:
                low, high = complexity["band"]
                measured[row["type"]] += 1
                before[row["type"]] += low <= complexity["before"] <= high
                after[row["type"]] += complexity["in_band"]
    lines = []
    if repaired:
        lines.append(f"repaired: {repaired} of the accepted dialogs, {rounds} texts written again with the reason")
    if actions:
        agreed = Counter({drawn: number for (drawn, agreeing), number in actions.items() if agreeing})
        shares = ", ".join(
            f"{100 * sum(agreed[i] for i in agreed if i <= k) / actions.total():.0f} % by {k}" for k in sorted(agreed)
        )
        lines.append(f"assistant's decisions: {actions.total()}, two samples agreed: {shares or 'never'}")
    if losses:
        middle = sorted(losses)[len(losses) // 2]
        lines.append(f"complexity for the target: median {middle:.3f} over {len(losses)} dialogs")
    if measured:
        in_band = ", ".join(f"{kind} {before[kind]} -> {after[kind]} of {number}" for kind, number in measured.items())
        lines.append(f"in band before -> after complication: {in_band}")
    return lines


def show_dialogs(store: RunStore, dialog_id: str | None, kind: str | None, limit: int) -> str:
    """Some dialogs, or one by its id (a prefix is enough), as a person reads them."""
    if kind and kind not in DIALOG_TYPES:
        raise UserError(f"--type {kind}: no such type; use {', '.join(DIALOG_TYPES)}")
    texts = []
    for row in store.rows("dialogs"):
        if (dialog_id and not row["id"].startswith(dialog_id)) or (kind and row["type"] != kind):
            continue
        texts.append(render(row_dialog(row)))
        if len(texts) >= (1 if dialog_id else limit):
            break
    if not texts:
        sought = dialog_id or (f"of type {kind}" if kind else "")
        raise UserError(f"{store.uri}: no accepted dialog {sought}".rstrip() + "; see `toolace status`")
    return "\n\n".join(texts)


def render(dialog: Dialog) -> str:
    """One dialog as text."""
    domain = " > ".join(dialog.meta.get("domain", ()))
    lines = [heading(printable(f"== {dialog.id}  ({dialog.kind})  domain: {domain}"))]
    tools = ", ".join(f"{api.name}({', '.join(api.properties)})" for api in dialog.tools)
    lines.append(printable(f"tools: {tools}"))
    for message in dialog.messages:
        text = printable(message.content or pythonic.render(message.tool_calls))
        lines.append(f"{NAMES[message.role]:>9}: {text}" + ("" if message.train else "   (masked from the loss)"))
    if complexity := dialog.meta.get("complexity"):
        operators = ", ".join(item["operator"] for item in complexity.get("rounds", ()) if item.get("kept"))
        lines.append(
            f"   complexity: {complexity['value']}"
            + (f", after {operators}: was {complexity['before']}" if operators else "")
        )
    sources = Counter(record.source for record in dialog.provenance)
    if sources:
        lines.append(f"   values: {', '.join(f'{number} {source}' for source, number in sources.items())}")
    return "\n".join(lines)


def heading(text: str) -> str:
    """A heading, bold on a terminal (click drops the style elsewhere)."""
    import click

    return click.style(text, bold=True)


def show_tree(store: RunStore) -> str:
    """The context tree, indented."""
    nodes = saved.load_nodes(store)
    children: dict[str | None, list[Any]] = {}
    for node in sorted(nodes, key=lambda node: node.name.lower()):
        children.setdefault(node.parent, []).append(node)
    lines: list[str] = []

    def walk(parent: str | None, depth: int) -> None:
        for node in children.get(parent, ()):
            lines.append(printable(f"{'  ' * depth}{node.name}" + (f": {node.gloss}" if node.gloss else "")))
            walk(node.id, depth + 1)

    walk(None, 0)
    return "\n".join(lines) or "the tree is empty"


def show_apis(store: RunStore, limit: int) -> str:
    """Some APIs in full, synthesised ones first, and the names of the first of all; the pool streams by."""
    records: list[str] = []
    names: list[str] = []
    count = 0
    for origin_type in ("api", "imported"):
        for row in store.rows("apis", ["type", "name", "domain", "record"]):
            if row["type"] != origin_type:
                continue
            count += 1
            if len(records) < limit:
                record = {key: value for key, value in json.loads(row["record"]).items() if key != "schema_version"}
                records.append(json.dumps(record, indent=1, ensure_ascii=False))
            if len(names) < MOST_NAMES:
                origin = "synthesised" if origin_type == "api" else origin_type
                names.append(printable(f"  {row['name']:32} {origin:12} {row['domain']}"))
    more = [f"  ... and {count - len(names):,} more"] if count > len(names) else []
    return "\n".join([*map(printable, records), f"{count:,} APIs:", *names, *more])


def show_sources(store: RunStore) -> str:
    """What came of each source, with all reasons why something was refused."""
    return "\n".join(_source_lines(store)) or "no source was read yet"


def show_rejected(store: RunStore, kind: str | None, limit: int) -> str:
    """Reasons with their counts, each with some evidence."""
    examples: dict[tuple[str, str, str], list[str]] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in store.rows("rejected", ["id", "type", "kind", "stage", "rule", "evidence"]):
        if kind is None or kind in (row["type"], row["kind"]):
            key = (_label(row), row["stage"], row["rule"])
            counts[key] += 1
            if len(examples.setdefault(key, [])) < limit:
                examples[key].append(printable(f"{row['id']}: {row['evidence']}"))
    lines = []
    for key, count in counts.most_common():
        lines.append(heading(f"{count} x {' / '.join(key)}"))
        lines += [f"    {text}" for text in examples[key]]
    return "\n".join(lines) or "the ledger is empty"
