"""Geohash cells against published ones, and wall clocks against Python's time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.places import geohash, local_time

# https://en.wikipedia.org/wiki/Geohash, and the examples of geohash.org.
PUBLISHED = [
    (57.64911, 10.40744, "u4pruydqqvj"),
    (42.605, -5.603, "ezs42"),
    (-25.382708, -49.265506, "6gkzwgjzn820"),
    (37.8324, 112.5584, "ww8p1r4t8"),
]
ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"


def cell(latitude: float | None, longitude: float | None, precision: int) -> str | None:
    schema = {"a": pl.Float64, "o": pl.Float64}
    frame = pl.DataFrame({"a": [latitude], "o": [longitude]}, schema=schema)
    return frame.select(geohash("a", "o", precision)).item()


def bisected(latitude: float, longitude: float, precision: int) -> str:
    """Halve the ranges by turns, as the definition says."""
    ranges = [[-180.0, 180.0], [-90.0, 90.0]]
    bits = []
    for turn in range(5 * precision):
        span, value = ranges[turn % 2], (longitude, latitude)[turn % 2]
        middle = (span[0] + span[1]) / 2
        bits.append(value >= middle)
        span[0 if bits[-1] else 1] = middle
    numbers = (int("".join("01"[b] for b in bits[i : i + 5]), 2) for i in range(0, len(bits), 5))
    return "".join(ALPHABET[number] for number in numbers)


@pytest.mark.parametrize(("latitude", "longitude", "wanted"), PUBLISHED)
def test_cells_are_the_published_ones_at_every_precision(
    latitude: float, longitude: float, wanted: str
) -> None:
    for precision in range(1, len(wanted) + 1):
        assert cell(latitude, longitude, precision) == wanted[:precision]


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(1, 7))
def test_a_cell_is_found_as_by_halving(latitude: float, longitude: float, precision: int) -> None:
    # Beside the edge of a cell a rounding may fall on either side.
    edges = [(latitude + 90) / 180 * 2**18 % 1, (longitude + 180) / 360 * 2**18 % 1]
    if all(1e-6 < edge < 1 - 1e-6 for edge in edges):
        assert cell(latitude, longitude, precision) == bisected(latitude, longitude, precision)


def test_the_ends_of_the_world_have_cells_and_nowhere_has_none() -> None:
    assert (cell(90.0, 180.0, 3), cell(-90.0, -180.0, 3)) == ("zzz", "000")
    assert cell(None, 1.0, 5) is cell(1.0, None, 5) is None
    for precision in (0, 13):
        with pytest.raises(TypeError, match="1 to 12"):
            geohash("a", "o", precision)


ZONES = ["Europe/Sofia", "America/Denver", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]


@given(
    st.lists(
        st.tuples(st.datetimes(datetime(1972, 1, 1), datetime(2037, 1, 1)), st.sampled_from(ZONES)),
        max_size=8,
    )
)
def test_local_time_is_what_the_time_zone_database_says(
    events: list[tuple[datetime, str]],
) -> None:
    moments = [moment.replace(tzinfo=UTC) for moment, _ in events]
    zones = [zone for _, zone in events]
    frame = pl.DataFrame(
        {"event_time": moments, "zone": zones},
        schema={"event_time": pl.Datetime("us", "UTC"), "zone": pl.String},
    )
    wanted = [
        moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for moment, zone in zip(moments, zones, strict=True)
    ]
    assert frame.select(local_time("zone"))["event_time"].to_list() == wanted


def test_clocks_change_at_the_minute_and_an_unknown_zone_has_no_clock() -> None:
    # Summer time ended in the EU on 2026-10-25 at 01:00 UTC.
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "event_time": [change - timedelta(seconds=1), change, change, change],
            "zone": ["Europe/Sofia", "Europe/Sofia", None, "Atlantis/Port"],
        }
    ).with_columns(pl.col("event_time").dt.cast_time_unit("us"))
    found = frame.select(local_time("zone"))["event_time"]
    assert found.to_list() == [
        datetime(2026, 10, 25, 3, 59, 59),
        datetime(2026, 10, 25, 3),
        None,
        None,
    ]
    assert frame.clear().select(local_time("zone"))["event_time"].dtype == pl.Datetime("us")
