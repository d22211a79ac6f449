"""One run of the demo against a started stack: send, wait for the marts, count, search."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from device_sim.faults import FaultRates
from device_sim.ledger import Entry, Ledger
from device_sim.plan import SOURCES, make_fleets, plan_posts, take_events
from device_sim.registries import write_devices, write_users
from device_sim.replay import read_lines, replay_posts
from device_sim.sender import Pace, Sender
from telemetry_cli.demo_files import (
    FileInMarts,
    LandedFile,
    drop_files,
    files_in_marts,
    wait_for_landing,
)
from telemetry_cli.demo_report import DemoReport, accepted_by_source, make_accounts
from telemetry_cli.embedded.probes import own_server_context
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.fates import ArrivalError, Fates, wait_for_fates
from telemetry_cli.freshness import FreshnessWatch
from telemetry_cli.privacy_scan import scan
from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import dsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from device_sim.posts import Post
    from telemetry_platform.settings import Settings

_WAIT_SECONDS = 300.0
_WAIT_SECONDS_PER_ROW = 0.002


@dataclass(slots=True)
class DemoInput:
    """What the demo sends: seconds of fleets at a rate, then files of events, then CSV files."""

    rate: float = 200.0
    events: int = 3_000
    seed: int = 1
    ndjson: Path | None = None
    ndjson_source: str = "environment"
    csv: list[Path] = field(default_factory=list)


def run_demo(settings: Settings, wanted: DemoInput, console: Console) -> DemoReport:
    """Send everything to a started stack, wait for the marts and account for every row.

    Raises:
        CommandError: The edge did not take the CSV files in time.
        LedgerError: An answer of the edge does not add up.
    """
    began = datetime.now(UTC)
    clock = time.monotonic()
    seconds: dict[str, float] = {}
    put_registries(settings, wanted.seed)
    ledger_file = settings.home / "demo" / f"ledger-{began:%Y%m%dT%H%M%S}.jsonl"
    receipts: list[str] = []
    fates: dict[str, Fates] = {}
    problem = ""
    with Ledger(ledger_file) as ledger, FreshnessWatch(dsn(settings)) as watch:

        def on_entry(entry: Entry) -> None:
            if entry.receipt_id:
                receipts.append(entry.receipt_id)
            watch.add(entry)

        with _progress(console) as progress:
            _send(settings, wanted, ledger, on_entry, progress)
            seconds["sending"] = time.monotonic() - clock
            landed = _land(settings, wanted, began, progress)
            receipts += [each.receipt_id for each in landed]
            totals = ledger.totals()
            accepted = accepted_by_source(totals, landed)
            expected = sum(accepted.values())
            task = progress.add_task("rows with a fate", total=expected)
            try:
                fates = wait_for_fates(
                    dsn(settings),
                    accepted,
                    receipts,
                    seconds=_WAIT_SECONDS + _WAIT_SECONDS_PER_ROW * expected,
                    on_poll=lambda count: progress.update(task, completed=count),
                )
            except ArrivalError as error:
                problem, fates = error.message, error.fates
        seconds["arrival"] = time.monotonic() - clock
        freshness = watch.figures()
    in_marts = files_in_marts(dsn(settings), [each.file for each in landed]) if landed else {}
    with console.status("Searching everything stored for plain personal values"):
        places = scan(settings)
    seconds["all"] = time.monotonic() - clock
    return DemoReport(
        accounts=make_accounts(totals, landed, fates),
        freshness=freshness,
        files=[(each, in_marts.get(each.file, FileInMarts())) for each in landed],
        places=places,
        seconds=seconds,
        problem=problem,
    )


def put_registries(settings: Settings, seed: int) -> None:
    """Write the fleets' device and user registries to ``reference/`` in the bucket."""
    client = s3_client(settings)
    with tempfile.TemporaryDirectory() as folder:
        devices, users = Path(folder) / "devices.csv", Path(folder) / "users.csv"
        write_devices(devices, make_fleets(SOURCES, seed, datetime.now(UTC)))
        write_users(users, seed)
        for path in (devices, users):
            client.put_object(
                Bucket=settings.s3_bucket, Key=f"reference/{path.name}", Body=path.read_bytes()
            )


def _send(
    settings: Settings,
    wanted: DemoInput,
    ledger: Ledger,
    on_entry: Callable[[Entry], None],
    progress: Progress,
) -> None:
    key = (settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text(encoding="utf-8").strip()

    certificate = settings.tls_certificate
    tls = own_server_context(certificate) if certificate else None

    def send(title: str, posts: Iterator[Post], events: int, rate: float) -> None:
        task = progress.add_task(title, total=events)

        def answered(entry: Entry) -> None:
            progress.advance(task, entry.events)
            on_entry(entry)

        sender = Sender(settings.ingest_url, ledger, api_key=key, pace=Pace(rate), tls=tls)
        asyncio.run(sender.send(posts, answered))
        progress.update(task, total=progress.tasks[task].completed)

    start = datetime.now(UTC)
    fleets = make_fleets(SOURCES, wanted.seed, start)
    plan = plan_posts(fleets, FaultRates(), seed=wanted.seed, start=start, rate=wanted.rate)
    title = f"events of the fleets, {wanted.rate:g}/s"
    send(title, take_events(plan, wanted.events), wanted.events, wanted.rate)
    if wanted.ndjson is not None:
        lines = list(read_lines(wanted.ndjson))
        posts = replay_posts(lines, wanted.ndjson_source)
        send(f"events of {wanted.ndjson.name}", posts, len(lines), 0.0)


def _land(
    settings: Settings, wanted: DemoInput, began: datetime, progress: Progress
) -> list[LandedFile]:
    if not wanted.csv or settings.inbox_dir is None:
        return []
    task = progress.add_task("CSV files landed", total=len(wanted.csv))
    drop_files(wanted.csv, settings.inbox_dir)
    size = sum(path.stat().st_size for path in wanted.csv)
    return wait_for_landing(
        settings,
        wanted.csv,
        began,
        seconds=_WAIT_SECONDS + len(wanted.csv) + size / 100_000,
        on_poll=lambda count: progress.update(task, completed=count),
    )


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)
