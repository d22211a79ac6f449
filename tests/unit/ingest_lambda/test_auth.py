"""The gate: good keys pass, the others learn to wait, and ended keys leave a trace."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from ingest_lambda.auth import Gate
from ingest_lambda.calls import Call
from ingest_lambda.metrics import Metrics
from ingest_lambda.problems import Problem
from ingest_lambda.rate_limits import EventBudget
from telemetry_platform.access_keys.audit import audit_file
from telemetry_platform.access_keys.failures import FailureThrottle
from telemetry_platform.access_keys.key_file import create_key, revoke_key, rotate_key
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.access_keys.rate_limit import RateLimit
from telemetry_platform.settings import Settings
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message

    from ingest_lambda.edge import Edge

pytestmark = pytest.mark.unit

WRONG = "tlk_nobody_knows"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api_keys.json"


def gate(path: Path, **settings: float) -> Gate:
    return Gate(Settings.model_validate(settings), KeyStore(path), Metrics())


def call(key: str | None, address: str = "10.0.0.7", header: str = "x-api-key") -> Call:
    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    headers = [] if key is None else [(header.encode(), key.encode())]
    return Call({"headers": headers, "client": (address, 1), "query_string": b""}, nothing)


def admit(gate: Gate, call: Call, source: str = "mobile", *, loopback: bool = False) -> str:
    """Return the sender's id, or the status and wait of the refusal."""
    try:
        return asyncio.run(gate.admit(call, source, open_on_loopback=loopback)).id
    except Problem as problem:
        wait = "" if problem.retry_after is None else f" {problem.retry_after}"
        return f"{problem.status:d}{wait}"


def test_a_key_for_reading_sends_nothing(path: Path) -> None:
    _, reader = create_key(path, "analysts", roles=["read", "read:restricted"])
    _, both = create_key(path, "gateway", roles=["read", "write"])
    guard = gate(path)
    assert admit(guard, call(reader)) == "403"
    assert admit(guard, call(both)) != "403"


