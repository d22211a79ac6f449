"""`telemetry replay --quarantine`: what today's contracts make of events that a rule refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_cli.errors import usable_lake
from telemetry_cli.output import people, print_json, print_table

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.quarantine_replay import QuarantineReport
    from telemetry_contracts.registry import Registry
    from telemetry_platform.replay.rejections import Selection
    from telemetry_platform.settings import Settings

ASKED_BY = "telemetry replay"


def replay_quarantined(
    settings: Settings, contracts: Registry, selection: Selection, *, apply: bool, as_json: bool
) -> None:
    """Judge quarantined events again and show what differs; with `apply`, have it done.

    Raises:
        CommandError: The lake cannot be used.
    """
    report = _replayed(settings, contracts, selection, dry_run=not apply)
    if apply:
        _load_history(settings, contracts)
    if as_json:
        print_json(report.document())
        return
    _show(report)


def _replayed(
    settings: Settings, contracts: Registry, selection: Selection, *, dry_run: bool
) -> QuarantineReport:
    from telemetry_assets.lakehouse.lake import Lake
    from telemetry_assets.lakehouse.quarantine_replay import replay_quarantine

    unhurt = "Nothing was moved: run the same command again."
    with people().status("Judging quarantined events") as shown, usable_lake(settings, unhurt):
        return replay_quarantine(
            Lake(settings, contracts),
            selection,
            ASKED_BY,
            dry_run=dry_run,
            on_progress=lambda hours: shown.update(f"{hours:,} hours judged"),
        )


def _load_history(settings: Settings, contracts: Registry) -> None:
    import psycopg

    from telemetry_assets.lakehouse.quarantine_replay import load_attempts

    if settings.postgres_dsn is None:
        return
    try:
        load_attempts(settings, contracts)
    except psycopg.OperationalError:
        people().print(
            "Postgres was not reached; warehouse.quarantine_replays gets this attempt with the "
            "next one.",
            style="yellow",
        )


def _show(report: QuarantineReport) -> None:
    from telemetry_assets.lakehouse.quarantine_replay import COLUMNS

    console = people()
    if not report.rows.is_empty():
        print_table("Dry run" if report.dry_run else "Replay", COLUMNS, report.table())
    console.print(report.summary(), markup=False)
    if report.dry_run and report.hours:
        console.print("Nothing was changed. The same command with --apply does it.", markup=False)
    if not report.dry_run and report.hours:
        console.print("Dagster refines them now; see its runs of `refine_hour`.", markup=False)
