"""The landing sensor before 10,000 partitions in 3,000 versions: nothing skipped or repeated."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from telemetry_assets.defs.sensors import MAX_REQUESTS, MAX_UNFINISHED, NAME, landing_sensor
from telemetry_platform.clock import hour_key, hour_start
from telemetry_platform.delta import ensure_table, open_table
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

VERSIONS, HOURS = 3_000, 3_334
SOURCES = ("environment", "mobile", "wearable")
FIRST = hour_start("2026-01-05T00")
Landed = dict[tuple[str, str], int]


def hour(number: int) -> str:
    return hour_key(FIRST + timedelta(hours=number))


def add(source: str, at: str, version: int) -> str:
    """Return an action of the log as a commit of the edge writes it."""
    values = {"source": source, "received_hour": at}
    file = {
        "path": f"source={source}/received_hour={at}/{version}.parquet",
        "partitionValues": values,
        "size": 1000,
        "modificationTime": 1,
        "dataChange": True,
        "stats": '{"numRecords":1}',
    }
    return json.dumps({"add": file})


def log_folder(settings: Settings) -> Path:
    folder = Path(settings.root) / LANDING_EVENTS.path / "_delta_log"
    if not folder.exists():
        ensure_table(settings, LANDING_EVENTS)
    return folder


def commit(settings: Settings, version: int, touched: list[tuple[str, str]]) -> None:
    lines = [add(source, at, version) for source, at in touched]
    file = log_folder(settings) / f"{version:020}.json"
    file.write_text("\n".join([*lines, '{"commitInfo":{}}']))


@pytest.fixture
def landed(settings: Settings) -> Landed:
    """Write the log of an outage: each hour grows three times; returns the newest versions."""
    newest: Landed = {}
    pairs = [(source, hour(number)) for number in range(HOURS) for source in SOURCES]
    share = -(-len(pairs) // VERSIONS)
    for version in range(1, VERSIONS + 1):
        start = (version - 1) * share % len(pairs)
        touched = [*pairs[start : start + share], pairs[(version * 7) % len(pairs)]]
        commit(settings, version, list(dict.fromkeys(touched)))
        newest |= dict.fromkeys(touched, version)
    assert len(newest) >= 10_000
    return newest


@pytest.fixture
def tick(registry: Registry, settings: Settings, instance: dg.DagsterInstance) -> Any:
    assert settings.lake_root

    def evaluate(cursor: str | None, **limits: float) -> tuple[list[dg.RunRequest], str]:
        # Long: how much a tick reads is asked only where `limits` says so.
        sensor = landing_sensor(
            registry, {}, **{"listen_seconds": 0.0, "read_seconds": 600.0, **limits}
        )
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            found = sensor(context)
            if isinstance(found, dg.SkipReason):
                return [], context.cursor or ""
        assert isinstance(found, dg.SensorResult)
        return list(found.run_requests or []), found.cursor or ""

    return evaluate


def asked(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [
        (source, request.partition_key or "")
        for request in requests
        for source in request.tags["telemetry/sources"].split(",")
    ]


def waiting(cursor: str) -> list[tuple[str, str]]:
    left = json.loads(cursor)["waiting"]
    return [(source, at) for at, entry in left.items() for source in entry["sources"]]


def newest_by_hour(landed: Landed) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, at), version in landed.items():
        found[at] = max(version, found.get(at, 0))
    return found


def drain(tick: Any, cursor: str | None) -> tuple[list[dg.RunRequest], str]:
    """Tick until nothing is asked for; each tick is one of a process that has just started."""
    requests, cursor = tick(cursor)
    everything = list(requests)
    while requests:
        assert len(requests) <= MAX_REQUESTS
        requests, cursor = tick(cursor)
        everything += requests
    return everything, cursor or ""


def test_ten_thousand_partitions_are_asked_for_once_with_their_newest_version(
    tick: Any, landed: Landed
) -> None:
    cursor, requests = None, []
    for _ in range(4):
        more, cursor = tick(cursor)
        assert len(more) == MAX_REQUESTS
        requests += more
        left = waiting(cursor)
        assert Counter([*asked(requests), *left]) == Counter(landed.keys())
        assert json.loads(cursor)["versions"]["landing/events"] == VERSIONS
    newest = newest_by_hour(landed)
    for request in requests:
        version = newest[request.partition_key or ""]
        assert request.run_key == f"{request.partition_key}:landing/events@{version}"
    for at, entry in json.loads(cursor)["waiting"].items():
        assert entry["versions"] == {"landing/events": newest[at]}


def test_a_log_that_was_cleaned_up_behind_the_cursor_is_replaced_by_the_table(
    tick: Any, settings: Settings, landed: Landed
) -> None:
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    table.create_checkpoint()
    for version in range(VERSIONS - 5):
        (log_folder(settings) / f"{version:020}.json").unlink()
    for cursor in (None, json.dumps({"versions": {"landing/events": 40}, "waiting": {}})):
        requests, after = tick(cursor)
        assert Counter([*asked(requests), *waiting(after)]) == Counter(landed.keys())
        assert json.loads(after)["versions"]["landing/events"] == VERSIONS
    commit(settings, VERSIONS + 1, [("mobile", hour(0))])
    _, later = tick(after)
    assert json.loads(later)["versions"]["landing/events"] == VERSIONS + 1


def test_a_tick_that_runs_out_of_time_goes_on_where_it_stopped(
    tick: Any, settings: Settings
) -> None:
    wanted = {("mobile", hour(number)): number + 1 for number in range(12)}
    for (source, at), version in wanted.items():
        commit(settings, version, [(source, at)])
    cursor: str | None = None
    found: list[dg.RunRequest] = []
    for number in range(len(wanted) + 1):
        requests, cursor = tick(cursor, read_seconds=0.0)
        assert json.loads(cursor)["versions"]["landing/events"] == number
        found += requests
    requests, _ = drain(tick, cursor)
    assert Counter(asked([*found, *requests])) == Counter(wanted.keys())


def test_no_more_is_asked_for_than_a_queue_may_hold(
    tick: Any, settings: Settings, instance: dg.DagsterInstance
) -> None:
    @dg.job(name="refine_hour")
    def refine() -> None:
        pass

    for number in range(MAX_UNFINISHED + 10):
        commit(settings, number + 1, [("mobile", hour(number))])
    cursor, runs = None, []
    for _ in range(8):
        requests, cursor = tick(cursor)
        for request in requests:
            tags = {"dagster/partition": request.partition_key or "", "dagster/sensor_name": NAME}
            runs.append(
                instance.create_run_for_job(
                    job_def=refine, status=dg.DagsterRunStatus.NOT_STARTED, tags=tags
                )
            )
    assert len(runs) == MAX_UNFINISHED
    for run in runs:
        instance.delete_run(run.run_id)
    requests, _ = drain(tick, cursor)
    assert len(requests) == 10


def test_a_backfill_that_fills_the_queue_does_not_hold_back_what_comes(
    tick: Any, settings: Settings, instance: dg.DagsterInstance
) -> None:
    @dg.job(name="__ASSET_JOB")
    def backfilled() -> None:
        pass

    for number in range(MAX_UNFINISHED + 5):
        instance.create_run_for_job(
            job_def=backfilled,
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags={"dagster/partition": hour(number), "dagster/backfill": "month"},
        )
    commit(settings, 1, [("mobile", hour(0)), ("mobile", hour(99))])
    ((request,), cursor) = tick(None)
    assert request.partition_key == hour(99)
    assert request.tags["dagster/priority"] == "1"
    assert waiting(cursor) == [("mobile", hour(0))], "its run reads what came"


def test_events_of_a_source_that_is_unknown_yet_are_asked_for_once_it_has_a_contract(
    registry: Registry, settings: Settings, instance: dg.DagsterInstance
) -> None:
    def evaluate(known: Any, cursor: str | None) -> tuple[list[dg.RunRequest], str]:
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            found = landing_sensor(known, {}, listen_seconds=0.0)(context)
            if isinstance(found, dg.SkipReason):
                return [], context.cursor or ""
        assert isinstance(found, dg.SensorResult)
        return list(found.run_requests or []), found.cursor or ""

    fewer = type(registry)([c for c in registry.values() if c.source != "wearable"])
    commit(settings, 1, [("wearable", hour(0)), ("mobile", hour(0))])
    requests, cursor = evaluate(fewer, None)
    assert asked(requests) == [("mobile", hour(0))]
    assert evaluate(fewer, cursor)[0] == []
    requests, cursor = evaluate(registry, cursor)
    assert asked(requests) == [("wearable", hour(0))]
    assert evaluate(registry, cursor)[0] == []
