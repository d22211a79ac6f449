"""Writes CSV files of one climate sensor in the two layouts that sensor archives use."""

import csv
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from device_sim.chance import seeded
from device_sim.places import PLACES, Place
from device_sim.walks import Walk, daily_swing

SENSOR_COMMUNITY_COLUMNS: Final = (
    "sensor_id", "sensor_type", "location", "lat", "lon", "timestamp", "pressure", "altitude",
    "pressure_sealevel", "temperature", "humidity",
)  # fmt: skip
SOFIA_COLUMNS: Final = (
    "sensor_id", "location", "lat", "lon", "timestamp", "pressure", "temperature", "humidity",
)  # fmt: skip
_BAD_VALUES: Final = (
    ("temperature", "warm"),
    ("temperature", "999.9"),
    ("humidity", "-12.5"),
    ("humidity", "180"),
    ("pressure", "0"),
    ("timestamp", "not a time"),
    ("timestamp", ""),
)
_SECONDS_APART: Final = 148


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file that was written: its path, rows, and the data rows (from 1) that are bad."""

    path: Path
    rows: int
    bad_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How an archive writes a row: columns, delimiter, the station and its mean pressure in Pa."""

    name: str
    columns: tuple[str, ...]
    delimiter: str
    place: Place
    mean_pressure: float


SENSOR_COMMUNITY: Final = Layout(
    "bme280_sensor", SENSOR_COMMUNITY_COLUMNS, ";", PLACES[0], 101_300.0
)
SOFIA: Final = Layout("bme280sof_sensor", SOFIA_COLUMNS, ",", PLACES[1], 94_000.0)
LAYOUTS: Final = (SENSOR_COMMUNITY, SOFIA)
"""Both write times without a zone (UTC) and pressure in Pa; Sofia is 590 m above the sea."""


def write_csv(  # noqa: PLR0913 - the last four say how the file looks
    folder: Path, layout: Layout, *, seed: int, start: datetime, rows: int, bad_rate: float = 0.01
) -> CsvFile:
    """Write one file of one sensor, named by its first day, layout and sensor number.

    Args:
        folder: Where to write; made when it is not there.
        layout: One of ``LAYOUTS``.
        seed: Same seed and start, same file.
        start: Time before the first row (aware, UTC).
        rows: Data rows, 148 s apart.
        bad_rate: Share of rows with one value that cannot be read or cannot be true.
    """
    rng = seeded(seed, "csv", layout.name)
    weather = (
        Walk(12.0, 0.05, -30, 40),
        Walk(60.0, 0.2, 5, 100),
        Walk(layout.mean_pressure, 4.0, 90_000, 106_000),
    )
    sensor = {
        "sensor_id": str(rng.randint(20_000, 99_999)),
        "sensor_type": "BME280",
        "location": str(rng.randint(1_000, 9_999)),
        "lat": f"{layout.place.latitude:.3f}",
        "lon": f"{layout.place.longitude:.3f}",
        "altitude": "",
        "pressure_sealevel": "",
    }
    bad: list[int] = []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{start.date().isoformat()}_{layout.name}_{sensor['sensor_id']}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file,
            layout.columns,
            delimiter=layout.delimiter,
            extrasaction="ignore",
            lineterminator="\n",
        )
        writer.writeheader()
        for number in range(1, rows + 1):
            moment = start + timedelta(seconds=_SECONDS_APART * number)
            row = sensor | _readings(weather, moment, rng)
            if rng.random() < bad_rate:
                column, value = rng.choice(_BAD_VALUES)
                row[column] = value
                bad.append(number)
            writer.writerow(row)
    return CsvFile(path, rows, tuple(bad))


def _readings(
    weather: tuple[Walk, Walk, Walk], moment: datetime, rng: random.Random
) -> dict[str, str]:
    temperature, humidity, pressure = weather
    return {
        "timestamp": moment.replace(tzinfo=None).isoformat(timespec="seconds"),
        "temperature": f"{temperature.step(rng) + daily_swing(moment, 6):.2f}",
        "humidity": f"{humidity.step(rng):.2f}",
        "pressure": f"{pressure.step(rng):.2f}",
    }
