"""Corrections at the edge: durable when answered, once however often they are sent."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from telemetry_platform.access_keys.key_file import create_key
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from ingest_lambda.edge import Edge
    from telemetry_platform.settings import Settings

    Rows = Callable[[str], pl.DataFrame]

pytestmark = pytest.mark.unit

TARGET = "00000000-0000-7000-8000-000000000001"
WATCH = {"device_id": "w", "date": "2026-01-05T10:00:00Z", "hr": 70, "email": "ada@example.org"}


def send(
    client: Client,
    method: str,
    event: object = None,
    target: str = TARGET,
    source: str = "wearable",
    **headers: str,
) -> httpx.Response:
    content = b"" if event is None else orjson.dumps(event)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.run(
        lambda http: http.request(
            method,
            f"/v1/events/{target}?source={source}",
            content=content,
            headers=client.headers(named),
        )
    )


def outcome(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
    (event,) = answer.json()["events"]
    return event


def test_a_replacement_lands_as_an_event_of_its_own(client: Client, rows: Rows) -> None:
    answer = send(client, "PUT", WATCH, TARGET.upper())
    event = outcome(answer)
    assert event["status"] == "accepted"
    (row,) = rows("landing/events").to_dicts()
    assert row["event_id"] == event["event_id"] != TARGET
    assert row["receipt_id"] == answer.json()["receipt_id"]
    payload = orjson.loads(row["payload"])
    assert (payload["_corrects"], payload["_correction"]) == (TARGET, "replace")
    assert payload["heart_rate_bpm"] == 70
    assert "ada" not in row["payload"]


def test_a_deletion_lands_as_an_event_of_no_device(client: Client, rows: Rows) -> None:
    event = outcome(send(client, "DELETE"))
    (row,) = rows("landing/events").to_dicts()
    assert (row["event_id"], row["device_id"]) == (event["event_id"], None)
    assert orjson.loads(row["payload"]) == {"_corrects": TARGET, "_correction": "delete"}


@pytest.mark.parametrize("event", [WATCH, None])
def test_a_retry_adds_nothing_and_another_key_corrects_again(
    client: Client, edge: Edge, key: str, rows: Rows, event: object
) -> None:
    method = "PUT" if event else "DELETE"
    first = outcome(send(client, method, event, idempotency_key="a"))
    again = send(Client(edge, key), method, event, idempotency_key="a")
    assert outcome(again) == {"index": 0, "status": "duplicate", "event_id": first["event_id"]}
    assert rows("landing/events").height == 1
    assert outcome(send(client, method, event, idempotency_key="b"))["status"] == "accepted"
    assert rows("landing/events")["event_id"].n_unique() == 2


def test_a_key_that_came_with_another_correction_is_refused(client: Client) -> None:
    outcome(send(client, "PUT", WATCH, idempotency_key="a"))
    assert send(client, "DELETE", idempotency_key="a").status_code == HTTPStatus.CONFLICT
    same = send(client, "PUT", WATCH, idempotency_key="a")
    assert outcome(same)["status"] == "accepted"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (None, HTTPStatus.BAD_REQUEST),
        ([WATCH, WATCH], HTTPStatus.BAD_REQUEST),
        ([], HTTPStatus.BAD_REQUEST),
        (WATCH | {"event_id": TARGET[:-1] + "2"}, HTTPStatus.BAD_REQUEST),
        (5, HTTPStatus.UNPROCESSABLE_ENTITY),
        ({"hr": 70}, HTTPStatus.UNPROCESSABLE_ENTITY),
        (WATCH | {"hr": "fast"}, HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
def test_what_is_no_replacement_is_told_and_not_kept(
    client: Client, rows: Rows, event: object, status: HTTPStatus
) -> None:
    answer = send(client, "PUT", event)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert "fast" not in answer.text
    assert rows("landing/events").is_empty()
    assert rows("landing/rejected").is_empty()


def test_a_body_may_name_the_event_that_it_replaces(client: Client) -> None:
    assert outcome(send(client, "PUT", WATCH | {"event_id": TARGET}))["status"] == "accepted"


def test_an_address_that_names_no_event_is_refused(client: Client) -> None:
    assert send(client, "DELETE", target="one").status_code == HTTPStatus.BAD_REQUEST
    assert send(client, "DELETE", source="soil").status_code == HTTPStatus.BAD_REQUEST


def test_a_correction_needs_a_key_that_may_write_the_source(edge: Edge, settings: Settings) -> None:
    keys = settings.secrets_dir / "api_keys.json"
    phones = create_key(keys, "phones", ["mobile"])[1]
    readers = create_key(keys, "readers", ["*"], roles=("read",))[1]
    for method, event in (("PUT", WATCH), ("DELETE", None)):
        answers = [
            send(Client(edge, key), method, event).status_code
            for key in ("tk_wrong", phones, readers)
        ]
        assert answers == [
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.FORBIDDEN,
        ]
