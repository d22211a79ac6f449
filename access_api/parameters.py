"""What a request may ask with: one model a route. A parameter that is not here is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)


def _no_number(text: object) -> object:
    """Refuse what would be read as seconds since 1970: it is more likely a slip."""
    if isinstance(text, str):
        try:
            float(text)
        except ValueError:
            return text
        raise ValueError("must be a day or a time of ISO 8601")
    return text


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


MOST_MINUTES = timedelta(days=7)
# Postgres' text cannot hold the character 0.
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Texts = Annotated[list[Text], Field(max_length=50)]
Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_with_zone)]
Day = Annotated[date, BeforeValidator(_no_number)]
_FROM = "Earliest {} (inclusive). A time without a zone is UTC."
_TO = "Latest {} (exclusive)."


class NoFilters(BaseModel):
    """Parameters of a route that has none."""

    model_config = ConfigDict(extra="forbid")


class TraceLimit(NoFilters):
    """Parameters of `/v1/trace/{id}`."""

    limit: int = Field(
        default=100, ge=1, le=1_000, description="Most events of a receipt that are listed."
    )


class Paging(NoFilters):
    """What every dataset understands."""

    limit: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Most rows. Of JSON 1,000 without it and at most 10,000; of the other types "
        "all rows without it.",
    )
    cursor: str | None = Field(
        default=None,
        max_length=2_000,
        description="Where to go on: `next_cursor` of the answer before, with the same filters.",
    )
    order: Literal["asc", "desc"] | None = Field(
        default=None, description="Direction of the dataset's order."
    )

    def filters(self) -> dict[str, Any]:
        """Return what selects rows, by parameter name, without what is not given."""
        paging = set(Paging.model_fields)
        return self.model_dump(by_alias=True, exclude=paging, exclude_defaults=True)


class TimeRange(Paging):
    """Rows between two moments."""

    from_: Moment | None = Field(default=None, alias="from", description=_FROM.format("moment"))
    to: Moment | None = Field(default=None, description=_TO.format("moment"))


class DayRange(Paging):
    """Rows between two days (UTC)."""

    from_: Day | None = Field(default=None, alias="from", description="Earliest day (inclusive).")
    to: Day | None = Field(default=None, description=_TO.format("day"))


class EventFilters(TimeRange):
    """Filters of `/v1/events`."""

    source: Texts = []
    device: Texts = []
    receipt: Texts = []
    file: Texts = []


class ReadingFilters(TimeRange):
    """Filters of `/v1/readings`."""

    device: Texts = []
    type: Texts = Field(default=[], description="Type of the sensor, such as BME280.")
    location: Texts = []
    file: Texts = []


class SessionFilters(TimeRange):
    """Filters of `/v1/sessions`; the time is the session's start."""

    device: Texts = []
    model: Texts = []
    app_version: Texts = []


class HourFilters(TimeRange):
    """Filters of `/v1/metrics/hours`."""

    source: Texts = []
    device: Texts = []
    metric: Texts = []
    unit: Texts = Field(default=[], description="Metrics of this unit, such as degC or bpm.")


class DayFilters(DayRange):
    """Filters of `/v1/metrics/days`."""

    source: Texts = []
    device: Texts = []
    metric: Texts = []
    unit: Texts = Field(default=[], description="Metrics of this unit, such as degC or bpm.")


class MinuteFilters(Paging):
    """Filters of `/v1/metrics/minutes`: minutes are merged when read, so a request is bounded."""

    device: Text
    from_: Moment = Field(alias="from", description=_FROM.format("minute"))
    to: Moment | None = Field(
        default=None, description="Latest minute (exclusive): a day after `from`, at most 7 days."
    )
    source: Texts = []
    metric: Texts = []
    unit: Texts = Field(default=[], description="Metrics of this unit, such as degC or bpm.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        try:
            to = self.to or self.from_ + timedelta(days=1)
        except OverflowError as error:
            raise ValueError("from is too late") from error
        if to - self.from_ > MOST_MINUTES:
            raise ValueError("from and to may be 7 days apart")
        self.to = to
        return self


class DeviceFilters(Paging):
    """Filters of `/v1/devices`."""

    source: Texts = []
    device: Texts = []
    user: Texts = []
    type: Texts = Field(default=[], description="Type of the sensor, such as BME280.")
    current: bool | None = Field(
        default=None, description="Only what holds now, or only what held before."
    )


class LastDays(Paging):
    """Filters of what a user did on the last days."""

    days: int = Field(default=7, ge=1, le=366, description="How many days, today (UTC) included.")

    def filters(self) -> dict[str, Any]:
        """Return nothing: the dataset's own SQL selects by the days."""
        return {}


class AgeFilters(DayRange):
    """Filters of `/v1/analytics/heart-rate/by-age`."""

    age_group: Texts = []


class QualityFilters(DayRange):
    """Filters of `/v1/quality`; the day is that of arrival."""

    source: Texts = []
    dimension: Texts = []
