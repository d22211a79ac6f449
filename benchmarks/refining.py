"""One run of a benchmark of refining: `python -m benchmarks.refining CASE ROWS HOURS`.

Makes landed rows, refines them as a run does, and prints seconds and the peak of memory. Making the
rows is no part of either.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.memory import PeakMemory
from telemetry_assets.lakehouse.aggregating import device_profiles, hour_partials, metric_partials
from telemetry_assets.lakehouse.judging import judge
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import (
    DEVICE_PROFILES,
    DUPLICATES,
    HOUR_PARTIALS,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    RULE_OUTCOMES,
    silver_table,
)
from telemetry_contracts.contract import Contract, DeclaredRule, Severity
from telemetry_contracts.frames import payload_dtype, silver_schema
from telemetry_contracts.registry import load_registry
from telemetry_contracts.rules import contract_rules
from telemetry_platform.clock import HOUR, hour_key
from telemetry_platform.delta import ensure_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings

_START = datetime(2026, 1, 5, tzinfo=UTC)
_DEVICES = 2_000
_RULES = 18
_BAD_SHARE = 0.01


def split(rows: int, _: int) -> dict[str, Any]:
    """Split rows of silver's columns by 18 rules; one row in a hundred breaks one or two."""
    contract = _strict(load_registry()["environment"])
    rules = contract_rules(contract)
    assert len(rules) == _RULES, [rule.rule for rule in rules]
    frame = readings(rows, contract)
    with PeakMemory() as peak:
        began, busy = time.perf_counter(), time.process_time()
        judged = judge(frame, rules)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    assert judged.good.height + judged.bad.height == rows
    bad = judged.bad.height
    return {
        "seconds": seconds,
        "processor_seconds": busy,
        "bad": bad,
        "rules": len(rules),
        "peak_bytes": peak.bytes,
    }


def partition(rows: int, _: int) -> dict[str, Any]:
    """Refine one hour of phone events, and decode the JSON of the same rows alone."""
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(folder)
        hour = _landed_elsewhere(settings, "mobile", _phones, rows)
        with PeakMemory() as peak:
            busy = time.process_time()
            seconds = _refine(Lake(settings, registry), "mobile", hour)
            busy = time.process_time() - busy
        landed = pl.scan_delta(ensure_table(settings, LANDING_EVENTS)).select("payload").collect()
        began, decode_busy = time.perf_counter(), time.process_time()
        landed.select(pl.col("payload").str.json_decode(payload_dtype(registry["mobile"])))
        decode_seconds = time.perf_counter() - began
        decode_busy = time.process_time() - decode_busy
    return {
        "seconds": seconds,
        "decode_seconds": decode_seconds,
        "processor_seconds": busy,
        "decode_processor_seconds": decode_busy,
        "peak_bytes": peak.bytes,
    }


