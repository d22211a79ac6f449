"""CSV files: every row lands or is refused with its reasons, and nothing personal is repeated."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.contract import EXTRAS_KEY, FILE_KEY, ROW_KEY
from telemetry_contracts.conversions import MAX_TEXT
from telemetry_contracts.csv_frames import LOG_SCHEMA, CsvReading, UnreadableFile, read_csv_events
from telemetry_contracts.frames import parse_payload
from telemetry_contracts.odcs import load_contract
from telemetry_contracts.reader import Reading, compile_reader
from telemetry_contracts.registry import Registry
from tests.unit.telemetry_contracts.test_odcs import PARKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry_contracts.tokens import KeyRing

    Read = Callable[..., CsvReading]

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
ARCHIVE = (
    "sensor_id;sensor_type;location;lat;lon;timestamp;"
    "pressure;altitude;pressure_sealevel;temperature;humidity"
)
ARCHIVE_ROW = "10001;BME280;5001;50.1;-3.2;2019-03-04T05:06:07;100123.45;;;12.5;81.2"
CITY = "sensor_id,location,lat,lon,timestamp,pressure,temperature,humidity"
CITY_ROW = "1234,567,41.5,22.5,2017-07-01T00:02:09,93920.2,24.65,47.32"
PHONES = "device_id,event_time,battery_level_percent,wifi_name,user_email,note"


@pytest.fixture
def read(registry: Registry, keyring: KeyRing) -> Read:
    """Return what reads lines of text as a file, with every row accounted for."""

    def read(*lines: str, source: str | None = None, end: str = "\n") -> CsvReading:
        data = "".join(line + end for line in lines).encode()
        found = read_csv_events(data, "file.csv", registry, keyring, NOW, source)
        assert found.good.height + found.bad.height == found.rows
        assert set(found.log["row"]) == set(found.bad.to_series(0))
        assert found.log.schema == LOG_SCHEMA
        return found

    return read


def payloads(found: CsvReading) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in found.good["payload"]]


def complaints(found: CsvReading) -> list[tuple[int, str, str, str | None]]:
    return found.log.select("row", "column", "rule", "value").rows()


def test_the_archive_layout_is_read_into_canonical_columns(read: Read) -> None:
    found = read(ARCHIVE, ARCHIVE_ROW)
    assert found.contract.source == "environment"
    assert found.good.select("device_id", "event_time").rows() == [
        ("10001", datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC))
    ]
    (payload,) = payloads(found)
    assert {name: value for name, value in payload.items() if value is not None} == {
        "_shape": "sensor_community",
        "latitude": 50.1,
        "location_id": "5001",
        "longitude": -3.2,
        "pressure_hpa": pytest.approx(1001.2345),
        "relative_humidity_percent": 81.2,
        "sensor_type": "BME280",
        "temperature_celsius": 12.5,
        FILE_KEY: "file.csv",
        ROW_KEY: 1,
    }


def test_the_city_layout_is_read_by_the_same_contract(read: Read) -> None:
    found = read(CITY, CITY_ROW)
    assert payloads(found)[0]["pressure_hpa"] == pytest.approx(939.202)


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_make_no_difference(read: Read, separator: str, end: str) -> None:
    lines = [line.replace(",", separator) for line in (CITY, CITY_ROW)]
    assert read(*lines, end=end).good.equals(read(CITY, CITY_ROW).good)


def test_a_byte_order_mark_blank_lines_and_padding_make_no_difference(read: Read) -> None:
    plain = read(CITY, CITY_ROW, CITY_ROW)
    padded = CITY_ROW.replace(",", " , ")
    assert read("\ufeff" + CITY.replace(",", " ,"), "", CITY_ROW, "", padded, "").good.equals(
        plain.good
    )


def test_quoted_separators_newlines_and_quotes_stay_in_their_value(read: Read) -> None:
    row = '1,"567",41.5,22.5,2017-07-01T00:02:09,93920.2,24.65,47.32,"two\nlines, and ""quotes"""'
    found = read(CITY + ",note", row, CITY_ROW + ",plain")
    assert [json.loads(payload[EXTRAS_KEY]) for payload in payloads(found)] == [
        {"note": 'two\nlines, and "quotes"'},
        {"note": "plain"},
    ]
    assert [payload[ROW_KEY] for payload in payloads(found)] == [1, 2]


