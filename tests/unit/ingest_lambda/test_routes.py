"""The HTTP doors: what a client is told, and that it is in the tables when it is told."""

from __future__ import annotations

import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest_lambda.edge import Edge, open_edge
from telemetry_contracts.sealing import SealBox
from telemetry_platform.access_keys.key_file import create_key
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from telemetry_platform.settings import Settings

    Rows = Callable[[str], pl.DataFrame]

pytestmark = pytest.mark.unit

EVENTS = "/v1/events?source=mobile"
WATCH = {
    "device_id": "PulseON_XBBVXPQ4SQ4O",
    "date": "2024-08-06 00:00:00.000000",
    "hr": 70,
    "steps": 4,
    "state": "awake",
}


def phone(number: int = 0, **more: Any) -> dict[str, Any]:
    moment = f"2026-01-05T10:00:00.{number:06d}"
    network = {"wifiName": '"home"', "wifiIP": "192.168.1.20", "connectivity": "wifi"}
    return {"session": {"id": "2b1c", "timestamp": moment}, "network": network, **more}


def dumps(value: object) -> bytes:
    return orjson.dumps(value)


def test_an_answer_counts_every_event_and_the_tables_agree(client: Client, rows: Rows) -> None:
    answer = client.post(EVENTS, dumps([phone(1), phone(1), {"a": 1}, phone(2), 5]))
    assert answer.status_code == HTTPStatus.ACCEPTED
    body = answer.json()
    assert [event["status"] for event in body["events"]] == [
        "accepted", "duplicate", "rejected", "accepted", "rejected",
    ]  # fmt: skip
    assert [event["index"] for event in body["events"]] == [0, 1, 2, 3, 4]
    assert (body["accepted"], body["duplicate"], body["rejected"]) == (2, 1, 2)
    landed = rows("landing/events")
    accepted = {e["event_id"] for e in body["events"] if e["status"] == "accepted"}
    assert set(landed["event_id"]) == accepted
    assert set(landed["receipt_id"]) == {body["receipt_id"]}
    assert sorted(rows("landing/rejected")["event_index"]) == [2, 4]


def test_the_same_batch_twice_adds_nothing(client: Client, rows: Rows) -> None:
    batch = dumps([phone(n) for n in range(20)])
    assert client.post("/ingest", batch).json()["accepted"] == 20
    again = client.post("/ingest", batch)
    assert again.status_code == HTTPStatus.OK
    assert again.json()["duplicate"] == 20
    assert rows("landing/events").height == 20


def test_concurrent_copies_land_once(client: Client, rows: Rows) -> None:
    batch = dumps([phone(n) for n in range(10)])
    answers = [answer.json() for answer in client.together(*[batch] * 8)]
    assert sum(answer["accepted"] for answer in answers) == 10
    assert sum(answer["duplicate"] for answer in answers) == 70
    assert rows("landing/events").height == 10


def test_a_restart_remembers_what_landed(settings: Settings, key: str, rows: Rows) -> None:
    batch = dumps([phone(n) for n in range(5)])
    for accepted, duplicate in ((5, 0), (0, 5)):
        edge = open_edge(settings)
        body = Client(edge, key).post("/ingest", batch).json()
        edge.close()
        assert (body["accepted"], body["duplicate"]) == (accepted, duplicate)
    assert rows("landing/events").height == 5


def test_one_idempotency_key_has_one_answer(client: Client, rows: Rows) -> None:
    headers = {"idempotency-key": "k1"}
    first = client.post("/ingest", dumps(phone(1)), headers)
    again = client.post("/ingest", dumps(phone(1)), headers)
    assert again.content == first.content
    assert rows("landing/events").height == 1
    other = client.post("/ingest", dumps(phone(2)), headers)
    assert other.status_code == HTTPStatus.CONFLICT
    assert rows("landing/events").height == 1


def test_rejected_bodies_rest_sealed(client: Client, rows: Rows, settings: Settings) -> None:
    wrong = {"session": {"id": "x", "timestamp": "never"}, "user": {"email": "someone@example.org"}}
    answer = client.post("/ingest", dumps([wrong]))
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    (row,) = rows("landing/rejected").iter_rows(named=True)
    assert (row["stage"], row["rule"], row["field"]) == ("read", "time", "event_time")
    assert b"someone" not in row["body_sealed"]
    box = SealBox.from_file(settings.secrets_dir / "seal_keys.json")
    assert orjson.loads(box.open(row["body_sealed"])) == wrong
    assert b"never" not in answer.content


def test_personal_values_land_as_tokens(client: Client, rows: Rows) -> None:
    client.post("/ingest", dumps(phone(1)))
    (payload,) = rows("landing/events")["payload"]
    assert "192.168.1.20" not in payload
    assert orjson.loads(payload)["wifi_ip"].startswith("tok_1_")


def test_a_broken_line_is_rejected_alone(client: Client, rows: Rows) -> None:
    lines = dumps(phone(1)) + b"\n{broken\n" + dumps(phone(2))
    answer = client.post(EVENTS, lines, {"content-type": "application/x-ndjson"})
    statuses = [event["status"] for event in answer.json()["events"]]
    assert statuses == ["accepted", "rejected", "accepted"]
    assert rows("landing/rejected")["stage"].to_list() == ["decode"]


def test_the_mobile_client_counts_200_as_delivered(client: Client) -> None:
    body = gzip.compress(dumps(phone(1)))
    assert client.post("/ingest", body).status_code == HTTPStatus.OK
    with_header = client.post("/ingest", body, {"content-encoding": "gzip"})
    assert with_header.status_code == HTTPStatus.OK
    assert with_header.json()["duplicate"] == 1


