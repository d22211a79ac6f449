"""How the demo's report looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_cli.demo_files import FileInMarts, LandedFile
    from telemetry_cli.demo_report import DemoReport, SourceAccount

_SHOWN_FILES = 12
_COUNTS = (
    ("sent", "sent"),
    ("accepted", "  accepted by the edge"),
    ("in_mart", "    rows in the mart"),
    ("quarantined", "    quarantined in silver"),
    ("duplicate_in_silver", "    duplicate in silver"),
    ("superseded", "    superseded by corrections"),
    ("duplicate_at_edge", "  duplicate at the edge"),
    ("rejected", "  rejected"),
    ("unreadable", "  in unreadable bodies"),
    ("unacknowledged", "  without an answer"),
)
"""Each count with its parts indented below it."""
_SELDOM = frozenset({"superseded"})
"""Left out when no source has any."""


def show_report(report: DemoReport, addresses: Mapping[str, str]) -> None:
    """Print the whole report on stdout."""
    console = Console(highlight=False)
    console.print(_accounts(report.accounts))
    if report.freshness:
        console.print(_freshness(report))
    if report.files:
        _files(report.files, console)
    console.print(_search(report))
    console.print(_addresses(addresses))
    steps = ", ".join(f"{name} {value:.1f} s" for name, value in report.seconds.items())
    console.print(f"Time: {steps}")
    if report.problem:
        console.print(report.problem, style="red", markup=False)
    verdict = "[green]Every event is accounted for[/]" if report.passed else "[red]FAILED[/]"
    console.print(f"{verdict}; plain personal values found: {report.plain_values_found}")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold")


def _accounts(accounts: Sequence[SourceAccount]) -> Table:
    table = _table("Events by source, each with the parts it must add up to")
    table.add_column("events")
    for account in accounts:
        table.add_column(account.source, justify="right")
    for name, title in _COUNTS:
        counts = [getattr(account, name) for account in accounts]
        if any(counts) or name not in _SELDOM:
            table.add_row(escape(title), *(f"{count:,}" for count in counts))
    table.add_section()
    verdicts = ("[green]yes[/]" if account.adds_up else "[red]NO[/]" for account in accounts)
    table.add_row("adds up to the row", *verdicts)
    return table


def _freshness(report: DemoReport) -> Table:
    table = _table("POST to mart row, in seconds")
    for title in ("source", "posts", "p50", "p95", "max"):
        table.add_column(title, justify="left" if title == "source" else "right")
    for source, figures in report.freshness.items():
        seconds = (figures.p50, figures.p95, figures.longest)
        table.add_row(source, f"{figures.posts:,}", *(f"{each:.1f}" for each in seconds))
    return table


def _files(files: Sequence[tuple[LandedFile, FileInMarts]], console: Console) -> None:
    table = _table(f"CSV files: {len(files)}")
    table.add_column("file", overflow="fold")
    for title in ("rows", "accepted", "dup.", "reject.", "in mart"):
        table.add_column(title, justify="right", no_wrap=True)
    for landed, marts in files[:_SHOWN_FILES]:
        counts = (landed.rows, landed.accepted, landed.duplicate, landed.rejected, marts.readings)
        days = f"{marts.first_day} to {marts.last_day}" if marts.readings else landed.message
        title = f"{landed.file}\n  {landed.outcome}; {days}; {marts.metrics} metrics"
        table.add_row(escape(title), *(f"{count:,}" for count in counts))
    if len(files) > _SHOWN_FILES:
        table.add_row(f"… and {len(files) - _SHOWN_FILES} more")
    sums = [
        sum(getattr(landed, name) for landed, _ in files)
        for name in ("rows", "accepted", "duplicate", "rejected")
    ]
    sums.append(sum(marts.readings for _, marts in files))
    table.add_section()
    table.add_row("all files", *(f"{count:,}" for count in sums))
    console.print(table)


def _search(report: DemoReport) -> Table:
    table = _table("Plain Wi-Fi names, IP and e-mail addresses in what was stored")
    for title in ("where", "items", "searched", "found", "not readable"):
        table.add_column(title, justify="left" if title == "where" else "right")
    for place in report.places:
        table.add_row(
            place.name,
            f"{place.items:,}",
            f"{place.searched_bytes / 1e6:,.1f} MB",
            f"{sum(place.hits.values()):,}",
            f"{len(place.unreadable):,}",
        )
    return table


def _addresses(addresses: Mapping[str, str]) -> Table:
    table = _table("Where to look")
    table.add_column("what")
    table.add_column("address", overflow="fold")
    for name, address in addresses.items():
        table.add_row(name.replace("_", " "), address)
    return table
