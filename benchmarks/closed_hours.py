"""A landing table with hours that are over and full of small files, as group commits leave them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import polars as pl

from telemetry_platform.clock import HOUR, hour_key, utc_now
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

HOURS: Final = 10
FILES_AN_HOUR: Final = 40
_ROWS_A_FILE: Final = 500


def fill_closed_hours(settings: Settings) -> None:
    """Append `FILES_AN_HOUR` files to each of the last `HOURS` closed hours of phone events."""
    log = DeltaLog(settings, LANDING_EVENTS)
    for back in range(1, HOURS + 1):
        moment = utc_now() - back * HOUR
        for _ in range(FILES_AN_HOUR):
            rows = pl.DataFrame(
                {
                    "event_id": [str(uuid.uuid4()) for _ in range(_ROWS_A_FILE)],
                    "source": "mobile",
                    "device_id": "phone",
                    "event_time": moment,
                    "received_at": moment,
                    "received_hour": hour_key(moment),
                    "payload": '{"_shape":"mobile_sdk","battery_level_percent":50.0}',
                    "contract_version": "1.0.0",
                    "receipt_id": "rcp_bench",
                    "token_key_version": 1,
                },
                schema=LANDING_EVENTS.schema,
            )
            log.commit(log.prepare(rows))
    log.close()
