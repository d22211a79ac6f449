"""The access API over filled marts: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import psycopg
import pytest
from psycopg import sql

from access_api.datasets import DATASETS, Dataset
from access_api.queries import Selection, rows_query
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.postgres import connect
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_platform.settings import Settings

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
OPEN = {d.name: d for d in DATASETS if "{user}" not in d.path and d.name != "metric_minutes"}
KEYS = {
    "reader": (["*"], ["read"]),
    "restricted": (["*"], ["read", "read:restricted"]),
    "phones": (["mobile"], ["read"]),
    "sender": (["*"], ["write"]),
}
Client = httpx.Client


@pytest.fixture(scope="module")
def clients(stack: Settings) -> Iterator[dict[str, Client]]:
    """Return a client for each kind of key, once the API knows the keys."""
    path = stack.secrets_dir / "api_keys.json"
    texts = {
        name: create_key(path, name, sources, roles=roles)[1]
        for name, (sources, roles) in KEYS.items()
    }
    made = {
        name: httpx.Client(
            base_url=stack.access_url, headers={"x-api-key": text}, timeout=DEADLINE_SECONDS
        )
        for name, text in texts.items()
    }

    def unknown() -> list[str]:
        """Return the keys that came after the API's last look into the file."""
        statuses = {name: client.get("/v1/datasets").status_code for name, client in made.items()}
        return [name for name, status in statuses.items() if status in (401, 429)]

    wait_until(lambda: not unknown(), "the API knows the new keys", unknown)
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(scope="module")
def reader(clients: dict[str, Client]) -> Client:
    return clients["reader"]


@pytest.fixture
def owner(stack: Settings) -> Iterator[psycopg.Connection]:
    """Return a connection as the owner of the marts."""
    with connect(stack, autocommit=True) as connection:
        yield connection


def rows_of(reader: Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    found: list[dict[str, Any]] = []
    while True:
        answer = reader.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if page["next_cursor"] is None:
            assert "link" not in answer.headers
            return found
        assert page["data"]
        assert 'rel="next"' in answer.headers["link"]
        parameters["cursor"] = page["next_cursor"]


def count(owner: psycopg.Connection, mart: str) -> int:
    statement = sql.SQL("select count(*) from {}").format(sql.Identifier("marts", mart))
    (number,) = owner.execute(statement).fetchone() or (0,)
    return number


@pytest.mark.parametrize("name", OPEN)
def test_a_dataset_is_answered_whole_and_in_its_order(
    name: str, reader: Client, owner: psycopg.Connection
) -> None:
    dataset = OPEN[name]
    rows = rows_of(reader, dataset.path, limit=10_000)
    assert len(rows) == count(owner, dataset.mart) > 0
    keys = [tuple(row[column] for column in dataset.key) for row in rows]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys, reverse=dataset.newest_first)
    names = {column.name for column in dataset.columns} - {"user_email"}
    assert set(rows[0]) == names


def test_pages_go_on_where_they_ended_in_both_directions(reader: Client) -> None:
    whole = rows_of(reader, "/v1/readings", limit=10_000, order="asc")
    assert rows_of(reader, "/v1/readings", limit=97, order="asc") == whole
    assert rows_of(reader, "/v1/readings", limit=200) == whole[::-1]