def test_bad_rows_are_named_with_row_column_rule_and_value(read: Read) -> None:
    found = read(
        ARCHIVE,
        ARCHIVE_ROW,
        ARCHIVE_ROW.replace("12.5", "warm"),
        ARCHIVE_ROW.replace("81.2", "181.2").replace("50.1", "95"),
        ARCHIVE_ROW.replace("2019-03-04T05:06:07", "4 March"),
        ARCHIVE_ROW.replace("10001", ""),
        ARCHIVE_ROW.replace("100123.45", "").replace("12.5", "").replace("81.2", ""),
        ARCHIVE_ROW.replace("2019", "2026").replace("-03-", "-12-"),
        ARCHIVE_ROW.replace("2019", "1960"),
    )
    assert complaints(found) == [
        (2, "temperature", "type", "warm"),
        (3, "humidity", "range.relative_humidity_percent", "181.2"),
        (3, "lat", "range.latitude", "95"),
        (4, "timestamp", "time", "4 March"),
        (5, "sensor_id", "required", None),
        (6, "", "at_least_one", None),
        (7, "timestamp", "timeliness.future", "2026-12-04T05:06:07"),
        (8, "timestamp", "time", "1960-03-04T05:06:07"),
    ]
    assert found.bad["temperature"].to_list()[0] == "warm"
    assert found.good.height == 1


def test_rows_of_the_wrong_length_are_refused_whole_and_kept_whole(read: Read) -> None:
    short, long = CITY_ROW.rsplit(",", 2)[0], CITY_ROW + ",more,and more"
    found = read(CITY, short, CITY_ROW, long)
    assert found.log.select("row", "rule", "message").rows() == [
        (1, "columns", "expected 8 values, found 6"),
        (3, "columns", "expected 8 values, found 10"),
    ]
    assert found.bad["surplus"].to_list() == [None, "more,and more"]
    assert found.bad["temperature"].to_list() == [None, "24.65"]


def test_nul_in_an_unknown_column_is_refused_as_the_reader_refuses_it(read: Read) -> None:
    found = read(f"{CITY},odd", f"{CITY_ROW},a\x00b", f"{CITY_ROW},ab")
    assert complaints(found) == [(1, "odd", "text", None)]
    assert found.good.height == 1


def test_personal_columns_leave_as_tokens_only(read: Read, keyring: KeyRing) -> None:
    mail, network = "ada@example.org", "Ada's network"
    found = read(
        PHONES,
        f"p1,2026-11-22T10:00:00,50,{network},{mail},",
        f"p2,2026-11-22T10:00:00,500,{network},{mail},",
        f"p3,2026-11-22T10:00:00,50,{'x' * (MAX_TEXT + 1)},{mail},",
        f"p4,2026-11-22T10:00:00,50,{network}",
        f"p5,,2026-11-22T10:00:00,50,{network},{mail},",
    )
    written = "".join(str(frame.to_dicts()) for frame in (found.good, found.bad, found.log))
    for secret in (mail, network, "xxxx"):
        assert secret not in written
    assert payloads(found)[0]["user_email"] == keyring.token(mail)
    assert found.bad.filter(row=2)["wifi_name"].item() == keyring.token(network)
    assert ("wifi_name", "length", keyring.token("x" * (MAX_TEXT + 1))) in found.log.select(
        "column", "rule", "value"
    ).rows()


def test_every_spelling_of_a_personal_column_is_personal(read: Read, keyring: KeyRing) -> None:
    found = read(
        "device_id,date,hr,email,user_email",
        "w,2026-11-22,60,a@example.org,",
        "w,2026-11-22,60,,b@example.org",
    )
    tokens = [keyring.token("a@example.org"), keyring.token("b@example.org")]
    assert [payload["user_email"] for payload in payloads(found)] == tokens
    assert "example.org" not in str(payloads(found))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no header line"),
        (b"\n\n", "no header line"),
        (b"\xff\xfe\x00a\x00", "not utf-16 text"),
        (b"PK\x03\x04\x00;b\n1;2\n", "not text"),
        (b"a;b;a\n1;2;3\n", "columns 1 and 3 have the same name"),
        (b"name;age\nx;3\n", "fit no contract"),
        (b"device_id,event_time\nd,2026-01-01\n", "several sources .environment, mobile, wearable"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    registry: Registry, keyring: KeyRing, data: bytes, complaint: str
) -> None:
    with pytest.raises(UnreadableFile, match=complaint):
        read_csv_events(data, "file.csv", registry, keyring, NOW)


def test_a_file_without_a_header_is_refused_without_repeating_its_first_row(read: Read) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read("p1,2026-11-22T10:00:00,50,network,ada@example.org,", CITY_ROW)
    assert "ada" not in str(refused.value)


def test_the_folder_decides_between_sources(read: Read) -> None:
    lines = ("device_id,event_time,battery_level_percent", "d,2026-11-22T10:00:00,5")
    assert read(*lines, source="mobile").contract.source == "mobile"
    assert read(*lines).contract.source == "mobile"