def test_a_key_comes_in_either_header(path: Path) -> None:
    key_id, text = create_key(path, "phones", ["mobile"])
    open_gate = gate(path)
    assert admit(open_gate, call(text)) == key_id
    assert admit(open_gate, call(f"Bearer {text}", header="authorization")) == key_id
    assert admit(open_gate, call(f"bearer  {text} ", header="authorization")) == key_id
    assert admit(open_gate, call(f"Basic {text}", header="authorization")) == "401"
    assert admit(open_gate, call(text), "wearable") == "403"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass between the tries, so that what is told to wait is exact."""
    monkeypatch.setattr("ingest_lambda.auth.FailureThrottle", partial(FailureThrottle, clock=noon))
    monkeypatch.setattr("ingest_lambda.auth.EventBudget", partial(EventBudget, clock=noon))


def noon() -> float:
    return 43_200.0


@pytest.mark.usefixtures("still")
def test_failures_from_one_address_are_told_to_wait(path: Path) -> None:
    create_key(path, "phones")
    throttled = gate(path, auth_failure_limit=3, auth_failure_window_seconds=60)
    answers = [admit(throttled, call(key)) for key in (WRONG, None, WRONG, WRONG, None)]
    assert answers == ["401", "401", "401", "429 60", "429 60"]
    assert admit(throttled, call(WRONG, "10.0.0.8")) == "401"


@pytest.mark.usefixtures("still")
def test_a_good_key_passes_from_a_throttled_address(path: Path) -> None:
    key_id, text = create_key(path, "phones")
    throttled = gate(path, auth_failure_limit=1)
    assert [admit(throttled, call(WRONG)) for _ in range(3)] == ["401", "429 60", "429 60"]
    assert admit(throttled, call(text)) == key_id


def test_a_key_out_of_scope_is_no_guess(path: Path) -> None:
    _, text = create_key(path, "phones", ["mobile"])
    throttled = gate(path, auth_failure_limit=1)
    assert {admit(throttled, call(text), "wearable") for _ in range(5)} == {"403"}
    assert admit(throttled, call(WRONG)) == "401"


@pytest.mark.usefixtures("still")
def test_each_key_has_its_rate(path: Path) -> None:
    slow_id, slow = create_key(path, "slow", rate_limit=RateLimit.of(0.1, 2))
    plain_id, plain = create_key(path, "plain")
    limited = gate(path, rate_limit_events_per_second=0.5, rate_limit_burst_events=3)
    slow_answers = [admit(limited, call(slow)) for _ in range(3)]
    assert slow_answers == [slow_id, slow_id, "429 10"]
    plain_answers = [admit(limited, call(plain)) for _ in range(4)]
    assert plain_answers == [plain_id] * 3 + ["429 2"]


def test_loopback_may_come_without_a_key_where_the_door_says_so(path: Path) -> None:
    closed = gate(path)
    here = call(None, "127.0.0.1")
    assert admit(closed, here) == "401"
    assert admit(closed, here, loopback=True) == "loopback"
    assert admit(closed, call(None), loopback=True) == "401"
    assert admit(closed, call(WRONG, "127.0.0.1"), loopback=True) == "401"


def test_the_first_use_of_an_ended_key_is_recorded(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoked_id, revoked = create_key(path, "phones")
    expired_id, expired = create_key(path, "watches")
    revoke_key(path, revoked_id)
    rotate_key(path, expired_id, timedelta(0))
    closed = gate(path)
    for text in (revoked, expired, revoked, expired, f"tlk_{revoked_id}_guess"):
        assert admit(closed, call(text)) == "401"
    lines = [json.loads(line) for line in audit_file(path).read_text().splitlines()]
    refused = [line for line in lines if line["event"] == "refused"]
    assert [(line["key_id"], line["reason"], line["client"]) for line in refused] == [
        (revoked_id, "revoked", "10.0.0.7"),
        (expired_id, "expired", "10.0.0.7"),
    ]
    told = caplog.text + audit_file(path).read_text()
    assert revoked.split("_", 2)[2] not in told


def test_where_the_audit_log_cannot_be_written_the_log_line_is_the_record(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_id, text = create_key(path, "phones")
    revoke_key(path, key_id)
    audit_file(path).unlink()
    audit_file(path).mkdir()
    with caplog.at_level(logging.INFO):
        assert admit(gate(path), call(text)) == "401"
    (line,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert (vars(line)["key_id"], vars(line)["reason"]) == (key_id, "revoked")


@pytest.mark.usefixtures("still")
def test_a_client_is_told_when_to_come_back(edge: Edge) -> None:
    file = edge.keys.path
    _, slow = create_key(file, "slow", rate_limit=RateLimit.of(1, 1))
    edge.keys.check_now()
    client = Client(edge, slow)
    events = b'[{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}, {"a": 5}]'
    assert client.post("/ingest", events).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    answer = client.post("/ingest", events)
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:telemetry:problem:rate"
    assert answer.headers["retry-after"] == "5"  # four events of debt and one to post


def test_the_documentation_tells_of_the_wait(edge: Edge) -> None:
    document = Client(edge, "").get("/openapi.json").json()
    for path in ("/v1/events", "/ingest", "/stream"):
        answers = document["paths"][path]["post"]["responses"]
        assert answers["429"]["headers"]["Retry-After"]["required"]
        assert "headers" not in answers["401"]


def test_a_repeated_idempotency_key_costs_one_event(edge: Edge) -> None:
    _, slow = create_key(edge.keys.path, "slow", rate_limit=RateLimit.of(0.001, 4))
    edge.keys.check_now()
    client = Client(edge, slow)
    headers = {"idempotency-key": "once"}
    statuses = [
        client.post("/ingest", b'[{"a": 1}, {"a": 2}]', headers).status_code for _ in "1234"
    ]
    assert statuses == [422, 422, 422, 429]


def test_an_edge_that_takes_tokens_is_ready_without_keys(edge: Edge) -> None:
    edge.keys.path.write_text('{"keys": []}')
    edge.keys.check_now()
    assert edge.unready() == ["there is no valid API key"]
    edge.settings.jwt_issuer = "https://issuer.example.org/"
    assert edge.unready() == []
