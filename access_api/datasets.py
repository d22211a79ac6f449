"""What can be read: each dataset's relation, columns, order and filters. Nothing else names SQL.

A dataset is ordered by a key that is unique and never null, with an index behind it, so that a page
begins where the one before ended however many rows lie before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from access_api.columns import Column, Kind, of_kind

_METRIC = (
    *of_kind(Kind.TEXT, "source", "device_id", "metric"),
    Column("unit", Kind.TEXT, "%(units)s::jsonb ->> metric"),
)
_STATISTICS = (
    *of_kind(Kind.INTEGER, "n"),
    *of_kind(Kind.NUMBER, "average", "minimum", "maximum", "standard_deviation", "total", "m2"),
    *of_kind(Kind.NUMBER, "first_value"),
    *of_kind(Kind.TIMESTAMP, "first_at"),
    *of_kind(Kind.NUMBER, "last_value"),
    *of_kind(Kind.TIMESTAMP, "last_at"),
)
_METRIC_FILTERS = {"source": "source", "device": "device_id", "metric": "metric"}
_DEVICES_OF_USER = "SELECT device_id FROM marts.dim_devices WHERE user_id = %(user)s"


@dataclass(frozen=True)
class Dataset:
    """Something that a route answers with.

    Attributes:
        name: Its name in `/v1/datasets`.
        path: Its route.
        summary: What it is, for the documentation.
        relation: What stands after FROM; `%(...)s` are bound.
        mart: The model of schema `marts` that it shows.
        columns: What a row has, in this order.
        key: Columns that order it.
        filters: Columns by the query parameter that must equal them.
        time: Column that `from` (inclusive) and `to` (exclusive) limit.
        only: Sources that the rows come from, where no column says so.
        newest_first: Whether it begins with the largest key unless asked otherwise.
    """

    name: str
    path: str
    summary: str
    relation: str
    mart: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    filters: dict[str, str] = field(default_factory=dict)
    time: str | None = None
    only: tuple[str, ...] = ()
    newest_first: bool = False

    @property
    def key_kinds(self) -> tuple[Kind, ...]:
        """Kinds of the key's columns."""
        kinds = {column.name: column.kind for column in self.columns}
        return tuple(kinds[name] for name in self.key)

    def time_kind(self) -> Kind:
        """Return the kind of the column that time limits."""
        return next(column.kind for column in self.columns if column.name == self.time)


