"""CSV files as people and loggers write them become the same events, and say what was assumed."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from telemetry_contracts.csv_declared import Declared
from telemetry_contracts.csv_frames import CsvFile, CsvReading, UnreadableFile, read_csv_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

    Read = Callable[..., CsvReading]

pytestmark = pytest.mark.unit

SHARED = Path(__file__).parents[4] / "shared" / "data"
NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
HEADER = "sensor_id;location;lat;lon;timestamp;pressure;temperature;humidity"
ROW = "1764;879;42.622;23.366;2017-07-01T00:02:09;93920.2;24.65;47.32"


@pytest.fixture
def read(registry: Registry, keyring: KeyRing) -> Read:
    """Return what reads bytes or lines as a file."""

    def read(text: bytes | str, folder: str | None = None, **declared: Any) -> CsvReading:
        data = text if isinstance(text, bytes) else text.encode()
        said = Declared(**declared)
        found = read_csv_events(data, "f.csv", registry, keyring, NOW, folder, said)
        assert found.good.height + found.bad.height == found.rows
        return found

    return read


def test_decimal_commas_are_the_same_numbers_and_are_said(read: Read) -> None:
    with_points = read(f"{HEADER}\n{ROW}\n{ROW.replace('24.65', '25')}\n")
    with_commas = read(f"{HEADER}\n{ROW}\n{ROW.replace('24.65', '25')}\n".replace(".", ","))
    assert with_commas.good.equals(with_points.good)
    assert (with_points.assumed, with_commas.assumed) == ((), ("decimal commas",))


def test_quoted_decimal_commas_between_commas_are_read(read: Read) -> None:
    row = ROW.replace(".", ",").replace(";", '","')
    found = read(f'{HEADER.replace(";", ",")}\n"{row}"\n')
    assert found.good["payload"].to_list() == read(f"{HEADER}\n{ROW}\n").good["payload"].to_list()


def test_numbers_that_may_be_thousands_are_refused_until_somebody_says(read: Read) -> None:
    lines = f"{HEADER}\n1;2;42;23;2017-07-01T00:02:09;93,920;24;47\n"
    found = read(lines)
    assert found.log.select("row", "column", "rule", "value").rows() == [
        (1, "pressure", "type", "93,920")
    ]
    assert "a YAML file beside it may say" in found.assumed[0]
    assert read(lines.replace("93,920", "93920,5"), decimal=",").assumed == ()


def test_a_mixture_of_commas_and_points_is_refused_row_by_row(read: Read) -> None:
    found = read(f"{HEADER}\n{ROW}\n{ROW.replace('24.65', '24,65')}\n")
    assert (found.good.height, found.log["value"].to_list()) == (1, ["24,65"])
    assert found.assumed == ("decimal points, so numbers with a comma are refused",)
    commas = ROW.replace(".", ",")
    declared = read(f"{HEADER}\n{commas}\n{commas.replace('24,65', '1.024,6')}\n", decimal=",")
    assert (declared.good.height, declared.log["value"].to_list()) == (1, ["1.024,6"])


def test_columns_in_another_order_are_the_same_events(read: Read) -> None:
    def reversed_(line: str) -> str:
        return ";".join(reversed(line.split(";")))

    assert read(f"{reversed_(HEADER)}\n{reversed_(ROW)}\n").good.equals(
        read(f"{HEADER}\n{ROW}\n").good
    )


def test_a_column_that_is_not_required_may_be_missing(read: Read) -> None:
    missing = read(
        "sensor_id;lat;lon;timestamp;temperature\n1764;42.6;23.4;2017-07-01T00:02:09;24.65\n"
    )
    assert missing.good.height == 1


def test_a_file_without_a_required_column_is_refused_whole(read: Read) -> None:
    with pytest.raises(UnreadableFile, match="known among them: sensor_id, lat, lon, temperature"):
        read("sensor_id;lat;lon;temperature\n1764;42.6;23.4;24.65\n")


def test_a_headless_file_with_named_columns_is_the_same_events(read: Read) -> None:
    found = read(f"{ROW}\n", columns=tuple(HEADER.split(";")))
    assert found.good.equals(read(f"{HEADER}\n{ROW}\n").good)


def test_renamed_columns_are_the_same_events(read: Read) -> None:
    found = read(
        f"{HEADER.replace('temperature', 'Temp (C)')}\n{ROW}\n", rename={"Temp (C)": "temperature"}
    )
    assert found.good.equals(read(f"{HEADER}\n{ROW}\n").good)


def test_a_declared_source_counts_more_than_the_folder(read: Read) -> None:
    lines = "device_id,event_time,battery_level_percent\nd,2026-11-22T10:00:00,5\n"
    assert read(lines, "environment", source="mobile").contract.source == "mobile"
    with pytest.raises(UnreadableFile, match="there is no source 'phones'"):
        read(lines, source="phones")


def test_what_a_utf_16_export_of_a_spreadsheet_says_is_understood(read: Read) -> None:
    lines = f"{HEADER}\r\n{ROW}\r\n".replace(";", "\t").replace(".", ",")
    found = read(lines.encode("utf-16"))
    assert found.good.equals(read(f"{HEADER}\n{ROW}\n").good)


REAL = (
    "sensor_community_bme280/*.csv",
    "2017-07_bme280sof_sensor_1764.csv",
    "fitbit/hourlySteps_merged.csv",
    "fitbit/heartrate_seconds_merged_PART_weronikakr.csv",
)


@pytest.mark.parametrize("pattern", REAL)
def test_real_files_in_other_dialects_and_batches_are_the_same_events(
    read: Read, registry: Registry, keyring: KeyRing, pattern: str
) -> None:
    path = next(iter(sorted(SHARED.glob(pattern))), None)
    if path is None:
        pytest.skip("the real device data is not beside this checkout")
    text = "\n".join(path.read_text().splitlines()[:1_500]) + "\n"
    plain = read(text)
    assert plain.rows > 50
    assert plain.assumed == ()
    separator = ";" if ";" in text else ","
    rows = [line.split(separator) for line in text.splitlines()]
    semicolons = "".join(";".join(row) + "\r\n" for row in rows)
    quoted = "".join(",".join(f'"{value}"' for value in row) + "\n" for row in rows)
    for data in (
        semicolons.encode("utf-16"),
        semicolons.encode("utf-8-sig"),
        semicolons.replace(".", ",").encode(),
        quoted.encode(),
    ):
        other = read(data)
        assert other.good.equals(plain.good)
        assert other.log.height == plain.log.height
    file = CsvFile(io.BytesIO(text.encode()), "f.csv", registry, keyring)
    batches = list(file.readings(NOW, 1_000))
    assert len(batches) > 3
    assert pl.concat([batch.good for batch in batches]).equals(plain.good)
    assert pl.concat([batch.log for batch in batches]).equals(plain.log)