def test_every_format_holds_the_same_rows(reader: Client) -> None:
    rows = rows_of(reader, "/v1/readings", limit=10_000)
    answers = {
        media: reader.get("/v1/readings", headers={"accept": media})
        for media in ("text/csv", PARQUET, ARROW)
    }
    for media, answer in answers.items():
        assert answer.headers["content-type"].partition(";")[0] == media
    table = list(csv.DictReader(io.StringIO(answers["text/csv"].text)))
    assert [line["event_id"] for line in table] == [row["event_id"] for row in rows]
    times = [line["event_time"].replace(".000000", "") for line in table]
    assert times == [row["event_time"] for row in rows]
    frames = (
        pl.read_parquet(io.BytesIO(answers[PARQUET].content)),
        pl.read_ipc_stream(io.BytesIO(answers[ARROW].content)),
    )
    for frame in frames:
        assert frame.columns == list(rows[0])
        for column in ("event_id", "temperature_celsius", "light_detected", "source_row"):
            assert frame[column].to_list() == [row[column] for row in rows]
        assert frame.schema["event_time"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("media", ["text/csv", PARQUET])
def test_a_limited_export_leads_to_the_rest(reader: Client, media: str) -> None:
    rows = rows_of(reader, "/v1/readings", limit=10_000)
    read: Callable[[bytes], pl.DataFrame] = pl.read_csv if media == "text/csv" else pl.read_parquet
    headers = {"accept": media}
    first = reader.get("/v1/readings", params={"limit": 10}, headers=headers)
    target = first.headers["link"].partition(">")[0].removeprefix("<")
    second = reader.get(target, headers=headers)
    ids = [*read(first.content)["event_id"], *read(second.content)["event_id"]]
    assert ids == [row["event_id"] for row in rows[:20]]


def test_filters_select(reader: Client) -> None:
    rows = rows_of(reader, "/v1/events", limit=10_000)
    device = next(row["device_id"] for row in rows if row["source"] == "wearable")
    chosen = rows_of(reader, "/v1/events", device=device, source="wearable")
    assert chosen == [r for r in rows if r["device_id"] == device and r["source"] == "wearable"]
    assert chosen
    middle = rows[len(rows) // 2]["event_time"]
    late = rows_of(reader, "/v1/events", **{"from": middle}, limit=10_000)
    early = rows_of(reader, "/v1/events", to=middle, limit=10_000)
    assert late + early == rows
    warm = rows_of(reader, "/v1/metrics/hours", unit="degC")
    assert {row["unit"] for row in warm} == {"degC"}
    assert "temperature_celsius" in {row["metric"] for row in warm}
    current = rows_of(reader, "/v1/devices", current="true", limit=10_000)
    assert all(row["is_current"] for row in current)


def test_minutes_of_a_device_add_up_to_its_hour(reader: Client) -> None:
    (hour,) = rows_of(reader, "/v1/metrics/hours", metric="temperature_celsius")[:1]
    asked = {"device": hour["device_id"], "metric": hour["metric"], "from": hour["event_hour"]}
    minutes = rows_of(reader, "/v1/metrics/minutes", **asked, limit=7)
    within = [m for m in minutes if m["event_minute"][:13] == hour["event_hour"][:13]]
    assert sum(minute["n"] for minute in within) == hour["n"]


def test_what_a_user_did_is_found_by_the_user(reader: Client, owner: psycopg.Connection) -> None:
    expected = owner.execute("""
        select event_day::text, steps from marts.fct_wearable_days
        where device_id = 'watch-1' and event_day > current_date - 300 order by 1 desc
    """).fetchall()
    rows = rows_of(reader, "/v1/users/user-001/steps/daily", days=300)
    assert [(row["event_day"], row["steps"]) for row in rows] == expected
    assert rows_of(reader, "/v1/users/user-001/steps/daily", days=2)[0]["steps"] >= 500
    (night,) = rows_of(reader, "/v1/users/user-001/sleep/heart-rate", days=300)
    assert (night["device_id"], night["n"]) == ("watch-1", 50)
    unknown = reader.get("/v1/users/nobody/steps/daily")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Not Found")


def test_an_answer_that_the_client_has_is_not_sent_again(reader: Client) -> None:
    for path in ("/v1/quality", "/v1/datasets"):
        tag = reader.get(path).headers["etag"]
        again = reader.get(path, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert reader.get(path, headers={"if-none-match": '"old"'}).status_code == 200


def test_a_key_sees_its_sources_and_no_others(clients: dict[str, Client]) -> None:
    phones = clients["phones"]
    for path in ("/v1/events", "/v1/devices", "/v1/quality"):
        assert {row["source"] for row in rows_of(phones, path, limit=10_000)} == {"mobile"}
    assert phones.get("/v1/sessions").status_code == 200
    for path in ("/v1/readings", "/v1/events?source=wearable", "/v1/users/user-001/steps/daily"):
        refused = phones.get(path)
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:telemetry:problem:scope"
    names = {entry["name"] for entry in phones.get("/v1/datasets").json()["data"]}
    assert "sessions" in names
    assert "readings" not in names


def test_restricted_columns_are_for_those_who_may_and_each_read_is_recorded(
    clients: dict[str, Client], stack: Settings
) -> None:
    file = stack.access_audit_file
    before = file.read_text().splitlines() if file.exists() else []
    assert "user_email" not in rows_of(clients["reader"], "/v1/sessions", limit=1000)[0]
    rows = clients["restricted"].get("/v1/sessions", params={"model": "Pixel 8"})
    assert rows.status_code == 200
    headers = {"accept": "text/csv"}
    assert b"user_email" in clients["restricted"].get("/v1/sessions", headers=headers).content
    clients["restricted"].get("/v1/readings")
    lines = [json.loads(line) for line in file.read_text().splitlines()[len(before) :]]
    assert [(line["fleet"], line["dataset"], line["columns"]) for line in lines] == [
        ("restricted", "sessions", ["user_email"])
    ] * 2
    assert lines[0]["filters"] == {"model": ["Pixel 8"]}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("colour=red", 400),
        ("cursor=x", 400),
        ("cursor=%00%ff", 400),
        ("limit=-1", 400),
        ("limit=10001", 400),
        ("from=yesterday", 400),
        ("from=99999999999999999999", 400),
        ("device=%00", 400),
        ("from=0001-01-01T00:00:00%2B14:00", 200),
        ("to=9999-12-31T23:59:59-14:00", 200),
        ("device=x'%20OR%20'1'='1", 200),
        ("device=%25&source=*", 200),
        ("device=);DROP%20TABLE%20marts.fct_events;--", 200),
    ],
)
def test_hostile_parameters_are_refused_or_match_nothing(
    reader: Client, query: str, status: int
) -> None:
    answer = reader.get(f"/v1/events?{query}")
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.headers["content-type"] == "application/problem+json"
    elif "device" in query:
        assert answer.json()["data"] == []


def test_a_cursor_is_good_for_its_key_and_filters_alone(clients: dict[str, Client]) -> None:
    cursor = clients["reader"].get("/v1/events", params={"limit": 1}).json()["next_cursor"]
    other = clients["restricted"].get("/v1/events", params={"limit": 1, "cursor": cursor})
    assert other.status_code == 400
    changed = clients["reader"].get("/v1/events", params={"source": "mobile", "cursor": cursor})
    assert changed.status_code == 400


def test_nobody_reads_without_a_key_that_may(clients: dict[str, Client], stack: Settings) -> None:
    assert clients["sender"].get("/v1/events").status_code == 403
    refused = httpx.get(f"{stack.access_url}/v1/events", timeout=DEADLINE_SECONDS)
    assert refused.status_code == 401
    assert "www-authenticate" in refused.headers
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        answer = httpx.get(f"{stack.access_url}{path}", timeout=DEADLINE_SECONDS)
        assert answer.status_code == 200


def test_the_role_of_the_api_reads_marts_and_nothing_else(stack: Settings) -> None:
    assert stack.access_postgres_dsn
    address = stack.access_postgres_dsn.get_secret_value()
    denied = psycopg.errors.InsufficientPrivilege
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.execute("select 1 from marts.fct_events limit 1").fetchone()
        # What the role is set to cannot be what protects: it may set that itself.
        connection.execute("set default_transaction_read_only = off")
        for statement in (
            "select 1 from warehouse.mobile",
            "delete from marts.fct_events",
            "create table marts.mine (a int)",
            "create temporary table mine (a int)",
            "create schema mine",
        ):
            with pytest.raises(denied):
                connection.execute(statement)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(
            address.replace("/telemetry", "/dagster").replace("//dagster", "//telemetry")
        )


@pytest.mark.parametrize(
    "dataset",
    [d for d in OPEN.values() if d.name not in ("devices", "heart_rate_by_age")],
    ids=lambda d: d.name,
)
def test_an_index_stands_behind_the_order(dataset: Dataset, owner: psycopg.Connection) -> None:
    after = tuple("2026-11-22" if kind in ("date", "timestamptz") else "m" for kind in
                  dataset.key_kinds)  # fmt: skip
    query = rows_query(
        dataset,
        Selection(dataset.columns, None, {}, {"units": "{}"}, dataset.newest_first, after),
        100,
    )
    with owner.transaction():
        # So few rows would be read and sorted whole; what can be done otherwise is the question.
        for way in ("seqscan", "bitmapscan", "sort"):
            owner.execute(f"set local enable_{way} = off".encode())
        explained = sql.SQL("explain {}").format(query.statement)
        plan = "\n".join(line for (line,) in owner.execute(explained, query.values))
    assert "Index Cond" in plan
    assert not re.search(r"(?<!Incremental )Sort  ", plan), plan