EVENTS = Dataset(
    name="events",
    path="/v1/events",
    summary="Every event that passed the rules, and how it arrived",
    relation="marts.fct_events",
    mart="fct_events",
    columns=(
        *of_kind(Kind.TEXT, "event_id", "source", "device_id", "receipt_id", "shape"),
        *of_kind(Kind.TEXT, "correction_id"),
        *of_kind(Kind.TEXT, "source_file"),
        *of_kind(Kind.INTEGER, "source_row"),
        *of_kind(Kind.TEXT, "contract_version"),
        *of_kind(Kind.INTEGER, "token_key_version"),
        *of_kind(Kind.NUMBER, "lateness_seconds"),
        *of_kind(Kind.TIMESTAMP, "event_time", "received_at", "received_hour", "loaded_at"),
    ),
    key=("event_time", "event_id", "source", "received_hour"),
    filters={
        "source": "source",
        "device": "device_id",
        "receipt": "receipt_id",
        "file": "source_file",
    },
    time="event_time",
    newest_first=True,
)
READINGS = Dataset(
    name="readings",
    path="/v1/readings",
    summary="Readings of room and air sensors",
    relation="marts.fct_environment_readings",
    mart="fct_environment_readings",
    columns=(
        *of_kind(Kind.TEXT, "event_id", "device_id", "receipt_id", "location_id", "source_file"),
        *of_kind(Kind.INTEGER, "source_row"),
        *of_kind(Kind.TEXT, "location_name", "sensor_type", "device_label"),
        *of_kind(Kind.NUMBER, "temperature_celsius", "relative_humidity_percent", "pressure_hpa"),
        *of_kind(Kind.NUMBER, "carbon_monoxide_ppm", "lpg_ppm", "smoke_ppm", "illuminance_lux"),
        *of_kind(Kind.NUMBER, "dew_point_celsius", "heat_index_celsius"),
        *of_kind(Kind.NUMBER, "latitude", "longitude", "altitude_m"),
        *of_kind(Kind.BOOLEAN, "light_detected", "motion_detected"),
        *of_kind(Kind.TIMESTAMP, "event_time", "received_at", "received_hour"),
    ),
    key=("event_time", "event_id", "received_hour"),
    filters={
        "device": "device_id",
        "type": "sensor_type",
        "location": "location_id",
        "file": "source_file",
    },
    time="event_time",
    only=("environment",),
    newest_first=True,
)
SESSIONS = Dataset(
    name="sessions",
    path="/v1/sessions",
    summary="App sessions of phones",
    relation="marts.fct_mobile_sessions",
    mart="fct_mobile_sessions",
    columns=(
        *of_kind(Kind.TEXT, "session_id", "device_id", "user_email", "device_model"),
        *of_kind(Kind.TEXT, "device_manufacturer", "os_name", "app_name", "app_version"),
        *of_kind(Kind.INTEGER, "event_count"),
        *of_kind(Kind.NUMBER, "duration_seconds", "first_battery_level_percent"),
        *of_kind(Kind.NUMBER, "last_battery_level_percent", "minimum_battery_level_percent"),
        *of_kind(Kind.INTEGER, "charging_event_count", "wifi_event_count", "wifi_network_count"),
        *of_kind(Kind.NUMBER, "average_acceleration_ms2"),
        *of_kind(Kind.TIMESTAMP, "started_at", "ended_at", "first_received_at", "last_received_at"),
    ),
    key=("device_id", "started_at", "session_id"),
    filters={"device": "device_id", "model": "device_model", "app_version": "app_version"},
    time="started_at",
    only=("mobile",),
)
MINUTES = Dataset(
    name="metric_minutes",
    path="/v1/metrics/minutes",
    summary="A device's metrics minute by minute; one device and at most 7 days",
    relation="marts.agg_metric_minutes",
    mart="agg_metric_minutes",
    columns=(*_METRIC, *of_kind(Kind.TIMESTAMP, "event_minute"), *_STATISTICS),
    key=("event_minute", "metric", "source"),
    filters=_METRIC_FILTERS,
    time="event_minute",
)
HOURS = Dataset(
    name="metric_hours",
    path="/v1/metrics/hours",
    summary="Metrics by device and hour",
    relation="marts.agg_metric_hours",
    mart="agg_metric_hours",
    columns=(*_METRIC, *of_kind(Kind.TIMESTAMP, "event_hour"), *_STATISTICS),
    key=("source", "device_id", "metric", "event_hour"),
    filters=_METRIC_FILTERS,
    time="event_hour",
)
DAYS = Dataset(
    name="metric_days",
    path="/v1/metrics/days",
    summary="Metrics by device and day",
    relation="marts.agg_metric_days",
    mart="agg_metric_days",
    columns=(*_METRIC, *of_kind(Kind.DAY, "event_day"), *_STATISTICS),
    key=("source", "device_id", "metric", "event_day"),
    filters=_METRIC_FILTERS,
    time="event_day",
)
DEVICES = Dataset(
    name="devices",
    path="/v1/devices",
    summary="Devices, and what they were before they changed",
    relation="marts.dim_devices",
    mart="dim_devices",
    columns=(
        *of_kind(Kind.TEXT, "device_version_id", "source", "device_id", "user_id", "location_id"),
        *of_kind(Kind.TEXT, "location_name", "sensor_type", "device_label", "device_model"),
        *of_kind(Kind.TEXT, "device_manufacturer", "os_name", "place_name", "time_zone"),
        *of_kind(Kind.NUMBER, "latitude", "longitude", "altitude_m"),
        Column("attributes", Kind.OBJECT),
        *of_kind(Kind.BOOLEAN, "is_current", "is_registered"),
        *of_kind(Kind.TIMESTAMP, "valid_from", "valid_to", "registered_at"),
    ),
    key=("device_id", "device_version_id"),
    filters={
        "source": "source",
        "device": "device_id",
        "user": "user_id",
        "type": "sensor_type",
        "current": "is_current",
    },
)
DAILY_STEPS = Dataset(
    name="user_daily_steps",
    path="/v1/users/{user}/steps/daily",
    summary="Steps of a user on each of the last days (UTC, today included) that has some",
    relation=f"""(
        SELECT event_day, sum(steps)::float8 AS steps, count(*) AS device_count
        FROM marts.fct_wearable_days
        WHERE device_id IN ({_DEVICES_OF_USER}) AND steps IS NOT NULL
            AND event_day > (now() AT TIME ZONE 'UTC')::date - %(days)s::int
            AND event_day <= (now() AT TIME ZONE 'UTC')::date
        GROUP BY event_day
    )""",  # noqa: S608  (constants)
    mart="fct_wearable_days",
    columns=(
        *of_kind(Kind.DAY, "event_day"),
        *of_kind(Kind.NUMBER, "steps"),
        *of_kind(Kind.INTEGER, "device_count"),
    ),
    key=("event_day",),
    only=("wearable",),
    newest_first=True,
)
SLEEP_HEART_RATE = Dataset(
    name="user_sleep_heart_rate",
    path="/v1/users/{user}/sleep/heart-rate",
    summary="A user's heart rate asleep and awake, by day (UTC) that holds sleep",
    relation=f"""(
        SELECT * FROM marts.agg_sleep_heart_rate
        WHERE device_id IN ({_DEVICES_OF_USER})
            AND event_day > (now() AT TIME ZONE 'UTC')::date - %(days)s::int
            AND event_day <= (now() AT TIME ZONE 'UTC')::date
    )""",  # noqa: S608  (constants)
    mart="agg_sleep_heart_rate",
    columns=(
        *of_kind(Kind.DAY, "event_day"),
        *of_kind(Kind.TEXT, "device_id"),
        *of_kind(Kind.INTEGER, "n"),
        *of_kind(Kind.NUMBER, "average", "minimum", "maximum", "standard_deviation"),
        *of_kind(Kind.INTEGER, "awake_n"),
        *of_kind(Kind.NUMBER, "awake_average", "dip_percent"),
    ),
    key=("event_day", "device_id"),
    only=("wearable",),
    newest_first=True,
)
HEART_RATE_BY_AGE = Dataset(
    name="heart_rate_by_age",
    path="/v1/analytics/heart-rate/by-age",
    summary="Heart rate by day and age group",
    relation="marts.agg_heart_rate_by_age",
    mart="agg_heart_rate_by_age",
    columns=(
        *of_kind(Kind.DAY, "event_day"),
        *of_kind(Kind.TEXT, "age_group"),
        *of_kind(Kind.INTEGER, "device_count", "n"),
        *of_kind(Kind.NUMBER, "average", "minimum", "maximum", "standard_deviation"),
    ),
    key=("event_day", "age_group"),
    filters={"age_group": "age_group"},
    time="event_day",
    only=("wearable",),
    newest_first=True,
)
QUALITY = Dataset(
    name="quality",
    path="/v1/quality",
    summary="Quality scores by day of arrival, source and dimension",
    relation="marts.rpt_data_quality",
    mart="rpt_data_quality",
    columns=(
        *of_kind(Kind.DAY, "received_day"),
        *of_kind(Kind.TEXT, "source", "quality_dimension"),
        *of_kind(Kind.INTEGER, "rule_count", "checked", "failed", "warned"),
        *of_kind(Kind.NUMBER, "score"),
        *of_kind(Kind.TEXT, "most_broken_rule"),
    ),
    key=("received_day", "source", "quality_dimension"),
    filters={"source": "source", "dimension": "quality_dimension"},
    time="received_day",
    newest_first=True,
)
DATASETS = (
    *(EVENTS, READINGS, SESSIONS, MINUTES, HOURS, DAYS, DEVICES),
    *(DAILY_STEPS, SLEEP_HEART_RATE, HEART_RATE_BY_AGE, QUALITY),
)
MART_SOURCES = {
    **{dataset.mart: dataset.only for dataset in DATASETS if dataset.only},
    "agg_battery_drain": ("mobile",),
    "fct_sleep_episodes": ("wearable",),
}
"""Sources of the marts that have no column `source`. Others are for keys of all sources."""
