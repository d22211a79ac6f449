"""The way of every event of a simulator's run: by receipt, by event id, in the API and the command.

What the fleets do not bring about is made here: a second edge that lands a copy of an event, and
the erasure of one.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import psycopg
import pytest
from botocore.exceptions import ClientError

from access_api.tracing import lake_of_reader
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_platform.access_keys.api_key import READ
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.clock import hour_key, utc_now
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import connect, dsn, reader_dsn
from telemetry_platform.trace.ids import parse_id
from telemetry_platform.trace.marts import Marts
from telemetry_platform.trace.steps import Arrival, Outcome, State, Trace
from telemetry_platform.trace.tracing import NotFound, Tracer
from telemetry_platform.trace.way import LakeSide
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import DEADLINE_SECONDS, telemetry, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

WAY = ["received", "landed", "bronze", "silver", "partials", "marts"]
# A log has times in whole milliseconds.
ROUNDING = timedelta(milliseconds=2)
EACH_FATE = 12


@pytest.fixture(scope="module")
def tracer(stack: Settings, entries: list[dict[str, Any]]) -> Iterator[Tracer]:
    """Return a tracer that sees what the access API sees: marts, landing and logs."""
    assert entries
    wait_until_settled(stack)
    lake = lake_of_reader(stack)
    assert lake is not None
    # Else it would be idle in a transaction while tests wait.
    with psycopg.connect(reader_dsn(stack, 30), autocommit=True) as connection:
        yield Tracer(Marts(connection), LakeSide(lake))


@pytest.fixture(scope="module")
def api(stack: Settings) -> Iterator[httpx.Client]:
    key = (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    headers = {"x-api-key": key}
    with httpx.Client(
        base_url=stack.access_url, headers=headers, timeout=DEADLINE_SECONDS
    ) as client:
        yield client


def follow(tracer: Tracer, text: str) -> Trace:
    return tracer.trace(parse_id(text))


def of_receipt(trace: Trace, receipt: str) -> Arrival:
    """Return the arrival by a receipt; devices of two sources may have sent the same id."""
    (found,) = [each for each in trace.arrivals if each.receipt_id == receipt]
    return found


def query(stack: Settings, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn(stack)) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def test_receipts_of_the_run_account_for_their_events(
    tracer: Tracer, entries: list[dict[str, Any]]
) -> None:
    seen: Counter[str] = Counter()
    given = [each for each in entries if each["receipt_id"]]
    # Of posts that were taken whole, some: they differ in nothing but their source.
    whole = [each for each in given if each["accepted"] == each["events"]][::3]
    for entry in [each for each in given if each["accepted"] < each["events"]] + whole:
        if not entry["accepted"] and not entry["rejected"]:
            with pytest.raises(NotFound, match="duplicates"):
                follow(tracer, entry["receipt_id"])
            continue
        found = follow(tracer, entry["receipt_id"])
        counts = Counter(found.counts)
        assert counts["rejected"] == entry["rejected"]
        assert counts["kept"] + counts["quarantined"] + counts["duplicate"] == entry["accepted"]
        assert counts["waiting"] == 0
        landed = [step for step in found.steps[entry["source"]] if step.name == "landed"]
        assert all(step.at and step.version and step.file for step in landed)
        seen.update(counts)
    assert seen["kept"] and seen["rejected"]


def test_kept_events_are_followed_to_the_numbers_they_changed(
    stack: Settings, tracer: Tracer
) -> None:
    kept = query(
        stack,
        "select source, event_id, receipt_id from (select *, row_number() over "
        "(partition by source, source_file order by event_id) as place from marts.fct_events) e "
        "where place <= 2",
    )
    assert {source for source, *_ in kept} == {"environment", "mobile", "wearable"}
    for _, event_id, receipt in kept:
        arrival = of_receipt(follow(tracer, event_id), receipt)
        assert arrival.outcome is Outcome.KEPT
        assert [step.name for step in arrival.steps] == WAY
        assert {step.state for step in arrival.steps} == {State.DONE}
        times = [step.at for step in arrival.steps]
        assert None not in times
        assert all(b >= a - ROUNDING for a, b in pairwise(times) if a and b)
        marts = {row.mart for row in arrival.mart_rows}
        assert marts == {"agg_metric_minutes", "agg_metric_hours", "agg_metric_days"}


def test_quarantined_events_name_the_rules_that_stopped_them(
    stack: Settings, tracer: Tracer
) -> None:
    stopped = query(
        stack, "select event_id, receipt_id, rules from warehouse.quarantine limit %s", EACH_FATE
    )
    assert stopped
    for event_id, receipt, rules in stopped:
        arrival = of_receipt(follow(tracer, event_id), receipt)
        assert arrival.outcome is Outcome.QUARANTINED
        assert [reason.rule for reason in arrival.reasons] == rules
        last = arrival.steps[-1]
        assert (last.name, last.state, last.table) == ("silver", State.STOPPED, "silver/quarantine")
        assert last.at is not None
        assert rules[0] in last.detail


def test_refused_events_are_found_by_their_receipt(
    tracer: Tracer, entries: list[dict[str, Any]]
) -> None:
    entry = next(each for each in entries if each["rejected"] and each["receipt_id"])
    found = follow(tracer, entry["receipt_id"])
    refused = [each for each in found.arrivals if each.outcome is Outcome.REJECTED]
    assert len(refused) == entry["rejected"]
    assert all(each.event_index is not None and each.reasons for each in refused)
    tables = {step.table for steps in found.steps.values() for step in steps}
    assert "landing/rejected" in tables


def test_a_file_is_a_receipt_of_many_events(stack: Settings, tracer: Tracer) -> None:
    ((receipt, accepted, file),) = query(
        stack,
        "select receipt_id, accepted, file from warehouse.files order by accepted desc limit 1",
    )
    found = follow(tracer, receipt)
    assert found.total == accepted
    assert len(found.arrivals) == 100
    assert found.arrivals[0].source_file == file


def test_the_command_and_the_api_say_the_same(
    stack: Settings, api: httpx.Client, entries: list[dict[str, Any]]
) -> None:
    assert entries
    ((event_id,),) = query(stack, "select event_id from marts.fct_events limit 1")
    answer = api.get(f"/v1/trace/{event_id}")
    assert answer.status_code == HTTPStatus.OK, answer.text
    done = telemetry(stack.home, "trace", event_id, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == answer.json()
    shown = telemetry(stack.home, "trace", event_id)
    assert "marts.fct_events" in shown.stdout


def test_ids_that_are_none_and_ids_of_nothing_are_told_apart(
    stack: Settings, api: httpx.Client
) -> None:
    for text, status in (
        ("kitchen", HTTPStatus.BAD_REQUEST),
        (new_receipt_id(), HTTPStatus.NOT_FOUND),
        ("00000000-0000-4000-8000-000000000000", HTTPStatus.NOT_FOUND),
    ):
        answer = api.get(f"/v1/trace/{text}")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    done = telemetry(stack.home, "trace", new_receipt_id())
    assert done.returncode == 1
    assert "duplicates" in done.stderr


def test_a_key_sees_the_ways_of_its_sources_alone(
    stack: Settings, entries: list[dict[str, Any]]
) -> None:
    key = create_key(stack.secrets_dir / "api_keys.json", "phones", ["mobile"], roles=[READ])[1]
    mine = next(each for each in entries if each["source"] == "mobile" and each["accepted"])
    other = next(each for each in entries if each["source"] == "wearable" and each["accepted"])
    ((event_id,),) = query(
        stack, "select event_id from marts.fct_events where receipt_id = %s limit 1",
        other["receipt_id"],
    )  # fmt: skip
    headers = {"x-api-key": key}
    with httpx.Client(
        base_url=stack.access_url, headers=headers, timeout=DEADLINE_SECONDS
    ) as phones:

        def known() -> bool:
            return phones.get("/v1/datasets").status_code == HTTPStatus.OK

        wait_until(known, "the new key is known")
        assert phones.get(f"/v1/trace/{mine['receipt_id']}").status_code == HTTPStatus.OK
        for text in (other["receipt_id"], event_id):
            assert phones.get(f"/v1/trace/{text}").status_code == HTTPStatus.NOT_FOUND


def test_the_account_of_the_api_reads_tables_of_events_and_nothing_else(
    stack: Settings, entries: list[dict[str, Any]]
) -> None:
    assert entries
    settings = lake_of_reader(stack)
    assert settings is not None
    owner, reader = s3_client(stack), s3_client(settings, patient=False)
    pages = owner.get_paginator("list_objects_v2").paginate(Bucket=stack.s3_bucket)
    keys = [each["Key"] for page in pages for each in page["Contents"]]
    layers = {
        place: next(key for key in keys if key.startswith(f"{place}/"))
        for place in ("landing", "bronze", "silver", "gold", "reference")
    }
    people = layers.pop("reference")
    for key in layers.values():
        reader.get_object(Bucket=stack.s3_bucket, Key=key)
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_object(Bucket=stack.s3_bucket, Key=people)
    for key in layers.values():
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.put_object(Bucket=stack.s3_bucket, Key=f"{key}-mine", Body=b"")
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.delete_object(Bucket=stack.s3_bucket, Key=key)


def test_a_copy_that_another_edge_landed_names_the_arrival_it_lost_to_until_it_is_erased(
    stack: Settings, api: httpx.Client, entries: list[dict[str, Any]]
) -> None:
    entry = next(each for each in entries if each["source"] == "mobile" and each["accepted"])
    ((event_id,),) = query(
        stack, "select event_id from marts.fct_events where receipt_id = %s limit 1",
        entry["receipt_id"],
    )  # fmt: skip
    copy = land_copy(stack, event_id)
    arrivals: list[dict[str, Any]] = []

    def outcomes() -> list[str]:
        arrivals[:] = api.get(f"/v1/trace/{event_id}").json()["events"]
        return [each["outcome"] for each in arrivals]

    waiting = api.get(f"/v1/trace/{copy}").json()["events"]
    assert [each["outcome"] for each in waiting] in (["waiting"], ["duplicate"])
    wait_until(lambda: outcomes() == ["kept", "duplicate"], "silver has decided on the copy")
    first, second = arrivals
    assert second["receipt_id"] == copy
    assert second["first"]["receipt_id"] == first["receipt_id"] == entry["receipt_id"]
    assert second["first"]["received_hour"] == first["received_hour"]
    assert second["steps"][-1]["table"] == "silver/duplicates"
    assert entry["receipt_id"] in second["steps"][-1]["detail"]

    delta = open_table(stack, LANDING_EVENTS.path)
    assert delta is not None
    delta.delete(f"receipt_id = '{copy}'")
    assert outcomes() in (["kept", "erased"], ["kept"])
    wait_until(lambda: outcomes() == ["kept"], "the erased copy is gone from the marts")
    with connect(stack) as connection:
        tracer = Tracer(Marts(connection), LakeSide(stack))
        with pytest.raises(NotFound, match="erased"):
            follow(tracer, copy)


def land_copy(stack: Settings, event_id: str) -> str:
    """Land an event once more, as an edge does that has not seen it; returns the new receipt."""
    delta = open_table(stack, LANDING_EVENTS.path)
    assert delta is not None
    now, receipt = utc_now(), new_receipt_id()
    rows = (
        pl.scan_delta(delta)
        .filter(pl.col("event_id") == event_id)
        .collect()
        .with_columns(
            pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_at"),
            pl.lit(hour_key(now)).alias("received_hour"),
            pl.lit(receipt).alias("receipt_id"),
        )
    )
    assert rows.height == 1
    log = DeltaLog(stack, LANDING_EVENTS)
    log.commit(log.prepare(rows.select(list(LANDING_EVENTS.schema))))
    log.close()
    return receipt