def linear(rows: int, hours: int) -> dict[str, Any]:
    """Refine hours of equal size one after the other; `growth` compares the halves' medians."""
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as peak:
        settings = _settings(folder)
        keys = [
            _land(settings, "environment", _rooms, rows // hours, hour) for hour in range(hours)
        ]
        seconds = [_refine(Lake(settings, registry), "environment", key) for key in keys]
    half = len(seconds) // 2
    growth = statistics.median(seconds[half:]) / statistics.median(seconds[:half])
    return {
        "seconds": sum(seconds),
        "growth": growth,
        "each": [round(each, 3) for each in seconds],
        "peak_bytes": peak.bytes,
    }


def _refine(lake: Lake, source: str, hour: str) -> float:
    """Do for one source and hour what a run does before it loads the warehouse."""
    began = time.perf_counter()
    contract = lake.registry[source]
    lake.build_bronze(source, hour)
    refined = lake.refined(source, hour)
    lake.write(silver_table(contract), refined.silver, hour)
    lake.write_corrections(source, hour)
    lake.overtaken(source, hour)
    lake.write(QUARANTINE, refined.quarantine, hour, [source])
    lake.write(DUPLICATES, refined.duplicates, hour, [source])
    lake.write_superseded(hour, [source])
    silver = lake.gold_input(source, hour)
    for table, derive in (
        (METRIC_PARTIALS, metric_partials),
        (HOUR_PARTIALS, hour_partials),
        (DEVICE_PROFILES, device_profiles),
    ):
        lake.write(table, derive(silver, contract), hour, [source])
    lake.write(LEDGER, lake.ledger(source, hour), hour, [source])
    lake.write(RULE_OUTCOMES, lake.rule_outcomes(source, hour), hour, [source])
    return time.perf_counter() - began


def _strict(contract: Contract) -> Contract:
    """Return a contract with 18 rules: formats, and fields against each other, beside its own."""
    fields = [
        replace(field, pattern="^[A-Z0-9-]+$") if field.name == "sensor_type" else field
        for field in contract.fields
    ]
    fields = [
        replace(field, max_length=64) if field.name in ("location_id", "device_label") else field
        for field in fields
    ]
    cross = (
        DeclaredRule("needs", "altitude_m", Severity.ERROR, {"with": "latitude"}),
        DeclaredRule("compare", "smoke_ppm", Severity.ERROR, {"is": "<=", "to": 9_000}),
    )
    return replace(contract, fields=tuple(fields), rules=(*contract.rules, *cross))


def readings(rows: int, contract: Contract) -> pl.DataFrame:
    """Return rows with all measurements; every hundredth has a temperature that cannot be."""
    place = pl.int_range(rows, dtype=pl.Int64)
    moment = pl.lit(_START) + pl.duration(microseconds=place * (3_600_000_000 // rows))
    values = {
        "event_id": pl.format("01890a5d-ac96-774b-bcce-{}", place.cast(pl.String).str.zfill(12)),
        "device_id": pl.format("sensor-{}", place % _DEVICES),
        "event_time": moment,
        "received_at": moment,
        "temperature_celsius": pl.when(place % 100 == 0).then(900.0).otherwise(20 + place % 9),
        "relative_humidity_percent": pl.when(place % 1000 == 0).then(140.0).otherwise(50.0),
        "pressure_hpa": pl.lit(1013.2) + place % 5,
        "carbon_monoxide_ppm": (place % 7) / 1000,
        "lpg_ppm": (place % 7) / 900,
        "smoke_ppm": (place % 7) / 300,
        "illuminance_lux": (place % 900).cast(pl.Float64),
        "latitude": pl.lit(57.1),
        "longitude": pl.lit(-2.1),
        "altitude_m": pl.lit(50.0),
        "sensor_type": pl.lit("BME280"),
        "location_id": (place % _DEVICES).cast(pl.String),
    }
    schema = {name: silver_schema(contract)[name] for name in silver_schema(contract)}
    made = pl.select(place.alias("place")).select(
        expression.alias(name) for name, expression in values.items()
    )
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in schema.items() if n not in values]
    sent = [field.name for field in contract.fields if field.sent]
    return made.with_columns(absent).select(
        pl.col(n).cast(schema[n]) for n in [*sent, "received_at"]
    )


def _phones(place: pl.Expr) -> pl.Expr:
    """Return payloads of phone events, some 480 bytes each."""
    return _filled(
        '{"_shape":"mobile_sdk","device_model":"Pixel 8","device_manufacturer":"Google",'
        '"device_sdk":34,"os_name":"android","battery_level_percent":@.0,"wifi_name":'
        '"tok_1_mzxw6ytboi5dmzrxgy3tqojq","wifi_ip":"tok_1_nbswy3dpeb3w64tmmqqho2lu",'
        '"connectivity":"wifi","app_name":"telemetry_app","app_version":"1.0.0",'
        '"app_build_number":"1","accelerometer_x_ms2":0.@,"accelerometer_y_ms2":9.@,'
        '"accelerometer_z_ms2":0.3,"session_id":"2b1c0000-0000-4000-8000-@"}',
        place % 100,
        place % 997,
        place % 991,
        _padded(place % 50_000),
    )


def _rooms(place: pl.Expr) -> pl.Expr:
    """Return payloads of room sensors."""
    return _filled(
        '{"_shape":"sensor_json","temperature_celsius":2@.5,"relative_humidity_percent":4@.25,'
        '"pressure_hpa":101@.2,"latitude":57.1@,"longitude":-2.1}',
        place % 7,
        place % 9,
        place % 5,
        place % _DEVICES,
    )


def _filled(template: str, *values: pl.Expr) -> pl.Expr:
    """Put values in the place of each `@`: JSON has braces of its own."""
    texts = [pl.lit(text) for text in template.split("@")]
    between = [part for pair in zip(texts, values, strict=False) for part in pair]
    return pl.concat_str([*between, texts[-1]])


def _padded(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.String).str.zfill(12)


def _settings(folder: str) -> Settings:
    (Path(folder) / "lake").mkdir()
    return Settings(home=Path(folder), lake_root=f"{folder}/lake")


def landed_phones(folder: Path, rows: int) -> Settings:
    """Land phone events in one hour of a new lake under `folder`; returns where it lies."""
    settings = _settings(str(folder))
    _landed_elsewhere(settings, "mobile", _phones, rows)
    return settings


def _landed_elsewhere(
    settings: Settings, source: str, payload: Callable[[pl.Expr], pl.Expr], rows: int
) -> str:
    """Land in another process, as it is in life; its memory is none of the run's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_land, settings, source, payload, rows, 0).result()


def _land(
    settings: Settings,
    source: str,
    payload: Callable[[pl.Expr], pl.Expr],
    rows: int,
    number: int,
) -> str:
    """Land `rows` events in the arrival hour with this number; returns the hour."""
    start = _START + number * HOUR
    place = pl.int_range(number * rows, (number + 1) * rows, dtype=pl.Int64)
    since = pl.duration(microseconds=pl.int_range(rows, dtype=pl.Int64) * (3_599_000_000 // rows))
    moment = pl.lit(start).cast(LANDING_EVENTS.schema["event_time"]) + since
    # An id is random, as far as what follows can tell, and of no other row.
    identity = (place * 2_654_435_761 % 2**32).cast(pl.String).str.zfill(10)
    landed = pl.select(
        event_id=pl.format("01890a5d-{}-{}", identity, _padded(place)),
        source=pl.lit(source),
        device_id=pl.format("device-{}", place % _DEVICES),
        event_time=moment,
        received_at=moment,
        received_hour=pl.lit(hour_key(start)),
        payload=payload(place),
        contract_version=pl.lit("1.1.0"),
        receipt_id=pl.format("rcp-{}", place // 100),
        token_key_version=pl.lit(1, pl.Int32),
    )
    table = ensure_table(settings, LANDING_EVENTS)
    landed.select(list(LANDING_EVENTS.schema)).write_delta(table, mode="append")
    return hour_key(start)


def main() -> None:
    """Run the case that the command line names."""
    case, rows, hours = sys.argv[1:]
    print(
        json.dumps(
            {"split": split, "partition": partition, "linear": linear}[case](int(rows), int(hours))
        )
    )


if __name__ == "__main__":
    main()
