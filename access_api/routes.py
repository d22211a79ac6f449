"""The routes, one a dataset. What they answer with is `reading`'s matter.

Without postponed annotations: the framework reads the parameters' types.
"""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import Response

from access_api import datasets, parameters
from access_api.catalog import catalog
from access_api.gate import visible_sources
from access_api.negotiation import MediaType, negotiate
from access_api.openapi import document_responses, responses
from access_api.reading import Reader, tagged
from access_api.tracing import TRACE_SCHEMA, Follower
from telemetry_platform.access_keys.api_key import ApiKey

router = APIRouter(prefix="/v1")

key_header = APIKeyHeader(name="x-api-key", auto_error=False)
bearer = HTTPBearer(auto_error=False, description="An API key.")
_CATALOG = {
    "type": "object",
    "required": ["data", "refined_at"],
    "properties": {
        "data": {"type": "array", "items": {"type": "object"}},
        "refined_at": {"type": "object", "description": "When each source was last refined."},
    },
}


def reader_of(request: Request) -> Reader:
    """Return the reader of this process."""
    return request.app.state.reader


async def admitted(
    request: Request,
    _header: Annotated[object, Security(key_header)] = None,
    _token: Annotated[object, Security(bearer)] = None,
) -> ApiKey:
    """Return the key that the request came with."""
    return reader_of(request).gate.admit(request)


Key = Annotated[ApiKey, Depends(admitted)]
Traced = Annotated[
    parameters.Text,
    Path(description="A receipt (`rcp_…`) or an event id, as the edge's answer has them."),
]
User = Annotated[parameters.Text, Path(description="A registered user.")]


def _dataset_route(dataset: datasets.Dataset) -> dict[str, Any]:
    return {
        "path": dataset.path.removeprefix("/v1"),
        "summary": dataset.summary,
        "responses": responses(dataset),
        "response_class": Response,
        "name": dataset.name,
        "operation_id": dataset.name,
    }


@router.get(**_dataset_route(datasets.EVENTS))
async def events(
    request: Request, key: Key, query: Annotated[parameters.EventFilters, Query()]
) -> Response:
    """Newest first."""
    return await reader_of(request).answer(request, key, datasets.EVENTS, query)


@router.get(**_dataset_route(datasets.READINGS))
async def readings(
    request: Request, key: Key, query: Annotated[parameters.ReadingFilters, Query()]
) -> Response:
    """Newest first."""
    return await reader_of(request).answer(request, key, datasets.READINGS, query)


@router.get(**_dataset_route(datasets.SESSIONS))
async def sessions(
    request: Request, key: Key, query: Annotated[parameters.SessionFilters, Query()]
) -> Response:
    """By device and start. `user_email` is a token, and there for `read:restricted` only."""
    return await reader_of(request).answer(request, key, datasets.SESSIONS, query)


@router.get(**_dataset_route(datasets.MINUTES))
async def minutes(
    request: Request, key: Key, query: Annotated[parameters.MinuteFilters, Query()]
) -> Response:
    """Oldest first."""
    return await reader_of(request).answer(request, key, datasets.MINUTES, query)


@router.get(**_dataset_route(datasets.HOURS))
async def hours(
    request: Request, key: Key, query: Annotated[parameters.HourFilters, Query()]
) -> Response:
    """By source, device, metric and hour."""
    return await reader_of(request).answer(request, key, datasets.HOURS, query)


@router.get(**_dataset_route(datasets.DAYS))
async def days(
    request: Request, key: Key, query: Annotated[parameters.DayFilters, Query()]
) -> Response:
    """By source, device, metric and day."""
    return await reader_of(request).answer(request, key, datasets.DAYS, query)


@router.get(**_dataset_route(datasets.DEVICES))
async def devices(
    request: Request, key: Key, query: Annotated[parameters.DeviceFilters, Query()]
) -> Response:
    """By device. A device that changed has a row for each span in which it was the same."""
    return await reader_of(request).answer(request, key, datasets.DEVICES, query)


@router.get(**_dataset_route(datasets.DAILY_STEPS))
async def daily_steps(
    request: Request, key: Key, user: User, query: Annotated[parameters.LastDays, Query()]
) -> Response:
    """Newest first. The sum over the user's devices."""
    return await _of_user(request, key, datasets.DAILY_STEPS, user, query)


@router.get(**_dataset_route(datasets.SLEEP_HEART_RATE))
async def sleep_heart_rate(
    request: Request, key: Key, user: User, query: Annotated[parameters.LastDays, Query()]
) -> Response:
    """Newest first. The standard columns describe the readings asleep."""
    return await _of_user(request, key, datasets.SLEEP_HEART_RATE, user, query)


@router.get(**_dataset_route(datasets.HEART_RATE_BY_AGE))
async def heart_rate_by_age(
    request: Request, key: Key, query: Annotated[parameters.AgeFilters, Query()]
) -> Response:
    """Newest first."""
    return await reader_of(request).answer(request, key, datasets.HEART_RATE_BY_AGE, query)


@router.get(**_dataset_route(datasets.QUALITY))
async def quality(
    request: Request, key: Key, query: Annotated[parameters.QualityFilters, Query()]
) -> Response:
    """Newest first. A score is the share of the checks that passed."""
    return await reader_of(request).answer(request, key, datasets.QUALITY, query)


@router.get(
    "/datasets",
    summary="What can be read: datasets, columns, filters, sizes, freshness",
    responses=document_responses(_CATALOG),
    response_class=Response,
)
async def list_datasets(
    request: Request, key: Key, query: Annotated[parameters.NoFilters, Query()]
) -> Response:
    """Only those that the key may read."""
    negotiate(request.headers.get("accept"), (MediaType.JSON,))
    found = await catalog(reader_of(request), key)
    return tagged(request, orjson.dumps(found, option=orjson.OPT_UTC_Z))


@router.get(
    "/trace/{id}",
    summary="What became of an event or a receipt, step by step",
    responses=document_responses(TRACE_SCHEMA),
    response_class=Response,
    operation_id="trace",
)
async def trace(
    request: Request,
    key: Key,
    id: Traced,  # noqa: A002 - its name in the path
    query: Annotated[parameters.TraceLimit, Query()],
) -> Response:
    """An event shows all arrivals of its id; a receipt its commits and some of its events.

    Steps go from the arrival over the landing commit, bronze and silver's decision to the marts,
    each with its time, table and version. Only what the key may read is found.
    """
    negotiate(request.headers.get("accept"), (MediaType.JSON,))
    follower: Follower = request.app.state.follower
    found = await follower.follow(key, id, query.limit)
    return tagged(request, orjson.dumps(found.document(), option=orjson.OPT_UTC_Z))


async def _of_user(
    request: Request,
    key: ApiKey,
    dataset: datasets.Dataset,
    user: str,
    query: parameters.LastDays,
) -> Response:
    reader = reader_of(request)
    visible_sources(key, dataset.only)
    await reader.ensure_user(user)
    return await reader.answer(request, key, dataset, query, user=user, days=query.days)
