"""`telemetry demo`: simulated fleets through the whole stack, and proof that every row arrived."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from telemetry_cli.output import JsonOption, people, print_json
from telemetry_platform.settings import get_settings


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("demo")(demo)


def demo(  # noqa: PLR0913 - one parameter an option
    *,
    csv: Annotated[
        list[Path] | None,
        typer.Option(help="CSV file, or folder of them, for the inbox. May be repeated."),
    ] = None,
    ndjson: Annotated[
        Path | None,
        typer.Option(help="JSON array or NDJSON file to post.", exists=True, dir_okay=False),
    ] = None,
    source: Annotated[str, typer.Option(help="Source of the --ndjson file.")] = "environment",
    events: Annotated[
        int | None, typer.Option(help="Events of the fleets; instead of --seconds.", min=1)
    ] = None,
    rate: Annotated[float, typer.Option(help="Events of the fleets per second.", min=1)] = 200.0,
    seconds: Annotated[float, typer.Option(help="How long the fleets send.", min=0.1)] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated fleets.")] = 1,
    keep_serving: Annotated[
        bool, typer.Option("--serve", help="Keep the stack running until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the stack, send simulated devices and files, and account for every row.

    Exits 1 when an event has no known fate, or a plain personal value was found in storage.
    """
    # Imported here: they load Polars and Delta, which no other command should wait for.
    from telemetry_cli.demo_files import find_files
    from telemetry_cli.demo_run import DemoInput, run_demo
    from telemetry_cli.demo_tables import show_report
    from telemetry_cli.embedded.stack import EmbeddedStack
    from telemetry_cli.up import addresses, serve
    from telemetry_platform.signals import ending_on_signals

    wanted = DemoInput(
        rate=rate,
        events=events or max(1, round(rate * seconds)),
        seed=seed,
        ndjson=ndjson,
        ndjson_source=source,
        csv=find_files(csv or []),
    )
    console = people()
    # Ctrl-C interrupts a run at once; SIGTERM does the same, so that the stack is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with EmbeddedStack(get_settings(), console) as stack:
        started = stack.start()
        report = run_demo(stack.settings, wanted, console)
        report.seconds = {"start": started, **report.seconds}
        if as_json:
            print_json({**report.document(), "addresses": addresses(stack.settings)})
        else:
            show_report(report, addresses(stack.settings))
        if keep_serving:
            console.print("Serving until Ctrl-C.")
            with ending_on_signals() as ended:
                serve(stack, ended)
    if not report.passed:
        raise typer.Exit(1)