def test_a_header_alone_is_a_file_of_no_rows(read: Read) -> None:
    assert read(CITY).rows == 0


def test_a_rows_event_id_depends_on_the_row_alone(read: Read) -> None:
    other = CITY_ROW.replace("24.65", "25").replace("567", "")
    alone = read(CITY + ",note", CITY_ROW + ",").good["event_id"][0]
    beside = read(CITY + ",note", other + ",x", CITY_ROW + ",", "broken").good["event_id"][1]
    assert alone == beside


def test_a_column_called_row_is_kept_beside_the_row_number(read: Read) -> None:
    found = read(
        CITY + ",row,_file", CITY_ROW.replace("24.65", "warm") + ",77,x", CITY_ROW + ",78,y"
    )
    assert found.bad.select("_row", "row").rows() == [(1, "77")]
    assert json.loads(payloads(found)[0][EXTRAS_KEY]) == {"row": "78", "_file": "y"}


def test_the_clients_event_id_counts(read: Read) -> None:
    given_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    found = read(
        "device_id,date,hr,event_id",
        f"w,2026-11-22,60,{given_id}",
        "w,2026-11-22,61,reading 7",
        "w,2026-11-22,62,reading 7",
        "w,2026-11-22,63,",
    )
    ids = found.good["event_id"].to_list()
    assert ids[0] == given_id
    assert ids[1] == ids[2] != ids[3]


def test_a_time_column_of_any_contract_lands_as_the_reader_lands_it(
    tmp_path: Path, keyring: KeyRing
) -> None:
    (tmp_path / "parking.odcs.yaml").write_text(PARKING)
    contract = load_contract(tmp_path / "parking.odcs.yaml")
    row = {"device_id": "d", "event_time": "2026-11-22T10:00:00", "arrived_at": "2026-11-22 09:00"}
    data = f"{','.join(row)}\n{','.join(row.values())}\n".encode()
    found = read_csv_events(data, "f.csv", Registry([contract]), keyring, NOW)
    reading = compile_reader(contract, keyring).read(row)
    assert isinstance(reading, Reading)
    posted, filed = json.loads(reading.payload), payloads(found)[0]
    assert posted["arrived_at"] == filed["arrived_at"] == 1_795_338_000_000_000


cells = st.one_of(
    st.text("0123456789.-+eE"),
    st.floats().map(str),
    st.sampled_from(
        ["", " ", "12", "2026-11-22T10:00:00", "1960-01-01", "2500-01-01", "nan", "1_0"]
    ),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=',;|\t"\u2028\u2029\x85')
    ),
)


@given(rows=st.lists(st.tuples(cells, cells, cells, cells), max_size=6))
def test_both_doors_read_the_same_and_refuse_the_same(
    registry: Registry, keyring: KeyRing, rows: list[tuple[str, ...]]
) -> None:
    names = ("device_id", "event_time", "temperature", "sensor_type")
    lines = [",".join(names), *(",".join(row) for row in rows)]
    found = read_csv_events(
        "\n".join(lines).encode(), "f.csv", registry, keyring, NOW, "environment"
    )
    assert found.good.height + found.bad.height == found.rows
    unreadable = {row for row, rule in found.log.select("row", "rule").rows() if "." not in rule}
    reader = compile_reader(registry["environment"], keyring)
    filed = {p[ROW_KEY]: p for p in payloads(found)}
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    assert found.rows >= len(kept)
    for number, row in enumerate(rows, start=1):
        event = {name: cell.strip() for name, cell in zip(names, row, strict=True)}
        reading = reader.read({name: cell for name, cell in event.items() if cell})
        if number in filed:
            assert isinstance(reading, Reading)
            posted = json.loads(reading.payload)
            for name in ("temperature_celsius", "sensor_type"):
                assert posted.get(name) == filed[number][name]
        elif isinstance(reading, Reading):
            assert number not in unreadable - _without_measurement(found)


def _without_measurement(found: CsvReading) -> set[int]:
    return set(found.log.filter(pl.col("rule") == "at_least_one")["row"])


def test_a_landed_row_becomes_bronze_with_its_file_and_row(read: Read, registry: Registry) -> None:
    landed = read(ARCHIVE, ARCHIVE_ROW).good.with_columns(
        source=pl.lit("environment"),
        **dict.fromkeys(
            ("received_at", "received_hour", "receipt_id", "contract_version", "token_key_version"),
            pl.lit(None),
        ),
    )
    row = parse_payload(landed, registry["environment"]).row(0, named=True)
    assert (row["source_file"], row["source_row"], row["temperature_celsius"]) == (
        "file.csv",
        1,
        12.5,
    )
