"""`telemetry trace`: what became of a receipt or an event, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.embedded.services import running_settings
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError, usable_lake
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_platform.settings import Settings, get_settings

if TYPE_CHECKING:
    from telemetry_platform.trace.ids import TraceId
    from telemetry_platform.trace.steps import Arrival, Step, Trace

_LIMIT = 100
_MOST = 10_000
_STEP_COLUMNS = ("Step", "Time (UTC)", "Table", "Version", "What happened")


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("trace")(trace)


def trace(
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="A receipt (rcp_…) or an event id (a UUID).")
    ],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Most events of a receipt that are listed.")
    ] = _LIMIT,
    as_json: JsonOption = False,
) -> None:
    """Follow a receipt or an event from its arrival to the rows of the marts.

    An event shows every arrival of its id: where it landed, what silver decided and why, and the
    numbers of the marts that it is a part of. A receipt shows the events of its post or file.
    """
    found = _traced(_settings(), _id(wanted), limit)
    if as_json:
        import orjson

        # The same text as the access API's answer has, times too.
        print_json(orjson.loads(orjson.dumps(found.document(), option=orjson.OPT_UTC_Z)))
        return
    _show(found)


def _settings() -> Settings:
    """Return the settings of this home's stack, or those of the environment when it has none."""
    settings = get_settings()
    return running_settings(settings) if StackState.read(settings.home).ports else settings


def _id(text: str) -> TraceId:
    from telemetry_platform.trace.ids import NotTraceable, parse_id

    try:
        return parse_id(text)
    except NotTraceable as error:
        raise CommandError(f"{text!r} cannot be traced.", _sentence(f"{error}.")) from error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _traced(settings: Settings, wanted: TraceId, limit: int) -> Trace:
    # Imported here: Postgres and Polars take half a second, which no other command should wait for.
    import psycopg

    from telemetry_platform.postgres import NotConfigured, connect
    from telemetry_platform.trace.marts import Marts
    from telemetry_platform.trace.tracing import NotFound, Tracer
    from telemetry_platform.trace.way import LakeSide

    try:
        with (
            usable_lake(settings, "Nothing was changed."),
            connect(settings, autocommit=True) as connection,
        ):
            return Tracer(Marts(connection), LakeSide(settings)).trace(wanted, limit)
    except NotFound as error:
        raise CommandError(f"{wanted.text} was not found.", _sentence(f"{error}")) from error
    except NotConfigured as error:
        raise CommandError(str(error), "Run `telemetry up` first.") from error
    except psycopg.errors.UndefinedTable as error:
        raise CommandError(
            "The marts are not built yet.", "They are within seconds while Dagster runs."
        ) from error
    except psycopg.OperationalError as error:
        raise CommandError(
            f"The database cannot be asked: {error}".strip(),
            "`telemetry status` shows whether it runs; `telemetry up` starts it.",
        ) from error


def _show(found: Trace) -> None:
    if found.kind == "receipt":
        counts = ", ".join(f"{n:,} {outcome}" for outcome, n in found.counts.items() if n)
        people().print(f"{found.total:,} events: {counts}", markup=False)
        for source, steps in found.steps.items():
            print_table(f"{found.id}, {source}", _STEP_COLUMNS, map(_step, steps))
        print_table("Events", ("Event", "Outcome", "Why"), map(_event, found.arrivals))
        if found.total > len(found.arrivals):
            people().print(f"{len(found.arrivals):,} of {found.total:,} events are listed.")
    for arrival in found.arrivals:
        if arrival.event_id is not None and arrival.steps:
            _show_arrival(arrival)
    for note in found.notes:
        people().print(note, style="yellow", markup=False)


def _show_arrival(arrival: Arrival) -> None:
    title = f"{arrival.event_id}, {arrival.outcome}, under {arrival.receipt_id}"
    print_table(title, _STEP_COLUMNS, map(_step, arrival.steps))
    if arrival.mart_rows:
        rows = [
            (row.metric, f"marts.{row.mart}", f"{row.begins:%Y-%m-%d %H:%M}", f"{row.n:,}",
             "" if row.average is None else f"{row.average:,.4g}")
            for row in arrival.mart_rows
        ]  # fmt: skip
        title = f"Metrics of {arrival.device_id} in the minute, hour and day of the event"
        print_table(title, ("Metric", "Mart", "From (UTC)", "Values", "Average"), rows)


def _step(step: Step) -> tuple[str, ...]:
    from rich.markup import escape

    from telemetry_platform.trace.steps import clock

    colour = {"done": "green", "stopped": "red", "waiting": "yellow", "unknown": "dim"}[step.state]
    what = escape(step.detail)
    if step.file and step.name == "landed":
        what = f"{escape(step.file)}\n{what}".strip()
    return (
        f"[{colour}]{step.name}[/]",
        clock(step.at) if step.at else "",
        step.table or "",
        "" if step.version is None else str(step.version),
        what,
    )


def _event(arrival: Arrival) -> tuple[str, str, str]:
    from rich.markup import escape

    from telemetry_platform.trace.way import decision

    name = arrival.event_id or f"number {arrival.event_index} of the post"
    reasons = "; ".join(f"{each.rule}: {each.message}" for each in arrival.reasons)
    again = "; ".join(step.detail for step in arrival.steps if step.name == "replayed")
    why = decision(arrival) if arrival.first else "; ".join(filter(None, (reasons, again)))
    return name, arrival.outcome, escape(why)
