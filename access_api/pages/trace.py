"""The trace page: a form for an id, and what became of it, step by step.

Without postponed annotations: the framework reads the parameters' types.
"""

from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from access_api.pages.rendering import render
from access_api.pages.visitors import Visitor
from access_api.tracing import Follower
from telemetry_platform.pages.look import table
from telemetry_platform.problems import Problem
from telemetry_platform.trace.steps import Arrival, MartRow, Outcome, Step, Trace, clock

router = APIRouter(include_in_schema=False)
_LONGEST_ID = 200
_EVENTS = 100
_WRONG_ID = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})
_STEP_NAMES = {
    "received": "Received",
    "landed": "Landed",
    "bronze": "Bronze",
    "silver": "Silver",
    "partials": "Partials",
    "marts": "Marts",
    "replayed": "Judged again",
}
_GOOD = frozenset({Outcome.KEPT, Outcome.REPAIRED})
_OUTCOMES = {
    Outcome.KEPT: "Kept: it is part of the marts.",
    Outcome.QUARANTINED: "Stopped: it broke a rule and is in quarantine.",
    Outcome.DUPLICATE: "A duplicate: an arrival before it was kept.",
    Outcome.SUPERSEDED: "Superseded: a correction replaced or deleted it, or it is a deletion.",
    Outcome.REJECTED: "Refused by the edge.",
    Outcome.REPAIRED: "Refused by the edge, and put right since.",
    Outcome.WAITING: "Waiting: it has landed and is not refined yet.",
    Outcome.ERASED: "Erased.",
}
_IN_CATALOG = ("marts.", "bronze/", "silver/", "landing/events")
_NOT_IN_CATALOG = frozenset({"silver/quarantine", "silver/duplicates", "silver/superseded"})


@router.get("/trace")
async def form(request: Request, _: Visitor) -> Response:
    """Ask for an id, or lead to the page of the one that was given."""
    asked = request.query_params.get("id", "").strip()[:_LONGEST_ID]
    if asked:
        return RedirectResponse(f"/trace/{quote(asked, safe='')}", 303)
    return render(request, "trace_form.html.j2", {"asked": ""})


@router.get("/trace/{text}")
async def trace(request: Request, key: Visitor, text: str) -> Response:
    """Show what became of an id, or the form again with what is wrong with it."""
    follower: Follower = request.app.state.follower
    asked = text[:_LONGEST_ID]
    try:
        found = await follower.follow(key, asked, _EVENTS)
    except Problem as problem:
        if problem.status not in _WRONG_ID:
            raise
        values = {"asked": asked, "problem": problem}
        return render(request, "trace_form.html.j2", values, problem.status)
    return render(request, "trace.html.j2", shown(found))


def shown(found: Trace) -> dict[str, object]:
    """Return what the template shows of a trace."""
    ways = [(f"{source} events", _way(steps)) for source, steps in found.steps.items()]
    followed = [each for each in found.arrivals if each.event_id and each.steps]
    return {
        "asked": found.id,
        "found": found,
        "given_at": clock(found.at) if found.at else None,
        "counts": {name: n for name, n in found.counts.items() if n},
        "ways": ways,
        "arrivals": [_arrival(number, each) for number, each in enumerate(followed, 1)],
        "events": _events(found.arrivals) if found.kind == "receipt" else None,
    }


def _arrival(number: int, arrival: Arrival) -> dict[str, object]:
    first = arrival.first
    return {
        "arrival": arrival,
        "verdict": _OUTCOMES[arrival.outcome],
        "good": arrival.outcome in _GOOD,
        "reasons": arrival.reasons,
        "first_receipt": first.receipt_id if first else None,
        "way": _way(arrival.steps),
        "metrics": _metrics(f"metrics{number}", arrival.mart_rows) if arrival.mart_rows else None,
    }


def _way(steps: list[Step]) -> list[dict[str, object]]:
    """Return steps as the template shows them, with the time since the first one."""
    begin = steps[0].at
    return [
        {
            "name": _STEP_NAMES[step.name],
            "step": step,
            "time": clock(step.at) if step.at else None,
            "after": _after(begin, step.at),
            "catalog": _catalog(step.table),
        }
        for step in steps
    ]


def _after(begin: datetime | None, at: datetime | None) -> str | None:
    if begin is None or at is None or at == begin:
        return None
    # A log has times in whole milliseconds.
    seconds = max(0.0, (at - begin).total_seconds())
    return f"{seconds * 1000:,.0f} ms later" if seconds < 1 else f"{seconds:,.1f} s later"


def _catalog(name: str | None) -> str | None:
    if name is None or name in _NOT_IN_CATALOG or not name.startswith(_IN_CATALOG):
        return None
    return f"/catalog/{name.replace('.', '/')}"


def _metrics(identifier: str, rows: list[MartRow]) -> Markup:
    columns = {
        "Metric": [row.metric for row in rows],
        "Mart": [f"marts.{row.mart}" for row in rows],
        "From (UTC)": [f"{row.begins:%Y-%m-%d %H:%M}" for row in rows],
        "Values": [f"{row.n:,}" for row in rows],
        "Average": [None if row.average is None else f"{row.average:,.4g}" for row in rows],
    }
    caption = "Metrics of the device in the minute, hour and day of the event"
    return table(identifier, caption, columns, ("Values", "Average"))


def _events(arrivals: list[Arrival]) -> Markup:
    columns = {
        "Outcome": [str(each.outcome) for each in arrivals],
        "Event": [_name(each) for each in arrivals],
        "Why": [_why(each) for each in arrivals],
    }
    return table("events", "Events, those that were stopped first", columns)


def _name(arrival: Arrival) -> str:
    if arrival.event_id is None:
        return f"number {arrival.event_index} of the post"
    return Markup('<a href="/trace/{0}">{0}</a>').format(arrival.event_id)


def _why(arrival: Arrival) -> str | None:
    reasons = [f"{each.rule}: {each.message}" for each in arrival.reasons]
    again = [step.detail for step in arrival.steps if step.name == "replayed"]
    first = [f"arrived before under {arrival.first.receipt_id}"] if arrival.first else []
    return "; ".join([*reasons, *again, *first]) or None
