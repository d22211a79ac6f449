"""Traces for readers: what a key may see of an event's way, looked up outside of the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from access_api.problems import bad_parameter, busy, lake_away, nothing_traced
from telemetry_platform.postgres import reader_dsn
from telemetry_platform.trace.ids import NotTraceable, parse_id

if TYPE_CHECKING:
    from access_api.contracts import FollowedContracts
    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.settings import Settings
    from telemetry_platform.trace.ids import TraceId
    from telemetry_platform.trace.steps import Trace

_log = logging.getLogger(__name__)
_AT_A_TIME = 4
_WAIT_SECONDS = 5.0

_TIME = {"type": ["string", "null"], "format": "date-time"}
_TEXT = {"type": ["string", "null"]}
_NUMBER = {"type": ["integer", "null"]}
_STEPS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["step", "state", "at"],
        "properties": {
            "step": {"type": "string"},
            "state": {"enum": ["done", "waiting", "stopped", "unknown"]},
            "at": _TIME,
            "table": _TEXT,
            "version": _NUMBER,
            "file": _TEXT,
            "detail": {"type": "string"},
        },
    },
}
_EVENT = {
    "type": "object",
    "required": ["source", "outcome", "received_at", "steps"],
    "properties": {
        "event_id": _TEXT,
        "event_index": _NUMBER,
        "source": {"type": "string"},
        "outcome": {
            "enum": [
                *("kept", "quarantined", "duplicate", "superseded"),
                *("rejected", "repaired", "waiting", "erased"),
            ]
        },
        "receipt_id": _TEXT,
        "received_at": _TIME,
        "received_hour": {"type": "string"},
        "device_id": _TEXT,
        "event_time": _TIME,
        "source_file": _TEXT,
        "source_row": _NUMBER,
        "reasons": {"type": "array", "items": {"type": "object"}},
        "first": {"type": ["object", "null"], "description": "The arrival a duplicate lost to."},
        "corrected_event_id": _TEXT,
        "correction_id": _TEXT,
        "fate": _TEXT,
        "steps": _STEPS,
        "mart_rows": {"type": "array", "items": {"type": "object"}},
    },
}
TRACE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind", "events", "total"],
    "properties": {
        "id": {"type": "string"},
        "kind": {"enum": ["event", "receipt"]},
        "given_at": _TIME,
        "counts": {"type": "object", "description": "Events of a receipt by outcome."},
        "steps": {"type": "object", "description": "A receipt's way, by source."},
        "events": {"type": "array", "items": _EVENT},
        "listed": {"type": "integer"},
        "total": {"type": "integer"},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}
"""The JSON schema of an answer."""


class Follower:
    """Follows ids for readers, a few at a time. Used from the event loop of one process."""

    def __init__(self, settings: Settings, contracts: FollowedContracts) -> None:
        """Note where the stores are; they are opened by each trace.

        Args:
            settings: The access API's.
            contracts: Say which columns are restricted.
        """
        self._dsn = reader_dsn(settings, settings.access_page_seconds)
        self._lake = lake_of_reader(settings)
        self._contracts = contracts
        self._places = asyncio.Semaphore(_AT_A_TIME)

    async def follow(self, key: ApiKey, text: str, limit: int) -> Trace:
        """Return what became of an id, as far as a key may see it.

        Raises:
            Problem: 400, it is no id; 404, nothing is found; 503, a store is away or too many ask.
        """
        try:
            wanted = parse_id(text)
        except NotTraceable as error:
            raise bad_parameter(str(error)) from error
        try:
            await asyncio.wait_for(self._places.acquire(), _WAIT_SECONDS)
        except TimeoutError as error:
            raise busy() from error
        try:
            return await asyncio.to_thread(self._follow, key, wanted, limit)
        finally:
            self._places.release()

    def _follow(self, key: ApiKey, wanted: TraceId, limit: int) -> Trace:
        # Imported here: they double the memory of a process that is never asked for a trace.
        import psycopg
        from deltalake.exceptions import DeltaError
        from obstore.exceptions import BaseError as StoreError
        from polars.exceptions import ComputeError

        from telemetry_platform.trace.marts import Marts
        from telemetry_platform.trace.tracing import NotFound, Tracer
        from telemetry_platform.trace.way import LakeSide

        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                lake = LakeSide(self._lake) if self._lake else None
                found = Tracer(Marts(connection), lake, key.covers).trace(wanted, limit)
        except NotFound as error:
            raise nothing_traced(str(error)) from error
        except (DeltaError, StoreError, ComputeError, OSError) as error:
            _log.warning("the lake is away", extra={"reason": type(error).__name__})
            raise lake_away() from error
        if "device_id" in self._contracts.now.restricted:
            for arrival in found.arrivals:
                arrival.device_id = None
        return found


def lake_of_reader(settings: Settings) -> Settings | None:
    """Return settings that open the lake as the API's own account; None when it has none."""
    if settings.access_s3_access_key_id is None:
        return None
    return settings.model_copy(
        update={
            "aws_access_key_id": settings.access_s3_access_key_id,
            "aws_secret_access_key": settings.access_s3_secret_access_key,
            "aws_session_token": None,
        }
    )
