"""`telemetry quality`: the quality report as a page, as a table, or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.embedded.services import running_settings
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.quality import words
from telemetry_platform.settings import Settings, get_settings

if TYPE_CHECKING:
    from telemetry_platform.quality.report import QualityReport, SourceQuality

_DAYS = 30
_MOST_DAYS = 3660


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("quality")(quality)


def quality(
    *,
    days: Annotated[
        int, typer.Option(min=1, max=_MOST_DAYS, help="Days of arrival (UTC), today included.")
    ] = _DAYS,
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write the page; by default TELEMETRY_HOME/reports/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score the six dimensions of data quality by source and day, and write them as one HTML page.

    The page needs no network and can be sent or printed. With --json the report is printed and the
    page is written only when --output says where.
    """
    settings = get_settings()
    if StackState.read(settings.home).ports:
        settings = running_settings(settings)
    report = _read(settings, days)
    if output is None and not as_json:
        output = settings.home / "reports" / "quality.html"
    if output is not None:
        _write(report, output)
    if as_json:
        print_json(report.document())
        return
    _show(report)
    people().print(f"Page: {output}", markup=False, soft_wrap=True)


def _read(settings: Settings, days: int) -> QualityReport:
    # Imported here: Postgres and Polars take half a second, which no other command should wait for.
    import psycopg

    from telemetry_platform.contracts import contracts_in_force
    from telemetry_platform.postgres import NotConfigured
    from telemetry_platform.quality.reading import read_report

    try:
        return read_report(settings, contracts_in_force(settings), days)
    except NotConfigured as error:
        raise CommandError(str(error), "Run `telemetry up` first.") from error
    except psycopg.OperationalError as error:
        raise CommandError(
            f"The database cannot be asked: {error}".strip(),
            "`telemetry status` shows whether it runs; `telemetry up` starts it.",
        ) from error


def _write(report: QualityReport, output: Path) -> None:
    from telemetry_platform.quality.page import render

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render(report), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The page cannot be written: {error}.") from error


def _show(report: QualityReport) -> None:
    title = f"{words.day(report.first)} to {words.day(report.last)}"
    if not report.scored:
        people().print(f"No events from {title}.", markup=False)
        return
    rows = [
        (source.source, source.latest.last.isoformat(), *(_score(source, name) for name in NAMES))
        for source in report.scored
        if source.latest
    ]
    print_table(f"Last day with events, {title}", ("Source", "Day", *NAMES), rows)
    if report.wrong:
        people().print(f"{words.count(report.wrong, 'hour')} do not add up.", style="red")


def _score(source: SourceQuality, name: str) -> str:
    if source.latest is None:
        return words.NO_SCORE
    text = words.percent(source.latest.tally(name).score)
    return f"[red]{text} ▼[/]" if source.falls_short(source.latest, name) else text
