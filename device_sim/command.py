"""The ``python -m device_sim`` command: post fleets, replay files, write CSV and registries."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from device_sim.csv_files import LAYOUTS, write_csv
from device_sim.faults import FaultRates
from device_sim.ledger import Ledger
from device_sim.plan import SOURCES, make_fleets, plan_posts, take_events
from device_sim.registries import write_devices, write_users
from device_sim.replay import DEFAULT_BATCH, read_lines, replay_posts
from device_sim.run import delivered, send_with_progress, totals_table
from device_sim.sender import Pace, Sender

app = typer.Typer(
    help="Simulated device fleets: post over HTTP, replay a file, or write CSV.",
    no_args_is_help=True,
    add_completion=False,
)

Url = Annotated[str, typer.Option(help="Address of the edge.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="File with the API key.", exists=True, dir_okay=False)
]
Seed = Annotated[int, typer.Option(help="Same seed and start, same events.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", help="JSON lines, one a post.")]
Rate = Annotated[float, typer.Option(help="Events per second; 0 is as fast as it goes.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")]
Connections = Annotated[int, typer.Option(help="Posts on their way at a time.", min=1, max=512)]


def _parse_sources(source: str) -> list[str]:
    chosen = list(SOURCES) if source == "all" else source.split(",")
    if unknown := set(chosen) - set(SOURCES):
        message = f"{', '.join(sorted(unknown))}: choose from {', '.join(SOURCES)} or all"
        raise typer.BadParameter(message)
    return chosen


def _read_key(key_file: Path | None) -> str | None:
    return key_file.read_text(encoding="utf-8").strip() if key_file else None


def _report(ledger: Ledger, console: Console, *, as_json: bool) -> None:
    totals = ledger.totals()
    if as_json:
        text = {source: asdict(each) for source, each in totals.items()}
        typer.echo(orjson.dumps(text, option=orjson.OPT_INDENT_2))
    else:
        console.print(totals_table(ledger))
    if not delivered(totals):
        raise typer.Exit(1)


@app.command()
def http(  # noqa: PLR0913 - one parameter an option
    *,
    url: Url = "http://127.0.0.1:8080",
    key_file: KeyFile = None,
    rate: Rate = 200.0,
    seconds: Annotated[float, typer.Option(help="Length of the run.", min=0.1)] = 10.0,
    seed: Seed = 1,
    source: Annotated[str, typer.Option(help="Sources with commas between, or all.")] = "all",
    faults: Annotated[float, typer.Option(help="Factor on all fault rates; 0: none.", min=0)] = 1.0,
    connections: Connections = 8,
    ledger_file: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Post the simulated fleets to the edge; exits 1 when an event was never acknowledged."""
    if rate <= 0:
        message = "the fleets need a rate above 0"
        raise typer.BadParameter(message)
    console = Console(stderr=as_json)
    start = datetime.now(UTC)
    fleets = make_fleets(_parse_sources(source), seed, start)
    plan = plan_posts(fleets, FaultRates().scaled(faults), seed=seed, start=start, rate=rate)
    events = max(1, round(rate * seconds))
    with Ledger(ledger_file) as ledger:
        pace = Pace(rate, connections)
        sender = Sender(url, ledger, api_key=_read_key(key_file), pace=pace)
        send_with_progress(sender, take_events(plan, events), events, console)
        _report(ledger, console, as_json=as_json)


@app.command()
def replay(  # noqa: PLR0913 - one parameter an option
    *,
    file: Annotated[Path, typer.Argument(help="JSON array or NDJSON.", exists=True)],
    url: Url = "http://127.0.0.1:8080",
    key_file: KeyFile = None,
    source: Annotated[str, typer.Option(help="Source of the events.")] = "environment",
    batch: Annotated[int, typer.Option(help="Events in a post.", min=1)] = DEFAULT_BATCH,
    rate: Rate = 0.0,
    connections: Connections = 4,
    ledger_file: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Post a file of events as NDJSON; exits 1 when an event was never acknowledged."""
    console = Console(stderr=as_json)
    lines = list(read_lines(file))
    with Ledger(ledger_file) as ledger:
        pace = Pace(rate, connections)
        sender = Sender(url, ledger, api_key=_read_key(key_file), pace=pace)
        send_with_progress(sender, replay_posts(lines, source, batch), len(lines), console)
        _report(ledger, console, as_json=as_json)


@app.command()
def csv(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    rows: Annotated[int, typer.Option(help="Rows a file.", min=1)] = 1_000,
    bad: Annotated[float, typer.Option(help="Share of bad rows.", min=0, max=1)] = 0.01,
    seed: Seed = 1,
) -> None:
    """Write one CSV file in each of the two sensor archive layouts."""
    start = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
    for layout in LAYOUTS:
        file = write_csv(out, layout, seed=seed, start=start, rows=rows, bad_rate=bad)
        typer.echo(f"{file.path}: {file.rows} rows, {len(file.bad_rows)} of them bad")


@app.command()
def registries(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    seed: Seed = 1,
) -> None:
    """Write devices.csv and users.csv of the simulated fleets."""
    fleets = make_fleets(SOURCES, seed, datetime.now(UTC))
    typer.echo(f"{out / 'devices.csv'}: {write_devices(out / 'devices.csv', fleets)} devices")
    typer.echo(f"{out / 'users.csv'}: {write_users(out / 'users.csv', seed)} users")