def test_bearer_works_as_well(client: Client) -> None:
    headers = {"authorization": f"Bearer {client.key}", "x-api-key": client.key}
    assert client.post("/ingest", dumps(phone(1)), headers).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        (EVENTS, {"x-api-key": "tlk_no_key"}, b"{}", HTTPStatus.UNAUTHORIZED),
        ("/v1/events", {}, b"{}", HTTPStatus.BAD_REQUEST),
        ("/v1/events?source=toaster", {}, b"{}", HTTPStatus.BAD_REQUEST),
        (EVENTS, {}, b"", HTTPStatus.BAD_REQUEST),
        (EVENTS, {}, b"{", HTTPStatus.BAD_REQUEST),
        (EVENTS, {"content-type": "text/csv"}, b"{}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (EVENTS, {"content-encoding": "br"}, b"{}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (EVENTS, {}, b" " * (5 * 2**20 + 1), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (EVENTS, {"idempotency-key": "k" * 256}, b"{}", HTTPStatus.BAD_REQUEST),
        (EVENTS, {}, b"{}", HTTPStatus.UNPROCESSABLE_ENTITY),
        ("/nowhere", {}, b"{}", HTTPStatus.NOT_FOUND),
    ],
)
def test_refusals(
    client: Client, path: str, headers: dict[str, str], body: bytes, status: HTTPStatus
) -> None:
    answer = client.post(path, body, headers)
    assert answer.status_code == status
    if status != HTTPStatus.UNPROCESSABLE_ENTITY:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_a_key_out_of_scope_is_forbidden(client: Client, settings: Settings, edge: Edge) -> None:
    _, narrow = create_key(settings.secrets_dir / "api_keys.json", "watches", ["wearable"])
    edge.keys.check_now()
    answer = client.post(EVENTS, dumps(phone(1)), {"x-api-key": narrow})
    assert answer.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "case",
    [
        (True, "127.0.0.1", {}, HTTPStatus.OK),
        (False, "127.0.0.1", {}, HTTPStatus.UNAUTHORIZED),
        (True, "10.0.0.7", {}, HTTPStatus.UNAUTHORIZED),
        (True, "127.0.0.1", {"x-forwarded-for": "10.0.0.7"}, HTTPStatus.UNAUTHORIZED),
        (True, "127.0.0.1", {"x-api-key": "tlk_wrong_key"}, HTTPStatus.UNAUTHORIZED),
    ],
)
def test_watches_come_without_a_key_only_where_that_is_allowed(
    edge: Edge, case: tuple[bool, str, dict[str, str], HTTPStatus]
) -> None:
    allowed, address, headers, expected = case
    edge.settings.stream_open_on_loopback = allowed
    client = Client(edge, "", address)
    sent = {"content-type": "application/json", **headers}
    answer = client.run(lambda http: http.post("/stream", content=dumps(WATCH), headers=sent))
    assert answer.status_code == expected


def test_a_full_queue_answers_503_and_takes_nothing(client: Client, edge: Edge, rows: Rows) -> None:
    edge.events.max_queued_rows = 15
    batches = [dumps([phone(n) for n in range(s, s + 10)]) for s in range(0, 100, 10)]
    answers = client.together(*batches)
    full = [a for a in answers if a.status_code == HTTPStatus.SERVICE_UNAVAILABLE]
    assert full
    assert all(answer.headers["retry-after"] == "1" for answer in full)
    assert rows("landing/events").height == 10 * (len(answers) - len(full))
    for batch in batches:
        client.post("/ingest", batch)
    assert rows("landing/events").height == 100


def test_health_says_what_is_not_ready(settings: Settings) -> None:
    edge = open_edge(settings)
    client = Client(edge, "")
    assert client.get("/healthz").status_code == HTTPStatus.OK
    ready = client.get("/readyz")
    edge.close()
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert ready.json()["reasons"] == ["there is no API key file"]


def test_metrics_count_what_was_answered(client: Client) -> None:
    client.post("/ingest", dumps([phone(1), phone(1), 7]))
    text = client.get("/metrics").text
    for outcome in ("accepted", "duplicate", "rejected"):
        assert f'edge_events_total{{outcome="{outcome}",source="mobile"}} 1.0' in text
    assert 'edge_posts_total{route="/ingest",status="200"} 1.0' in text
    assert 'edge_commit_rows_count{table="landing/events"} 1.0' in text


def test_docs_come_from_this_host(client: Client) -> None:
    page = client.get("/docs")
    assert page.status_code == HTTPStatus.OK
    assert "http" not in page.text.replace("http-equiv", "")
    assert client.get("/docs/assets/swagger-ui-bundle.js").status_code == HTTPStatus.OK
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/events", "/ingest", "/stream", "/healthz", "/readyz"}


def test_every_example_of_the_documentation_is_accepted(client: Client, edge: Edge) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert len(examples) == sum(len(edge.registry[source].shapes) for source in edge.registry)
    for name, example in examples.items():
        answer = client.post(f"/v1/events?source={name.split('.')[0]}", dumps(example["value"]))
        assert answer.status_code == HTTPStatus.ACCEPTED, (name, answer.text)


def test_an_unexpected_error_shows_nothing_of_the_event(
    edge: Edge, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    edge.events.close()
    answer = Client(edge, key).post("/ingest", dumps(phone(1)))
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer.json()["type"].endswith(":internal")
    assert "192.168" not in answer.text + caplog.text
