"""`telemetry replay`: judge refused events again by today's contracts, and land the good ones.

What a rule of silver refused is judged in `replay_quarantine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.embedded.services import running_settings
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError, usable_lake
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_cli.replay_quarantine import replay_quarantined
from telemetry_platform.settings import Settings, get_settings

if TYPE_CHECKING:
    from datetime import datetime

    from telemetry_contracts.registry import Registry
    from telemetry_platform.replay.judging import Judge
    from telemetry_platform.replay.outcomes import Report
    from telemetry_platform.replay.rejections import Selection


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("replay")(replay)


def replay(  # noqa: PLR0913 - one parameter an option
    *,
    quarantine: Annotated[
        bool,
        typer.Option("--quarantine", help="Judge quarantined events, not those the edge refused."),
    ] = False,
    source: Annotated[
        list[str] | None, typer.Option(help="Only events of this source; repeat it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only events received since: an ISO 8601 time, or 2026-11-22T14 (UTC)."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only events received before this time or hour.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only events that this rule refused; repeat it.")
    ] = None,
    receipt: Annotated[
        list[str] | None, typer.Option(help="Only events of this receipt; repeat it.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without it nothing is changed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge refused events again by today's contracts, and show what differs.

    With --apply the events that can be read now land as if they had been read at first: in the hour
    they were received, under their receipt. It can be repeated: what is there is not added again.

    With --quarantine, events that landed but broke a rule of their contract are judged again. The
    options then choose arrival hours that hold such an event; with --apply Dagster refines the
    hours that come out otherwise.
    """
    # Imported here: Polars and Delta take half a second, which no other command should wait for.
    from telemetry_platform.contracts import contracts_in_force
    from telemetry_platform.replay.rejections import Selection

    settings = _lake_settings()
    contracts = contracts_in_force(settings)
    unknown = sorted(set(source or ()).difference(contracts))
    if unknown:
        raise CommandError(
            f"There is no source {', '.join(unknown)}.", f"Choose from: {', '.join(contracts)}."
        )
    selection = Selection(
        sources=tuple(source or ()),
        rules=tuple(rule or ()),
        receipts=tuple(receipt or ()),
        since=_moment("--since", since),
        until=_moment("--until", until),
    )
    if quarantine:
        replay_quarantined(settings, contracts, selection, apply=apply, as_json=as_json)
        return
    report = _replayed(settings, _judge(settings, contracts), selection, dry_run=not apply)
    if as_json:
        print_json(report.document())
        return
    _show(report)


def _lake_settings() -> Settings:
    """Return the settings of this home's stack, or those of the environment when it has none."""
    settings = get_settings()
    return running_settings(settings) if StackState.read(settings.home).ports else settings


def _moment(option: str, text: str | None) -> datetime | None:
    from telemetry_platform.replay.rejections import parse_moment

    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise CommandError(
            f"{option} {text!r} is not a time.", "Write 2026-11-22T14 or 2026-11-22T14:30:00Z."
        ) from error


def _judge(settings: Settings, contracts: Registry) -> Judge:
    from telemetry_platform.replay.judging import open_judge

    try:
        return open_judge(settings, contracts)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The keys of the edge cannot be used: {error}.",
            "Refused events are sealed. Run this where the edge's keys are, and name their "
            "directory in TELEMETRY_SECRETS_DIR.",
        ) from error


def _replayed(settings: Settings, judge: Judge, selection: Selection, *, dry_run: bool) -> Report:
    from telemetry_platform.replay.run import replay as run

    unhurt = "Nothing is lost and nothing lands twice: run the same command again."
    with people().status("Judging refused events") as shown, usable_lake(settings, unhurt):
        return run(
            settings,
            judge,
            selection,
            dry_run=dry_run,
            on_progress=lambda done: shown.update(f"{done:,} refused events judged"),
        )


def _show(report: Report) -> None:
    from telemetry_platform.replay.outcomes import COLUMNS, LANDED

    console = people()
    title = "Dry run" if report.dry_run else "Replay"
    if report.changes:
        print_table(title, COLUMNS, report.rows())
    console.print(report.summary(), markup=False)
    for warning in report.warnings():
        console.print(warning, style="yellow", markup=False)
    if report.dry_run and report.count(LANDED):
        console.print("Nothing was changed. The same command with --apply does it.", markup=False)
