"""`telemetry bench`: measure the promised figures on this machine and say which are kept."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Figure

    Case = Callable[[int], list[Figure]]

_RUNS = 3
_LONGEST_RUNS = 20
_SOAK = "soak"
_LARGE_CSV = "large-csv"
_SPARK = "spark"
_ONLY_NAMED = {_SOAK, _LARGE_CSV, _SPARK}
_SOAK_SECONDS = 3600
_SHORTEST_SOAK, _LONGEST_SOAK = 60, 24 * 3600


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("bench")(bench)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="edge, singles, lines, invalid, compacting, peer, split, partition, linear, "
            "warehouse, csv, freshness, rerun, memory, demo, trace; and only when named: soak, "
            "large-csv, spark."
        ),
    ] = None,
    *,
    runs: Annotated[
        int, typer.Option(help="Runs a figure; the median counts.", min=1, max=_LONGEST_RUNS)
    ] = _RUNS,
    seconds: Annotated[
        int, typer.Option(help="How long `soak` sends.", min=_SHORTEST_SOAK, max=_LONGEST_SOAK)
    ] = _SOAK_SECONDS,
    out: Annotated[Path | None, typer.Option(help="File for a Markdown table.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure on this machine, with servers and homes of its own; exits 1 when a promise is broken.

    A load generator in its own process posts to loopback, bounded in posts and time. Each case
    starts what it needs in a temporary home and removes it again.
    """
    cases = _cases(seconds)
    chosen = names or [name for name in cases if name not in _ONLY_NAMED]
    if unknown := [name for name in chosen if name not in cases]:
        raise CommandError(f"No benchmark {unknown[0]!r}.", f"There are: {', '.join(cases)}.")
    from benchmarks.figures import BRIEF_HEADER, brief_rows, machine, markdown

    # SIGTERM ends a case as Ctrl-C does: its servers are stopped and its home is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts = machine()
    console = people()
    figures: list[Figure] = []
    for name in chosen:
        with console.status(f"{name}: {runs} runs"):
            measured = cases[name](runs)
        figures += measured
        for figure in measured:
            console.print(f"{figure.name}: {figure.median:,.1f} {figure.unit}")
        if out is not None:  # after each case, so that a run that is cut short leaves the others
            out.write_text(markdown(figures, facts), encoding="utf-8")
    if as_json:
        print_json({"machine": facts, "figures": [figure.document() for figure in figures]})
    else:
        title = ", ".join(f"{name}: {value}" for name, value in facts.items())
        print_table(title, BRIEF_HEADER, brief_rows(figures))
    if any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def _cases(soak_seconds: int) -> dict[str, Case]:
    """Return the benchmarks by name.

    Raises:
        CommandError: The program does not run from a checkout, which alone has the benchmarks.
    """
    try:
        from benchmarks import (
            edge_cases,
            large_csv,
            pipeline_cases,
            refining_cases,
            soak,
            spark_cases,
            tracing,
            warehouse_cases,
        )
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("benchmarks"):
            raise
        raise CommandError(
            "The benchmarks are not installed.", "Run them in a checkout: `make bench`."
        ) from error
    return {
        "edge": edge_cases.edge_batches,
        "singles": edge_cases.edge_singles,
        "lines": edge_cases.edge_lines,
        "invalid": edge_cases.edge_invalid,
        "compacting": edge_cases.edge_compacting,
        "peer": edge_cases.edge_peer,
        "split": refining_cases.split,
        "partition": refining_cases.partition,
        "linear": refining_cases.linear,
        "warehouse": warehouse_cases.warehouse,
        "csv": pipeline_cases.csv_to_marts,
        "freshness": pipeline_cases.post_to_mart,
        "rerun": pipeline_cases.rerun,
        "memory": pipeline_cases.idle_memory,
        "demo": pipeline_cases.warm_demo,
        "trace": tracing.trace,
        # One run of an hour says more than the median of some.
        _SOAK: lambda _: soak.edge_soak(soak_seconds),
        _LARGE_CSV: large_csv.inbox_of_a_gigabyte,
        _SPARK: spark_cases.spark,
    }
