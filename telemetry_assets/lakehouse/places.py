"""Where an event was and what the clocks there showed, as Polars expressions."""

from __future__ import annotations

import polars as pl

from telemetry_contracts.frames import WALL_TIME

_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"
_LONGEST_GEOHASH = 12
# Zones change their offset at quarters of an hour: one look-up does for a quarter's events.
_STEP = "15m"


def geohash(latitude: str, longitude: str, precision: int) -> pl.Expr:
    """Return the geohash of a position: the base 32 name of the cell that holds it.

    The bits of longitude and latitude alternate, longitude first, five to a character (Niemeyer,
    2008; https://en.wikipedia.org/wiki/Geohash). A cell is at most 4.9 km wide with 5 characters,
    1.2 km with 6, 153 m with 7. Null where a coordinate is null.

    Args:
        latitude: Column of degrees north, -90 to 90 (WGS 84).
        longitude: Column of degrees east, -180 to 180.
        precision: Characters, 1 to 12.

    Raises:
        TypeError: The precision is another.
    """
    if not 1 <= precision <= _LONGEST_GEOHASH:
        raise TypeError(f"a geohash has 1 to {_LONGEST_GEOHASH} characters")
    bits_east, bits_north = (5 * precision + 1) // 2, 5 * precision // 2
    east = _cell(pl.col(longitude), 180.0, bits_east)
    north = _cell(pl.col(latitude), 90.0, bits_north)
    characters = []
    for place in range(precision):
        # A character takes three bits of one coordinate and two of the other, by turns.
        taken = (3, 2) if place % 2 == 0 else (2, 3)
        bits_east, bits_north = bits_east - taken[0], bits_north - taken[1]
        of_east = (east // 2**bits_east) % 2 ** taken[0]
        of_north = (north // 2**bits_north) % 2 ** taken[1]
        letters = pl.lit(pl.Series(_letters(*taken)))
        characters.append(letters.gather(of_east * 2 ** taken[1] + of_north))
    return pl.concat_str(characters)


def _cell(degrees: pl.Expr, limit: float, bits: int) -> pl.Expr:
    """Return which equal part of -limit to limit holds the value; the last holds its end."""
    share = (degrees + limit) / (2 * limit)
    return (share * 2**bits).floor().clip(0, 2**bits - 1).cast(pl.Int64)


def _letters(east: int, north: int) -> list[str]:
    """Return the character of each pair of bit groups, by east * 2^bits of north + north."""
    letters = []
    for of_east in range(2**east):
        for of_north in range(2**north):
            odd, even = (of_east, of_north) if east > north else (of_north, of_east)
            value = sum((odd >> bit & 1) << (2 * bit) for bit in range(3))
            value += sum((even >> bit & 1) << (2 * bit + 1) for bit in range(2))
            letters.append(_BASE32[value])
    return letters


def local_time(zone: str) -> pl.Expr:
    """Return what a clock on the wall showed at the event's time, without a zone.

    Null where the zone is null or none of the IANA time zone database.

    Args:
        zone: Column of IANA names such as `Europe/Sofia`.
    """
    return pl.struct(pl.col("event_time"), pl.col(zone).alias("zone")).map_batches(
        _wall_times, return_dtype=WALL_TIME
    )


def _wall_times(events: pl.Series) -> pl.Series:
    frame = events.struct.unnest().with_columns(
        pl.col("event_time").dt.truncate(_STEP).alias("quarter")
    )
    quarters = frame.select("zone", "quarter").drop_nulls().unique()
    parts = quarters.partition_by("zone", as_dict=True)
    offsets = [
        offset for (name,), part in parts.items() if (offset := _offsets(name, part)) is not None
    ]
    if not offsets:
        return pl.repeat(None, frame.height, dtype=WALL_TIME, eager=True)
    found = frame.join(
        pl.concat(offsets), on=["zone", "quarter"], how="left", maintain_order="left"
    )
    return found.select(
        pl.col("event_time").dt.replace_time_zone(None) + pl.col("offset")
    ).to_series()


def _offsets(zone: object, quarters: pl.DataFrame) -> pl.DataFrame | None:
    moment = pl.col("quarter")
    try:
        wall = moment.dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
        return quarters.with_columns((wall - moment.dt.replace_time_zone(None)).alias("offset"))
    except pl.exceptions.PolarsError:
        return None
